/** What a run of chaos did and found, as a table. */

interface Checked {
  count: number;
  violationCount: number;
}

export class Report {
  readonly startedMs = Date.now();
  /** Sentences about what was wrong, each with its time. */
  readonly violations: string[] = [];
  /** What the agents logged, when something was wrong. */
  logs = '';
  /** Something did not come back at all. */
  isStuck = false;
  readonly #settings: { readonly seed: number; readonly machines: number };
  readonly #faults = new Map<string, number>();
  readonly #checks = new Map<string, Checked>();
  readonly #restsMs: number[] = [];
  readonly #changesMs: number[] = [];
  #acknowledgedCount = 0;
  #changeCount = 0;

  constructor(settings: { readonly seed: number; readonly machines: number }) {
    this.#settings = settings;
  }

  inflicted(name: string): void {
    this.#faults.set(name, (this.#faults.get(name) ?? 0) + 1);
  }

  checked(name: string, atMs: number, wrong: readonly string[]): void {
    const known = this.#checks.get(name) ?? { count: 0, violationCount: 0 };
    this.#checks.set(name, known);
    known.count += 1;
    if (wrong.length === 0) return;
    known.violationCount += 1;
    const atS = ((atMs - this.startedMs) / 1000).toFixed(1);
    this.violations.push(`after ${atS} s: ${wrong.join('; ')}`);
  }

  rested(tookMs: number): void {
    this.#restsMs.push(tookMs);
  }

  changed(isAcknowledged: boolean): void {
    this.#changeCount += 1;
    if (isAcknowledged) this.#acknowledgedCount += 1;
  }

  changeTook(tookMs: number): void {
    this.#changesMs.push(tookMs);
  }

  table(): string {
    const minutes = ((Date.now() - this.startedMs) / 60_000).toFixed(1);
    const seconds = (ms: number): string => (ms / 1000).toFixed(1);
    const longest = (list: readonly number[]): string => seconds(Math.max(0, ...list));
    const rows: (readonly [string, string, string])[] = [
      ['fault', 'times', ''],
      ...[...this.#faults].map(([name, count]) => [name, `${count}`, ''] as const),
      ['', '', ''],
      ['check', 'times', 'violated'],
      ...[...this.#checks].map(
        ([name, { count, violationCount }]) => [name, `${count}`, `${violationCount}`] as const,
      ),
      ['', '', ''],
      ['figure', 'value', ''],
      ['rounds', `${Math.max(0, this.#restsMs.length - 1)}`, ''],
      ['changes, acknowledged', `${this.#changeCount}, ${this.#acknowledgedCount}`, ''],
      ['longest change, s', longest(this.#changesMs), ''],
      ['longest until all is as wanted, s', longest(this.#restsMs.slice(1)), ''],
    ];
    const widths = [0, 1, 2].map((column) =>
      Math.max(...rows.map((row) => (row[column] ?? '').length)),
    );
    const lines = rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
    const { seed, machines } = this.#settings;
    const head = `chaos: seed ${seed}, ${machines} machines, ${minutes} minutes`;
    return [head, ...lines, '', ...this.violations.map((text) => `VIOLATION ${text}`)].join('\n');
  }
}
