import { pack } from 'msgpackr';
import { describe, expect, test } from 'vitest';
import {
  decodeArray,
  decodeFrame,
  encodeArray,
  encodeFrame,
  type Frame,
  isKey,
  isMachineId,
  packRecord,
  readRecord,
} from '../../../src/gossip/frame.ts';
import { isPlainMessagePack } from '../../../src/gossip/frame-scan.ts';
import { maxFrameBytes } from '../../../src/gossip/limits.ts';
import { aRecord } from './builders.ts';

const hash = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
const frames: readonly Frame[] = [
  { type: 'heartbeat', hash, nowMs: 1_800_000_000_000 },
  { type: 'heartbeat', hash, nowMs: 1_800_000_000_000, isBooting: true },
  { type: 'records', records: [aRecord({ key: 'app/x' }), aRecord({ key: 'c/a/1', value: null })] },
  { type: 'buckets', hashes: new Uint8Array(2048).fill(7) },
  { type: 'summary', buckets: [0, 255], entries: [{ key: 'app/x', hlc: 9, fingerprint: hash }] },
  { type: 'want', keys: ['app/x'] },
  { type: 'askStored', question: 4, key: 'app/x', hlc: 3.6e15 },
  { type: 'stored', question: 4 },
  { type: 'bye', reason: 'restart', expectBackMs: 60_000 },
];

describe('frames', () => {
  test.each(frames)('$type survives the wire', (frame) => {
    expect(plain(decodeFrame(encodeFrame(frame)))).toEqual(plain(frame));
  });

  test('an unknown type of a newer agent is no fault', () => {
    expect(decodeFrame(encodeArray([99, { any: 'thing' }]))).toBe('unknown');
  });

  test.each([
    ['nothing', new Uint8Array(0)],
    ['no array', pack('text')],
    ['an array without type', encodeArray([])],
    ['a type that is no number', encodeArray(['records'])],
    ['a heartbeat with a short hash', encodeArray([0, hash.subarray(1), 1])],
    ['a heartbeat with a negative time', encodeArray([0, hash, -1])],
    ['records that are no list', encodeArray([1, 'x'])],
    ['a record that is no array', encodeArray([1, [7]])],
    ['half of the bucket hashes', encodeArray([2, new Uint8Array(1024)])],
    ['a bucket that does not exist', encodeArray([3, [256], []])],
    ['a summary entry without hash', encodeArray([3, [1], [['app/x', 1]]])],
    ['a summary entry that is no array', encodeArray([3, [1], [1]])],
    ['a wish for no key', encodeArray([4, ['nokey']])],
    ['a question with a broken clock', encodeArray([5, 1, 'app/x', 1.5])],
    ['an answer without number', encodeArray([6])],
    ['a good-bye that is too long', encodeArray([7, 'x'.repeat(65), 1])],
    ['bytes after the end', Buffer.concat([encodeArray([6, 1]), Buffer.from([0])])],
  ])('%s is hostile', (_name, bytes) => {
    expect(decodeFrame(bytes)).toBe('hostile');
  });

  test('a frame over the limit is not even decoded', () => {
    expect(decodeFrame(encodeArray([99, new Uint8Array(maxFrameBytes)]))).toBe('hostile');
  });

  test('a record with any part out of shape is refused', () => {
    const good = packRecord(aRecord({ key: 'app/x' }));
    expect(readRecord(good)).toBeDefined();
    const bad: readonly unknown[] = [42, 'SHORT', 1.5, -1, 'text', new Uint8Array(63)];
    for (const [index, value] of bad.entries()) {
      const broken = good.with(index, value);
      expect(readRecord(broken), `part ${index}`).toBeUndefined();
    }
    expect(readRecord(good.with(4, new Uint8Array((768 << 10) + 1)))).toBeUndefined();
  });

  test('a decoded record does not keep the frame', () => {
    const decoded = decodeFrame(
      encodeFrame({ type: 'records', records: [aRecord({ key: 'app/x' })] }),
    );
    if (typeof decoded === 'string' || decoded.type !== 'records') throw new Error('not decoded');
    expect(decoded.records[0]?.body?.buffer.byteLength).toBe(2);
  });

  test('keys are printable and have a kind', () => {
    expect(['app/x', 'c/a/b', 'cert/*.example.com'].every(isKey)).toBe(true);
    expect(
      ['app', '/x', 'App/x', 'app/ x', 'app/\n', `app/${'x'.repeat(512)}`, 7].some(isKey),
    ).toBe(false);
    expect(isMachineId('a'.repeat(16))).toBe(true);
    expect(isMachineId('a'.repeat(15))).toBe(false);
    expect(isMachineId(1)).toBe(false);
  });
});

describe('the scan before decoding', () => {
  test.each([
    [null, true, false, 0, 127, -1, -32, 128, 255, 65_535, 2 ** 31, 2 ** 40, -200, -70_000, 1.5],
    ['', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(300), 'x'.repeat(70_000)],
    [new Uint8Array(3), new Uint8Array(300), new Uint8Array(70_000)],
    [[], Array.from({ length: 20 }, () => 1), Array.from({ length: 70_000 }, () => 1)],
    [
      { a: 1, b: { c: [] } },
      Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, i])),
    ],
  ])('admits what we send (%#)', (...values) => {
    for (const value of values) expect(isPlainMessagePack(encodeArray([value]))).toBe(true);
  });

  test('refuses an array that claims more places than there are bytes', () => {
    const bytes = Uint8Array.from([0x91, 0xdd, 0x01, 0xff, 0xff, 0xff, 0xc0]);
    expect(isPlainMessagePack(bytes)).toBe(false);
    expect(decodeArray(bytes)).toBeUndefined();
  });

  test('refuses nesting without end', () => {
    expect(isPlainMessagePack(new Uint8Array(100_000).fill(0x91))).toBe(false);
  });

  test('refuses extension types, cut strings and cut headers', () => {
    expect(isPlainMessagePack(Uint8Array.from([0xd4, 0x72, 0x40]))).toBe(false);
    expect(isPlainMessagePack(pack(new Date(0)))).toBe(false);
    expect(isPlainMessagePack(Uint8Array.from([0xa5, 0x61]))).toBe(false);
    expect(isPlainMessagePack(Uint8Array.from([0xda, 0x01]))).toBe(false);
    expect(isPlainMessagePack(Uint8Array.from([0xc1]))).toBe(false);
  });
});

/** Buffers as plain arrays, so that Buffer and Uint8Array compare equal. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, plain(part)]));
}
