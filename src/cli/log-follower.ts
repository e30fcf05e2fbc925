/**
 * The logs of containers that come and go: each is read once, and again from its new start after it
 * was restarted. Whoever watches the snapshots hands in the containers; lines go to the listener.
 */
import type { AgentClient } from '../client/agent-client.ts';
import { TscError } from '../lib/errors.ts';
import type { ContainerView } from '../model/view.ts';
import type { StreamName } from './log-frames.ts';
import { type LogOptions, readLog } from './log-source.ts';

export interface LogListener {
  readonly onLine: (container: ContainerView, stream: StreamName, line: string) => void;
  /** One machine that does not answer must not hide the others; what it throws ends it all. */
  readonly onProblem: (container: ContainerView, error: TscError) => void;
}

export class LogFollower {
  readonly #client: AgentClient;
  readonly #options: LogOptions;
  readonly #listener: LogListener;
  /** By container: the start up to which its log has been asked for, and whether it is read now. */
  readonly #readings = new Map<string, { startedMs: number; isOpen: boolean }>();
  readonly #open = new Set<Promise<void>>();

  constructor(client: AgentClient, options: LogOptions, listener: LogListener) {
    this.#client = client;
    this.#options = options;
    this.#listener = listener;
  }

  /** Begins to read what is not being read yet. */
  show(containers: readonly ContainerView[]): void {
    for (const container of containers) this.#consider(container);
  }

  /** Resolves when every log that was begun has ended. */
  async done(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  #consider(container: ContainerView): void {
    const key = `${container.machine}/${container.id}`;
    const before = this.#readings.get(key);
    if (container.startedMs === 0 || before?.isOpen) return;
    if (before !== undefined && before.startedMs === container.startedMs) return;
    const reading = { startedMs: container.startedMs, isOpen: true };
    this.#readings.set(key, reading);
    const work = this.#read(container, before !== undefined).finally(() => {
      reading.isOpen = false;
      this.#open.delete(work);
    });
    this.#open.add(work);
  }

  async #read(container: ContainerView, isAgain: boolean): Promise<void> {
    const again = { tail: 'all', since: `${container.startedMs / 1000}` };
    const options = { ...this.#options, ...(isAgain ? again : {}) };
    try {
      await readLog(this.#client, container, options, (stream, line) =>
        this.#listener.onLine(container, stream, line),
      );
    } catch (error) {
      if (!(error instanceof TscError)) throw error;
      this.#listener.onProblem(container, error);
    }
  }
}
