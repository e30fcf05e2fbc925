/** Limits of a push, with their reasons. */

/** Port of the sink when it is free; no registered service has it. */
export const sinkPort = 51_827;

/** 4096 blobs: what a few hundred images have; the file is about 1 MB then. */
export const maxKnownBlobs = 4096;

/** 3: two builds of one image that are pushed while images are removed elsewhere; then it is told. */
export const maxLoadAttempts = 3;

/** 30 s: a machine that takes longer to say what it has does not work. */
export const planTimeoutMs = 30_000;
