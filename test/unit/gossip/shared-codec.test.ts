/** The simulation's frames must be those of the shipping code, whoever shares what. */
import { expect, test } from 'vitest';
import { decodeFrame, encodeFrame, type Frame } from '../../../src/gossip/frame.ts';
import { SharedCodec } from '../../sim/codec.ts';
import { aRecord } from './builders.ts';

const record = aRecord({ key: 'app/x', value: { v: 1 } });
const frameOf = (...records: readonly (typeof record)[]): Frame => ({ type: 'records', records });

test('a record that goes around stays one object, and its frame one piece of bytes', () => {
  const codec = new SharedCodec();
  const bytes = codec.encode(frameOf(record));
  expect(bytes).toEqual(encodeFrame(frameOf(record)));
  const read = codec.decode(bytes);
  expect(read).toEqual(frameOf(record));
  expect(typeof read !== 'string' && read.type === 'records' && read.records[0]).toBe(record);
  expect(codec.encode(frameOf(record))).toBe(bytes);
  const both = frameOf(record, aRecord({ key: 'app/y', value: null }));
  expect(codec.decode(codec.encode(both))).toBe(both);
});

test('what the shipping code does not read is not read here either', () => {
  const codec = new SharedCodec();
  const bad = frameOf({ ...record, key: 'no key' });
  expect(codec.decode(codec.encode(bad))).toBe('hostile');
  expect(codec.decode(codec.encode(bad))).toBe('hostile');
  expect(codec.decode(Uint8Array.from([0x92, 42, 7]))).toBe('unknown');
  expect(codec.decode(Uint8Array.from([1]))).toBe('hostile');
});

test('bytes that somebody has changed are read as they are', () => {
  const codec = new SharedCodec();
  const bytes = codec.encode(frameOf(record));
  const changed = Uint8Array.from(bytes);
  const last = changed.length - 1;
  changed[last] = (changed[last] ?? 0) ^ 1;
  expect(codec.decode(changed)).toEqual(decodeFrame(changed));
  expect(codec.decode(changed)).not.toEqual(codec.decode(bytes));
});
