import { describe, expect, test } from 'vitest';
import {
  bucketCount,
  bucketOf,
  ContentHash,
  isEqualBytes,
} from '../../../src/gossip/content-hash.ts';
import { tombstoneLifeMs } from '../../../src/gossip/limits.ts';
import {
  compareRecords,
  isExpiredTombstone,
  RecordMap,
  writerOf,
} from '../../../src/gossip/record-map.ts';
import { hlcFromMs } from '../../../src/lib/hlc.ts';
import { aRecord, signerA, signerB } from './builders.ts';

describe('the record map', () => {
  test('the later clock wins, whatever comes first', () => {
    const older = aRecord({ key: 'app/x', hlc: 1, value: { v: 1 } });
    const newer = aRecord({ key: 'app/x', hlc: 2, value: { v: 2 } });
    const map = new RecordMap();
    expect([map.merge(newer), map.merge(older), map.merge(newer)]).toEqual([true, false, false]);
    expect(map.get('app/x')?.value).toEqual({ v: 2 });
  });

  test('equal clocks are decided by origin, then by content', () => {
    const a = aRecord({ key: 'app/x', by: signerA });
    const b = aRecord({ key: 'app/x', by: signerB });
    expect(Math.sign(compareRecords(a, b))).toBe(signerA.machine < signerB.machine ? -1 : 1);
    const clone = aRecord({ key: 'app/x', value: { other: 1 } });
    expect(compareRecords(a, clone)).not.toBe(0);
    expect(Math.sign(compareRecords(a, clone))).toBe(-Math.sign(compareRecords(clone, a)));
    expect(compareRecords(aRecord({ key: 'app/x', value: null }), a)).toBeGreaterThan(0);
    expect(compareRecords(a, aRecord({ key: 'app/x' }))).toBe(0);
    expect(compareRecords(a, { ...a, schema: 2 })).toBeLessThan(0);
  });

  test('entries come in key order, with tombstones, and stop at the prefix', () => {
    const map = new RecordMap();
    for (const key of ['c/b', 'app/z', 'c/a', 'cert/x', 'app/a']) map.merge(aRecord({ key }));
    map.merge(aRecord({ key: 'c/a', hlc: 2, value: null }));
    expect([...map.entries('c/')].map(({ key, value }) => [key, value])).toEqual([
      ['c/a', null],
      ['c/b', {}],
    ]);
    expect([...map.entries('')].map(({ key }) => key)).toEqual([
      'app/a',
      'app/z',
      'c/a',
      'c/b',
      'cert/x',
    ]);
    map.forget('app/a');
    expect([...map.entries('app/')].map(({ key }) => key)).toEqual(['app/z']);
  });

  test('an entry is the same object until its record changes', () => {
    const map = new RecordMap();
    map.merge(aRecord({ key: 'app/x' }));
    const entry = map.get('app/x');
    expect(map.get('app/x')).toBe(entry);
    map.merge(aRecord({ key: 'app/x', hlc: 2 }));
    expect(map.get('app/x')).not.toBe(entry);
  });

  test('a list of a kind is the same object until a record of that kind changes', () => {
    const map = new RecordMap();
    for (const key of ['c/a', 'c/b', 'app/x']) map.merge(aRecord({ key }));
    const list = map.entries('c/');
    map.merge(aRecord({ key: 'app/x', hlc: 2 }));
    map.merge(aRecord({ key: 'c/a', hlc: 0 }));
    map.forget('c/none');
    expect(map.entries('c/')).toEqual(list);
    const again = map.entries('c/');
    expect(map.entries('c/')).toBe(again);
    map.merge(aRecord({ key: 'c/a', hlc: 2, value: { v: 2 } }));
    expect(map.entries('c/').map(({ value }) => value)).toEqual([{ v: 2 }, {}]);
    // Who has it still reads what was true then.
    expect(again.map(({ value }) => value)).toEqual([{}, {}]);
    map.forget('c/a');
    expect(map.entries('c/').map(({ key }) => key)).toEqual(['c/b']);
    map.merge(aRecord({ key: 'c/0' }));
    expect(map.entries('c/').map(({ key }) => key)).toEqual(['c/0', 'c/b']);
  });

  test('whatever came and went, lists hold what a map of the same records holds', () => {
    const kinds = ['app', 'c', 'cert', 'ca'];
    let state = 1;
    const next = (below: number): number => {
      state = (state * 48_271) % 2_147_483_647;
      return state % below;
    };
    const map = new RecordMap();
    for (let step = 1; step <= 400; step++) {
      const key = `${kinds[next(4)]}/m${next(3)}/${next(6)}`;
      if (next(4) === 0) map.forget(key);
      else map.merge(aRecord({ key, hlc: step, value: next(3) === 0 ? null : { step } }));
      const prefix = ['', 'c', 'c/', 'c/m1', 'c/m1/', 'app/', 'cert/m2/'][next(7)] ?? '';
      const fresh = new RecordMap();
      for (const record of map.records()) fresh.merge({ ...record });
      const expected = [...fresh.records()]
        .filter((record) => record.key.startsWith(prefix))
        .sort((left, right) => (left.key < right.key ? -1 : 1))
        .map((record) => fresh.get(record.key));
      expect(map.entries(prefix)).toEqual(expected);
      expect(map.hash.total()).toEqual(fresh.hash.total());
      expect(map.hash.buckets()).toEqual(fresh.hash.buckets());
    }
  });

  test('one record in two maps is read once', () => {
    const [one, other] = [new RecordMap(), new RecordMap()];
    const record = aRecord({ key: 'app/x' });
    one.merge(record);
    other.merge(record);
    expect(other.get('app/x')).toBe(one.get('app/x'));
    other.forget('app/x');
    expect(one.get('app/x')?.value).toEqual({});
  });

  test('knows the very record that it has from one that only has its key', () => {
    const map = new RecordMap();
    const record = aRecord({ key: 'app/x', hlc: 2 });
    expect(map.has(record)).toBe(false);
    map.merge(record);
    expect(map.has({ ...record })).toBe(true);
    expect(map.has(aRecord({ key: 'app/x', hlc: 1 }))).toBe(false);
    expect(map.has({ ...record, body: Buffer.from('[]') })).toBe(false);
  });

  test('a body that is not JSON is as good as absent and still kept', () => {
    const map = new RecordMap();
    map.merge({ ...aRecord({ key: 'app/x' }), body: Buffer.from('{') });
    map.merge({ ...aRecord({ key: 'app/y' }), body: Buffer.from([0xff, 0xfe]) });
    expect(map.get('app/x')).toBeUndefined();
    expect([...map.entries('app/')]).toEqual([]);
    expect(map.record('app/x')).toBeDefined();
  });

  test('counts what each origin takes up', () => {
    const map = new RecordMap();
    map.merge(aRecord({ key: 'app/x', value: { text: 'long enough' } }));
    const { bytes, recordCount } = map.usage(signerA.machine);
    expect([recordCount, bytes > 100]).toEqual([1, true]);
    map.merge(aRecord({ key: 'app/x', hlc: 2, by: signerB }));
    expect(map.usage(signerA.machine)).toEqual({ recordCount: 0, bytes: 0 });
    map.forget('app/x');
    expect(map.usage(signerB.machine)).toEqual({ recordCount: 0, bytes: 0 });
    expect(map.size).toBe(0);
    map.forget('app/x');
  });

  test('keys of some kinds belong to one machine', () => {
    expect(writerOf('c/abc/123')).toBe('abc');
    expect(writerOf('fail/abc/p/s')).toBe('abc');
    expect(writerOf('links/abc')).toBe('abc');
    expect(writerOf('m/abc')).toBe('abc');
    expect(writerOf('mo/abc')).toBeUndefined();
    expect(writerOf('app/x')).toBeUndefined();
    expect(writerOf('m')).toBe('');
  });

  test('tombstones of containers are over after an hour, those of projects never', () => {
    const late = tombstoneLifeMs + 1;
    const tombstone = (key: string) => aRecord({ key, hlc: hlcFromMs(0), value: null });
    expect(isExpiredTombstone(tombstone('c/x/1'), late)).toBe(true);
    expect(isExpiredTombstone(tombstone('c/x/1'), late - 2)).toBe(false);
    expect(isExpiredTombstone(tombstone('app/x'), late)).toBe(false);
    expect(isExpiredTombstone(aRecord({ key: 'c/x/1', hlc: 0 }), late)).toBe(false);
  });
});

describe('the content hash', () => {
  test('does not depend on order or history', () => {
    const records = ['app/a', 'c/x/1', 'rev/p/1'].map((key) => aRecord({ key, hlc: 5 }));
    const [forward, backward] = [new RecordMap(), new RecordMap()];
    for (const record of records) forward.merge(record);
    backward.merge(aRecord({ key: 'app/a', hlc: 1 }));
    backward.merge(aRecord({ key: 'op/gone', hlc: 1 }));
    backward.forget('op/gone');
    for (const record of records.toReversed()) backward.merge(record);
    expect(backward.hash.total()).toEqual(forward.hash.total());
    expect(backward.hash.buckets()).toEqual(forward.hash.buckets());
  });

  test('shows another body under the same clock', () => {
    const [one, two] = [new RecordMap(), new RecordMap()];
    one.merge(aRecord({ key: 'app/a', value: 1 }));
    two.merge(aRecord({ key: 'app/a', value: 2 }));
    expect(one.hash.total()).not.toEqual(two.hash.total());
    expect(one.hash.differing(two.hash.buckets())).toEqual([bucketOf('app/a')]);
  });

  test('does not count tombstones that pass, because clocks differ', () => {
    const map = new RecordMap();
    const empty = map.hash.total();
    map.merge(aRecord({ key: 'c/x/1' }));
    expect(map.hash.total()).not.toEqual(empty);
    map.merge(aRecord({ key: 'c/x/1', hlc: 2, value: null }));
    expect(map.hash.total()).toEqual(empty);
    map.merge(aRecord({ key: 'app/x', value: null }));
    expect(map.hash.total()).not.toEqual(empty);
  });

  test('spreads keys over all buckets', () => {
    const used = new Set<number>();
    for (let index = 0; index < 5000; index++) used.add(bucketOf(`c/machine/${index}`));
    expect(used.size).toBe(bucketCount);
  });

  test('compares byte for byte', () => {
    expect(isEqualBytes(new Uint8Array([1, 2]), new Uint8Array([1, 2]))).toBe(true);
    expect(isEqualBytes(new Uint8Array([1, 2]), new Uint8Array([1, 3]))).toBe(false);
    expect(isEqualBytes(new Uint8Array([1]), new Uint8Array([1, 2]))).toBe(false);
    expect(new ContentHash().differing(new ContentHash().buckets())).toEqual([]);
  });
});
