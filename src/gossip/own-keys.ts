/**
 * The owner alone corrects its own keys. Records of ours that peers bring back, newer than what we
 * have: soon after the start they are our memory (the store may have been lost), and the part that
 * observes corrects them; later our own word is repeated: what we had, or that there is nothing.
 * A key that must be corrected again and again is written by somebody else who lives and has our
 * key: a cloned disk. What an earlier life of this machine wrote is beaten by the first correction.
 */
import type { Hlc, MachineId } from '../model/ids.ts';
import { type ReplicatedRecord, recordKind } from '../model/record.ts';
import { adoptOwnMs, maxCorrectionCount, maxCorrectionMs } from './limits.ts';
import { type RecordMap, writerOf } from './record-map.ts';

/** What this machine had under one of its own keys. */
type Own = Pick<ReplicatedRecord, 'body' | 'schema'>;

export interface OwnKeysComponents {
  readonly self: MachineId;
  readonly map: RecordMap;
  readonly monotonic: () => number;
  /** What `links/<self>` should say now. */
  readonly linksBody: () => Uint8Array;
  /** Writes a record that beats `existing`. */
  readonly write: (key: string, own: Own, existing: Hlc) => void;
  /** Another live machine has our key; called once. */
  readonly onDuplicate: () => void;
}

export class OwnKeys {
  readonly #components: OwnKeysComponents;
  readonly #startMs: number;
  /** Key to when it was corrected lately. */
  readonly #corrections = new Map<string, readonly number[]>();
  #isDuplicate = false;

  constructor(components: OwnKeysComponents) {
    this.#components = components;
    this.#startMs = components.monotonic();
  }

  /** Whether another live machine has our key. It stays so until the agent is started again. */
  get isDuplicate(): boolean {
    return this.#isDuplicate;
  }

  /** What we have now under those of the keys that we wrote; taken before records are merged. */
  before(records: readonly ReplicatedRecord[]): ReadonlyMap<string, Own> {
    const { self, map } = this.#components;
    const found = new Map<string, Own>();
    for (const { key, origin } of records) {
      const own = origin === self ? map.record(key) : undefined;
      if (own !== undefined) found.set(key, own);
    }
    return found;
  }

  /** Answers records of ours that others brought and that were accepted. */
  correct(accepted: readonly ReplicatedRecord[], before: ReadonlyMap<string, Own>): void {
    const { self, monotonic, linksBody, write } = this.#components;
    const isSettled = monotonic() - this.#startMs > adoptOwnMs;
    for (const { key, origin, hlc } of accepted) {
      if (origin !== self || writerOf(key) !== self) continue;
      const kind = recordKind(key);
      const own = before.get(key);
      const word = kind === 'links' ? { body: linksBody(), schema: 1 } : own;
      if (kind !== 'links' && !isSettled) continue;
      if (word === undefined && kind === 'm') continue;
      // Two holders that correct each other would do nothing else any more.
      if (this.#isContested(key)) continue;
      write(key, word ?? { body: null, schema: 1 }, hlc);
    }
  }

  #isContested(key: string): boolean {
    if (this.#isDuplicate) return true;
    const nowMs = this.#components.monotonic();
    const times = (this.#corrections.get(key) ?? []).filter((at) => nowMs - at < maxCorrectionMs);
    this.#corrections.set(key, [...times, nowMs]);
    if (times.length < maxCorrectionCount) return false;
    this.#isDuplicate = true;
    this.#corrections.clear();
    this.#components.onDuplicate();
    return true;
  }
}
