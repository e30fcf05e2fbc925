/**
 * Stable hashes: every machine, version and platform must compute the same numbers, because the
 * overlay and placement are derived from them. SHA-256 is plenty fast for the few thousand calls
 * of a decision, and needs no further dependency.
 */
import { hash } from 'node:crypto';

/**
 * 48 bits of SHA-256 over the text, as a safe integer: comparable without bigint.
 */
export function stableHash(text: string): number {
  return hash('sha256', text, 'buffer').readUIntBE(0, 6);
}

/** SHA-256 of bytes or UTF-8 text. */
export function sha256(data: string | Uint8Array): Uint8Array {
  return hash('sha256', data, 'buffer');
}

/** 32-bit FNV-1a over UTF-16 code units: for buckets, where speed matters more than quality. */
export function fnv1a(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  return value >>> 0;
}
