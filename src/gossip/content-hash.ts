/**
 * One number for the content of the whole map, and 256 for its parts: equal numbers mean equal
 * content, whichever way the records came. Each record adds a fingerprint to a sum modulo 2^32
 * (twice), so a change costs O(1) and the order does not matter. The fingerprint covers the body
 * too: a machine that was cloned may sign two bodies with one clock value, and that must show.
 */

import { fnv1a, sha256 } from '../lib/hash.ts';
import type { ReplicatedRecord } from '../model/record.ts';

export const bucketCount = 256;
/** Bytes of one hash on the wire. */
export const hashBytes = 8;

/** 64 bits of a record's content. */
export interface Fingerprint {
  readonly high: number;
  readonly low: number;
}

/** The bucket in which a key is counted. */
export function bucketOf(key: string): number {
  const value = fnv1a(key);
  return (value ^ (value >>> 8) ^ (value >>> 16) ^ (value >>> 24)) & 0xff;
}

/** Fingerprint of everything in a record but its signature. */
export function fingerprintOf(record: ReplicatedRecord): Fingerprint {
  const head = JSON.stringify([record.key, record.origin, record.hlc, record.schema]);
  const headBytes = new TextEncoder().encode(head);
  const body = record.body ?? new Uint8Array(0);
  const bytes = new Uint8Array(headBytes.length + 1 + body.length);
  bytes.set(headBytes);
  bytes[headBytes.length] = record.body === null ? 0 : 1;
  bytes.set(body, headBytes.length + 1);
  const digest = sha256(bytes);
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  return { high: view.getUint32(0), low: view.getUint32(4) };
}

/** The 8 bytes of a fingerprint on the wire. */
export function fingerprintBytes({ high, low }: Fingerprint): Uint8Array {
  const bytes = new Uint8Array(hashBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, high);
  view.setUint32(4, low);
  return bytes;
}

/** The incremental hashes of a map. */
export class ContentHash {
  readonly #sums = new Uint32Array(bucketCount * 2);
  #high = 0;
  #low = 0;
  /** undefined after a change: every heartbeat on every link asks for it. */
  #total: Uint8Array | undefined;

  /** Counts a record in. */
  add(bucket: number, { high, low }: Fingerprint): void {
    this.#change(bucket, high, low);
  }

  /** Counts a record out that was counted in before. */
  remove(bucket: number, { high, low }: Fingerprint): void {
    this.#change(bucket, -high, -low);
  }

  #change(bucket: number, high: number, low: number): void {
    const index = bucket * 2;
    // Uint32Array stores modulo 2^32, which is the sum that is wanted.
    this.#sums[index] = (this.#sums[index] ?? 0) + high;
    this.#sums[index + 1] = (this.#sums[index + 1] ?? 0) + low;
    this.#high = (this.#high + high) >>> 0;
    this.#low = (this.#low + low) >>> 0;
    this.#total = undefined;
  }

  /** The 8 bytes that a heartbeat carries; not to be written to. */
  total(): Uint8Array {
    return (this.#total ??= fingerprintBytes({ high: this.#high, low: this.#low }));
  }

  /** All bucket hashes in a row: 2 KiB. */
  buckets(): Uint8Array {
    const bytes = new Uint8Array(bucketCount * hashBytes);
    const view = new DataView(bytes.buffer);
    this.#sums.forEach((sum, index) => {
      view.setUint32(index * 4, sum);
    });
    return bytes;
  }

  /** Numbers of the buckets in which a peer's row of hashes differs from ours. */
  differing(theirs: Uint8Array): number[] {
    const ours = this.buckets();
    const found: number[] = [];
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      const start = bucket * hashBytes;
      for (let index = start; index < start + hashBytes; index++) {
        if (ours[index] !== theirs[index]) {
          found.push(bucket);
          break;
        }
      }
    }
    return found;
  }
}

/** Whether two hashes are the same bytes. */
export function isEqualBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (a[index] !== b[index]) return false;
  return true;
}
