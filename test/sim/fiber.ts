/**
 * Work that waits, in virtual time: what the agent writes with `await` is a generator here, and
 * yields for how long it waits. It ends with the process whose timers it uses, wherever it is: as
 * after SIGKILL, nothing of it runs any more, no `finally` either.
 */

/** Yields milliseconds. */
export type Work<Result = void> = Generator<number, Result, void>;

/**
 * Runs work until it ends.
 * @param schedule timers of the process
 * @param ended called once, with what the work threw
 */
export function runWork(
  schedule: (delayMs: number, run: () => void) => unknown,
  work: Work,
  ended: (error: unknown) => void,
): void {
  const step = (): void => {
    let next: IteratorResult<number, void>;
    try {
      next = work.next();
    } catch (error) {
      ended(error ?? new Error('thrown without a reason'));
      return;
    }
    if (next.done === true) ended(undefined);
    else schedule(next.value, step);
  };
  step();
}
