import { describe, expect, test } from 'vitest';
import {
  admit,
  checkAdmission,
  clusterIdFor,
  createGenesis,
  freeSubnet,
  isGenesis,
  type MachineFacts,
  machineIdOf,
  membersOf,
  readMachineRecord,
  readRemoval,
  recordPayload,
  signRecord,
  subnetsOf,
} from '../../../src/gossip/admission.ts';
import { maxAheadMs, maxParkedCount, tombstoneLifeMs } from '../../../src/gossip/limits.ts';
import { Membership, type Verdict } from '../../../src/gossip/membership.ts';
import { encodeJson } from '../../../src/gossip/node.ts';
import { RecordMap } from '../../../src/gossip/record-map.ts';
import type { Signer } from '../../../src/gossip/runtime.ts';
import { hlcFromMs } from '../../../src/lib/hlc.ts';
import type { MachineRecord, ReplicatedRecord } from '../../../src/model/record.ts';
import { fakeSigner, fakeVerify } from '../../sim/machine.ts';
import { aRecord, cluster, signerA, signerB, signerC } from './builders.ts';

const range = '10.210.0.0/16';
const facts: MachineFacts = {
  name: 'x',
  endpoints: [],
  platform: 'linux/amd64',
  cpuCount: 1,
  memoryBytes: 1,
  versions: { agent: '0', engine: '0', protocol: 1, plan: 1 },
};
const genesis = createGenesis(signerA, { ...facts, cluster, range, hlc: 1 });

function admitted(joiner: Signer, by: Signer): MachineRecord {
  const { publicKey, wgPublicKey } = joiner;
  const admission = admit(by, { cluster, range, takenSubnets: [], joiner, hlc: 1 });
  return { ...facts, publicKey, wgPublicKey, admission };
}

function machineRecord(record: MachineRecord, by: Signer, hlc = 1): ReplicatedRecord {
  return signRecord(cluster, by, {
    key: `m/${by.machine}`,
    hlc,
    schema: 1,
    body: encodeJson(record),
  });
}

const recordA = machineRecord(genesis, signerA);
const recordB = machineRecord(admitted(signerB, signerA), signerB);
const recordC = machineRecord(admitted(signerC, signerB), signerC);

function removal(of: Signer, by: Signer, keeps: readonly string[] = []): ReplicatedRecord {
  return aRecord({ key: `x/${of.machine}`, value: { keeps }, by });
}

class World {
  readonly map = new RecordMap();
  readonly membership = new Membership({ map: this.map, verify: fakeVerify }, cluster);
  take(...records: readonly ReplicatedRecord[]): Verdict[] {
    return records.map((record) => this.membership.accept(record, 0));
  }
}

describe('ids and payloads', () => {
  test('a machine is the hash of its key', () => {
    expect(machineIdOf(signerA.publicKey)).toBe(signerA.machine);
    expect(signerA.machine).toMatch(/^[a-z2-7]{16}$/);
  });

  test('a cluster names its founder', () => {
    const id = clusterIdFor(signerA.machine, () => 0.5);
    expect(id).toMatch(/^[a-z2-7]{24}$/);
    expect([isGenesis(id, signerA.machine), isGenesis(id, signerB.machine)]).toEqual([true, false]);
  });

  test('the payload differs for every part of a record', () => {
    const base = aRecord({ key: 'app/x' });
    const payloads = [
      base,
      { ...base, key: 'app/y' },
      { ...base, origin: signerB.machine },
      { ...base, hlc: 2 },
      { ...base, schema: 2 },
      { ...base, body: null },
      { ...base, body: new Uint8Array(0) },
    ].map((record) => Buffer.from(recordPayload(cluster, record)).toString());
    payloads.push(Buffer.from(recordPayload('other' as typeof cluster, base)).toString());
    expect(new Set(payloads).size).toBe(8);
  });
});

describe('subnets', () => {
  test('a range is cut into /24', () => {
    expect(subnetsOf('10.210.0.0/22')).toEqual([
      '10.210.0.0/24',
      '10.210.1.0/24',
      '10.210.2.0/24',
      '10.210.3.0/24',
    ]);
    expect(subnetsOf('10.210.7.9/24')).toEqual(['10.210.7.0/24']);
    expect(subnetsOf('192.168.255.0/16').length).toBe(256);
    expect(['10.0.0.0/25', '10.0.0.0', '300.0.0.0/16', 'fd00::/64'].map(subnetsOf)).toEqual([
      [],
      [],
      [],
      [],
    ]);
  });

  test('a free one is found down to the last, then it is an error', () => {
    const all = subnetsOf('10.210.0.0/22');
    expect(freeSubnet('10.210.0.0/22', all.slice(1), signerA.machine)).toBe(all[0]);
    expect(() => freeSubnet('10.210.0.0/22', all, signerA.machine)).toThrow(
      expect.objectContaining({ code: 'E_SUBNET_NONE' }),
    );
  });

  test('two members that admit two machines at once rarely choose the same', () => {
    const chosen = new Set<string>();
    for (let index = 0; index < 20; index++) {
      chosen.add(freeSubnet(range, [], fakeSigner(`joiner ${index}`).machine));
    }
    expect(chosen.size).toBeGreaterThan(15);
  });

  test('a range without a /24 founds no cluster', () => {
    expect(() =>
      createGenesis(signerA, { ...facts, cluster, range: '10.0.0.0/30', hlc: 1 }),
    ).toThrow(expect.objectContaining({ code: 'E_RANGE_SIZE' }));
  });
});

describe('an admission', () => {
  const keyOf = (id: string): string | undefined =>
    id === signerA.machine ? signerA.publicKey : undefined;
  const check = (record: MachineRecord, machine = signerB.machine): string =>
    checkAdmission(machine, record, { cluster, verify: fakeVerify, keyOf });
  const good = admitted(signerB, signerA);

  test('counts when a known machine signed it', () => {
    expect(check(good)).toBe('valid');
    expect(check(genesis, signerA.machine)).toBe('valid');
    expect(check(admitted(signerC, signerB), signerC.machine)).toBe('unknown');
  });

  test('nobody but the founder admits himself', () => {
    const self = admitted(signerB, signerB);
    expect(check(self)).toBe('forged');
  });

  test.each([
    ['another machine', { ...good, admission: { ...good.admission, machine: signerC.machine } }],
    ['another key', { ...good, publicKey: signerC.publicKey }],
    ['another key in the admission', { ...good, admission: { ...good.admission, publicKey: 'x' } }],
    ['another WireGuard key', { ...good, wgPublicKey: signerC.wgPublicKey }],
    ['another subnet', { ...good, admission: { ...good.admission, subnet: '10.210.9.0/24' } }],
    [
      'another cluster',
      { ...good, admission: { ...good.admission, cluster: 'o' as typeof cluster } },
    ],
  ])('does not hold for %s', (_what, record) => {
    expect(check(record)).toBe('forged');
  });

  test('a body without its parts is no machine record', () => {
    expect(readMachineRecord(good)).toBe(good);
    expect(readMachineRecord({ ...good, publicKey: 1 })).toBeUndefined();
    expect(readMachineRecord({ ...good, admission: null })).toBeUndefined();
    expect(
      readMachineRecord({ ...good, admission: { ...good.admission, hlc: 'x' } }),
    ).toBeUndefined();
    expect(readMachineRecord([])).toBeUndefined();
    expect(readRemoval({ keeps: ['a', 1] })).toEqual({ keeps: ['a'] });
    expect(readRemoval(undefined)).toEqual({ keeps: [] });
  });
});

describe('membership', () => {
  test('a chain of admissions is accepted from the founder on', () => {
    const world = new World();
    expect(world.take(recordA, recordB, recordC)).toEqual(['accepted', 'accepted', 'accepted']);
    expect(world.membership.members).toEqual(
      [signerA, signerB, signerC].map(({ machine }) => machine).sort(),
    );
    expect(world.membership.takenSubnets().length).toBe(3);
    expect(world.membership.admittedBy(signerA.machine)).toEqual([signerB.machine]);
  });

  test('what comes before its origin is parked', () => {
    const world = new World();
    const own = aRecord({ key: 'app/x', by: signerB });
    expect(world.take(own, recordB)).toEqual(['parked', 'parked']);
    expect(world.membership.acceptAll([recordA], 0)).toEqual({
      accepted: [recordA, recordB, own],
      isForged: false,
    });
  });

  test('parking is bounded', () => {
    const world = new World();
    for (let index = 0; index <= maxParkedCount; index++) {
      world.take(aRecord({ key: `app/${index}`, by: signerB }));
    }
    const { accepted } = world.membership.acceptAll([recordA, recordB], 0);
    expect(accepted.length).toBe(2 + maxParkedCount);
  });

  test('forgeries are told from mere strangers', () => {
    const world = new World();
    world.take(recordA, recordB);
    const record = aRecord({ key: 'app/x', by: signerB });
    expect(
      world.take(
        { ...record, origin: signerA.machine },
        { ...record, body: encodeJson({ evil: 1 }) },
        { ...record, hlc: 99 },
        aRecord({ key: `c/${signerA.machine}/1`, by: signerB }),
        aRecord({ key: `m/${signerC.machine}`, by: signerC }),
        { ...recordB, hlc: 2 },
      ),
    ).toEqual(['forged', 'forged', 'forged', 'forged', 'forged', 'forged']);
    expect(world.map.size).toBe(2);
  });

  test('a record from the far future is refused, one an hour ahead is not', () => {
    const world = new World();
    world.take(recordA);
    expect(
      world.take(
        aRecord({ key: 'app/x', hlc: hlcFromMs(maxAheadMs + 1) }),
        aRecord({ key: 'app/x', hlc: hlcFromMs(3_600_000) }),
      ),
    ).toEqual(['refused', 'accepted']);
  });

  test('an old tombstone overrules what is there and is not stored for nothing', () => {
    const world = new World();
    world.take(recordA);
    const key = `c/${signerA.machine}/1`;
    const nowMs = tombstoneLifeMs + 1;
    expect(world.membership.accept(aRecord({ key, hlc: 5, value: null }), nowMs)).toBe('old');
    expect(world.membership.accept(aRecord({ key, hlc: 4 }), nowMs)).toBe('accepted');
    expect(world.membership.accept(aRecord({ key, hlc: 5, value: null }), nowMs)).toBe('accepted');
  });

  test('a removed machine is out, whatever comes first', () => {
    const records = [recordA, recordB, recordC, removal(signerC, signerB)];
    for (const order of [records, [records[0], records[1], records[3], records[2]]]) {
      const world = new World();
      world.take(...(order as ReplicatedRecord[]));
      expect(world.membership.isMember(signerC.machine)).toBe(false);
      expect(world.membership.isRemoved(signerC.machine)).toBe(true);
      expect(world.take(aRecord({ key: 'app/x', by: signerC }))).toEqual(['refused']);
    }
  });

  test('who the removed one admitted stays only if the removal says so', () => {
    const without = new World();
    without.take(recordA, recordB, recordC, removal(signerB, signerA));
    expect(without.membership.members).toEqual([signerA.machine]);
    const kept = new World();
    kept.take(recordA, recordB, recordC, removal(signerB, signerA, [signerC.machine]));
    expect(kept.membership.members).toEqual([signerA.machine, signerC.machine].sort());
  });

  test('even the founder can go', () => {
    const world = new World();
    world.take(recordA, recordB, recordC, removal(signerA, signerB, [signerB.machine]));
    expect(world.membership.members).toEqual([signerB.machine, signerC.machine].sort());
  });

  test('removals of each other do not depend on the order', () => {
    const one = new World();
    one.take(recordA, recordB, recordC, removal(signerB, signerC), removal(signerC, signerB));
    const two = new World();
    two.take(recordA, recordB, recordC, removal(signerC, signerB), removal(signerB, signerC));
    expect(one.membership.members).toEqual(two.membership.members);
    expect(one.membership.members).toEqual([signerA.machine]);
  });

  test('a removal cannot be taken back', () => {
    const world = new World();
    world.take(recordA, recordB, removal(signerB, signerA));
    const undo = aRecord({ key: `x/${signerB.machine}`, hlc: 9, value: null });
    expect(world.take(undo)).toEqual(['refused']);
  });

  test('records of strangers are found; machines and removals stay', () => {
    const world = new World();
    world.take(recordA, recordB, aRecord({ key: 'app/x', by: signerB }), removal(signerB, signerA));
    expect(world.membership.keysOfStrangers()).toEqual(['app/x']);
    expect(world.membership.rootRecords().length).toBe(3);
  });

  test('admissions in a circle make no members', () => {
    const machines = new Map([
      [signerB.machine, admitted(signerB, signerC)],
      [signerC.machine, admitted(signerC, signerB)],
    ]);
    expect(membersOf({ machines, removals: new Map() })).toEqual([]);
  });
});
