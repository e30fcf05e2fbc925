/**
 * What waits to be sent on each link: keys, not records, so a newer record replaces an older one
 * that has not left yet and no queue is longer than the map. Flushed in the same turn of the event
 * loop; while a socket is full it waits, and a peer that stays full for too long is cut and
 * repaired later. Machine records go first, because nothing counts before its origin is known.
 */
import type { ReplicatedRecord } from '../model/record.ts';
import type { Frame } from './frame.ts';
import { maxBufferedBytes, outboxRetryMs, recordsFrameBytes, slowConsumerMs } from './limits.ts';
import type { LinkId, Runtime } from './runtime.ts';

interface Waiting {
  readonly keys: Set<string>;
  /** Monotonic time since when the socket is full. */
  fullSinceMs: number | undefined;
}

export interface OutboxComponents {
  readonly runtime: Runtime;
  readonly encode: (frame: Frame) => Uint8Array;
  readonly record: (key: string) => ReplicatedRecord | undefined;
  /** The peer does not take what it is sent. */
  readonly onSlow: (link: LinkId) => void;
}

export class Outbox {
  readonly #components: OutboxComponents;
  readonly #waiting = new Map<LinkId, Waiting>();
  #isScheduled = false;

  constructor(components: OutboxComponents) {
    this.#components = components;
  }

  open(link: LinkId): void {
    this.#waiting.set(link, { keys: new Set(), fullSinceMs: undefined });
  }

  close(link: LinkId): void {
    this.#waiting.delete(link);
  }

  /** Queues keys for one link. */
  add(link: LinkId, keys: Iterable<string>): void {
    const waiting = this.#waiting.get(link);
    if (waiting === undefined) return;
    for (const key of keys) waiting.keys.add(key);
    if (waiting.keys.size > 0) this.#schedule(0);
  }

  /** Queues keys for all links but the one they came from. */
  flood(keys: Iterable<string>, except: LinkId | undefined): void {
    for (const link of this.#waiting.keys()) if (link !== except) this.add(link, keys);
  }

  /** Sends what the sockets take. */
  flush(): void {
    let isFull = false;
    // What is flooded is the same for all links but one: it is encoded once.
    const encoded = new Map<string, Uint8Array>();
    for (const [link, waiting] of this.#waiting) {
      if (waiting.keys.size > 0 && !this.#flushLink(link, waiting, encoded)) isFull = true;
    }
    if (isFull) this.#schedule(outboxRetryMs);
  }

  #schedule(delayMs: number): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#components.runtime.schedule(delayMs, () => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  /** @returns false when the socket is full */
  #flushLink(link: LinkId, waiting: Waiting, encoded: Map<string, Uint8Array>): boolean {
    const { runtime, onSlow } = this.#components;
    const keys = inOrder(waiting.keys);
    let next = 0;
    while (next < keys.length) {
      if (runtime.bufferedBytes(link) > maxBufferedBytes) {
        waiting.fullSinceMs ??= runtime.monotonic();
        if (runtime.monotonic() - waiting.fullSinceMs > slowConsumerMs) onSlow(link);
        return false;
      }
      waiting.fullSinceMs = undefined;
      const records: ReplicatedRecord[] = [];
      let bytes = 0;
      while (next < keys.length) {
        const key = keys[next] ?? '';
        const record = this.#components.record(key);
        const size = record === undefined ? 0 : key.length + 120 + (record.body?.length ?? 0);
        if (records.length > 0 && bytes + size > recordsFrameBytes) break;
        if (record !== undefined) records.push(record);
        waiting.keys.delete(key);
        bytes += size;
        next++;
      }
      if (records.length > 0) runtime.send(link, this.#encodeOnce(records, encoded));
    }
    return true;
  }

  /** Records do not change within one flush, so their keys say which frame it is. */
  #encodeOnce(records: readonly ReplicatedRecord[], encoded: Map<string, Uint8Array>): Uint8Array {
    const [first] = records;
    const isOne = records.length === 1 && first !== undefined;
    const name = isOne ? first.key : records.map(({ key }) => key).join('\n');
    let frame = encoded.get(name);
    if (frame === undefined) {
      frame = this.#components.encode({ type: 'records', records });
      encoded.set(name, frame);
    }
    return frame;
  }
}

/** `m/` before `x/` before the rest; within each as they came. */
function inOrder(keys: ReadonlySet<string>): string[] {
  if (keys.size === 1) return [...keys];
  const all = [...keys];
  const isMachine = (key: string): boolean => key.startsWith('m/');
  const isRemoval = (key: string): boolean => key.startsWith('x/');
  return [
    ...all.filter(isMachine),
    ...all.filter(isRemoval),
    ...all.filter((key) => !isMachine(key) && !isRemoval(key)),
  ];
}
