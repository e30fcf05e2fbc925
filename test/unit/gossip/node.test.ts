import { describe, expect, test } from 'vitest';
import { signRecord } from '../../../src/gossip/admission.ts';
import { fingerprintBytes } from '../../../src/gossip/content-hash.ts';
import { decodeFrame, encodeFrame } from '../../../src/gossip/frame.ts';
import {
  adoptOwnMs,
  hostileBanMs,
  maxBodyBytes,
  maxOriginRecordCount,
  tombstoneLifeMs,
} from '../../../src/gossip/limits.ts';
import { encodeJson } from '../../../src/gossip/node.ts';
import { assert } from '../../../src/lib/assert.ts';
import { hlcFromMs, hlcToMs } from '../../../src/lib/hlc.ts';
import type { ReplicatedRecord } from '../../../src/model/record.ts';
import { SimCluster } from '../../sim/cluster.ts';
import type { SimMachine } from '../../sim/machine.ts';

function formed(count: number): SimCluster {
  const cluster = new SimCluster(1);
  cluster.form(count);
  cluster.world.runUntil(5000);
  expect(cluster.disagreements()).toEqual([]);
  return cluster;
}

function pair(cluster: SimCluster): [SimMachine, SimMachine] {
  return cluster.machines.slice(0, 2) as [SimMachine, SimMachine];
}

/** A record as the machine would have signed it in another life. */
function signedBy(machine: SimMachine, key: string, hlc: number, value: unknown): ReplicatedRecord {
  const body = value === null ? null : encodeJson(value);
  const { cluster } = machine;
  assert(cluster !== undefined, 'only members sign');
  return signRecord(cluster, machine.signer, { key, hlc, schema: 1, body });
}

describe('starting', () => {
  test('with a clock that was set back by decades drops nothing of what is on disk', () => {
    const cluster = formed(3);
    const [a, b] = pair(cluster);
    a.node?.write('app/x', encodeJson({ from: 'a' }));
    a.node?.write(`x/${b.machine}`, encodeJson({ keeps: [] }));
    cluster.world.runUntil(6000);
    const before = [...(a.node?.map.records() ?? [])].map(({ key }) => key).sort();
    a.killProcess();
    // As a small computer without a battery-backed clock boots.
    a.clockOffsetMs = -40 * 365 * 86_400_000;
    a.start();
    const after = [...(a.node?.map.records() ?? [])].map(({ key }) => key).sort();
    expect(after).toEqual(before);
    expect(after).toContain('app/x');
    expect(a.node?.isMember(a.machine)).toBe(true);
    expect(a.node?.isMember(b.machine)).toBe(false);
  });
});

describe('writing', () => {
  test('needs a cluster', () => {
    const machine = new SimCluster(1).add();
    expect(() => machine.node?.write('app/x', encodeJson({}))).toThrow(
      expect.objectContaining({ code: 'E_NO_CLUSTER' }),
    );
  });

  test("refuses what is too large, too much, or another machine's", () => {
    const [a, b] = pair(formed(2));
    expect(() => a.node?.write('app/x', new Uint8Array(maxBodyBytes + 1))).toThrow(
      expect.objectContaining({ code: 'E_RECORD_SIZE' }),
    );
    expect(() => a.node?.write(`c/${b.machine}/1`, null)).toThrow('belongs to another machine');
    expect(() => a.node?.write('nokey', null)).toThrow('no key');
  });

  test('stops at the share of one origin', () => {
    const [a] = pair(formed(1)) as [SimMachine, SimMachine];
    const write = (): void => {
      for (let index = 0; index <= maxOriginRecordCount; index++)
        a.node?.write(`app/${index}`, null);
    };
    expect(write).toThrow(expect.objectContaining({ code: 'E_RECORD_QUOTA' }));
  });

  test('beats a record that is dated ahead', () => {
    const cluster = formed(2);
    const [a, b] = pair(cluster);
    const aheadMs = 300 * 24 * 3_600_000;
    a.clockOffsetMs = aheadMs;
    a.node?.write('app/x', encodeJson({ by: 'a' }));
    cluster.world.runUntil(5100);
    const mine = b.node?.write('app/x', encodeJson({ by: 'b' }));
    cluster.world.runUntil(5200);
    expect(a.node?.map.get('app/x')?.value).toEqual({ by: 'b' });
    // One far clock must not pull the others along.
    expect(hlcToMs(mine?.hlc ?? 0)).toBeGreaterThan(b.now() + aheadMs / 2);
    const other = b.node?.write('app/y', null);
    expect(hlcToMs(other?.hlc ?? 0)).toBeGreaterThanOrEqual(b.now());
  });
});

test('a machine whose clock was two years ahead can remove another one afterwards', () => {
  const cluster = formed(3);
  const [a, b] = pair(cluster);
  a.clockOffsetMs = 2 * 365 * 24 * 3_600_000;
  a.node?.write('app/x', encodeJson({}));
  a.clockOffsetMs = 0;
  cluster.remove(a, b);
  expect(a.node?.isMember(b.machine)).toBe(false);
});

describe('own keys that peers bring back', () => {
  const scene = (lifeMs: number): [SimCluster, SimMachine, SimMachine, string] => {
    const cluster = formed(2);
    cluster.world.runUntil(lifeMs);
    const [a, b] = pair(cluster);
    return [cluster, a, b, `c/${a.machine}/1`];
  };

  test('soon after the start they are our memory', () => {
    const [, a, , key] = scene(adoptOwnMs - 1000);
    a.node?.offer([signedBy(a, key, hlcFromMs(a.now()), { old: 1 })]);
    expect(a.node?.map.get(key)?.value).toEqual({ old: 1 });
  });

  test('later, what we do not have is deleted again everywhere', () => {
    const [cluster, a, b, key] = scene(adoptOwnMs + 1000);
    b.node?.offer([signedBy(a, key, hlcFromMs(a.now()) + 7, { old: 1 })]);
    cluster.world.runUntil(cluster.world.nowMs + 100);
    expect(a.node?.map.get(key)?.value).toBeNull();
    expect(b.node?.map.get(key)?.value).toBeNull();
  });

  test('later, what we have is said again', () => {
    const [cluster, a, b, key] = scene(adoptOwnMs + 1000);
    a.node?.write(key, encodeJson({ mine: 1 }));
    b.node?.offer([signedBy(a, key, hlcFromMs(a.now()) + 5000 * 2048, { old: 1 })]);
    cluster.world.runUntil(cluster.world.nowMs + 100);
    expect(b.node?.map.get(key)?.value).toEqual({ mine: 1 });
  });

  test('our list of links is always corrected', () => {
    const [cluster, a, b] = scene(6000);
    const stale = { up: [], able: true, headless: [] };
    const key = `links/${a.machine}`;
    b.node?.offer([signedBy(a, key, hlcFromMs(a.now()) + 5000 * 2048, stale)]);
    cluster.world.runUntil(cluster.world.nowMs + 200);
    expect(cluster.disagreements()).toEqual([]);
    expect(b.node?.map.get(key)?.value).toMatchObject({ up: [{ machine: b.machine }] });
  });
});

describe('durability', () => {
  test('is told by the others once they have it on disk', () => {
    const cluster = formed(3);
    const [a] = pair(cluster);
    const { hlc = 0 } = a.node?.write('app/x', encodeJson({})) ?? {};
    const counts: number[] = [];
    a.node?.askStored({ key: 'app/x', hlc, count: 2, timeoutMs: 1000 }, (x) => counts.push(x));
    a.node?.askStored({ key: 'app/x', hlc: hlc + 1, count: 1, timeoutMs: 500 }, (x) =>
      counts.push(x),
    );
    a.node?.askStored({ key: 'app/x', hlc, count: 0, timeoutMs: 500 }, (x) => counts.push(x));
    cluster.world.runUntil(cluster.world.nowMs + 100);
    expect(counts).toEqual([0, 2]);
    cluster.world.runUntil(cluster.world.nowMs + 1000);
    expect(counts).toEqual([0, 2, 0]);
  });

  test('all linked machines can be asked; one that hangs is not waited for longer than asked', () => {
    const cluster = formed(3);
    const [a, b] = pair(cluster);
    const { hlc = 0 } = a.node?.write('app/x', encodeJson({})) ?? {};
    const counts: number[] = [];
    const ask = (): void => {
      const question = { key: 'app/x', hlc, count: 'linked', timeoutMs: 1000 } as const;
      a.node?.askStored(question, (count) => counts.push(count));
    };
    ask();
    cluster.world.runUntil(cluster.world.nowMs + 100);
    expect(counts).toEqual([2]);
    b.pause(5000);
    ask();
    cluster.world.runUntil(cluster.world.nowMs + 900);
    expect(counts).toEqual([2]);
    cluster.world.runUntil(cluster.world.nowMs + 200);
    expect(counts).toEqual([2, 1]);
  });

  test('a question is answered when the record comes later, and by a link that comes later', () => {
    const cluster = formed(2);
    const [a, b] = pair(cluster);
    b.killProcess();
    cluster.world.runUntil(cluster.world.nowMs + 1000);
    const { hlc = 0 } = a.node?.write('app/x', encodeJson({})) ?? {};
    const counts: number[] = [];
    a.node?.askStored({ key: 'app/x', hlc, count: 1, timeoutMs: 9000 }, (x) => counts.push(x));
    b.start();
    cluster.world.runUntil(cluster.world.nowMs + 4000);
    expect(counts).toEqual([1]);
  });
});

describe('passing tombstones', () => {
  test('leave the map of every machine after an hour', () => {
    const cluster = formed(2);
    const [a, b] = pair(cluster);
    const key = `c/${a.machine}/1`;
    a.node?.write(key, encodeJson({}));
    a.node?.write(key, null);
    cluster.world.runUntil(10_000);
    expect(b.node?.map.get(key)?.value).toBeNull();
    cluster.world.runUntil(tombstoneLifeMs + 120_000);
    expect([a.node?.map.record(key), b.node?.map.record(key), b.disk.copy().get(key)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('hostile peers', () => {
  test('nonsense closes the link and bans for a while', () => {
    const cluster = formed(3);
    const [a, b] = pair(cluster);
    const link = cluster.network.linksOf(a).find(({ peer }) => peer === b)?.link ?? 0;
    cluster.network.send(a, link, Uint8Array.from([0xc1]));
    cluster.world.runUntil(cluster.world.nowMs + 1000);
    expect(b.node?.linkedMachines()).not.toContain(a.machine);
    expect(b.reports.join()).toContain('malformed');
    cluster.world.runUntil(cluster.world.nowMs + 15_000);
    expect(cluster.disagreements()).toEqual([]);
    expect(b.node?.linkedMachines()).toContain(a.machine);
  });

  test('who was banned does not come back before it may, again and again', () => {
    const cluster = formed(3);
    const [a, b] = pair(cluster);
    const link = cluster.network.linksOf(a).find(({ peer }) => peer === b)?.link ?? 0;
    const before = cluster.network.madeCount;
    cluster.network.send(a, link, Uint8Array.from([0xc1]));
    cluster.world.runUntil(cluster.world.nowMs + hostileBanMs);
    // Twice a second at most, where each try ended within milliseconds.
    expect(cluster.network.madeCount - before).toBeLessThanOrEqual(25);
  });

  test('frames for links that are unknown or over are ignored', () => {
    const [a] = pair(formed(2));
    expect(() => a.node?.receive(999, Uint8Array.from([1]))).not.toThrow();
    expect(() => a.node?.linkDown(999)).not.toThrow();
  });

  test('a summary of lies costs one question', () => {
    const cluster = formed(2);
    const [a, b] = pair(cluster);
    const link = cluster.network.linksOf(a)[0]?.link ?? 0;
    const before = cluster.network.sentCount;
    const fingerprint = fingerprintBytes({ high: 1, low: 2 });
    const entries = [{ key: 'app/none', hlc: 9, fingerprint }];
    cluster.network.send(a, link, encodeFrame({ type: 'summary', buckets: [], entries }));
    cluster.world.runUntil(cluster.world.nowMs + 20);
    expect(cluster.network.sentCount - before).toBeLessThanOrEqual(4);
    expect(b.node?.map.record('app/none')).toBeUndefined();
    expect(decodeFrame(encodeFrame({ type: 'want', keys: [] }))).toEqual({
      type: 'want',
      keys: [],
    });
  });
});

describe('start', () => {
  test('the guards of a machine that starts hold before anything else runs', () => {
    const cluster = formed(3);
    const [, b] = pair(cluster);
    b.killProcess();
    cluster.world.runUntil(cluster.world.nowMs + 1000);
    b.start();
    expect(b.node?.guards()).toEqual(['isolated', 'booting']);
  });
});

describe('able', () => {
  test('is published, because others place by it', () => {
    const cluster = formed(2);
    const [a, b] = pair(cluster);
    a.node?.setAble(false);
    cluster.world.runUntil(cluster.world.nowMs + 5000);
    expect(b.node?.map.get(`links/${a.machine}`)?.value).toMatchObject({ able: false });
    a.node?.setAble(true);
    cluster.world.runUntil(cluster.world.nowMs + 5000);
    expect(b.node?.map.get(`links/${a.machine}`)?.value).toMatchObject({ able: true });
  });
});
