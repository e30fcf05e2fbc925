/**
 * Equal content hash, or repair. Heartbeats carry one hash; when it differs, one side sends its 256
 * bucket hashes, the other answers with a summary of the buckets that differ, and then each sends
 * what the other lacks. There are no version vectors: a record that was lost between two floods
 * would be hidden by a later one of the same origin for ever. Repairs that change nothing (a peer
 * holds records that are refused here) come ever more rarely.
 */
import type { MachineId } from '../model/ids.ts';
import { fingerprintBytes, isEqualBytes } from './content-hash.ts';
import type { Frame, SummaryEntry } from './frame.ts';
import {
  maxEntriesPerFrame,
  maxRepairPauseMs,
  minRepairAnswerMs,
  recordsFrameBytes,
  repairAfterHeartbeats,
  repairPauseMs,
} from './limits.ts';
import { isPassingTombstone, type RecordMap } from './record-map.ts';
import type { LinkId } from './runtime.ts';

/** Unequal heartbeats after which repair starts although records keep coming. */
const busyRepairHeartbeats = 8;

interface State {
  readonly peer: MachineId;
  hasCompared: boolean;
  wasEqual: boolean;
  /** What the last heartbeat said. */
  isEqual: boolean;
  /** Unequal heartbeats since the last record that was news. */
  quietCount: number;
  /** Unequal heartbeats in a row. */
  unequalCount: number;
  nextMs: number;
  pauseMs: number;
  lastAnswerMs: number;
}

export interface RepairComponents {
  readonly self: MachineId;
  readonly map: RecordMap;
  readonly monotonic: () => number;
  readonly send: (link: LinkId, frame: Frame) => void;
  readonly queue: (link: LinkId, keys: Iterable<string>) => void;
  /** The peer's content is ours. */
  readonly onEqual: (peer: MachineId, isPeerBooting: boolean) => void;
}

export class Repair {
  readonly #components: RepairComponents;
  readonly #states = new Map<LinkId, State>();

  constructor(components: RepairComponents) {
    this.#components = components;
  }

  open(link: LinkId, peer: MachineId): void {
    this.#states.set(link, {
      peer,
      hasCompared: false,
      wasEqual: false,
      isEqual: false,
      quietCount: 0,
      unequalCount: 0,
      nextMs: Number.NEGATIVE_INFINITY,
      pauseMs: repairPauseMs,
      lastAnswerMs: Number.NEGATIVE_INFINITY,
    });
  }

  close(link: LinkId): void {
    this.#states.delete(link);
  }

  /**
   * Records came over the link that were news.
   * @returns whether a heartbeat now would tell something: the two were never equal yet
   */
  sawNews(link: LinkId): boolean {
    const state = this.#states.get(link);
    if (state === undefined) return false;
    state.quietCount = 0;
    state.pauseMs = repairPauseMs;
    return !state.wasEqual;
  }

  /** Whether the peer had our content at its last heartbeat. */
  isEqual(link: LinkId): boolean {
    return this.#states.get(link)?.isEqual ?? false;
  }

  /** Compares the content hash of a heartbeat with ours. */
  heartbeat(link: LinkId, hash: Uint8Array, isPeerBooting: boolean): void {
    const { map, monotonic, onEqual, self, send } = this.#components;
    const state = this.#states.get(link);
    if (state === undefined) return;
    const isFirst = !state.hasCompared;
    state.hasCompared = true;
    state.isEqual = isEqualBytes(hash, map.hash.total());
    if (state.isEqual) {
      state.quietCount = 0;
      state.unequalCount = 0;
      state.pauseMs = repairPauseMs;
      state.wasEqual = true;
      onEqual(state.peer, isPeerBooting);
      return;
    }
    state.quietCount++;
    state.unequalCount++;
    const isDue =
      (isFirst && self < state.peer) ||
      state.quietCount >= repairAfterHeartbeats ||
      state.unequalCount >= busyRepairHeartbeats;
    if (!isDue || monotonic() < state.nextMs) return;
    state.nextMs = monotonic() + state.pauseMs;
    state.pauseMs = Math.min(state.pauseMs * 2, maxRepairPauseMs);
    state.quietCount = 0;
    state.unequalCount = 0;
    send(link, { type: 'buckets', hashes: map.hash.buckets() });
  }

  /** A peer started a repair: tells it what we have in the buckets that differ. */
  buckets(link: LinkId, hashes: Uint8Array): void {
    const { map, monotonic, send } = this.#components;
    const state = this.#states.get(link);
    if (state === undefined || monotonic() - state.lastAnswerMs < minRepairAnswerMs) return;
    state.lastAnswerMs = monotonic();
    let buckets: number[] = [];
    let entries: SummaryEntry[] = [];
    let bytes = 0;
    const flush = (): void => {
      if (buckets.length > 0) send(link, { type: 'summary', buckets, entries });
      buckets = [];
      entries = [];
      bytes = 0;
    };
    for (const bucket of map.hash.differing(hashes)) {
      const keys = map.bucket(bucket);
      if (entries.length + keys.size > maxEntriesPerFrame || bytes > recordsFrameBytes) flush();
      buckets.push(bucket);
      for (const key of keys) {
        const record = map.record(key);
        const fingerprint = map.fingerprint(key);
        if (record === undefined || fingerprint === undefined) continue;
        entries.push({ key, hlc: record.hlc, fingerprint: fingerprintBytes(fingerprint) });
        bytes += key.length + 24;
      }
    }
    flush();
  }

  /** The answer: sends what the peer lacks and asks for what we lack. */
  summary(link: LinkId, buckets: readonly number[], entries: readonly SummaryEntry[]): void {
    const { map, queue, send } = this.#components;
    if (!this.#states.has(link)) return;
    const theirs = new Map(entries.map((entry) => [entry.key, entry]));
    const missingThere: string[] = [];
    const wanted: string[] = [];
    for (const bucket of buckets) {
      for (const key of map.bucket(bucket)) {
        const record = map.record(key);
        if (record === undefined || theirs.has(key)) continue;
        // Nothing there to overrule.
        if (!isPassingTombstone(record)) missingThere.push(key);
      }
    }
    for (const { key, hlc, fingerprint } of entries) {
      const ours = map.record(key);
      const ourFingerprint = map.fingerprint(key);
      if (ours === undefined || ourFingerprint === undefined) {
        wanted.push(key);
      } else if (!isEqualBytes(fingerprintBytes(ourFingerprint), fingerprint)) {
        if (ours.hlc >= hlc) missingThere.push(key);
        if (ours.hlc <= hlc) wanted.push(key);
      }
    }
    queue(link, missingThere);
    // 1000 keys of the greatest length stay well below the limit of a frame.
    for (let start = 0; start < wanted.length; start += 1000) {
      send(link, { type: 'want', keys: wanted.slice(start, start + 1000) });
    }
  }

  /** The peer asks for records. */
  want(link: LinkId, keys: readonly string[]): void {
    const { map, queue } = this.#components;
    if (!this.#states.has(link)) return;
    queue(
      link,
      keys.filter((key) => map.record(key) !== undefined),
    );
  }
}
