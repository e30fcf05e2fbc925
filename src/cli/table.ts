/** Tables as `docker` prints them: upper-case heads, columns three blanks apart, no borders. */

/**
 * @param rows cells as text; each row as long as the heads
 * @returns lines without trailing blanks
 */
export function formatTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): readonly string[] {
  const widths = heads.map((head, column) =>
    Math.max(head.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  return [heads, ...rows].map((row) =>
    widths
      .map((width, column) => (row[column] ?? '').padEnd(width))
      .join('   ')
      .trimEnd(),
  );
}
