/** Limits of the client, with their reasons. */

/** 64 MiB: an answer is a snapshot at most; 100 machines with 10 000 containers are about 6 MB. */
export const maxAnswerBytes = 64 * 1024 * 1024;

/** 10 s: questions that the agent answers from memory; longer means that it hangs. */
export const questionTimeoutMs = 10_000;

/** 20 s: an agent that is restarted is back by then; a longer absence is told to the user. */
export const reconnectWindowMs = 20_000;

/** 250 ms between two attempts to reach an agent that went away. */
export const reconnectPauseMs = 250;
