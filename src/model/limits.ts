/** Sizes that client and agent must agree on. */

/** 10 MiB: configuration travels with a change; what is larger is data, and belongs in a volume. */
export const maxCopyBytes = 10 * 1024 * 1024;
/** 2,000 files: a folder of settings has a few dozen, one of packages has too many. */
export const maxCopyFileCount = 2_000;
/** 16 MiB: the largest content with a header of 512 bytes, and padding, for each of its files. */
export const maxCopyTarBytes = 16 * 1024 * 1024;
