import { describe, expect, test } from 'vitest';
import type { Action, Plan } from '../../../src/model/action.ts';
import type { Service } from '../../../src/model/project.ts';
import { type ContainerRecord, recordKey } from '../../../src/model/record.ts';
import type { Guard } from '../../../src/model/view.ts';
import { surplusSettleMs } from '../../../src/plan/limits.ts';
import { plan } from '../../../src/plan/plan.ts';
import { servingSince } from '../../../src/plan/serving-since.ts';
import { idleLocalState, type LocalState } from '../../../src/plan/steps.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

/** A world in which machine a runs one replica of web, of the current definition. */
function oneReplica(spec: Service = {}, change: Partial<ContainerRecord> = {}): World {
  const world = new World('a');
  world.up('a', aProject({ web: spec }));
  return current(world, change);
}

function current(world: World, change: Partial<ContainerRecord> = {}): World {
  const { hash, rollout } = world.service('web');
  return world.container('a', 'one', { hash, rollout, createdMs: world.nowMs - 60_000, ...change });
}

function decide(world: World, local: Partial<LocalState> = {}, self = 'a'): Plan {
  const decided = plan(world.view(self), { ...idleLocalState, ...local });
  return { ...decided, actions: decided.actions.filter(isDeed) };
}

function actions(world: World, local: Partial<LocalState> = {}): readonly string[] {
  return decide(world, local).actions.map(text);
}

/** Verdicts and notes are left out: verdict.test.ts is about them. */
function isDeed({ name }: Action): boolean {
  return name !== 'writeVerdict' && name !== 'recordDone';
}

function text(action: Action): string {
  return `${action.name} ${action.subject.split(':')[1] ?? ''}`;
}

const exited = { state: 'exited', ready: false } as const;

describe('bringing up', () => {
  test('an empty slot is run with the hash and the rollout of the pointer', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }));
    const { hash, rollout } = world.service('web');
    expect(decide(world).actions).toEqual([
      {
        name: 'run',
        subject: 'slot:app/web/1',
        reason: 'the slot is empty',
        arguments: { project: 'app', service: 'web', slot: '1', hash, rollout },
      },
    ]);
  });

  test('nothing is begun twice', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }));
    expect(actions(world, { inFlight: new Set(['slot:app/web/1']) })).toEqual([]);
  });

  test('other machines have nothing to do', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { 'x-machines': 'a' } }));
    expect(decide(world, {}, 'b').actions).toEqual([]);
    expect(decide(world, {}, 'a').actions).toHaveLength(1);
  });

  test('an incomplete project is not touched', () => {
    const world = oneReplica();
    world.records.delete(`rev/app/${world.service('web').revisionHash}`);
    expect(actions(world)).toEqual([]);
    expect(decide(world).waiting[0]?.why).toBe('its definition has not arrived completely');
  });

  test('a slot without a machine says so', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { 'x-machines': 'b' } }));
    world.options('b', { drain: true });
    expect(decide(world).waiting.map((wait) => wait.why)).toEqual(['no machine can run it']);
  });

  test('a failure here holds the next attempt back for a minute', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }));
    world.failure('a', world.service('web'), { why: 'no such image', atMs: world.nowMs - 59_000 });
    expect(decide(world)).toMatchObject({
      actions: [],
      wakeAtMs: world.nowMs + 1_000,
      waiting: [{ why: 'failed: no such image' }],
    });
    world.nowMs += 1_000;
    expect(actions(world)).toEqual(['run app/web/1']);
  });

  test('a failure of an earlier rollout holds nothing back', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }));
    world.failure('a', world.service('web'), { rollout: 'earlier' });
    expect(actions(world)).toEqual(['run app/web/1']);
  });
});

describe('keeping up', () => {
  test('what is ready is left alone', () => {
    expect(decide(oneReplica())).toEqual({ actions: [], wakeAtMs: undefined, waiting: [] });
  });

  test('what has completed is left alone', () => {
    expect(actions(oneReplica({}, exited))).toEqual([]);
  });

  test('what was created and never started is started', () => {
    const created = { state: 'created', ready: false, startedMs: 0 } as const;
    expect(actions(oneReplica({}, created))).toEqual(['start one']);
  });

  test('what has ended is started after its pause', () => {
    const world = oneReplica(
      { restart: 'always' },
      { ...exited, exitCode: 1, startedMs: 999_000, finishedMs: 999_950, restarts: 0 },
    );
    expect(decide(world)).toMatchObject({ actions: [], wakeAtMs: 1_000_050 });
    world.nowMs = 1_000_050;
    expect(decide(world).actions).toMatchObject([
      { name: 'start', arguments: { containerId: 'one', restarts: 1 } },
    ]);
  });

  test('what the machine ended is started at once, but not before the others were heard', () => {
    const world = oneReplica({}, { ...exited, exitCode: 137, startedMs: 10, finishedMs: 20 });
    world.guards = ['booting'];
    expect(actions(world, { bootedAtMs: 900_000 })).toEqual([]);
    world.guards = ['stale', 'isolated'];
    expect(actions(world, { bootedAtMs: 900_000 })).toEqual(['start one']);
  });

  test('a failed container is reported once, with its code', () => {
    const world = oneReplica({}, { ...exited, exitCode: 3, finishedMs: 2_000 });
    const { actions: found } = decide(world);
    expect(found).toMatchObject([
      { name: 'reportFailure', arguments: { containerId: 'one', why: 'exited (3)', exitCode: 3 } },
    ]);
    world.failure('a', world.service('web'));
    expect(actions(world)).toEqual([]);
  });

  test('a crash loop is reported and goes on', () => {
    const looping = {
      ...exited,
      exitCode: 1,
      startedMs: 999_990,
      finishedMs: 999_990,
      restarts: 3,
    };
    const world = oneReplica({ restart: 'always' }, looping);
    world.nowMs += 1_000;
    expect(actions(world)).toEqual(['reportFailure app/web', 'start one']);
    world.failure('a', world.service('web'));
    expect(actions(world)).toEqual(['start one']);
    current(world, { ...looping, createdMs: world.nowMs - 9_000 });
    world.records.delete('fail/id-a/app/web');
    expect(actions(world)).toEqual(['start one']);
  });

  test('an unhealthy container is restarted, with a pause that grows, unless restart is no', () => {
    const unhealthy = {
      health: 'unhealthy',
      ready: false,
      startedMs: 999_000,
      restarts: 4,
    } as const;
    expect(decide(oneReplica({ restart: 'no' }, unhealthy)).actions.map(text)).toEqual([
      'reportFailure app/web',
    ]);
    const world = oneReplica({ stop_grace_period: '3s' }, unhealthy);
    expect(decide(world).wakeAtMs).toBe(1_000_600);
    world.nowMs = 1_000_600;
    expect(decide(world).actions).toMatchObject([
      { name: 'restart', arguments: { containerId: 'one', graceMs: 3_000, restarts: 5 } },
      { name: 'reportFailure' },
    ]);
  });

  test('what was leaving and is needed again comes back into traffic', () => {
    expect(actions(oneReplica({}, { draining: true, ready: false }))).toEqual(['start one']);
  });

  test('the lasting name is given when it is free', () => {
    const world = oneReplica({}, { name: 'app-web-1_x' });
    expect(decide(world).actions).toMatchObject([
      { name: 'rename', arguments: { containerId: 'one', name: 'app-web-1' } },
    ]);
    world.container('a', 'two', { project: 'other', name: 'app-web-1' });
    expect(actions(world)).toEqual([]);
  });

  test('a second copy of the slot leaves', () => {
    const world = oneReplica();
    const { hash } = world.service('web');
    world.container('a', 'two', { hash, name: 'x', ready: false });
    expect(actions(world)).toEqual(['remove two']);
  });

  test('a paused container is left alone, a dead one goes', () => {
    expect(actions(oneReplica({}, { state: 'paused', ready: false }))).toEqual([]);
    expect(actions(oneReplica({}, { state: 'dead', ready: false }))).toEqual(['remove one']);
  });
});

describe('taking away', () => {
  test('a container leaves traffic, waits a moment, and goes with the grace of the file', () => {
    const world = oneReplica({ stop_grace_period: '30s' });
    world.write('op/app/web', machineId('a'), { scale: 0 });
    expect(actions(world)).toEqual(['drain one']);
    current(world, { draining: true, ready: false });
    const drainingSinceMs = new Map([['one', world.nowMs]]);
    world.nowMs += 400;
    expect(decide(world, { drainingSinceMs })).toMatchObject({
      actions: [],
      wakeAtMs: world.nowMs + 600,
    });
    world.nowMs += 600;
    expect(decide(world, { drainingSinceMs }).actions).toMatchObject([
      { name: 'remove', arguments: { containerId: 'one', graceMs: 30_000 } },
    ]);
  });

  test('what serves nobody goes at once', () => {
    const world = oneReplica({}, exited);
    world.write('op/app/web', machineId('a'), { scale: 0 });
    expect(actions(world)).toEqual(['remove one']);
  });

  test('a stopped service is drained and stopped, and stays', () => {
    const world = oneReplica();
    world.write('op/app/web', machineId('a'), { stopped: true });
    expect(actions(world)).toEqual(['drain one']);
    current(world, { draining: true, ready: false });
    expect(actions(world)).toEqual(['stop one']);
    current(world, { ...exited, draining: true, exitCode: 137 });
    expect(actions(world)).toEqual([]);
  });

  test('a surplus copy waits until the other one has served for five seconds', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { 'x-machines': 'b' } }));
    const { hash } = world.service('web');
    world.container('a', 'here', { hash });
    expect(decide(world).waiting[0]?.why).toBe('runs on until its other copy is ready');
    world.container('b', 'there', { hash, ready: false });
    expect(actions(world)).toEqual([]);
    // An hour ahead, as everything that a clock which was set wrong has dated.
    world.container('b', 'there', { hash, startedMs: world.nowMs + 3_600_000 });
    const since = servingSince(new Map(), world.view('a'));
    expect(decide(world, { servingSince: since })).toMatchObject({
      actions: [],
      wakeAtMs: world.nowMs + surplusSettleMs,
    });
    world.nowMs += surplusSettleMs;
    expect(actions(world, { servingSince: since })).toEqual(['drain here']);
  });

  test('a surplus copy stays while its other copy is out of traffic', () => {
    const world = new World('a', 'b');
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    world.up('a', aProject({ web: { 'x-machines': 'b', volumes } }, { volumes: { data: {} } }));
    const { hash } = world.service('web');
    world.container('a', 'here', { hash }).container('b', 'there', { hash });
    expect(actions(world)).toEqual(['drain here']);
    world.is('b', 'lost');
    expect(actions(world)).toEqual([]);
  });

  test('volumes go only after the containers, and only those that were named', () => {
    const world = new World('a');
    const mount = { type: 'volume', source: 'data', target: '/data' };
    world.up('a', aProject({ web: { volumes: [mount] } }, { volumes: { data: {} } }));
    current(world, exited);
    world.down('a', 'app', true);
    const volumes = new Set(['app_data', 'app_other']);
    expect(actions(world, { volumes })).toEqual(['remove one']);
    world.write('c/id-a/one', machineId('a'), null);
    expect(actions(world, { volumes })).toEqual(['removeVolume app_data']);
    expect(actions(world, { volumes: new Set() })).toEqual([]);
  });

  test('a service that the pointer does not name goes, one of an unknown project stays', () => {
    const world = oneReplica();
    world.container('a', 'left', { ...exited, service: 'left', name: 'app-left-1' });
    world.container('a', 'strange', { ...exited, project: 'strange', name: 'strange-web-1' });
    expect(actions(world)).toEqual(['remove left']);
  });
});

describe('guards', () => {
  /** What each guard still permits. */
  test.each<[Guard, boolean]>([
    ['stale', false],
    ['booting', false],
    ['isolated', true],
  ])('%s: explicit changes are carried out: %s', (guard, isCarriedOut) => {
    const expected = (list: readonly string[]): readonly string[] => (isCarriedOut ? list : []);
    const fresh = new World('a');
    fresh.up('a', aProject({ web: {} }));
    const scaled = oneReplica({}, exited);
    scaled.write('op/app/web', machineId('a'), { scale: 0 });
    const downed = oneReplica({}, exited);
    downed.down('a');
    const updated = oneReplica({}, exited);
    updated.up('a', aProject({ web: { image: 'web:2' } }));
    const unnamed = oneReplica();
    unnamed.container('a', 'left', { ...exited, service: 'left' });
    for (const world of [fresh, scaled, downed, updated, unnamed]) world.guards = [guard];
    expect(actions(fresh)).toEqual(expected(['run app/web/1']));
    expect(actions(scaled)).toEqual(expected(['remove one']));
    expect(actions(downed)).toEqual(expected(['remove one']));
    expect(actions(updated)).toEqual(expected(['run app/web/1', 'rename one']));
    expect(actions(unnamed)).toEqual(expected(['remove left']));
  });

  test.each<Guard>(['stale', 'booting', 'isolated'])('%s: nothing is re-placed', (guard) => {
    const world = new World('a', 'b', 'c');
    world.up('a', aProject({ web: { 'x-machines': 'b' } }));
    world.up('a', aProject({ web: { 'x-machines': ['a', 'b'] } }));
    const { hash } = world.service('web');
    world.container('b', 'one', { hash }).is('b', 'lost');
    // Nobody gave the slot to this machine: it says so first.
    expect(actions(world)).toEqual(['claim ']);
    world.guards = [guard];
    expect(actions(world)).toEqual([]);
  });

  test.each<Guard>(['stale', 'booting', 'isolated'])('%s: no surplus is removed', (guard) => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { 'x-machines': 'b' } }));
    const { hash } = world.service('web');
    world
      .container('a', 'here', { hash, ready: false, state: 'exited' })
      .container('b', 'there', { hash });
    expect(actions(world)).toEqual(['remove here']);
    world.guards = [guard];
    expect(actions(world)).toEqual([]);
  });
});

describe('replacing', () => {
  const update = (spec: Service, change: Partial<ContainerRecord> = {}): World => {
    const world = oneReplica(spec, change);
    world.up('a', aProject({ web: { ...spec, image: 'web:2' } }));
    return world;
  };

  test.each<[string, Service, string]>([
    ['a stateless service starts first', {}, 'run app/web/1'],
    ['order: stop-first', { deploy: { update_config: { order: 'stop-first' } } }, 'drain one'],
    ['a volume', { volumes: [{ type: 'volume', target: '/data' }] }, 'drain one'],
    [
      'a writable bind mount',
      { volumes: [{ type: 'bind', source: '/x', target: '/x' }] },
      'drain one',
    ],
    [
      'a mount that is only read',
      { volumes: [{ type: 'bind', source: '/x', target: '/x', read_only: true }] },
      'run app/web/1',
    ],
    ['a host port', { ports: [{ target: 80, published: '80', mode: 'host' }] }, 'drain one'],
    ['the host network', { network_mode: 'host' }, 'drain one'],
    ['a name of its own', { container_name: 'own' }, 'drain one'],
    [
      'start-first with a volume, because the file says so',
      {
        volumes: [{ type: 'volume', target: '/data' }],
        deploy: { update_config: { order: 'start-first' } },
      },
      'run app/web/1',
    ],
    [
      'start-first with a host port, which cannot be',
      {
        ports: [{ target: 80, published: '80', mode: 'host' }],
        deploy: { update_config: { order: 'start-first' } },
      },
      'drain one',
    ],
  ])('%s', (_title, spec, expected) => {
    const name = spec.container_name ?? 'app-web-1';
    expect(actions(update(spec, { name }))).toEqual([expected]);
  });

  test('what has ended is kept for its log under another name, and its successor is made', () => {
    const world = update({}, exited);
    expect(decide(world).actions).toMatchObject([
      { name: 'run' },
      { name: 'rename', arguments: { containerId: 'one', name: 'app-web-1-old' } },
    ]);
  });

  test('the old one goes when the new one is ready', () => {
    const world = update({});
    const { hash, rollout } = world.service('web');
    const { nowMs } = world;
    const next = { hash, rollout, name: 'app-web-1_2', createdMs: nowMs, startedMs: nowMs };
    world.container('a', 'two', { ...next, ready: false });
    expect(decide(world).waiting[0]?.why).toBe('runs on until its successor is ready');
    expect(actions(world)).toEqual([]);
    world.container('a', 'two', next);
    expect(actions(world)).toEqual(['drain one']);
    world.write('c/id-a/one', machineId('a'), null);
    expect(actions(world)).toEqual(['rename two']);
  });

  test('one that is not ready goes when its successor is made, before it can become one too many', () => {
    const world = update({}, { ready: false });
    expect(actions(world)).toEqual(['stop one', 'run app/web/1']);
    world.guards = ['stale'];
    expect(actions(world)).toEqual([]);
  });

  test('a never-ready one of an earlier update goes first', () => {
    const world = update({});
    world.container('a', 'broken', { hash: 'x', ready: false, name: 'x' });
    expect(actions(world)).toEqual(['stop broken', 'run app/web/1']);
  });

  test('a never-ready one goes while the hook of the update runs, and nothing else changes', () => {
    const hook = { 'x-pre_deploy': { command: ['migrate'] } };
    const world = update({ deploy: { update_config: { order: 'stop-first' } }, ...hook });
    world.container('a', 'broken', { hash: 'x', ready: false, name: 'x' });
    expect(actions(world)).toEqual(['runHook app/web', 'stop broken']);
    world.guards = ['stale'];
    expect(actions(world)).toEqual([]);
  });

  test('while a hook runs, one that is not ready stays where nothing else serves', () => {
    const world = update({ 'x-pre_deploy': { command: ['migrate'] } }, { ready: false });
    expect(actions(world)).toEqual(['runHook app/web']);
  });

  test('the delay of the update is kept between two slots', () => {
    const spec: Service = { deploy: { replicas: 2, update_config: { delay: '10s' } } };
    const world = new World('a');
    world.up('a', aProject({ web: spec }));
    const old = world.service('web').hash;
    world.up('a', aProject({ web: { ...spec, image: 'web:2' } }));
    const { hash, rollout } = world.service('web');
    world.container('a', 'one', { hash, rollout, startedMs: world.nowMs - 4_000 });
    world.container('a', 'two', { hash: old, slot: '2', name: 'app-web-2' });
    expect(decide(world)).toMatchObject({ actions: [], wakeAtMs: world.nowMs + 6_000 });
    world.nowMs += 6_000;
    expect(actions(world)).toEqual(['run app/web/2']);
  });

  /** The update to web:2 has stopped, and nobody has anything of it. */
  const stopped = (world: World): World => {
    world.up('a', aProject({ web: { image: 'web:1' } }));
    world.up('a', aProject({ web: { image: 'web:2' } }));
    const { rollout } = world.service('web');
    const { nowMs: atMs } = world;
    const failure = {
      machine: machineId('a'),
      slot: '1',
      why: '',
      exitCode: 1,
      lastLines: [],
      atMs,
    };
    world.write(recordKey.verdict('app', 'web', rollout), machineId('a'), {
      result: 'paused',
      atMs,
      failure,
    });
    return world;
  };

  test('of two older copies that serve, the newer one stays while an update has stopped', () => {
    const world = stopped(new World('a'));
    world.container('a', 'older', { hash: 'x', name: 'x', createdMs: 1_000 });
    world.container('a', 'newer', { hash: 'y', createdMs: 2_000 });
    expect(actions(world)).toEqual(['drain older']);
    world.container('a', 'newer', { hash: 'y', createdMs: 2_000, ready: false });
    expect(actions(world)).not.toContain('drain older');
  });

  test('an older copy that comes back leaves when another older one serves', () => {
    const world = stopped(new World('a', 'b'));
    const [owner, other] = world.service('web').slots['1'] === machineId('a') ? 'ab' : 'ba';
    world.container(other ?? '', 'back', { hash: 'x' });
    const drains = (): boolean =>
      decide(world, {}, other).actions.some(({ subject }) => subject === 'container:back');
    expect(drains()).toBe(false);
    world.container(owner ?? '', 'kept', { hash: 'y', createdMs: 500, startedMs: 500 });
    expect(drains()).toBe(true);
  });

  test('a replica that is too many does not count for one that stays', () => {
    const spec: Service = { deploy: { replicas: 3, update_config: { order: 'stop-first' } } };
    const world = new World('a');
    world.up('a', aProject({ web: spec }));
    const { hash } = world.service('web');
    for (const slot of ['1', '2', '3']) {
      world.container('a', `c${slot}`, { hash, slot, name: `app-web-${slot}` });
    }
    // Slot 2 is on its way out already, slot 3 is no longer wanted.
    const deploy = { ...spec.deploy, replicas: 2 };
    world.up('a', aProject({ web: { ...spec, image: 'web:2', deploy } }));
    world.container('a', 'c2', {
      hash,
      slot: '2',
      draining: true,
      ready: false,
      name: 'app-web-2',
    });
    expect(actions(world)).toEqual(['drain c3', 'stop c2']);
    expect(decide(world).waiting[0]?.why).toBe('waits until enough replicas are ready');
  });

  test('two copies of one slot do not count for two slots', () => {
    const spec: Service = { deploy: { replicas: 3, update_config: { order: 'stop-first' } } };
    const world = new World('a', 'b');
    world.up('a', aProject({ web: spec }));
    const { hash, slots } = world.service('web');
    const at = (slot: string): string => slots[slot]?.slice(3) ?? '';
    for (const slot of ['1', '2', '3']) {
      world.container(at(slot), `c${slot}`, { hash, slot, ready: slot !== '2' });
    }
    // As when a machine returns whose replica was started elsewhere meanwhile.
    world.container(at('3') === 'a' ? 'b' : 'a', 'second', { hash, slot: '3', startedMs: 1 });
    world.up('a', aProject({ web: { ...spec, image: 'web:2' } }));
    const { actions: planned, waiting } = decide(world, {}, at('1'));
    expect(planned.map(text)).not.toContain('drain c1');
    expect(waiting.map(({ why }) => why)).toContain('waits until enough replicas are ready');
  });

  test('a failure of the rollout elsewhere stops the update here', () => {
    const world = new World('a', 'b');
    const spec: Service = { deploy: { replicas: 2, update_config: { parallelism: 0 } } };
    world.up('a', aProject({ web: spec }));
    const { hash, slots } = world.service('web');
    for (const [slot, machine] of Object.entries(slots)) {
      world.container(machine.slice(3), `c${slot}`, { hash, slot, name: `app-web-${slot}` });
    }
    world.up('a', aProject({ web: { ...spec, image: 'web:2' } }));
    const mine = Object.entries(slots).find(([, machine]) => machine === machineId('a'))?.[0];
    const other = Object.entries(slots).find(([, machine]) => machine === machineId('b'))?.[0];
    expect(actions(world)).toEqual([`run app/web/${mine}`]);
    world.failure('b', world.service('web'), { slot: other ?? '' });
    expect(actions(world)).toEqual([]);
    expect(decide(world).waiting[0]?.why).toBe('the update has stopped: exited (1)');
  });
});

describe('depends_on', () => {
  const project = (
    condition: 'service_started' | 'service_healthy' | 'service_completed_successfully',
    change = {},
  ) => aProject({ web: { depends_on: { db: { condition, ...change } } }, db: {} });

  const withDb = (
    condition: Parameters<typeof project>[0],
    db: Partial<ContainerRecord> | undefined,
    change = {},
  ): World => {
    const world = new World('a');
    world.up('a', project(condition, change));
    const { hash, rollout } = world.service('db');
    if (db !== undefined)
      world.container('a', 'db', { service: 'db', name: 'app-db-1', hash, rollout, ...db });
    return world;
  };
  const mayStart = (world: World): boolean => actions(world).includes('run app/web/1');

  test.each<[Parameters<typeof project>[0], Partial<ContainerRecord> | undefined, boolean]>([
    ['service_started', undefined, false],
    ['service_started', { state: 'created', startedMs: 0, ready: false }, false],
    ['service_started', { ready: false }, true],
    ['service_started', { hash: 'old' }, false],
    ['service_healthy', { ready: false }, false],
    ['service_healthy', { ready: true, health: 'healthy' }, true],
    ['service_healthy', { ready: true, draining: true }, false],
    ['service_completed_successfully', { ready: true }, false],
    ['service_completed_successfully', exited, true],
    ['service_completed_successfully', { ...exited, exitCode: 1 }, false],
  ])('%s with %j: %s', (condition, db, expected) => {
    expect(mayStart(withDb(condition, db))).toBe(expected);
  });

  test('says what it waits for', () => {
    const whys = (world: World): readonly string[] => decide(world).waiting.map((wait) => wait.why);
    expect(whys(withDb('service_healthy', { ready: false }))).toEqual([
      'waits for db to be healthy (0/1)',
    ]);
    expect(whys(withDb('service_completed_successfully', { ...exited, exitCode: 4 }))).toEqual([
      'service "db" didn\'t complete successfully: exit 4',
    ]);
  });

  test('an optional dependency that failed holds nothing up', () => {
    const broken = { ...exited, exitCode: 1 };
    const world = withDb('service_healthy', broken, { required: false });
    expect(mayStart(world)).toBe(false);
    world.failure('a', world.service('db'));
    expect(mayStart(world)).toBe(true);
  });

  test('a dependency on a machine out of traffic is not healthy', () => {
    const world = new World('a', 'b');
    const database = { 'x-machines': 'b', 'x-on-lost': 'hold' };
    const web = {
      depends_on: { db: { condition: 'service_healthy' } },
      'x-machines': 'a',
    } as const;
    world.up('a', aProject({ web, db: database }));
    const { hash, rollout } = world.service('db');
    world.container('b', 'db', { service: 'db', hash, rollout });
    expect(mayStart(world)).toBe(true);
    expect(mayStart(world.is('b', 'unreachable'))).toBe(false);
  });

  test('a dependency that is scaled to nothing holds nothing up', () => {
    const world = withDb('service_healthy', undefined);
    world.write('op/app/db', machineId('a'), { scale: 0 });
    expect(mayStart(world)).toBe(true);
  });

  test('conditions hold the first start only: healing goes on without them', () => {
    const world = withDb('service_healthy', { ready: false });
    const { hash, rollout } = world.service('web');
    world.write('op/app/web', machineId('a'), { scale: 2 });
    world.container('a', 'one', { hash, rollout });
    expect(actions(world)).toContain('run app/web/2');
  });
});

test('the plan of a machine is the same, whoever makes it', () => {
  const world = new World('a', 'b');
  world.up('a', aProject({ web: { deploy: { replicas: 4 } } }));
  const mine = plan(world.view('a'), idleLocalState);
  const supposed = plan({ ...world.view('b'), self: machineId('a') }, idleLocalState);
  expect(supposed).toEqual(mine);
});
