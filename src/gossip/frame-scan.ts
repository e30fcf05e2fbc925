/**
 * Looks through a MessagePack frame before it is decoded. A decoder believes length headers: five
 * bytes can make it allocate an array of 2^25 places, nested a thousand times. This scan admits
 * only what our frames consist of (no extension types), with lengths that fit into the frame.
 */
import { maxFrameDepth } from './limits.ts';

/** Whether the bytes are one plain MessagePack value and nothing else. */
export function isPlainMessagePack(bytes: Uint8Array): boolean {
  const end = scan(bytes, 0, 0);
  return end === bytes.length;
}

/** Bytes of payload or of a length header, by type byte. */
const fixedSizes: Readonly<Record<number, number>> = {
  0xc0: 0,
  0xc2: 0,
  0xc3: 0,
  0xca: 4,
  0xcb: 8,
  0xcc: 1,
  0xcd: 2,
  0xce: 4,
  0xcf: 8,
  0xd0: 1,
  0xd1: 2,
  0xd2: 4,
  0xd3: 8,
};
const lengthSizes: Readonly<Record<number, { readonly size: number; readonly per: 0 | 1 | 2 }>> = {
  0xc4: { size: 1, per: 0 },
  0xc5: { size: 2, per: 0 },
  0xc6: { size: 4, per: 0 },
  0xd9: { size: 1, per: 0 },
  0xda: { size: 2, per: 0 },
  0xdb: { size: 4, per: 0 },
  0xdc: { size: 2, per: 1 },
  0xdd: { size: 4, per: 1 },
  0xde: { size: 2, per: 2 },
  0xdf: { size: 4, per: 2 },
};

/** @returns the position after the value, or -1 */
function scan(bytes: Uint8Array, start: number, depth: number): number {
  const type = bytes[start];
  if (type === undefined || depth > maxFrameDepth) return -1;
  const next = start + 1;
  if (type <= 0x7f || type >= 0xe0) return next;
  if (type <= 0x8f) return scanMany(bytes, next, (type & 15) * 2, depth);
  if (type <= 0x9f) return scanMany(bytes, next, type & 15, depth);
  if (type <= 0xbf) return within(bytes, next + (type & 31));
  const fixed = fixedSizes[type];
  if (fixed !== undefined) return within(bytes, next + fixed);
  const header = lengthSizes[type];
  if (header === undefined) return -1;
  const after = within(bytes, next + header.size);
  if (after < 0) return -1;
  let length = 0;
  for (let index = next; index < after; index++) length = length * 256 + (bytes[index] ?? 0);
  return header.per === 0
    ? within(bytes, after + length)
    : scanMany(bytes, after, length * header.per, depth);
}

function scanMany(bytes: Uint8Array, start: number, count: number, depth: number): number {
  // Every value takes a byte at least, so a count above the rest of the frame is a lie.
  if (count > bytes.length - start) return -1;
  let position = start;
  for (let index = 0; index < count; index++) {
    position = scan(bytes, position, depth + 1);
    if (position < 0) return -1;
  }
  return position;
}

function within(bytes: Uint8Array, position: number): number {
  return position <= bytes.length ? position : -1;
}
