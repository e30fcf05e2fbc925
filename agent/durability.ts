/**
 * Knows which records are on disk. Everything the gossip accepts goes to the store in the same
 * turn; who must know that a record is safe (the author of a change, a peer that asks) waits here.
 */
import type { Delivery } from '../src/gossip/runtime.ts';
import type { Hlc } from '../src/model/ids.ts';
import { observedKinds, recordKind } from '../src/model/record.ts';
import type { Store } from './store.ts';

interface Waiter {
  readonly key: string;
  readonly hlc: Hlc;
  readonly done: () => void;
}

export interface DurabilityComponents {
  readonly store: Store;
  /** The disk refused or took something again. */
  readonly onDisk: (failure: Error | undefined) => void;
}

export class Durability {
  readonly #components: DurabilityComponents;
  /** Keys under way, with the newest hlc handed to the store. */
  readonly #pending = new Map<string, Hlc>();
  #waiters: Waiter[] = [];
  #last: Promise<void> = Promise.resolve();

  constructor(components: DurabilityComponents) {
    this.#components = components;
  }

  /** Settled with the outcome of the newest batch. */
  get last(): Promise<void> {
    return this.#last;
  }

  /** Records that are under way to the disk. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Hands a delivery to the store. */
  keep({ records, forgotten }: Delivery, lastHlc: Hlc): void {
    const { store, onDisk } = this.#components;
    const isDurable = records.some(({ key }) => !observedKinds.includes(recordKind(key)));
    for (const { key, hlc } of records) this.#pending.set(key, hlc);
    this.#last = store.put({ records, forgotten, lastHlc, isDurable });
    this.#last.then(
      () => {
        for (const { key, hlc } of records) {
          if (this.#pending.get(key) === hlc) this.#pending.delete(key);
        }
        onDisk(undefined);
        this.#answer();
      },
      (error: unknown) => onDisk(error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** Calls back once this record, or a later one of the key, is on disk. */
  whenDurable(key: string, hlc: Hlc, then: () => void): void {
    if (!this.#pending.has(key)) return then();
    // As many as peers may ask (limits.ts) times their number; older ones give way.
    if (this.#waiters.length > 4096) this.#waiters.shift();
    this.#waiters.push({ key, hlc, done: then });
  }

  #answer(): void {
    const ready = this.#waiters.filter(({ key }) => !this.#pending.has(key));
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter(({ key }) => this.#pending.has(key));
    for (const { done } of ready) done();
  }
}
