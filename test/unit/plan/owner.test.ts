import { describe, expect, test } from 'vitest';
import { recordKey } from '../../../src/model/record.ts';
import { isLargerSide, ownersOf } from '../../../src/plan/owner.ts';
import { plan } from '../../../src/plan/plan.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

const a = machineId('a');
const b = machineId('b');
const c = machineId('c');

function owners(world: World, self = 'a', service = 'web'): Record<string, string | undefined> {
  const slots = ownersOf(world.view(self)).get(`app/${service}`) ?? [];
  return Object.fromEntries([...slots].map(([slot, machine]) => [slot, machine?.slice(3)]));
}

/** One replica, assigned to b. */
function assignedToB(...names: readonly string[]): World {
  const world = new World(...names);
  world.up('a', aProject({ web: { 'x-machines': 'b' } }));
  world.up('a', aProject({ web: {} }));
  return world;
}

function withContainer(world: World, machine: string, change = {}): World {
  const { hash, rollout } = world.service('web');
  return world.container(machine, `on-${machine}`, { hash, rollout, ...change });
}

describe('a slot belongs to', () => {
  test('the machine that was assigned, while no container exists', () => {
    expect(owners(assignedToB('a', 'b', 'c'))).toEqual({ 1: 'b' });
  });

  test('the machine that has it already', () => {
    expect(owners(withContainer(assignedToB('a', 'b', 'c'), 'c'))).toEqual({ 1: 'c' });
  });

  test('of several that have it, the one that serves, then the older one', () => {
    const world = withContainer(assignedToB('a', 'b', 'c'), 'b', { ready: false, createdMs: 1 });
    withContainer(world, 'c', { createdMs: 9 });
    expect(owners(world)).toEqual({ 1: 'c' });
    withContainer(world, 'b', { createdMs: 1 });
    expect(owners(world)).toEqual({ 1: 'b' });
    withContainer(world, 'b', { createdMs: 1, draining: true });
    expect(owners(world)).toEqual({ 1: 'c' });
    withContainer(world, 'c', { state: 'exited', ready: false });
    expect(owners(world)).toEqual({ 1: 'b' });
  });

  test.each(['headless', 'unreachable'] as const)('the %s machine that has it', (liveness) => {
    const world = withContainer(assignedToB('a', 'b', 'c'), 'b').is('b', liveness);
    expect(owners(world)).toEqual({ 1: 'b' });
  });

  test('another machine, when the one that has it is lost, drained or no longer fits', () => {
    for (const spoil of [
      (world: World) => world.is('b', 'lost'),
      (world: World) => world.options('b', { drain: true }),
    ]) {
      const world = withContainer(assignedToB('a', 'b', 'c'), 'b');
      spoil(world);
      expect(owners(world)['1']).not.toBe('b');
      expect(owners(world)['1']).toBeDefined();
    }
  });

  test('another machine, when the one that has it has not been able to act for some seconds', () => {
    const world = withContainer(assignedToB('a', 'b', 'c'), 'b');
    const cannotActSince = (unableSinceMs: number): World => {
      world.write(recordKey.links(b), b, { up: [], able: false, unableSinceMs, headless: [] });
      return world;
    };
    expect(owners(cannotActSince(world.nowMs - 6_999))).toEqual({ 1: 'b' });
    expect(plan(world.view('a'), idleLocalState).wakeAtMs).toBe(world.nowMs + 1);
    expect(owners(cannotActSince(world.nowMs - 7_000))['1']).toMatch(/^[ac]$/);
    world.up('a', aProject({ web: { 'x-on-lost': 'hold' } }));
    expect(owners(world)).toEqual({ 1: 'b' });
  });

  test('the lost machine, when the file says `x-on-lost: hold`', () => {
    const world = withContainer(assignedToB('a', 'b', 'c'), 'b').is('b', 'lost');
    expect(owners(world)['1']).not.toBe('b');
    world.up('a', aProject({ web: { 'x-on-lost': 'hold' } }));
    expect(owners(world)).toEqual({ 1: 'b' });
  });

  test('a machine in traffic before one that is silent', () => {
    const world = withContainer(assignedToB('a', 'b', 'c'), 'b', { createdMs: 1 });
    withContainer(world.is('b', 'unreachable'), 'c', { createdMs: 9, ready: false });
    expect(owners(world)).toEqual({ 1: 'c' });
  });

  test('nobody, when no machine fits any more', () => {
    const world = assignedToB('a', 'b').options('a', { drain: true }).options('b', { drain: true });
    expect(owners(world)).toEqual({ 1: undefined });
  });

  test('the machine with its data, even when that is lost', () => {
    const world = new World('a', 'b', 'c');
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    world.up('a', aProject({ web: { 'x-machines': 'b', volumes } }, { volumes: { data: {} } }));
    withContainer(world, 'b').is('b', 'lost');
    expect(owners(world)).toEqual({ 1: 'b' });
  });

  test('the lost machine on which it completed', () => {
    const world = withContainer(assignedToB('a', 'b', 'c'), 'b', { state: 'exited', ready: false });
    expect(owners(world.is('b', 'lost'))).toEqual({ 1: 'b' });
  });

  test('a machine that cannot act only while it runs there', () => {
    const world = withContainer(assignedToB('a', 'b', 'c'), 'b');
    world.write('links/id-b', b, { up: [], able: false, headless: [] });
    expect(owners(world)).toEqual({ 1: 'b' });
    withContainer(world, 'b', { state: 'exited', exitCode: 1, ready: false });
    expect(owners(world)['1']).not.toBe('b');
  });
});

describe('a smaller side', () => {
  const split = (replicas: number): World => {
    const world = new World('a', 'b', 'c');
    world.up('a', aProject({ web: { deploy: { replicas } } }));
    const service = world.service('web');
    for (const [slot, machine] of Object.entries(service.slots)) {
      const { hash } = service;
      world.container(machine.slice(3), `s${slot}`, { slot, hash });
    }
    return world.is('b', 'lost').is('c', 'lost');
  };

  test('is less than half of the members', () => {
    expect(isLargerSide(split(1).view('a'))).toBe(false);
    expect(isLargerSide(split(1).is('b', 'headless').view('a'))).toBe(true);
    expect(isLargerSide(new World('a', 'b').is('b', 'lost').view('a'))).toBe(true);
  });

  test('re-places nothing of a service that it still has', () => {
    const world = split(3);
    expect(owners(world)).toEqual(
      Object.fromEntries(
        Object.entries(world.service('web').slots).map(([s, m]) => [s, m.slice(3)]),
      ),
    );
  });

  test('gives a service that it has not got one replica', () => {
    const world = new World('a', 'b', 'c');
    world.up('a', aProject({ web: { 'x-machines': '!a', deploy: { replicas: 4 } } }));
    const { slots } = world.service('web');
    world.up('a', aProject({ web: { deploy: { replicas: 4 } } }));
    const { hash } = world.service('web');
    for (const [slot, machine] of Object.entries(slots)) {
      world.container(machine.slice(3), `s${slot}`, { slot, hash });
    }
    world.is('b', 'lost').is('c', 'lost');
    const found = Object.values(owners(world));
    expect(found.filter((machine) => machine === 'a')).toHaveLength(1);
    expect(found.filter((machine) => machine === undefined)).toHaveLength(3);
  });

  test('carries out in full what was accepted on it', () => {
    const world = new World('a', 'b', 'c').is('b', 'lost').is('c', 'lost');
    world.up('a', aProject({ web: { deploy: { replicas: 3 } } }));
    expect(owners(world)).toEqual({ 1: 'a', 2: 'a', 3: 'a' });
    world.write('op/app/web', a, { scale: 4 });
    expect(owners(world)).toEqual({ 1: 'a', 2: 'a', 3: 'a', 4: 'a' });
  });
});

describe('guards', () => {
  test('leave every slot where it is', () => {
    const world = withContainer(assignedToB('a', 'b', 'c'), 'b').is('b', 'lost');
    world.guards = ['isolated'];
    expect(owners(world)).toEqual({ 1: 'b' });
    world.options('b', { drain: true });
    expect(owners(world)).toEqual({ 1: 'b' });
  });

  test('give new slots to nobody', () => {
    const world = assignedToB('a', 'b', 'c');
    world.write('op/app/web', a, { scale: 2 });
    world.guards = ['stale'];
    expect(owners(world)).toEqual({ 1: 'b', 2: undefined });
  });
});

describe('a global service', () => {
  test('has a slot on every machine that fits and is not lost', () => {
    const world = new World('a', 'b', 'c').machine('d', { drain: true });
    world.up('a', aProject({ web: { 'x-machines': '!c', deploy: { mode: 'global' } } }));
    expect(owners(world)).toEqual({ 'id-a': 'a', 'id-b': 'b' });
    expect(owners(world.is('b', 'lost'))).toEqual({ 'id-a': 'a' });
  });
});

test('derived slots are balanced over all services together', () => {
  const world = new World('a', 'b', 'c');
  world.up('a', aProject({ web: { deploy: { replicas: 1 } }, api: { deploy: { replicas: 1 } } }));
  world.write('op/app/web', a, { scale: 3 });
  world.write('op/app/api', a, { scale: 3 });
  for (const service of ['web', 'api']) {
    expect(new Set(Object.values(owners(world, 'a', service))).size).toBe(3);
  }
  expect(ownersOf(world.view('b'))).toEqual(ownersOf(world.view('c')));
  expect(c).toBe('id-c');
});
