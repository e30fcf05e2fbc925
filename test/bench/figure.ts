/** A measured number, beside a peer's and a goal; and how figures are taken and shown. */

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What it was measured beside, with its value in the same unit; null when there is no peer. */
  readonly peer: { readonly name: string; readonly value: number } | null;
  /** value / peer.value */
  readonly ratio: number | null;
  /** Highest ratio (or value, without a peer) that is good enough; null when nothing was promised. */
  readonly goal: number | null;
  readonly ok: boolean;
}

export type Bench = (progress: (line: string) => void) => Promise<readonly Figure[]>;

/** Makes a figure and judges it: by ratio where there is a peer, else by value. */
export function figure(
  name: string,
  value: number,
  unit: string,
  options: {
    readonly peer?: { readonly name: string; readonly value: number };
    readonly goal?: number;
  } = {},
): Figure {
  const { peer = null, goal = null } = options;
  const ratio = peer === null ? null : value / peer.value;
  return { name, value, unit, peer, ratio, goal, ok: goal === null || (ratio ?? value) <= goal };
}

/** The middle value; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

/** The least value that so many percent of the values do not exceed. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN;
}

const short = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);

/** The figures as a table with aligned columns. */
export function formatFigures(name: string, figures: readonly Figure[]): string {
  const rows = [
    [name, 'value', 'unit', 'peer', 'ratio', 'goal', ''],
    ...figures.map((f) => [
      f.name,
      short(f.value),
      f.unit,
      f.peer === null ? '' : `${f.peer.name} ${short(f.peer.value)}`,
      f.ratio === null ? '' : f.ratio.toFixed(2),
      f.goal === null ? '' : `<= ${f.goal}`,
      f.goal === null ? '' : f.ok ? 'ok' : 'MISSED',
    ]),
  ];
  const widths =
    rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length))) ?? [];
  return `${rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')}\n`;
}
