/**
 * What a hostile member sends: valid frames of every type, the same with bits flipped, cut,
 * lengthened, with other lengths in their headers or other values in their fields, records of
 * others with anything changed, records for another cluster, and plain noise. All from the seed.
 */
import { pack, unpack } from 'msgpackr';
import { admit, signRecord } from '../../../src/gossip/admission.ts';
import { bucketCount } from '../../../src/gossip/content-hash.ts';
import { encodeFrame, type Frame, type FrameType } from '../../../src/gossip/frame.ts';
import { encodeJson } from '../../../src/gossip/node.ts';
import type { Signer } from '../../../src/gossip/runtime.ts';
import { hlcFromMs } from '../../../src/lib/hlc.ts';
import { type ReplicatedRecord, recordKey } from '../../../src/model/record.ts';
import type { Random } from '../random.ts';
import { type Cast, epochMs } from './cast.ts';

/** How a frame was made; counted, so that a run shows that nothing was left out. */
export type Kind =
  | 'noise'
  | 'valid'
  | 'bits flipped'
  | 'cut or lengthened'
  | 'length field'
  | 'other value'
  | 'forged record'
  | 'other cluster'
  | 'forged machine'
  | 'own record';

const kinds: readonly [Kind, number][] = [
  ['noise', 6],
  ['valid', 22],
  ['bits flipped', 18],
  ['cut or lengthened', 10],
  ['length field', 10],
  ['other value', 14],
  ['forged record', 9],
  ['other cluster', 3],
  ['forged machine', 3],
  ['own record', 5],
];

const frameTypes: readonly [FrameType, ...FrameType[]] = [
  'heartbeat',
  'records',
  'buckets',
  'summary',
  'want',
  'askStored',
  'stored',
  'bye',
];

export interface Attack {
  readonly kind: Kind;
  /** The type of the frame that it began as; undefined for noise. */
  readonly type: FrameType | undefined;
  readonly bytes: Uint8Array;
}

/** The next frame of a hostile member. */
export function makeAttack(random: Random, cast: Cast, self: Signer): Attack {
  const kind = pickKind(random);
  switch (kind) {
    case 'noise':
      return { kind, type: undefined, bytes: noise(random) };
    case 'forged record':
      return recordsOf(kind, [forgeRecord(random, cast)]);
    case 'other cluster':
      return recordsOf(kind, random.some(cast.foreign, 3));
    case 'forged machine':
      return recordsOf(kind, [
        oneOf(machinePool, self, random, () => forgeMachine(random, cast, self)),
      ]);
    case 'own record':
      return recordsOf(kind, [oneOf(ownPool, self, random, () => ownRecord(random, cast, self))]);
    case 'valid':
    case 'bits flipped':
    case 'cut or lengthened':
    case 'length field':
    case 'other value': {
      const frame = makeFrame(random, cast, self);
      const bytes = mutate(kind, encodeFrame(frame), random);
      return { kind, type: frame.type, bytes };
    }
  }
}

type Pool = Map<Signer, ReplicatedRecord[]>;
const machinePool: Pool = new Map();
const ownPool: Pool = new Map();
/** Signatures are the dearest part of a run: each hostile one has this many that it repeats. */
const poolSize = 40;

/** One of an attacker's records of a kind, mostly one that it sent before. */
function oneOf(
  pool: Pool,
  self: Signer,
  random: Random,
  make: () => ReplicatedRecord,
): ReplicatedRecord {
  const records = pool.get(self) ?? [];
  pool.set(self, records);
  const old = records[random.below(poolSize)];
  if (old !== undefined && random.chance(0.95)) return old;
  const record = make();
  if (records.length < poolSize) records.push(record);
  else records[random.below(poolSize)] = record;
  return record;
}

/** Forgets what earlier cases sent, so that a case is the same alone and in a row. */
export function emptyPools(): void {
  machinePool.clear();
  ownPool.clear();
}

function pickKind(random: Random): Kind {
  let left = random.below(kinds.reduce((sum, [, weight]) => sum + weight, 0));
  for (const [kind, weight] of kinds) {
    left -= weight;
    if (left < 0) return kind;
  }
  return 'noise';
}

function recordsOf(kind: Kind, records: readonly ReplicatedRecord[]): Attack {
  return { kind, type: 'records', bytes: encodeFrame({ type: 'records', records }) };
}

function bytesOf(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 4) {
    const word = random.below(2 ** 32);
    for (let part = 0; part < 4; part++) bytes[index + part] = word >>> (part * 8);
  }
  return bytes;
}

function noise(random: Random): Uint8Array {
  const bytes = bytesOf(random, random.chance(0.01) ? random.below(20_000) : random.below(100));
  // Begins as a frame does, so that it gets past the first look.
  if (bytes.length > 1 && random.chance(0.5)) {
    bytes[0] = 0x90 + random.below(8);
    bytes[1] = random.below(10);
  }
  return bytes;
}

/** A frame as an agent sends it, of each type with the same chance. */
function makeFrame(random: Random, cast: Cast, self: Signer): Frame {
  const keys = cast.genuine.map(({ key }) => key);
  const type = random.pick(frameTypes);
  switch (type) {
    case 'heartbeat':
      return { type, hash: bytesOf(random, 8), nowMs: epochMs + random.below(1e6) };
    case 'records':
      return { type, records: random.some([...cast.genuine, ...cast.roots], 4) };
    case 'buckets':
      return { type, hashes: bytesOf(random, bucketCount * 8) };
    case 'summary': {
      const entries = random
        .some(keys, 6)
        .map((key) => ({ key, hlc: random.below(1e15), fingerprint: bytesOf(random, 8) }));
      const buckets = Array.from({ length: random.below(8) }, () => random.below(bucketCount));
      return { type, buckets, entries };
    }
    case 'want':
      return { type, keys: random.some([...keys, `m/${self.machine}`, 'app/none'], 8) };
    case 'askStored':
      return {
        type,
        question: random.below(1e6),
        key: random.pick(keys) ?? 'app/shop',
        hlc: random.below(1e16),
      };
    case 'stored':
      return { type, question: random.below(1e6) };
    case 'bye':
      return {
        type,
        reason: random.pick(['restart', 'upgrade', 'leave']),
        expectBackMs: random.below(1e9),
      };
  }
}

type Mutation = 'valid' | 'bits flipped' | 'cut or lengthened' | 'length field' | 'other value';

function mutate(kind: Mutation, bytes: Uint8Array, random: Random): Uint8Array {
  const copy = new Uint8Array(bytes);
  switch (kind) {
    case 'valid':
      return copy;
    case 'bits flipped': {
      for (let count = 1 + random.below(8); count > 0; count--) {
        const at = random.below(copy.length);
        copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
      }
      return copy;
    }
    case 'cut or lengthened': {
      if (random.chance(0.6)) return copy.subarray(0, random.below(copy.length));
      return Buffer.concat([copy, bytesOf(random, 1 + random.below(20))]);
    }
    case 'length field':
      return withLength(copy, random);
    case 'other value':
      return withOtherValue(copy, random);
  }
}

/** Puts a header with some length where a value begins, or anywhere. */
function withLength(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length);
  const header = random.pick([0xc4, 0xc5, 0xc6, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xc9]);
  const lengths: readonly [number[], ...number[][]] = [
    [0xff],
    [0xff, 0xff],
    [0xff, 0xff, 0xff, 0xff],
    [0x7f, 0xff, 0xff, 0xff],
    [0, 0, 0, random.below(256)],
    [0, random.below(256)],
    [random.below(256)],
  ];
  const length = random.pick(lengths);
  return Buffer.concat([
    bytes.subarray(0, at),
    Uint8Array.from([header, ...length]),
    bytes.subarray(at + (random.chance(0.5) ? 1 : 1 + length.length)),
  ]);
}

/** Another value in the place of some field, at any depth; still well-formed MessagePack. */
function withOtherValue(bytes: Uint8Array, random: Random): Uint8Array {
  const message: unknown = unpack(bytes);
  let list = message;
  while (Array.isArray(list)) {
    const places: unknown[] = list;
    const index = random.below(Math.max(1, places.length));
    if (Array.isArray(places[index]) && random.chance(0.7)) {
      list = places[index];
      continue;
    }
    places[index] = anyValue(random);
    break;
  }
  return pack(message);
}

function anyValue(random: Random): unknown {
  const values: readonly [unknown, ...unknown[]] = [
    null,
    true,
    -1,
    0,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    -(2 ** 53),
    2n ** 63n,
    '',
    '__proto__',
    'm/',
    `x/${'a'.repeat(random.below(2000))}`,
    'constructor',
    [],
    {},
    { toString: 1, length: 1e9 },
    [[[[[[[[[[[[]]]]]]]]]]]],
    Array.from({ length: random.below(300) }, () => null),
    bytesOf(random, random.below(100)),
    new Date(0),
  ];
  return random.pick(values);
}

/** A record that an honest machine signed, with something changed. */
function forgeRecord(random: Random, cast: Cast): ReplicatedRecord {
  const record = random.pick([...cast.genuine, ...cast.roots]) ?? cast.roots[0];
  if (record === undefined) throw new Error('a cast without records');
  const later = record.hlc + 1 + random.below(1e9);
  const another = random.pick(cast.genuine);
  switch (random.below(8)) {
    case 0:
      return { ...record, hlc: later, body: encodeJson({ forged: random.below(1000) }) };
    case 1:
      return { ...record, hlc: later };
    case 2:
      return { ...record, hlc: later, body: null };
    case 3:
      return { ...record, key: `${record.key}x`, hlc: later };
    case 4:
      return { ...record, schema: record.schema + 1 };
    case 5:
      return { ...record, origin: random.pick(cast.honest)?.machine ?? record.origin, hlc: later };
    case 6:
      return { ...record, hlc: later, signature: another?.signature ?? new Uint8Array(64) };
    default: {
      const signature = new Uint8Array(record.signature);
      const at = random.below(64);
      signature[at] = (signature[at] ?? 0) ^ (1 << random.below(8));
      return { ...record, hlc: record.hlc + random.below(2), signature };
    }
  }
}

/** A machine record for a stranger, or for a member, that no member admitted like this. */
function forgeMachine(random: Random, cast: Cast, self: Signer): ReplicatedRecord {
  const { cluster, stranger } = cast;
  const [founder] = cast.honest;
  if (founder === undefined) throw new Error('a cast without a founder');
  const hlc = hlcFromMs(epochMs - random.below(10_000));
  const range = '10.210.0.0/16';
  const admission = admit(self, { cluster, range, takenSubnets: [], joiner: stranger, hlc });
  // Signed by the hostile one, and said to be by the founder.
  const forged = { ...admission, admittedBy: founder.machine };
  const { publicKey, wgPublicKey } = random.chance(0.8) ? stranger : founder;
  const body = { name: 'm', endpoints: [], publicKey, wgPublicKey, admission: forged };
  const author = random.chance(0.8) ? stranger : self;
  const key = recordKey.machine(random.chance(0.8) ? stranger.machine : founder.machine);
  const signed = signRecord(cluster, author, { key, hlc, schema: 1, body: encodeJson(body) });
  return random.chance(0.5) ? signed : { ...signed, origin: stranger.machine };
}

/** Rightly signed by the hostile one itself, and odd. */
function ownRecord(random: Random, cast: Cast, self: Signer): ReplicatedRecord {
  const { machine } = self;
  const keys: readonly [string, ...string[]] = [
    recordKey.links(machine),
    recordKey.container(machine, String(random.below(50))),
    recordKey.failure(machine, 'p', 's'),
    recordKey.pointer('shop'),
    recordKey.operation('shop', String(random.below(20))),
    `m/${machine}`,
    `future/${'k'.repeat(random.below(400))}`,
    // Somebody else's: a forgery although the signature is right.
    recordKey.links(cast.victim.machine),
    recordKey.container(cast.victim.machine, '1'),
  ];
  const bodies: readonly [Uint8Array | null, ...(Uint8Array | null)[]] = [
    null,
    Buffer.from('not json'),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('['.repeat(2000)),
    encodeJson({ up: [null, 1, { machine: 1 }], headless: 'x', able: 'no' }),
    encodeJson({ up: [], headless: [], leaving: { reason: 'x', expectBackMs: 1e300 } }),
    encodeJson({ __proto__: null, constructor: 1 }),
    Buffer.alloc(random.below(2000), 32),
  ];
  const aheadMs = random.pick([0, 1000, 86_400_000, 399 * 86_400_000, 1000 * 86_400_000]);
  return signRecord(cast.cluster, self, {
    key: random.pick(keys),
    hlc: hlcFromMs(epochMs + aheadMs) + random.below(1000),
    schema: random.below(5),
    body: random.pick(bodies),
  });
}
