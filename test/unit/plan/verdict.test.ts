import { describe, expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import type { VerdictRecord } from '../../../src/model/record.ts';
import type { ServiceView } from '../../../src/model/view.ts';
import { acceptOperation } from '../../../src/plan/operate.ts';
import { isVerdict } from '../../../src/view/record-checks.ts';
import { aMachineRecord, aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const dies = { exitAfterMs: 100, exitCode: 1 };

function web(image: string, spec: Service = {}, replicas = 3) {
  const deploy = { ...spec.deploy, replicas };
  return aProject({ web: { ...spec, image, deploy } }, { volumes: { data: {} } });
}

/** A cluster that runs web:1 well and then takes web:2, whose containers end with code 1. */
function brokenUpdate(spec: Service = {}, change: { readonly noRollback?: boolean } = {}) {
  const fake = new FakeCluster(new World('a', 'b', 'c'));
  fake.world.up('a', web('web:1', spec));
  fake.settle();
  const good = fake.world.service('web');
  fake.world.nowMs += 1_000;
  fake.world.up('a', web('web:2', spec), change);
  const broken = fake.world.service('web');
  fake.behaviours.set(`web@${broken.hash}`, dies);
  return { fake, good, broken };
}

function verdicts(world: World): readonly VerdictRecord[] {
  return [...world.records.entries('verdict/')]
    .map((entry) => entry.value)
    .filter((value) => isVerdict(value));
}

function results(world: World): readonly string[] {
  return verdicts(world).map(({ result }) => result);
}

function hashes(fake: FakeCluster): readonly string[] {
  return fake.running('web').map((found) => found.hash);
}

function last(fake: FakeCluster): ServiceView {
  return fake.world.service('web');
}

describe('a rollout that works', () => {
  test('is good once every replica has been ready for five seconds, and is judged once', () => {
    const fake = new FakeCluster(new World('a', 'b', 'c'));
    const upMs = fake.world.nowMs;
    fake.world.up('a', web('web:1'));
    fake.settle();
    const [verdict, ...more] = verdicts(fake.world);
    expect(more).toEqual([]);
    expect(verdict).toMatchObject({ result: 'good' });
    expect((verdict?.atMs ?? 0) - upMs).toBeGreaterThanOrEqual(5_000);
    expect(last(fake).verdict).toEqual(verdict);
  });

  test('a failure after good is healed and takes nothing back', () => {
    const fake = new FakeCluster(new World('a', 'b', 'c'));
    fake.world.up('a', web('web:1'));
    fake.settle();
    fake.world.up('a', web('web:2'));
    fake.settle();
    fake.behaviours.set('web', dies);
    for (let round = 0; round < 100; round += 1) fake.tick();
    expect(last(fake)).toMatchObject({ verdict: { result: 'good' }, spec: { image: 'web:2' } });
    expect(last(fake).takenBack).toBeUndefined();
    fake.behaviours.clear();
    fake.world.up('a', web('web:2'));
    fake.settle();
    expect(fake.running('web')).toHaveLength(3);
  });
});

describe('a rollout that fails', () => {
  test('is taken back: the earlier definition is in force, its replicas never left', () => {
    const { fake, good, broken } = brokenUpdate();
    let least = 3;
    fake.settle(() => {
      const ready = fake.running('web').filter((found) => found.ready && !found.draining);
      least = Math.min(least, ready.length);
    });
    expect(least).toBe(3);
    expect(hashes(fake)).toEqual([good.hash, good.hash, good.hash]);
    const now = last(fake);
    expect(now.spec.image).toBe('web:1');
    expect(now.isRollback).toBe(true);
    expect(now.takenBack).toMatchObject({ rollout: broken.rollout, hash: broken.hash });
    expect(now.takenBack?.verdict.failure).toMatchObject({ why: 'exited (1)', exitCode: 1 });
    // The last verdict is that of going back.
    expect(results(fake.world)).toEqual(['good', 'rolled-back', 'good']);
  });

  test('keeps one broken container of the slot, stopped, for its log', () => {
    const { fake, broken } = brokenUpdate();
    fake.settle();
    const kept = fake.containers().filter((found) => found.hash === broken.hash);
    expect(kept.map(({ name, state }) => [name, state])).toEqual([['app-web-1-old', 'exited']]);
  });

  test('what is kept goes with rm, with its slot and after a day', () => {
    const kept = (fake: FakeCluster): readonly string[] =>
      fake.containers().flatMap(({ name }) => (name.endsWith('-old') ? [name] : []));
    const { fake } = brokenUpdate();
    fake.settle();
    expect(kept(fake)).toEqual(['app-web-1-old']);
    const by = { machine: machineId('a') };
    const { world } = fake;
    const act = { act: 'remove', services: ['web'] } as const;
    world.operate('a', acceptOperation(world.view('a'), 'app', act, world.nowMs, by).writes);
    fake.settle();
    expect(kept(fake)).toEqual([]);
    expect(fake.running('web')).toHaveLength(3);
    fake.behaviours.clear();
    world.nowMs += 1_000;
    world.up('a', web('web:3'));
    fake.settle();
    expect(kept(fake)).toEqual(['app-web-1-old', 'app-web-2-old', 'app-web-3-old']);
    world.up('a', web('web:3', {}, 2));
    fake.settle();
    expect(kept(fake)).toEqual(['app-web-1-old', 'app-web-2-old']);
    world.nowMs += 24 * 3_600_000;
    fake.settle();
    expect(kept(fake)).toEqual([]);
  });

  test('stop-first: the replaced container is started again, not made anew', () => {
    const spec = { deploy: { update_config: { order: 'stop-first' } } };
    const { fake, good } = brokenUpdate(spec);
    const before = fake.running('web').map(({ id }) => id);
    fake.settle();
    expect(hashes(fake)).toEqual([good.hash, good.hash, good.hash]);
    expect(fake.running('web').map(({ id }) => id)).toEqual(before);
    expect(fake.running('web').map(({ name }) => name)).toEqual([
      'app-web-1',
      'app-web-2',
      'app-web-3',
    ]);
  });

  test.each(['start-first', 'stop-first'])(
    '%s: going back by hand starts what was replaced again, one slot at a time',
    (order) => {
      const spec = { deploy: { update_config: { order } } };
      const fake = new FakeCluster(new World('a', 'b', 'c'));
      fake.world.up('a', web('web:1', spec));
      fake.settle();
      const ids = fake.running('web').map(({ id }) => id);
      fake.world.nowMs += 1_000;
      fake.world.up('a', web('web:2', spec));
      fake.settle();
      expect(fake.running('web').map(({ id }) => id)).not.toEqual(ids);
      fake.world.up('a', web('web:1', spec));
      const counts: number[] = [];
      fake.settle(() => counts.push(fake.running('web').filter((one) => !one.draining).length));
      expect(fake.running('web').map(({ id }) => id)).toEqual(ids);
      expect([Math.min(...counts), Math.max(...counts)]).toEqual(
        order === 'start-first' ? [3, 4] : [2, 3],
      );
    },
  );

  test.each<readonly [string, Service, { readonly noRollback?: boolean }]>([
    ['failure_action: pause', { deploy: { update_config: { failure_action: 'pause' } } }, {}],
    ['a local volume', { volumes: [{ type: 'volume', source: 'data', target: '/d' }] }, {}],
    ['--no-rollback', {}, { noRollback: true }],
  ])('%s: pauses with what runs, and the next up tries again', (_name, spec, change) => {
    const { fake, good, broken } = brokenUpdate(spec, change);
    fake.settle();
    expect(results(fake.world)).toEqual(['good', 'paused']);
    expect(last(fake)).toMatchObject({ hash: broken.hash, verdict: { result: 'paused' } });
    expect(hashes(fake)).toEqual(expect.arrayContaining([good.hash, good.hash]));
    fake.behaviours.clear();
    expect(fake.world.up('a', web('web:2', spec)).changed).toEqual(['web']);
    fake.settle();
    expect(new Set(hashes(fake))).toEqual(new Set([last(fake).hash]));
    expect(hashes(fake)).toHaveLength(3);
  });

  test('data is taken back only when the file says so', () => {
    const { fake, good } = brokenUpdate({
      volumes: [{ type: 'volume', source: 'data', target: '/d' }],
      deploy: { update_config: { failure_action: 'rollback' } },
    });
    let most = 0;
    fake.settle(() => {
      const slots = fake.running('web').map(({ slot }) => slot);
      most = Math.max(most, slots.length - new Set(slots).size);
    });
    expect(most).toBe(0);
    expect(hashes(fake)).toEqual([good.hash, good.hash, good.hash]);
  });

  test('a first deploy pauses: there is nothing to go back to', () => {
    const fake = new FakeCluster(new World('a', 'b', 'c'));
    fake.behaviours.set('web', dies);
    fake.world.up('a', web('web:1'));
    fake.settle();
    expect(verdicts(fake.world)).toMatchObject([{ result: 'paused' }]);
  });

  test('a failed rollback pauses', () => {
    const { fake, good } = brokenUpdate({ deploy: { update_config: { order: 'stop-first' } } });
    fake.behaviours.set(`web@${good.hash}`, dies);
    fake.settle();
    expect(results(fake.world)).toEqual(['good', 'rolled-back', 'paused']);
    expect(last(fake)).toMatchObject({ hash: good.hash, verdict: { result: 'paused' } });
  });

  test('what was taken back is tried again by up, in containers of its own', () => {
    const { fake, broken } = brokenUpdate();
    fake.settle();
    fake.behaviours.clear();
    const { pointer } = fake.world.up('a', web('web:2'));
    expect(pointer.services['web']?.hash).not.toBe(broken.hash);
    fake.settle();
    expect(new Set(hashes(fake))).toEqual(new Set([pointer.services['web']?.hash]));
    expect(last(fake)).toMatchObject({ spec: { image: 'web:2' }, verdict: { result: 'good' } });
  });

  test('up of the definition that is in force again changes nothing', () => {
    const { fake } = brokenUpdate();
    fake.settle();
    const before = fake.log.length;
    expect(fake.world.up('a', web('web:1')).changed).toEqual([]);
    fake.settle();
    expect(fake.log.slice(before)).toEqual([]);
    expect(last(fake).takenBack).toBeUndefined();
  });
});

describe('max_failure_ratio', () => {
  const config = { max_failure_ratio: 0.4, order: 'start-first' };

  test('up to it the others go on', () => {
    const fake = new FakeCluster(new World('a', 'b', 'c'));
    const spec = { deploy: { update_config: config } };
    fake.world.up('a', web('web:1', spec));
    fake.settle();
    fake.world.up('a', web('web:2', spec));
    const { hash } = last(fake);
    fake.behaviours.set(`web@${hash}`, dies);
    // One of three has broken; those that come after it do not.
    while (fake.world.view('a').failures.length === 0) fake.tick();
    fake.behaviours.clear();
    fake.settle();
    const updated = fake.running('web').filter((found) => found.hash === hash);
    expect(updated.map(({ slot }) => slot)).toEqual(['2', '3']);
    expect(results(fake.world)).toEqual(['good', 'good']);
  });

  test('over it the rollout is taken back', () => {
    const { fake, good } = brokenUpdate({ deploy: { update_config: config } });
    fake.settle();
    expect(hashes(fake)).toEqual([good.hash, good.hash, good.hash]);
    expect(last(fake).takenBack?.verdict.result).toBe('rolled-back');
  });
});

describe('who judges', () => {
  test('a part that may be the smaller one waits; together again there is one verdict', () => {
    const { fake, good, broken } = brokenUpdate();
    // Of four members two are away; which half may judge depends on the rank of the first.
    fake.world.machine('d');
    fake.off.add('d');
    fake.off.add('c');
    const sides: string[] = [];
    for (const [present, absent] of [
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
      [
        ['c', 'd'],
        ['a', 'b'],
      ],
    ] as const) {
      fake.off.clear();
      for (const name of absent) {
        fake.off.add(name);
        fake.world.is(name, 'unreachable');
      }
      for (const name of present) fake.world.is(name, 'reachable');
      fake.world.failure('a', broken, { slot: '1' });
      for (let round = 0; round < 10; round += 1) fake.tick();
      const key = `verdict/app/web/${broken.rollout}`;
      if (fake.world.records.get(key) !== undefined) sides.push(present.join());
      fake.world.records.delete(key);
    }
    expect(sides).toHaveLength(1);
    fake.off.clear();
    for (const name of ['a', 'b', 'c', 'd']) fake.world.is(name, 'reachable');
    fake.settle();
    expect(new Set(hashes(fake))).toEqual(new Set([good.hash]));
  });

  test('a machine without an agent makes neither side of a cut large enough', () => {
    const { fake, broken } = brokenUpdate();
    fake.world.is('b', 'headless');
    const key = `verdict/app/web/${broken.rollout}`;
    for (const [present, absent] of [
      ['a', 'c'],
      ['c', 'a'],
    ] as const) {
      fake.off.clear();
      for (const name of ['b', absent]) fake.off.add(name);
      fake.world.is(absent, 'unreachable');
      fake.world.is(present, 'reachable');
      fake.world.failure(present, broken, { slot: '1' });
      for (let round = 0; round < 10; round += 1) fake.tick();
      expect(fake.world.records.get(key)).toBeUndefined();
    }
    // Beside two agents of three it holds nothing up.
    fake.off.delete('a');
    fake.world.is('a', 'reachable');
    for (let round = 0; round < 10; round += 1) fake.tick();
    expect(fake.world.records.get(key)?.value).toMatchObject({ result: 'rolled-back' });
  });

  test('a machine alone judges what it accepted alone', () => {
    const fake = new FakeCluster(new World('a', 'b', 'c'));
    for (const name of ['b', 'c']) {
      fake.off.add(name);
      fake.world.is(name, 'unreachable');
    }
    fake.world.guards = ['isolated'];
    fake.world.up('a', web('web:1'));
    fake.settle();
    expect(verdicts(fake.world)).toMatchObject([{ result: 'good' }]);
  });

  test('beside an agent that does not know verdicts nothing is taken back', () => {
    const { fake, broken } = brokenUpdate();
    const old = aMachineRecord('c', 3);
    const versions = { ...old.versions, plan: 1 };
    fake.world.write(`m/${machineId('c')}`, machineId('c'), { ...old, versions });
    fake.settle();
    expect(last(fake)).toMatchObject({ hash: broken.hash, verdict: { result: 'paused' } });
    expect(fake.containers().filter(({ name }) => name.endsWith('-old'))).toEqual([]);
  });
});
