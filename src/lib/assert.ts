/** A fault of ours: a broken invariant. Stays on in production; the agent exits 70 on it. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

/**
 * Holds an invariant of the program.
 * @param condition what must be true
 * @param why a sentence that says which invariant was broken
 * @throws AssertionError when the condition does not hold
 */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new AssertionError(why);
}
