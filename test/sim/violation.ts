/** A broken invariant; the run stops. */
export class Violation extends Error {
  override readonly name = 'Violation';
}
