/** The replicated map of one machine alone, in memory: what the driver reads and writes. */
import type { MachineId } from '../../../src/model/ids.ts';
import type { Entry } from '../../../src/model/record.ts';

export class MemoryReplica {
  readonly self: MachineId;
  readonly #entries = new Map<string, Entry>();
  #hlc = 0;
  /** Keys in the order in which they were written. */
  readonly writes: string[] = [];

  constructor(self: MachineId) {
    this.self = self;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  *entries(prefix: string): Iterable<Entry> {
    for (const key of [...this.#entries.keys()].sort()) {
      const entry = this.#entries.get(key);
      if (key.startsWith(prefix) && entry !== undefined) yield entry;
    }
  }

  async write(key: string, value: unknown): Promise<{ readonly hlc: number }> {
    this.observe(key, value);
    return { hlc: this.#hlc };
  }

  /** How often the machines that are linked with this one were asked, and when they answer. */
  askedCount = 0;
  answers: Promise<void> = Promise.resolve();

  async replicated(): Promise<number> {
    this.askedCount += 1;
    await this.answers;
    return 0;
  }

  observe(key: string, value: unknown): void {
    const text = JSON.stringify(value);
    const before = this.#entries.get(key);
    if (before !== undefined && JSON.stringify(before.value) === text) return;
    this.#hlc += 1;
    this.writes.push(key);
    const copy: unknown = JSON.parse(text);
    this.#entries.set(key, { key, origin: this.self, hlc: this.#hlc, value: copy });
  }
}
