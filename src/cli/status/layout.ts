/** How the lines of the screen are shared out, and which rows of a list are seen. Pure. */

/** Lines that each pane of the screen gets for its rows. */
export interface Shares {
  readonly panes: readonly number[];
  readonly notes: number;
}

/** A fifth of the window, and four lines at least: more would take the place of the lists. */
function maxNoteLines(height: number): number {
  return Math.max(4, Math.floor(height / 5));
}

/** Every pane has a title and a line of heads; the notes have a title. */
const paneOverhead = 2;

/**
 * Shares `height` lines out: every pane gets its part, what one does not need goes first to the
 * pane that is active, then to those that lack most.
 * @param wanted how many rows each pane has
 */
export function shareLines(
  height: number,
  wanted: readonly number[],
  { active, noteLineCount }: { readonly active: number; readonly noteLineCount: number },
): Shares {
  const notes = Math.min(noteLineCount, maxNoteLines(height));
  const noteLines = notes === 0 ? 0 : notes + 1;
  const free = height - noteLines - paneOverhead * wanted.length;
  // Each pane shows one line at least, be it that there is nothing.
  const needed = wanted.map((rows) => Math.max(1, rows));
  const fair = Math.max(1, Math.floor(free / wanted.length));
  const panes = needed.map((rows) => Math.min(rows, fair));
  let left = free - panes.reduce((sum, rows) => sum + rows, 0);
  const lack = (index: number): number => (needed[index] ?? 0) - (panes[index] ?? 0);
  const give = (index: number, count: number): void => {
    panes[index] = (panes[index] ?? 0) + count;
    left -= count;
  };
  if (left > 0) give(active, Math.min(left, lack(active)));
  while (left > 0) {
    const poorest = panes.reduce(
      (best, _rows, index) => (lack(index) > lack(best) ? index : best),
      0,
    );
    if (lack(poorest) <= 0) break;
    give(poorest, 1);
  }
  return { panes, notes };
}

/** @returns the first row that is seen, so that the selected one is, near the middle */
export function firstRow(count: number, height: number, selected: number): number {
  return clamp(selected - Math.floor(height / 2), 0, Math.max(0, count - height));
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** @returns the text in lines of at most that width, broken between words where there are any */
export function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let rest = text.trim();
  while (rest.length > width) {
    const space = rest.lastIndexOf(' ', width);
    const end = rest.slice(0, Math.max(0, space)).trim() !== '' ? space : Math.max(1, width);
    lines.push(rest.slice(0, end).trimEnd());
    // Further lines of a sentence stand in, so that each sentence is seen to begin.
    rest = `  ${rest.slice(end).trimStart()}`;
    if (width <= 2) return lines;
  }
  return [...lines, rest];
}
