/**
 * Columns in the width there is: each as wide as its widest cell while there is room, then those
 * that are missed least give way, and at last are left out. Pure.
 */

export interface Column {
  readonly head: string;
  /** The column never becomes narrower; what is wider is cut with "…". */
  readonly minWidth: number;
  /** Where long texts are cut; names in the middle, because their end tells them apart. */
  readonly cut: 'end' | 'middle';
  /** Columns of the highest number shrink first, and are left out first; 0 never are. */
  readonly sacrifice: number;
}

/** Two blanks between columns. */
const gap = 2;

export interface Fit {
  /** Indexes of the columns that are shown. */
  readonly shown: readonly number[];
  /** Of the shown columns. */
  readonly widths: readonly number[];
}

/** @returns which columns are shown, and how wide */
export function fitColumns(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): Fit {
  const natural = columns.map(({ head }, index) =>
    Math.max(head.length, ...rows.map((row) => (row[index] ?? '').length)),
  );
  let shown = columns.map((_column, index) => index);
  for (;;) {
    const widths = shrink(
      shown.map((index) => ({
        natural: natural[index] ?? 0,
        minimum: Math.min(natural[index] ?? 0, columns[index]?.minWidth ?? 0),
        sacrifice: columns[index]?.sacrifice ?? 0,
      })),
      width - gap * Math.max(0, shown.length - 1),
    );
    const victim = shown.reduce<number | undefined>((worst, index) => {
      const sacrifice = columns[index]?.sacrifice ?? 0;
      const before = worst === undefined ? 0 : (columns[worst]?.sacrifice ?? 0);
      return sacrifice > before ? index : worst;
    }, undefined);
    if (widths !== undefined) return { shown, widths };
    if (victim === undefined) return cutOff(shown, columns, width);
    shown = shown.filter((index) => index !== victim);
  }
}

interface Width {
  readonly natural: number;
  readonly minimum: number;
  readonly sacrifice: number;
}

/** @returns undefined when not even the narrowest form fits */
function shrink(columns: readonly Width[], width: number): readonly number[] | undefined {
  const widths = columns.map(({ natural }) => natural);
  let excess = widths.reduce((sum, one) => sum + one, 0) - width;
  // Of those that are missed alike the widest gives way.
  const order = [...columns.entries()].sort(
    ([, left], [, right]) => right.sacrifice - left.sacrifice || right.natural - left.natural,
  );
  for (const [index, { natural, minimum }] of order) {
    const given = Math.min(Math.max(0, excess), natural - minimum);
    widths[index] = natural - given;
    excess -= given;
  }
  return excess > 0 ? undefined : widths;
}

/** A window that is too narrow for all that must be there: what is left over is cut off. */
function cutOff(shown: readonly number[], columns: readonly Column[], width: number): Fit {
  const kept: number[] = [];
  const widths: number[] = [];
  let left = width;
  for (const index of shown) {
    const own = Math.min(columns[index]?.minWidth ?? 0, left);
    if (own <= 0) break;
    kept.push(index);
    widths.push(own);
    left -= own + gap;
  }
  return { shown: kept, widths };
}

/** @returns the texts of the shown columns, each as wide as its column, with the gaps */
export function fitRow(
  columns: readonly Column[],
  { shown, widths }: Fit,
  cells: readonly string[],
): readonly string[] {
  return shown.map((index, position) => {
    const width = widths[position] ?? 0;
    const cut = columns[index]?.cut ?? 'end';
    const text = truncate(cells[index] ?? '', width, cut).padEnd(width);
    return position < shown.length - 1 ? text + ' '.repeat(gap) : text;
  });
}

/** @returns the text in at most that many columns, with "…" where something is missing */
export function truncate(text: string, width: number, cut: Column['cut'] = 'end'): string {
  if (text.length <= width) return text;
  if (width <= 1) return width === 1 ? '…' : '';
  if (cut === 'end') return `${text.slice(0, width - 1)}…`;
  const tail = Math.floor((width - 1) / 2);
  return `${text.slice(0, width - 1 - tail)}…${text.slice(text.length - tail)}`;
}
