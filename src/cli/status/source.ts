/**
 * What the screen looks at: the newest snapshot, and the logs of one service while they are open.
 * Follows both through the agent and says when there is something new; it draws nothing.
 */
import type { AgentClient } from '../../client/agent-client.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { LogFollower } from '../log-follower.ts';
import { shortName } from '../rollout-lines.ts';
import { LogBuffer } from './log-buffer.ts';
import type { ServiceName } from './panes.ts';
import { plainText } from './panes.ts';

/** 40 ms: a flood of lines is drawn 25 times a second, which looks like at once. */
const gatherMs = 40;

/** 200 lines of each replica: some screens of the past, without waiting for a long log. */
const tailLines = '200';

interface OpenLog {
  readonly service: ServiceName;
  readonly follower: LogFollower;
  readonly stop: AbortController;
}

export class StatusSource {
  readonly #client: AgentClient;
  readonly #now: () => number;
  readonly #listeners = new Set<() => void>();
  #snapshot: Snapshot;
  #seenAtMs: number;
  #isConnected = true;
  #log = new LogBuffer();
  #open: OpenLog | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Fires with a fault of ours in reading logs. */
  readonly #broken = new AbortController();

  /** @param first what is shown before the watch begins */
  constructor(client: AgentClient, first: Snapshot, now: () => number) {
    this.#client = client;
    this.#now = now;
    this.#snapshot = first;
    this.#seenAtMs = now();
  }

  /** The newest one, its clock as far on as ours. */
  get snapshot(): Snapshot {
    const nowMs = this.#snapshot.nowMs + Math.max(0, this.#now() - this.#seenAtMs);
    return { ...this.#snapshot, nowMs };
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  get log(): LogBuffer {
    return this.#log;
  }

  /** @returns the function that ends the calls */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Follows the cluster until the signal fires; an agent that goes away is waited for. */
  async follow(signal: AbortSignal): Promise<void> {
    try {
      await this.#client.watch(
        (snapshot) => {
          this.#snapshot = snapshot;
          this.#seenAtMs = this.#now();
          this.#isConnected = true;
          this.#readLogs();
          this.#tell();
        },
        AbortSignal.any([signal, this.#broken.signal]),
        {
          // The screen says that the agent is away; when to give up is for who looks at it.
          reconnectWindowMs: Number.POSITIVE_INFINITY,
          onConnection: (isConnected) => {
            this.#isConnected = isConnected;
            this.#tell();
          },
        },
      );
    } finally {
      this.openLog(undefined);
      clearTimeout(this.#timer);
    }
    this.#broken.signal.throwIfAborted();
  }

  /** Follows the logs of this service instead of the one before; undefined: of none. */
  openLog(service: ServiceName | undefined): void {
    this.#open?.stop.abort();
    this.#open = undefined;
    this.#log = new LogBuffer();
    if (service === undefined) return;
    const stop = new AbortController();
    const log = this.#log;
    const push = (name: string, text: string): void => {
      log.push({ name: shortName(name, service.project), text: plainText(text) });
      this.#timer ??= setTimeout(() => this.#tell(), gatherMs);
    };
    const options = {
      follow: true,
      tail: tailLines,
      timestamps: false,
      since: '',
      until: '',
      signal: stop.signal,
    };
    const follower = new LogFollower(this.#client, options, {
      onLine: ({ name }, _stream, text) => push(name, text),
      onProblem: ({ name }, error) => push(name, `cannot be read: ${error.message}`),
    });
    this.#open = { service, follower, stop };
    this.#readLogs();
  }

  #readLogs(): void {
    if (this.#open === undefined) return;
    const { service, follower } = this.#open;
    follower.show(
      this.#snapshot.containers.filter(
        (container) =>
          container.project === service.project && container.service === service.service,
      ),
    );
    follower.done().catch((fault: unknown) => this.#broken.abort(fault));
  }

  #tell(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const listener of this.#listeners) listener();
  }
}
