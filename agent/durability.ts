/**
 * Knows which records are on disk. Everything the gossip accepts goes to the store in the same
 * turn; who must know that a record is safe (the author of a change, a peer that asks) waits here.
 * What a disk refuses is kept and handed to it again until it takes it: the agent need not be
 * restarted, nor its peers asked, for a disk that was full for a while. A record that was replaced
 * meanwhile is never written over the newer one.
 */
import type { Delivery } from '../src/gossip/runtime.ts';
import type { Hlc } from '../src/model/ids.ts';
import { observedKinds, type ReplicatedRecord, recordKind } from '../src/model/record.ts';
import type { Store } from './store.ts';

/** 2 s: room is made by people or by log rotation; a try costs one small transaction. */
const retryMs = 2_000;

interface Waiter {
  readonly key: string;
  readonly done: () => void;
}

/** One word about a key on its way to the disk. */
interface Change {
  readonly key: string;
  /** undefined: the key is forgotten. */
  readonly record: ReplicatedRecord | undefined;
}

export interface DurabilityComponents {
  readonly store: Store;
  /** The disk refused something, or has taken everything again. */
  readonly onDisk: (failure: Error | undefined) => void;
}

export class Durability {
  readonly #components: DurabilityComponents;
  /** The newest change of each key that is not on disk: under way or refused. */
  readonly #pending = new Map<string, Change>();
  /** Those of them that the disk refused. */
  readonly #refused = new Set<Change>();
  #waiters: Waiter[] = [];
  #last: Promise<void> = Promise.resolve();
  #lastHlc: Hlc = 0;
  #retry: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(components: DurabilityComponents) {
    this.#components = components;
  }

  /** Settled with the outcome of the newest batch. */
  get last(): Promise<void> {
    return this.#last;
  }

  /** Keys that are under way to the disk. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Hands a delivery to the store. */
  keep({ records, forgotten }: Delivery, lastHlc: Hlc): void {
    // As the store does it: what is forgotten goes last.
    const changes = new Map<string, Change>();
    for (const record of records) changes.set(record.key, { key: record.key, record });
    for (const key of forgotten) changes.set(key, { key, record: undefined });
    for (const change of changes.values()) this.#supersede(change);
    this.#lastHlc = lastHlc;
    this.#last = this.#put([...changes.values()]);
  }

  /** Tries nothing more: the store is about to be closed. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retry);
  }

  #supersede(change: Change): void {
    const before = this.#pending.get(change.key);
    if (before !== undefined) this.#refused.delete(before);
    this.#pending.set(change.key, change);
  }

  #put(changes: readonly Change[]): Promise<void> {
    const records = changes.flatMap(({ record }) => (record === undefined ? [] : [record]));
    const forgotten = changes.filter(({ record }) => record === undefined).map(({ key }) => key);
    const isDurable = records.some(({ key }) => !observedKinds.includes(recordKind(key)));
    const lastHlc = this.#lastHlc;
    const outcome = this.#components.store.put({ records, forgotten, lastHlc, isDurable });
    outcome.then(
      () => this.#taken(changes),
      (error: unknown) =>
        this.#notTaken(changes, error instanceof Error ? error : new Error(String(error))),
    );
    return outcome;
  }

  #taken(changes: readonly Change[]): void {
    for (const change of changes) {
      if (this.#pending.get(change.key) === change) this.#pending.delete(change.key);
    }
    if (this.#refused.size === 0) this.#components.onDisk(undefined);
    else this.#tryAgain();
    this.#answer();
  }

  #notTaken(changes: readonly Change[], failure: Error): void {
    for (const change of changes) {
      // Of a key with a newer change that one alone matters.
      if (this.#pending.get(change.key) === change) this.#refused.add(change);
    }
    if (this.#isStopped) return;
    this.#components.onDisk(failure);
    this.#retry ??= setTimeout(() => this.#tryAgain(), retryMs).unref();
  }

  #tryAgain(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (this.#isStopped) return;
    const changes = [...this.#refused];
    this.#refused.clear();
    void this.#put(changes);
  }

  /** Calls back once this record, or a later one of the key, is on disk. */
  whenDurable(key: string, then: () => void): void {
    if (!this.#pending.has(key)) return then();
    // As many as peers may ask (limits.ts) times their number; older ones give way.
    if (this.#waiters.length > 4096) this.#waiters.shift();
    this.#waiters.push({ key, done: then });
  }

  #answer(): void {
    const ready = this.#waiters.filter(({ key }) => !this.#pending.has(key));
    if (ready.length === 0) return;
    this.#waiters = this.#waiters.filter(({ key }) => this.#pending.has(key));
    for (const { done } of ready) done();
  }
}
