/** Ordering of text that is the same on every machine, whatever its locale. */

/** Compares by UTF-16 code units; for `sort`. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
