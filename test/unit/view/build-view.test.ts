import { describe, expect, test } from 'vitest';
import type { MachineId } from '../../../src/model/ids.ts';
import { recordKey } from '../../../src/model/record.ts';
import type { View } from '../../../src/model/view.ts';
import { planVersion } from '../../../src/plan/limits.ts';
import { selectUsable } from '../../../src/render/endpoints.ts';
import { buildView } from '../../../src/view/build-view.ts';
import {
  containersOfService,
  containersOfSlot,
  failuresOfService,
  reachableMachines,
} from '../../../src/view/endpoints.ts';
import { aContainer, aMachineRecord, aProject, machineId, World } from '../../lib/builders.ts';

const a = machineId('a');
const b = machineId('b');

describe('machines', () => {
  test('a machine is built from its record, its admission and its options', () => {
    const world = new World().machine('a', { labels: { disk: 'ssd' }, publish: false });
    const machine = world.view('a').machines.get(a);
    expect(machine).toEqual({
      id: a,
      name: 'a',
      labels: { disk: 'ssd' },
      publicKey: 'public-a',
      wgPublicKey: Buffer.alloc(32, 1).toString('base64'),
      meshIp: expect.stringMatching(/^fd[0-9a-f:]+$/),
      endpoints: ['192.0.2.1:51820'],
      subnet: '10.210.1.0/24',
      gatewayIp: '10.210.1.1',
      range: '10.210.0.0/16',
      platform: 'linux/amd64',
      cpuCount: 4,
      memoryBytes: 8 * 1024 ** 3,
      versions: { agent: '0.1.0', engine: '20.10.24', protocol: 1, plan: planVersion },
      engineLabels: {},
      resources: {},
      weight: 4,
      bootedAtMs: 0,
      admittedHlc: 1,
      isDrained: false,
      hasIngress: true,
      publishes: false,
      liveness: 'reachable',
      isAble: true,
      connectedSinceMs: 0,
    });
  });

  test('weights go by size in powers of two, or by what operators set', () => {
    const world = new World().machine('a').machine('b', { weight: 3 }).machine('c');
    const record = aMachineRecord('c', 3);
    const big = { ...record, cpuCount: 15, memoryBytes: 31.2 * 1024 ** 3 };
    world.write('m/id-c', machineId('c'), big);
    const weights = [...world.view('a').machines.values()].map((machine) => machine.weight);
    expect(weights).toEqual([4, 3, 16]);
  });

  test('weights count for nobody while an agent does not know them', () => {
    const world = new World().machine('a', { weight: 3 });
    const record = aMachineRecord('b', 2);
    const old = { ...record, versions: { ...record.versions, plan: 1 } };
    world.write('m/id-b', b, old);
    const weights = [...world.view('a').machines.values()].map((machine) => machine.weight);
    expect(weights).toEqual([1, 1]);
  });

  test('what operators say a machine has wins over what its engine says', () => {
    const world = new World().machine('a', { resources: { gpu: 2 } });
    const resources = { gpu: 0, licence: 4 };
    world.write('m/id-a', a, { ...aMachineRecord('a', 1), resources });
    expect(world.view('a').machines.get(a)?.resources).toEqual({ gpu: 2, licence: 4 });
  });

  test('the name that operators set wins over the machine’s own', () => {
    const world = new World().machine('a', { name: 'blue' });
    expect(world.view('a').machines.get(a)?.name).toBe('blue');
  });

  test('of two machines with one name the one admitted later is shown with a number', () => {
    const world = new World().machine('b', { name: 'x' }).machine('a', { name: 'x' });
    world.machine('c', { name: 'x-2' });
    const names = [...world.view('a').machines.values()].map((machine) => machine.name);
    expect(names).toEqual(['x-3', 'x', 'x-2']);
  });

  test('of two machines with one subnet the one admitted later gets no containers', () => {
    const world = new World().machine('b').machine('a', { subnet: '10.210.1.0/24' });
    const { machines } = world.view('a');
    expect([machines.get(a)?.isDrained, machines.get(b)?.isDrained]).toEqual([true, false]);
  });

  test('a removed machine is absent, and so is what it has observed', () => {
    const world = new World('a', 'b').container('b', 'one');
    world.write(recordKey.removed(b), a, { admissions: [] });
    const view = world.view('a');
    expect([...view.machines.keys()]).toEqual([a]);
    expect(view.containers).toEqual([]);
  });

  test('this machine is reachable to itself, and one never heard of is unreachable', () => {
    const world = new World('a', 'b');
    world.liveness.clear();
    const { machines } = world.view('a');
    expect([machines.get(a)?.liveness, machines.get(b)?.liveness]).toEqual([
      'reachable',
      'unreachable',
    ]);
  });

  test('a machine says itself that it cannot act', () => {
    const world = new World('a');
    world.write(recordKey.links(a), a, { up: [], able: false, headless: [] });
    expect(world.view('a').machines.get(a)?.isAble).toBe(false);
  });
});

describe('malformed records', () => {
  test.each([
    [recordKey.machine(b), b, { name: 'b' }],
    [recordKey.machine(b), a, aMachineRecord('b', 2)],
    [recordKey.machine(b), b, aMachineRecord('c', 2)],
    [recordKey.machineOptions(a), a, { labels: ['x'] }],
    [recordKey.links(a), a, 'up'],
    [recordKey.pointer('bad'), a, { services: {} }],
    [recordKey.operation('app', 'web'), a, { scale: -1 }],
    [recordKey.container(a, 'bad'), a, { ...aContainer(), state: 'flying' }],
    [recordKey.container(b, 'bad'), a, aContainer()],
    [recordKey.failure(a, 'app', 'web'), a, { why: 1 }],
  ])('%s costs only itself and is listed', (key, origin, value) => {
    const world = new World('a').container('a', 'good');
    world.up('a', aProject({ web: {} }));
    world.write(key, origin, value);
    const view = world.view('a');
    expect(view.problems.map((problem) => problem.key)).toEqual([key]);
    expect(view.containers.map((container) => container.id)).toEqual(['good']);
    expect([...view.machines.keys()]).toEqual([a]);
    expect(view.projects.get('app')?.isComplete).toBe(true);
  });

  test('a tombstone is no problem', () => {
    const world = new World('a');
    for (const key of ['m/x', 'app/x', 'c/id-a/x', 'fail/id-a/x/y', 'links/id-a']) {
      world.write(key, a, null);
    }
    expect(world.view('a').problems).toEqual([]);
  });
});

describe('projects', () => {
  test('a service has the definition, the hash and the count that its pointer names', () => {
    const world = new World('a');
    world.up(
      'a',
      aProject({ web: { deploy: { replicas: 2 } }, all: { deploy: { mode: 'global' } } }),
    );
    const project = world.view('a').projects.get('app');
    expect([...(project?.services.values() ?? [])].map((service) => service.name)).toEqual([
      'all',
      'web',
    ]);
    expect(project?.services.get('web')).toMatchObject({
      mode: 'replicated',
      replicaCount: 2,
      isStopped: false,
      isOrphan: false,
      slots: { 1: a, 2: a },
    });
    expect(project?.services.get('all')?.mode).toBe('global');
  });

  test('what ran to its end counts for its service and its rollout alone', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {}, db: {} }));
    const { rollout } = world.service('web');
    world.write(recordKey.done('app', 'web', '2', rollout), a, { machine: a, atMs: 7 });
    world.write(recordKey.done('app', 'web', '1', rollout), a, { machine: a, atMs: 5 });
    world.write(recordKey.done('app', 'web', '3', rollout), a, null);
    world.write(recordKey.done('app', 'web', '4', 'earlier'), a, { machine: a, atMs: 9 });
    world.write(recordKey.done('app', 'we', '1', rollout), a, { machine: a, atMs: 9 });
    expect([...(world.service('web').done ?? [])]).toEqual([
      ['1', 5],
      ['2', 7],
    ]);
    expect(world.service('db').done).toBeUndefined();
    world.write(recordKey.done('app', 'web', '5', rollout), a, 'soon');
    world.write(recordKey.done('app', 'web', '6', 'earlier'), a, 'soon');
    expect(world.view('a').problems.map(({ key }) => key)).toEqual([
      recordKey.done('app', 'web', '5', rollout),
    ]);
  });

  test('a project whose revision has not arrived is incomplete', () => {
    const world = new World('a');
    const { revision } = world.up('a', aProject({ web: {} }));
    world.records.delete(recordKey.revision('app', revision.hash));
    const project = world.view('a').projects.get('app');
    expect(project?.isComplete).toBe(false);
    expect(project?.services.size).toBe(0);
  });

  test('an operation counts only while it is newer than the pointer', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }));
    world.write(recordKey.operation('app', 'web'), a, { scale: 5, stopped: true });
    expect(world.service('web')).toMatchObject({ replicaCount: 5, isStopped: true });
    world.up('a', aProject({ web: { environment: { X: '1' } } }));
    expect(world.service('web')).toMatchObject({ replicaCount: 1, isStopped: false });
  });

  test('a project that is down has its tombstone and no services', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }));
    world.down('a');
    const project = world.view('a').projects.get('app');
    expect(project?.tombstone?.removed).toBe(true);
    expect(project?.pointer).toBeUndefined();
    expect(project?.services.size).toBe(0);
  });
});

describe('order', () => {
  test('containers are ordered by project, service, slot as a number, machine and id', () => {
    const world = new World('a', 'b')
      .container('b', 'x', { slot: '10' })
      .container('a', 'z', { slot: '2' })
      .container('b', 'c', { slot: '2' })
      .container('a', 'y', { slot: '2' })
      .container('a', 'g', { slot: 'id-a', service: 'all' });
    expect(world.view('a').containers.map((container) => container.id)).toEqual([
      'g',
      'y',
      'z',
      'c',
      'x',
    ]);
  });

  test('the order in which records arrived has no influence', () => {
    const world = new World('a', 'b').container('b', 'x').container('a', 'y');
    world.up('a', aProject({ web: {}, db: {} }));
    const reversed = new World();
    for (const entry of world.records.all().toReversed()) reversed.records.set(entry);
    const context = {
      self: a,
      cluster: world.view('a').cluster,
      nowMs: 1,
      liveness: world.liveness,
      guards: [],
    };
    expect(buildView(reversed.records, context)).toEqual(buildView(world.records, context));
  });
});

describe('endpoints', () => {
  const ids = (found: readonly { readonly id: string }[]): readonly string[] =>
    found.map((container) => container.id);
  const usable = (view: View) => selectUsable(view, containersOfService(view, 'app', 'web'));

  test('ready containers on machines in traffic answer', () => {
    const world = new World('a', 'b', 'c')
      .container('a', 'ready')
      .container('b', 'starting', { slot: '2', ready: false })
      .container('c', 'away', { slot: '3' })
      .is('c', 'unreachable');
    const view = world.view('a');
    expect(ids(usable(view))).toEqual(['ready']);
  });

  test('when none is ready, all running ones that are not leaving answer', () => {
    const world = new World('a', 'b')
      .container('a', 'one', { ready: false })
      .container('a', 'two', { slot: '2', ready: false, health: 'unhealthy' })
      .container('a', 'leaving', { slot: '3', ready: false, draining: true })
      .container('b', 'exited', { slot: '4', ready: false, state: 'exited' });
    expect(ids(usable(world.view('a')))).toEqual(['one', 'two']);
  });

  test('a headless machine stays in traffic, a lost one does not', () => {
    const world = new World('a', 'b', 'c')
      .container('b', 'headless')
      .container('c', 'lost', { slot: '2' })
      .is('b', 'headless')
      .is('c', 'lost');
    const view = world.view('a');
    expect(ids(usable(view))).toEqual(['headless']);
    expect(reachableMachines(view).map((machine) => machine.name)).toEqual(['a']);
  });

  test('containers are found by slot', () => {
    const world = new World('a', 'b').container('b', 'one').container('a', 'two', { slot: '2' });
    expect(ids(containersOfSlot(world.view('a'), 'app', 'web', '2'))).toEqual(['two']);
  });

  test('containers and failures are found by service, in each view its own', () => {
    const world = new World('a', 'b').container('b', 'one', { slot: '2' });
    world.up('a', aProject({ web: {}, db: {} }));
    world.failure('b', world.service('web'));
    const before = world.view('a');
    expect(ids(containersOfService(before, 'app', 'web'))).toEqual(['one']);
    world.container('a', 'two').container('a', 'other', { service: 'db' });
    world.failure('a', world.service('web')).failure('a', world.service('db'));
    const view = world.view('a');
    expect(ids(containersOfService(view, 'app', 'web'))).toEqual(['two', 'one']);
    expect(ids(containersOfService(view, 'app', 'db'))).toEqual(['other']);
    expect(containersOfService(view, 'other', 'web')).toEqual([]);
    const machinesOf = (of: View) => failuresOfService(of, 'app', 'web').map((one) => one.machine);
    expect(machinesOf(view)).toEqual([a, b]);
    expect(machinesOf(before)).toEqual([b]);
    expect(failuresOfService(view, 'other', 'web')).toEqual([]);
  });
});

test('a container of a machine that is not a member is left out', () => {
  const world = new World('a');
  const stranger: MachineId = machineId('stranger');
  world.write(recordKey.container(stranger, 'x'), stranger, aContainer());
  expect(world.view('a').containers).toEqual([]);
});
