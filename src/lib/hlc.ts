/**
 * Hybrid logical clock in one safe integer: milliseconds * 2048 + counter. It is the order of
 * "last writer wins", so it must grow with every write of one machine and beat the value that a
 * write replaces, whatever the wall clocks say: a clock that is ahead warns and never blocks.
 * 42 bits of milliseconds last until the year 2109. Idea: Kulkarni et al., "Logical Physical
 * Clocks" (2014).
 */

/** Writes per millisecond before the counter runs into the next millisecond (which is harmless). */
export const hlcCounterRange = 2048;

/** The earliest clock value of a moment. */
export function hlcFromMs(ms: number): number {
  return Math.floor(ms) * hlcCounterRange;
}

/** The wall-clock milliseconds within a clock value. */
export function hlcToMs(hlc: number): number {
  return Math.floor(hlc / hlcCounterRange);
}

export interface HlcInput {
  readonly nowMs: number;
  /** Highest value used or seen so far. */
  readonly last: number;
  /** Value of the record that the write replaces; 0 when there is none. */
  readonly existing: number;
}

/**
 * The clock value of a write: later than everything before it, and than what it replaces.
 */
export function nextHlc({ nowMs, last, existing }: HlcInput): number {
  return Math.max(hlcFromMs(nowMs), last + 1, existing + 1);
}
