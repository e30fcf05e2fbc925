/**
 * The replicated map: per key the last writer's record. Merging is commutative, associative and
 * idempotent, because the order of two records is total: clock, then origin, then content. The map
 * decides nothing about who may write; records are checked before they get here (admission.ts).
 * Bodies are parsed once and on demand, and lists of a kind are made once for all who ask until one
 * of its records changes.
 */
import { hlcToMs } from '../lib/hlc.ts';
import type { MachineId } from '../model/ids.ts';
import { type Entry, type ReplicatedRecord, recordKind } from '../model/record.ts';
import {
  bucketCount,
  bucketOf,
  ContentHash,
  type Fingerprint,
  fingerprintOf,
} from './content-hash.ts';
import { tombstoneLifeMs } from './limits.ts';

/** Kinds whose keys name the only machine that may write them. */
export const singleWriterKinds: ReadonlySet<string> = new Set(['m', 'links', 'c', 'fail', 'claim']);

/**
 * Kinds whose tombstones are dropped after a while: their owner corrects a late peer, or they are
 * of a past that nothing refers to, and are collected again when a late peer brings them back.
 */
const expiringKinds: ReadonlySet<string> = new Set(['c', 'fail', 'rev', 'hist', 'verdict', 'done']);

/** The only machine that may write a key; undefined when every member may. */
export function writerOf(key: string): string | undefined {
  const slash = key.indexOf('/');
  if (!singleWriterKinds.has(slash < 0 ? key : key.slice(0, slash))) return undefined;
  if (slash < 0) return '';
  const end = key.indexOf('/', slash + 1);
  return key.slice(slash + 1, end < 0 ? undefined : end);
}

/** Positive when `a` wins over `b`, 0 when they are the same. Total over all records of a key. */
export function compareRecords(a: ReplicatedRecord, b: ReplicatedRecord): number {
  if (a === b) return 0;
  if (a.hlc !== b.hlc) return a.hlc - b.hlc;
  if (a.origin !== b.origin) return a.origin < b.origin ? -1 : 1;
  if (a.schema !== b.schema) return a.schema - b.schema;
  if (a.body === null || b.body === null) {
    return (a.body === null ? 1 : 0) - (b.body === null ? 1 : 0);
  }
  return Buffer.compare(a.body, b.body);
}

/**
 * Whether a record is a tombstone that is dropped after a while. Such tombstones are not counted
 * in the content hash: clocks differ, so one machine drops them before another, and that must not
 * look like a difference. A peer that still has the live record differs all the same.
 */
export function isPassingTombstone(record: ReplicatedRecord): boolean {
  return record.body === null && expiringKinds.has(recordKind(record.key));
}

/** Whether a tombstone is so old that it is kept no more. */
export function isExpiredTombstone(record: ReplicatedRecord, nowMs: number): boolean {
  return isPassingTombstone(record) && hlcToMs(record.hlc) + tombstoneLifeMs < nowMs;
}

/** What one origin takes up in the map. */
export interface OriginUsage {
  readonly recordCount: number;
  readonly bytes: number;
}

/** A record with all that follows from it alone. */
interface Stored {
  readonly record: ReplicatedRecord;
  readonly fingerprint: Fingerprint;
  readonly bucket: number;
  /** Counted in the content hash. */
  readonly isCounted: boolean;
  /** undefined until asked for; null when the body is not JSON. */
  entry: Entry | null | undefined;
}

/**
 * A record never changes, so this is worked out once for it, however many maps of one process hold
 * it: a simulation of many machines would do it once for each of them.
 */
const known = new WeakMap<ReplicatedRecord, Stored>();

function storedOf(record: ReplicatedRecord): Stored {
  let stored = known.get(record);
  if (stored === undefined) {
    const isCounted = !isPassingTombstone(record);
    const [fingerprint, bucket] = [fingerprintOf(record), bucketOf(record.key)];
    stored = { record, fingerprint, bucket, isCounted, entry: undefined };
    known.set(record, stored);
  }
  return stored;
}

function entryOf(stored: Stored): Entry | undefined {
  if (stored.entry === undefined) stored.entry = parseEntry(stored.record);
  return stored.entry ?? undefined;
}

/** The records of one kind, and lists of them; a list is undefined until it is asked for. */
interface OfKind {
  readonly stored: Map<string, Stored>;
  /** Sorted; undefined after keys came or went. */
  keys: readonly string[] | undefined;
  /** In order of the keys; undefined after any record changed. */
  entries: readonly Entry[] | undefined;
}

/** Bytes that a record is charged for. */
function sizeOf(record: ReplicatedRecord): number {
  return record.key.length + 100 + (record.body?.length ?? 0);
}

export class RecordMap {
  readonly #stored = new Map<string, Stored>();
  readonly #buckets: Set<string>[] = Array.from({ length: bucketCount }, () => new Set<string>());
  readonly #usage = new Map<string, { recordCount: number; bytes: number }>();
  readonly #kinds = new Map<string, OfKind>();
  readonly hash = new ContentHash();

  get size(): number {
    return this.#stored.size;
  }

  /** The record of a key, tombstones included. */
  record(key: string): ReplicatedRecord | undefined {
    return this.#stored.get(key)?.record;
  }

  fingerprint(key: string): Fingerprint | undefined {
    return this.#stored.get(key)?.fingerprint;
  }

  /** Keys of one bucket, in no order. */
  bucket(number: number): ReadonlySet<string> {
    return this.#buckets[number] ?? new Set();
  }

  /** All records, tombstones included. */
  *records(): Iterable<ReplicatedRecord> {
    for (const { record } of this.#stored.values()) yield record;
  }

  usage(origin: MachineId): OriginUsage {
    return this.#usage.get(origin) ?? { recordCount: 0, bytes: 0 };
  }

  /** Whether this very record is there. */
  has(record: ReplicatedRecord): boolean {
    const current = this.#stored.get(record.key);
    return current !== undefined && compareRecords(record, current.record) === 0;
  }

  /** Whether a record would win over what is there. */
  isNews(record: ReplicatedRecord): boolean {
    const current = this.#stored.get(record.key);
    return current === undefined || compareRecords(record, current.record) > 0;
  }

  /**
   * Takes a record if it wins.
   * @returns whether the map changed
   */
  merge(record: ReplicatedRecord): boolean {
    if (!this.isNews(record)) return false;
    const { key } = record;
    const old = this.#stored.get(key);
    const stored = storedOf(record);
    const { bucket, fingerprint, isCounted } = stored;
    if (old === undefined) this.#buckets[bucket]?.add(key);
    else this.#discount(old);
    this.#stored.set(key, stored);
    if (isCounted) this.hash.add(bucket, fingerprint);
    this.#charge(record, 1);
    const kind = this.#kindOf(key);
    kind.stored.set(key, stored);
    kind.entries = undefined;
    if (old === undefined) kind.keys = undefined;
    return true;
  }

  #kindOf(key: string): OfKind {
    const name = recordKind(key);
    let kind = this.#kinds.get(name);
    if (kind === undefined) {
      kind = { stored: new Map(), keys: undefined, entries: undefined };
      this.#kinds.set(name, kind);
    }
    return kind;
  }

  /** Drops a key as if it had never been. */
  forget(key: string): void {
    const old = this.#stored.get(key);
    if (old === undefined) return;
    this.#discount(old);
    this.#buckets[old.bucket]?.delete(key);
    this.#stored.delete(key);
    const kind = this.#kindOf(key);
    kind.stored.delete(key);
    kind.keys = undefined;
    kind.entries = undefined;
  }

  #discount({ record, bucket, fingerprint, isCounted }: Stored): void {
    if (isCounted) this.hash.remove(bucket, fingerprint);
    this.#charge(record, -1);
  }

  #charge(record: ReplicatedRecord, sign: 1 | -1): void {
    const usage = this.#usage.get(record.origin) ?? { recordCount: 0, bytes: 0 };
    usage.recordCount += sign;
    usage.bytes += sign * sizeOf(record);
    if (usage.recordCount === 0) this.#usage.delete(record.origin);
    else this.#usage.set(record.origin, usage);
  }

  /**
   * The parsed record of a key; the same object until the record changes. Undefined when there is
   * none or its body is not JSON (written by a faulty agent: as good as absent).
   */
  get(key: string): Entry | undefined {
    const stored = this.#stored.get(key);
    return stored && entryOf(stored);
  }

  /**
   * Parsed records whose key starts with the prefix, in key order. Of a whole kind ("c/") it is the
   * same list until one of its records changes.
   */
  entries(prefix: string): readonly Entry[] {
    const slash = prefix.indexOf('/');
    if (slash < 0) return this.#entriesOfAll(prefix);
    const kind = this.#kinds.get(prefix.slice(0, slash));
    if (kind === undefined) return none;
    kind.keys ??= [...kind.stored.keys()].sort();
    const { keys, stored } = kind;
    if (slash === prefix.length - 1) return (kind.entries ??= entriesOf(keys, stored));
    const start = lowerBound(keys, prefix);
    let end = start;
    while (keys[end]?.startsWith(prefix) === true) end++;
    return entriesOf(keys.slice(start, end), stored);
  }

  #entriesOfAll(prefix: string): readonly Entry[] {
    const keys = [...this.#stored.keys()].filter((key) => key.startsWith(prefix));
    return entriesOf(keys.sort(), this.#stored);
  }
}

const none: readonly Entry[] = [];

function entriesOf(keys: readonly string[], all: ReadonlyMap<string, Stored>): readonly Entry[] {
  const entries: Entry[] = [];
  for (const key of keys) {
    const stored = all.get(key);
    const entry = stored && entryOf(stored);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

/** First index whose key is not before the text. */
function lowerBound(keys: readonly string[], text: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') < text) low = middle + 1;
    else high = middle;
  }
  return low;
}

function parseEntry({ key, origin, hlc, body }: ReplicatedRecord): Entry | null {
  if (body === null) return { key, origin, hlc, value: null };
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    return { key, origin, hlc, value };
  } catch {
    // Not JSON: counted as absent by the callers, and still relayed as it is.
    return null;
  }
}
