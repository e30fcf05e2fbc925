import { describe, expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import type { ContainerRecord } from '../../../src/model/record.ts';
import { ownersOf } from '../../../src/plan/owner.ts';
import { plan } from '../../../src/plan/plan.ts';
import { type RolloutStatus, rolloutStatus } from '../../../src/plan/rollout-status.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { toSnapshot } from '../../../src/view/snapshot.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

function status(
  world: World,
  pointerHlc?: number,
  services: readonly string[] = [],
): RolloutStatus {
  const view = world.view('a');
  const snapshot = toSnapshot(view, plan(view, idleLocalState).waiting, ownersOf(view));
  const asked = pointerHlc ?? view.projects.get('app')?.pointerHlc ?? 0;
  return rolloutStatus(snapshot, 'app', asked, services);
}

function upWith(spec: Service, change?: Partial<ContainerRecord>): World {
  const world = new World('a');
  world.up('a', aProject({ web: spec }));
  const { hash, rollout } = world.service('web');
  if (change !== undefined) world.container('a', 'one', { hash, rollout, ...change });
  return world;
}

const exited = { state: 'exited', ready: false } as const;

describe('a service is', () => {
  test.each<[string, Service, Partial<ContainerRecord> | undefined, string]>([
    ['nothing there yet', {}, undefined, 'progressing'],
    ['a container that starts', {}, { ready: false }, 'progressing'],
    ['a ready container', {}, {}, 'ready'],
    ['a completed one', {}, exited, 'ready'],
    ['a completed one that must run', { restart: 'always' }, exited, 'progressing'],
    ['one of an older definition', {}, { hash: 'old' }, 'progressing'],
    ['one that leaves', {}, { draining: true }, 'progressing'],
    ['no replicas wanted', { deploy: { replicas: 0 } }, undefined, 'ready'],
  ])('%s: %#', (_title, spec, change, expected) => {
    expect(status(upWith(spec, change)).state).toBe(expected);
  });

  test('not ready while an older container is still there', () => {
    const world = upWith({}, {});
    world.container('a', 'old', { hash: 'old', name: 'x' });
    expect(status(world)).toMatchObject({
      state: 'progressing',
      lines: [{ service: 'web', ready: 1, wanted: 1, old: 1 }],
    });
  });

  test('not ready while a replica too many is still there, and ready without it', () => {
    const world = upWith({}, {});
    const { hash, rollout } = world.service('web');
    world.container('a', 'two', { hash, rollout, slot: '2', name: 'app-web-2' });
    expect(status(world)).toMatchObject({
      state: 'progressing',
      lines: [{ ready: 1, wanted: 1, old: 1, why: 'older and surplus replicas are being removed' }],
    });
    world.write('c/id-a/two', machineId('a'), null);
    expect(status(world).state).toBe('ready');
  });

  test('not ready by replicas of slots that are not wanted', () => {
    const world = upWith({});
    const { hash, rollout } = world.service('web');
    world.container('a', 'two', { hash, rollout, slot: '2', name: 'app-web-2' });
    expect(status(world).lines[0]).toMatchObject({ ready: 0, wanted: 1, state: 'progressing' });
  });

  test('global: not ready while it still runs on a machine that it has left', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { deploy: { mode: 'global' }, 'x-machines': ['a'] } }));
    const { hash, rollout } = world.service('web');
    world.container('a', 'one', { hash, rollout, slot: 'id-a' });
    world.container('b', 'two', { hash, rollout, slot: 'id-b', name: 'app-web-b' });
    expect(status(world).lines[0]).toMatchObject({ state: 'progressing', ready: 1, old: 1 });
    expect(status(world.is('b', 'unreachable')).state).toBe('ready');
  });

  test('not ready on a machine out of traffic, and the machine is named', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { 'x-machines': 'b' } }));
    const { hash, rollout } = world.service('web');
    world.container('b', 'one', { hash, rollout }).is('b', 'unreachable');
    expect(status(world).lines[0]).toMatchObject({ ready: 0, why: 'waits for machine b' });
  });

  test('global: ready without the machines that are away', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { deploy: { mode: 'global' } } }));
    const { hash, rollout } = world.service('web');
    world.container('a', 'one', { hash, rollout, slot: 'id-a' });
    expect(status(world).state).toBe('progressing');
    expect(status(world.is('b', 'unreachable')).state).toBe('ready');
  });

  test('stopped: over when nothing runs', () => {
    const world = upWith({}, {});
    world.write('op/app/web', machineId('a'), { stopped: true });
    expect(status(world).lines[0]).toMatchObject({ state: 'progressing', why: 'is being stopped' });
    const { hash, rollout } = world.service('web');
    world.container('a', 'one', { hash, rollout, ...exited, exitCode: 137 });
    expect(status(world).state).toBe('ready');
  });
});

describe('a rollout has failed', () => {
  test('at once, when nobody is going to try again', () => {
    const world = upWith({}, { ...exited, exitCode: 1 });
    expect(status(world).state).toBe('progressing');
    world.failure('a', world.service('web'), { why: 'exited (1)' });
    expect(status(world)).toMatchObject({
      state: 'failed',
      lines: [{ state: 'failed', why: 'exited (1)' }],
      failures: [{ why: 'exited (1)' }],
    });
  });

  test('only after a while, when the container is being restarted', () => {
    const world = upWith({ restart: 'always' }, { ...exited, exitCode: 1, restarts: 3 });
    world.failure('a', world.service('web'));
    world.nowMs += 19_999;
    expect(status(world)).toMatchObject({ state: 'progressing', failures: [{ slot: '1' }] });
    world.nowMs += 1;
    expect(status(world).state).toBe('failed');
  });

  test('but not when the slot has come up since, nor by another rollout', () => {
    const world = upWith({}, {});
    world.failure('a', world.service('web'));
    expect(status(world)).toMatchObject({ state: 'ready', failures: [] });
    const other = upWith({});
    other.failure('a', other.service('web'), { rollout: 'earlier' });
    expect(status(other)).toMatchObject({ state: 'progressing', failures: [] });
  });
});

describe('which change is looked at', () => {
  test('an older pointer is not the change yet, nor is an incomplete one', () => {
    const world = upWith({}, {});
    const hlc = world.view('a').projects.get('app')?.pointerHlc ?? 0;
    expect(status(world, hlc + 1)).toEqual({ state: 'progressing', lines: [], failures: [] });
    world.records.delete(`rev/app/${world.service('web').revisionHash}`);
    expect(status(world, hlc).state).toBe('progressing');
  });

  test('only the named services, else all but orphans', () => {
    const world = upWith({}, {});
    world.up('a', aProject({ db: {} }));
    expect(status(world).lines.map((line) => line.service)).toEqual(['db']);
    expect(status(world, undefined, ['web']).lines.map((line) => line.service)).toEqual(['web']);
  });

  test('containers of a service that was removed are waited for', () => {
    const world = upWith({}, {});
    world.up('a', aProject({ db: { deploy: { replicas: 0 } } }), { removeOrphans: true });
    expect(status(world, undefined, ['db'])).toMatchObject({
      state: 'progressing',
      lines: [{ service: 'db' }, { service: 'web', old: 1, why: 'is being removed' }],
    });
    world.write('c/id-a/one', machineId('a'), null);
    expect(status(world, undefined, ['db']).state).toBe('ready');
  });

  test('down is over when the containers that can be reached are gone', () => {
    const world = new World('a', 'b');
    world.container('a', 'one').container('b', 'two', { slot: '2' }).is('b', 'lost');
    world.up('a', aProject({ web: {} }));
    world.down('a');
    expect(status(world)).toMatchObject({
      state: 'progressing',
      lines: [{ service: 'web', old: 1, why: 'is being removed' }],
    });
    world.write('c/id-a/one', machineId('a'), null);
    expect(status(world)).toEqual({ state: 'ready', lines: [], failures: [] });
  });
});

test('why a service waits is shown', () => {
  const world = new World('a');
  world.up(
    'a',
    aProject({ web: { depends_on: { db: { condition: 'service_started' } } }, db: {} }),
  );
  const line = status(world).lines.find(({ service }) => service === 'web');
  expect(line?.why).toBe('waits for db to start');
});

test('a whole rollout ends ready, and its update too', () => {
  const fake = new FakeCluster(new World('a', 'b', 'c'));
  const project = (image: string) => aProject({ web: { image, deploy: { replicas: 4 } } });
  for (const image of ['web:1', 'web:2']) {
    fake.world.up('a', project(image));
    expect(status(fake.world).state).toBe('progressing');
    fake.settle();
    expect(status(fake.world)).toMatchObject({ state: 'ready', lines: [{ ready: 4, wanted: 4 }] });
  }
});
