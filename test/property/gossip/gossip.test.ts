import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeFrame, encodeArray, encodeFrame, type Frame } from '../../../src/gossip/frame.ts';
import { isPlainMessagePack } from '../../../src/gossip/frame-scan.ts';
import { compareRecords, RecordMap } from '../../../src/gossip/record-map.ts';
import type { ReplicatedRecord } from '../../../src/model/record.ts';
import { SimCluster } from '../../sim/cluster.ts';
import { signerA, signerB } from '../../unit/gossip/builders.ts';

const key = fc.constantFrom('app/x', 'app/y', 'op/p/s', 'rev/p/1', 'c/a/1');
const record: fc.Arbitrary<ReplicatedRecord> = fc.record({
  key,
  origin: fc.constantFrom(signerA.machine, signerB.machine),
  hlc: fc.integer({ min: 0, max: 4 }),
  schema: fc.integer({ min: 1, max: 2 }),
  body: fc.option(fc.uint8Array({ maxLength: 3 }), { nil: null }),
  signature: fc.constant(new Uint8Array(64)),
});

function mapOf(records: readonly ReplicatedRecord[]): RecordMap {
  const map = new RecordMap();
  for (const each of records) map.merge(each);
  return map;
}

function content(map: RecordMap): unknown {
  return [...map.records()]
    .map(({ key: name, origin, hlc, schema, body }) => [
      name,
      origin,
      hlc,
      schema,
      body && [...body],
    ])
    .sort((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1));
}

test('merging is commutative, associative and idempotent', () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 30 }), fc.integer(), (records, seed) => {
      const shuffled = records
        .map((each, index) => ({ each, place: Math.imul(index + 1, seed | 1) }))
        .sort((a, b) => a.place - b.place)
        .map(({ each }) => each);
      const one = mapOf(records);
      const other = mapOf([...shuffled, ...shuffled]);
      expect(content(other)).toEqual(content(one));
      expect(other.hash.total()).toEqual(one.hash.total());
      expect(other.hash.buckets()).toEqual(one.hash.buckets());
    }),
  );
});

test('the order of records is total', () => {
  fc.assert(
    fc.property(record, record, record, (a, b, c) => {
      expect(Math.sign(compareRecords(a, b))).toBe(-Math.sign(compareRecords(b, a)) + 0);
      if (compareRecords(a, b) >= 0 && compareRecords(b, c) >= 0) {
        expect(compareRecords(a, c)).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});

test('equal hashes mean equal live content', () => {
  fc.assert(
    fc.property(fc.array(record), fc.array(record), (first, second) => {
      const live = (map: RecordMap): unknown =>
        JSON.stringify(content(mapOf([...map.records()].filter(isCounted))));
      const [one, two] = [mapOf(first), mapOf(second)];
      const isEqual = Buffer.compare(one.hash.total(), two.hash.total()) === 0;
      expect(isEqual).toBe(live(one) === live(two));
    }),
  );
});

/** Tombstones of containers and of revisions pass away, on each machine at another time. */
function isCounted({ key: name, body }: ReplicatedRecord): boolean {
  return !(body === null && (name.startsWith('c/') || name.startsWith('rev/')));
}

test('records survive a frame', () => {
  fc.assert(
    fc.property(fc.array(record), (records) => {
      const decoded = decodeFrame(encodeFrame({ type: 'records', records }));
      if (typeof decoded === 'string' || decoded.type !== 'records') throw new Error('not decoded');
      expect(content(mapOf(decoded.records))).toEqual(content(mapOf(records)));
    }),
  );
});

test('random bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      decodeFrame(bytes);
      isPlainMessagePack(bytes);
    }),
    { numRuns: 3000 },
  );
});

test('random values in the shape of a frame never throw in a node', () => {
  const cluster = new SimCluster(1);
  cluster.form(2);
  const { world, network } = cluster;
  const [a, b] = cluster.machines;
  if (a === undefined || b === undefined) throw new Error('no machines');
  const anything = fc.anything({ maxDepth: 3, withBigInt: false, withDate: false });
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 9 }),
      fc.array(anything, { maxLength: 3 }),
      (type, rest) => {
        world.runUntil(world.nowMs + 12_000);
        const link = network.linksOf(b).find(({ peer }) => peer === a)?.link;
        expect(link).toBeDefined();
        b.node?.receive(link ?? 0, encodeArray([type, ...rest]));
        world.runUntil(world.nowMs + 100);
      },
    ),
    { numRuns: 150 },
  );
});

test('a frame with one byte changed never throws and never brings a forged record', () => {
  const cluster = new SimCluster(2);
  cluster.form(2);
  const { world, network } = cluster;
  const [a, b] = cluster.machines;
  if (a === undefined || b === undefined) throw new Error('no machines');
  const frames: Frame[] = [
    { type: 'heartbeat', hash: new Uint8Array(8), nowMs: 1 },
    { type: 'buckets', hashes: new Uint8Array(2048) },
    { type: 'want', keys: ['app/x'] },
  ];
  fc.assert(
    fc.property(fc.nat(), fc.nat(255), fc.nat(3), (place, value, which) => {
      world.runUntil(world.nowMs + 12_000);
      const own = a.node?.write('app/x', Buffer.from('{"good":true}'));
      const frame = frames[which] ?? { type: 'records' as const, records: own ? [own] : [] };
      const bytes = new Uint8Array(encodeFrame(frame));
      bytes[place % bytes.length] = value;
      const link = network.linksOf(b).find(({ peer }) => peer === a)?.link ?? 0;
      b.node?.receive(link, bytes);
      world.runUntil(world.nowMs + 100);
      for (const { key: name, value: body } of b.node?.map.entries('app/') ?? []) {
        expect([name, body]).toEqual(['app/x', { good: true }]);
      }
    }),
    { numRuns: 150 },
  );
});
