/** Sorts the requests of a power cut by what became of them. Pure. */
import { failuresOf, type Outcome } from '../traffic.ts';

export interface CutCounts {
  /** Sent after the cut, or under way at it. */
  readonly total: number;
  /** Answered by another machine than the first that was tried. */
  readonly rerouted: number;
  /** Connected to the machine before its power went, and never answered: nobody could have. */
  readonly lostInside: number;
  /** The app's own failures: another machine took the request and gave no good answer. */
  readonly failedElsewhere: readonly Outcome[];
  /** When the last of these was sent, counted from the cut; 0 when there was none. */
  readonly lastFailureMs: number;
}

/** @param victim the machine whose power went at `cutMs` */
export function countCut(outcomes: readonly Outcome[], victim: string, cutMs: number): CutCounts {
  const touched = outcomes.filter(({ endedMs }) => endedMs >= cutMs);
  const failed = failuresOf(touched);
  const elsewhere = failed.filter(({ entrance }) => entrance !== victim);
  return {
    total: touched.length,
    rerouted: touched.filter(
      ({ refusedBy, answer }) => refusedBy.includes(victim) && answer !== undefined,
    ).length,
    lostInside: failed.length - elsewhere.length,
    failedElsewhere: elsewhere,
    lastFailureMs: Math.max(0, ...elsewhere.map(({ startedMs }) => startedMs - cutMs)),
  };
}
