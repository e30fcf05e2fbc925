/**
 * What the engines themselves tell of containers, with their own time: the same eye for every
 * contender. All machines of a lab share one clock, so moments of different machines compare.
 */
import type { Machine } from '../../lab/machine.ts';

export interface Seen {
  readonly atMs: number;
  readonly machine: string;
  /** "start", "die", "health_status: healthy"… */
  readonly action: string;
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
}

export class EventWatch {
  readonly seen: Seen[] = [];
  readonly #ended = new AbortController();
  #notify = (): void => undefined;

  /** Begins to watch; resolves when all streams are open. */
  static async open(machines: readonly Machine[]): Promise<EventWatch> {
    const watch = new EventWatch();
    await Promise.all(machines.map((machine) => watch.#follow(machine)));
    return watch;
  }

  /** How many containers did this, of those that match. */
  count(action: string, labels: Readonly<Record<string, string>> = {}): number {
    return new Set(this.of(action, labels).map(({ id }) => id)).size;
  }

  of(action: string, labels: Readonly<Record<string, string>> = {}): readonly Seen[] {
    const isWanted = (one: Seen): boolean =>
      one.action === action &&
      Object.entries(labels).every(([name, text]) => one.labels[name] === text);
    return this.seen.filter(isWanted);
  }

  /**
   * Waits until something is true of what was seen.
   * @returns when the last event happened, in ms since the epoch
   */
  until(what: string, isTrue: () => boolean, timeoutMs = 120_000): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`not within ${timeoutMs} ms: ${what}`)),
        timeoutMs,
      );
      this.#notify = () => {
        if (!isTrue()) return;
        clearTimeout(timer);
        this.#notify = () => undefined;
        resolve(this.seen.at(-1)?.atMs ?? 0);
      };
      this.#notify();
    });
  }

  stop(): void {
    this.#ended.abort();
  }

  async #follow(machine: Machine): Promise<void> {
    const filters = JSON.stringify({
      type: ['container'],
      event: ['health_status', 'start', 'die'],
    });
    const stream = await machine.docker().getEvents({ filters, abortSignal: this.#ended.signal });
    let rest = '';
    // A machine that goes off ends its stream.
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => {
      const lines = `${rest}${chunk.toString('utf8')}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines.filter(Boolean)) {
        // The engine's own JSON: one event a line.
        const event = JSON.parse(line) as {
          Action: string;
          Actor: { ID: string; Attributes: Record<string, string> };
          timeNano: number;
        };
        this.seen.push({
          atMs: event.timeNano / 1e6,
          machine: machine.name,
          action: event.Action,
          id: event.Actor.ID,
          labels: event.Actor.Attributes,
        });
      }
      this.#notify();
    });
  }
}
