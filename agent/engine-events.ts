/**
 * The engine's event stream, kept alive. It reconnects with back-off, and it asks the engine for a
 * sign of life now and then, because an engine that hangs leaves its streams open. It tells when
 * the engine is up or down; after each "up" the listener must look at everything anew, since events
 * in between are lost.
 */
import type Docker from 'dockerode';
import { engineError } from './engine-errors.ts';
import { jsonLines } from './engine-image.ts';
import type { Log } from './log.ts';

/** Reconnects after 100 ms, then doubling to 5 s: an engine restart takes about a second. */
const firstBackOffMs = 100;
const lastBackOffMs = 5_000;
/** Asked every 5 s, 5 s to answer: a hung engine is known after ten seconds at most. */
const pingEveryMs = 5_000;
const pingTimeoutMs = 5_000;

export interface EngineEvent {
  /** "start", "die", "health_status: healthy", "destroy"… */
  readonly action: string;
  readonly containerId: string;
  readonly labels: Readonly<Record<string, string>>;
  /** When it happened, by this machine's clock; undefined when the engine does not say. */
  readonly atMs?: number;
}

export interface EngineWatcher {
  onEvent(event: EngineEvent): void;
  /** The stream is connected; whatever happened before was not seen. */
  onUp(): void;
  onDown(error: Error): void;
}

export interface EventsOptions {
  readonly filters: Readonly<Record<string, readonly string[]>>;
  /** Rejects when the engine does not answer in time. */
  readonly ping: (timeoutMs: number) => Promise<void>;
  readonly log: Log;
}

/**
 * Follows events until it is stopped.
 * @returns the function that stops it
 */
export function followEvents(
  docker: Docker,
  watcher: EngineWatcher,
  { filters, ping, log }: EventsOptions,
): () => void {
  const stopping = new AbortController();
  let isUp: boolean | undefined;
  const note = (error: Error | undefined) => {
    const wasUp = isUp;
    isUp = error === undefined;
    if (error === undefined) watcher.onUp();
    else if (wasUp !== false) watcher.onDown(error);
  };
  void (async () => {
    let backOffMs = firstBackOffMs;
    while (!stopping.signal.aborted) {
      try {
        await followOnce(docker, { filters, ping, stopping: stopping.signal, watcher }, () => {
          backOffMs = firstBackOffMs;
          note(undefined);
        });
        if (!stopping.signal.aborted) note(new Error('the event stream ended'));
      } catch (cause) {
        if (stopping.signal.aborted) return;
        const error = engineError(cause, 'follow events');
        log.debug('engine events', { error: error.message });
        note(error);
      }
      await wait(backOffMs, stopping.signal);
      backOffMs = Math.min(backOffMs * 2, lastBackOffMs);
    }
  })();
  return () => stopping.abort();
}

interface Following extends Pick<EventsOptions, 'filters' | 'ping'> {
  readonly stopping: AbortSignal;
  readonly watcher: EngineWatcher;
}

/** One connection: from the first answer of the engine to the end of the stream. */
async function followOnce(
  docker: Docker,
  { filters, ping, stopping, watcher }: Following,
  onConnected: () => void,
): Promise<void> {
  const broken = new AbortController();
  const signal = AbortSignal.any([stopping, broken.signal]);
  await ping(pingTimeoutMs);
  const stream = await docker.getEvents({ filters: JSON.stringify(filters), abortSignal: signal });
  onConnected();
  const pinging = setInterval(() => {
    ping(pingTimeoutMs).catch((error: unknown) => broken.abort(error));
  }, pingEveryMs);
  // The stream of a hung engine has to be torn down by hand; the loop below then ends.
  const onAbort = () => {
    if ('destroy' in stream && typeof stream.destroy === 'function') stream.destroy();
  };
  signal.addEventListener('abort', onAbort);
  try {
    for await (const line of jsonLines(stream)) {
      const event = eventOf(line);
      if (event !== undefined) watcher.onEvent(event);
    }
  } catch (cause) {
    if (broken.signal.aborted) throw broken.signal.reason;
    throw cause;
  } finally {
    clearInterval(pinging);
    signal.removeEventListener('abort', onAbort);
    onAbort();
  }
  if (broken.signal.aborted) throw broken.signal.reason;
}

/** A container's event in the shape of all engines; others give undefined. */
export function eventOf(line: object): EngineEvent | undefined {
  const type: unknown = Reflect.get(line, 'Type');
  const action: unknown = Reflect.get(line, 'Action');
  const actor: unknown = Reflect.get(line, 'Actor');
  if (type !== 'container' || typeof action !== 'string') return undefined;
  if (typeof actor !== 'object' || actor === null) return undefined;
  const id: unknown = Reflect.get(actor, 'ID');
  const attributes: unknown = Reflect.get(actor, 'Attributes');
  if (typeof id !== 'string') return undefined;
  const labels =
    typeof attributes === 'object' && attributes !== null
      ? Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, String(value)]))
      : {};
  const atNs: unknown = Reflect.get(line, 'timeNano');
  const isTimed = typeof atNs === 'number' && atNs > 0;
  return { action, containerId: id, labels, ...(isTimed ? { atMs: atNs / 1_000_000 } : {}) };
}

function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
