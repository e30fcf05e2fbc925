/**
 * Watchers of snapshots. Changes are gathered for 50 ms and sent as one whole snapshot, made and
 * serialised once for all watchers. A watcher that reads slowly gets fewer snapshots, never older
 * ones, and never makes the agent hold more than one for it.
 */
import type { WebSocket } from 'ws';
import type { Snapshot } from '../src/model/snapshot.ts';

/** 50 ms: a flush of many records becomes one snapshot; a person does not see the delay. */
const gatherMs = 50;

/** 1 MiB: a watcher with more than this unsent waits until it has read. */
const maxUnsentBytes = 1024 * 1024;

/** 15 s: finds watchers whose machine or tunnel has gone without a word. */
const pingMs = 15_000;

export interface WatchComponents {
  readonly snapshot: () => Snapshot;
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

  const gather = (): void => {
    gathering ??= setTimeout(() => {
      gathering = undefined;
      sendTo([...clients]);
    }, gatherMs);
  };

  const sendTo = (targets: readonly WebSocket[]): void => {
    if (targets.length === 0) return;
    let text: string;
    try {
      text = JSON.stringify(components.snapshot());
    } catch (error) {
      components.reportFault(error);
      return;
    }
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
      sendTo([client]);
    },
    stop() {
      for (const client of clients) remove(client);
    },
  };
}
