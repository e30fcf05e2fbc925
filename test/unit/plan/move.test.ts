import { describe, expect, test } from 'vitest';
import type { Project, Service } from '../../../src/model/project.ts';
import { recordKey } from '../../../src/model/record.ts';
import { acceptRebalance } from '../../../src/plan/accept-machines.ts';
import { aMachineRecord, aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

function running(project: Project, ...names: readonly string[]): FakeCluster {
  const fake = new FakeCluster(new World(...names));
  fake.world.up('a', project);
  fake.settle();
  return fake;
}

const web = (count: number, spec: Service = {}): Project =>
  aProject({ web: { ...spec, deploy: { ...spec.deploy, replicas: count } } });

/** Settles, and says how few replicas were ready and how many ran at the worst moment. */
function extremes(fake: FakeCluster): { readonly least: number; readonly most: number } {
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  fake.settle(() => {
    const all = fake.running('web');
    least = Math.min(least, all.filter((found) => found.ready && !found.draining).length);
    most = Math.max(most, all.length);
  });
  return { least, most };
}

function rebalance(fake: FakeCluster): number {
  const { moves, writes } = acceptRebalance(fake.world.view('a'), []);
  fake.world.operate('a', writes);
  return moves.length;
}

describe('a machine that is drained', () => {
  test('keeps what has its data there, and nothing else', () => {
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    const fake = running(
      aProject(
        { db: { volumes, 'x-machines': 'b' }, web: { deploy: { replicas: 3 } } },
        { volumes: { data: {} } },
      ),
      'a',
      'b',
      'c',
    );
    fake.world.up(
      'a',
      aProject({ db: { volumes }, web: { deploy: { replicas: 3 } } }, { volumes: { data: {} } }),
    );
    fake.world.options('b', { drain: true });
    expect(extremes(fake).least).toBe(3);
    expect(fake.spread('web')).toMatch(/^a:[12] c:[12]$/);
    expect(fake.spread('db')).toBe('b:1');
    fake.world.options('b', { drain: false });
    fake.settle();
    expect(fake.spread('web')).toMatch(/^a:[12] c:[12]$/);
  });

  test('hands a slot over without a second copy where both would write to one volume', () => {
    const volumes = [{ type: 'volume', source: 'shared', target: '/data' }];
    const shared = { driver_opts: { type: 'nfs', device: ':/export' } };
    const project = aProject(
      { web: { volumes, deploy: { replicas: 3 } } },
      { volumes: { shared } },
    );
    const fake = running(project, 'a', 'b', 'c');
    fake.world.options('b', { drain: true });
    expect(extremes(fake)).toEqual({ least: 2, most: 3 });
    expect(fake.spread('web')).toMatch(/^a:[12] c:[12]$/);
  });

  test('keeps what no other machine can run', () => {
    const fake = running(aProject({ web: { 'x-machines': 'b' } }), 'a', 'b');
    fake.world.options('b', { drain: true });
    fake.settle();
    expect(fake.spread('web')).toBe('b:1');
  });
});

describe('rebalance', () => {
  test('moves as few replicas as make the counts even, two at a time, and loses none', () => {
    const fake = running(web(8), 'a', 'b');
    fake.world.machine('c').machine('d');
    fake.settle();
    expect(fake.spread('web')).toBe('a:4 b:4');
    expect(rebalance(fake)).toBe(4);
    const { least, most } = extremes(fake);
    expect(least).toBe(8);
    expect(most).toBeLessThanOrEqual(10);
    expect(fake.spread('web')).toBe('a:2 b:2 c:2 d:2');
    expect(rebalance(fake)).toBe(0);
  });

  test('evens out containers of several services by the weight of the machines', () => {
    const services = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`s${n}`, {}]));
    const fake = running(aProject(services), 'a');
    fake.world.machine('b', { weight: 8 });
    rebalance(fake);
    fake.settle();
    const onB = fake.containers().filter((found) => found.machine === machineId('b'));
    expect(onB).toHaveLength(6);
  });

  test('counts what stands beside a service with it', () => {
    const sidecar = { network_mode: 'service:web' };
    const fake = running(aProject({ web: {}, sidecar }), 'a');
    fake.world.machine('b');
    // They would stand there as they stand here.
    expect(rebalance(fake)).toBe(0);
    fake.world.up('a', aProject({ x: { 'x-machines': 'a' } }, { name: 'other' }));
    fake.settle();
    expect(rebalance(fake)).toBe(1);
    fake.settle();
    expect([fake.spread('web'), fake.spread('sidecar')]).toEqual(['b:1', 'b:1']);
  });

  test('leaves a slot where it is when it breaks on the new machine', () => {
    const fake = running(web(2), 'a');
    fake.world.machine('b');
    expect(rebalance(fake)).toBe(1);
    const { hash } = fake.world.service('web');
    fake.behaviours.set(`web@${hash}`, { runFailure: 'no such image' });
    fake.settle();
    expect(fake.spread('web')).toBe('a:2');
    fake.behaviours.clear();
    fake.settle();
    expect(fake.spread('web')).toBe('a:2');
  });

  test('does not bring a slot back that healing put elsewhere meanwhile', () => {
    const fake = running(web(4), 'a', 'b');
    fake.world.machine('c');
    expect(rebalance(fake)).toBe(1);
    fake.settle();
    expect(fake.spread('web')).toMatch(/c:1/);
    fake.powerOff('c');
    fake.settle();
    const before = fake.log.length;
    fake.powerOn('c');
    fake.settle();
    expect(fake.log.slice(before).filter((line) => line.includes(' run '))).toEqual([]);
    expect(fake.running('web')).toHaveLength(4);
  });

  test('touches neither data, nor rules, nor what is stopped', () => {
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    const project = aProject(
      {
        db: { volumes },
        pinned: { 'x-machines': 'a', deploy: { replicas: 3 } },
        held: { 'x-on-lost': 'hold', deploy: { replicas: 3 } },
        off: { deploy: { replicas: 3 } },
      },
      { volumes: { data: {} } },
    );
    const fake = running(project, 'a');
    fake.world.write(recordKey.operation('app', 'off'), machineId('a'), { stopped: true });
    fake.world.machine('b');
    expect(rebalance(fake)).toBe(0);
  });

  test('is over for a service with its next change', () => {
    const fake = running(web(4), 'a');
    fake.world.machine('b');
    expect(rebalance(fake)).toBe(2);
    const { operationsToClear } = fake.world.up('a', web(4));
    expect(operationsToClear).toEqual(['op/app/web']);
  });

  test('is refused while an agent would not carry it out', () => {
    const world = new World('a', 'b');
    const { versions, ...record } = aMachineRecord('b', 2);
    const id = machineId('b');
    world.write(recordKey.machine(id), id, { ...record, versions: { ...versions, plan: 1 } });
    expect(() => acceptRebalance(world.view('a'), [])).toThrow('the agents of b know no rebal');
  });

  test('is refused for a project that there is not', () => {
    const world = new World('a');
    expect(() => acceptRebalance(world.view('a'), ['none'])).toThrow('no such project: none');
  });
});

describe('after reboots', () => {
  const reboot = (fake: FakeCluster, name: string, number: number): void => {
    fake.powerOff(name);
    fake.settle();
    fake.powerOn(name);
    const id = machineId(name);
    const booted = { ...aMachineRecord(name, number), bootedAtMs: fake.world.nowMs };
    fake.world.write(recordKey.machine(id), id, booted);
    fake.settle();
  };

  /** Longer than the calm that balancing waits for. */
  const wait = (fake: FakeCluster): void => {
    for (let second = 0; second < 40; second += 0.5) fake.tick();
    fake.settle();
  };

  test('of all machines, one by one, the counts are even again', () => {
    const fake = running(web(6), 'a', 'b', 'c');
    for (const [index, name] of ['a', 'b', 'c'].entries()) reboot(fake, name, index + 1);
    expect(fake.spread('web')).not.toBe('a:2 b:2 c:2');
    let least = 6;
    for (let second = 0; second < 40; second += 0.5) {
      fake.tick();
      least = Math.min(least, fake.running('web').filter((found) => found.ready).length);
    }
    fake.settle();
    expect(least).toBe(6);
    expect(fake.spread('web')).toBe('a:2 b:2 c:2');
    const before = fake.log.length;
    wait(fake);
    expect(fake.log.slice(before)).toEqual([]);
  });

  test('of some machines everything stays where it went', () => {
    const fake = running(web(6), 'a', 'b', 'c');
    for (const [index, name] of ['a', 'b'].entries()) reboot(fake, name, index + 1);
    const spread = fake.spread('web');
    wait(fake);
    expect(fake.spread('web')).toBe(spread);
  });
});
