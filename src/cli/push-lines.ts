/** What `push` prints: one row per image and machine, and sizes as `docker` writes them. Pure. */
import type { PushResult } from '../client/push.ts';

/** "782.8 kB", "100 MB": decimal units and four significant digits, as `docker` does. */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${Number(value.toPrecision(4))} ${units[unit]}`;
}

export const pushHeads = ['IMAGE', 'MACHINE', 'RESULT', 'LAYERS SENT', 'BYTES SENT', 'DIGEST'];

export function pushRow(result: PushResult): readonly string[] {
  const { reference, machine, outcome, sentLayerCount, layerCount, sentBytes } = result;
  return [
    reference,
    machine,
    outcome,
    `${sentLayerCount} of ${layerCount}`,
    formatSize(sentBytes),
    result.configDigest.slice(0, 'sha256:'.length + 12),
  ];
}

/** The result as `--format json` shows it. */
export function pushObject(result: PushResult): Readonly<Record<string, unknown>> {
  const { error, ...rest } = result;
  return error === undefined
    ? rest
    : { ...rest, error: { code: error.code, message: error.message } };
}

/** Bytes that have left so far, over all machines, for a line that is written over. */
export class PushProgress {
  readonly #sentBytes = new Map<string, number>();
  #totalBytes = 0;

  add(machine: string, totalBytes: number): void {
    this.#totalBytes += totalBytes;
    this.#sentBytes.set(machine, this.#sentBytes.get(machine) ?? 0);
  }

  sent(machine: string, sentBytes: number): void {
    this.#sentBytes.set(machine, sentBytes);
  }

  line(): string {
    const sentBytes = [...this.#sentBytes.values()].reduce((sum, one) => sum + one, 0);
    return `sent ${formatSize(sentBytes)} of ${formatSize(this.#totalBytes)}`;
  }
}
