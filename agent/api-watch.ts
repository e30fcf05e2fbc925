/**
 * Watchers of snapshots. Changes are gathered for 50 ms and sent as one whole snapshot, made and
 * serialised once for all watchers. A watcher that reads slowly gets fewer snapshots, never older
 * ones, and never makes the agent hold more than one for it.
 */
import type { WebSocket } from 'ws';
import { TscError } from '../src/lib/errors.ts';
import type { Snapshot } from '../src/model/snapshot.ts';

/** 50 ms: a flush of many records becomes one snapshot; a person does not see the delay. */
const gatherMs = 50;
/** Four times as long as the last one took, at most 250 ms: a busy agent has better things to do. */
const restFactor = 4;
const restLimitMs = 250;

/** 1 MiB: a watcher with more than this unsent waits until it has read. */
const maxUnsentBytes = 1024 * 1024;

/** 15 s: finds watchers whose machine or tunnel has gone without a word. */
const pingMs = 15_000;

export interface WatchComponents {
  /** As of now: what a new watcher is told first. */
  readonly snapshot: () => Snapshot;
  /** As of the last evaluation, which `subscribe` has told of. */
  readonly evaluated: () => Snapshot;
  readonly subscribe: (listener: () => void) => () => void;
  readonly reportFault: (error: unknown) => void;
}

export interface Watchers {
  add(client: WebSocket): void;
  stop(): void;
}

/** Starts nothing before the first watcher, and ends with the last one. */
export function watchers(components: WatchComponents): Watchers {
  const clients = new Set<WebSocket>();
  const waiting = new Set<WebSocket>();
  const answered = new WeakSet<WebSocket>();
  let unsubscribe: (() => void) | undefined;
  let gathering: NodeJS.Timeout | undefined;
  let pinging: NodeJS.Timeout | undefined;
  let lastTookMs = 0;

  const gather = (): void => {
    const restMs = Math.min(restFactor * lastTookMs, restLimitMs);
    gathering ??= setTimeout(
      () => {
        gathering = undefined;
        sendTo([...clients], components.evaluated);
      },
      Math.max(gatherMs, restMs),
    );
  };

  const sendTo = (targets: readonly WebSocket[], snapshot: () => Snapshot): void => {
    if (targets.length === 0) return;
    const startMs = performance.now();
    let text: string;
    try {
      text = JSON.stringify(snapshot());
    } catch (error) {
      components.reportFault(error);
      // There is nothing to watch any more: who asks again gets the reason as an answer.
      if (error instanceof TscError) for (const client of targets) client.close();
      return;
    }
    lastTookMs = performance.now() - startMs;
    for (const client of targets) {
      if (client.bufferedAmount > maxUnsentBytes) waiting.add(client);
      else client.send(text, () => catchUp(client));
    }
  };

  const catchUp = (client: WebSocket): void => {
    if (client.bufferedAmount <= maxUnsentBytes && waiting.delete(client)) gather();
  };

  const ping = (): void => {
    for (const client of clients) {
      if (answered.delete(client)) client.ping();
      else client.terminate();
    }
  };

  const remove = (client: WebSocket): void => {
    clients.delete(client);
    waiting.delete(client);
    if (clients.size > 0) return;
    unsubscribe?.();
    unsubscribe = undefined;
    clearTimeout(gathering);
    gathering = undefined;
    clearInterval(pinging);
    pinging = undefined;
  };

  return {
    add(client) {
      clients.add(client);
      answered.add(client);
      client.on('pong', () => answered.add(client));
      client.on('close', () => remove(client));
      client.on('error', () => client.terminate());
      unsubscribe ??= components.subscribe(gather);
      pinging ??= setInterval(ping, pingMs);
      sendTo([client], components.snapshot);
    },
    stop() {
      for (const client of clients) remove(client);
    },
  };
}
