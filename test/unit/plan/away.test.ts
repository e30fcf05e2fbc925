import { describe, expect, test } from 'vitest';
import { heldSlots } from '../../../src/plan/held.ts';
import { ownersOf } from '../../../src/plan/owner.ts';
import { plan } from '../../../src/plan/plan.ts';
import { rolloutStatus } from '../../../src/plan/rollout-status.ts';
import { type ServingSince, servingSince } from '../../../src/plan/serving-since.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { isBehind } from '../../../src/view/behind.ts';
import { toSnapshot } from '../../../src/view/snapshot.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

const b = machineId('b');
const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
const withData = (more = {}) =>
  aProject({ db: { 'x-machines': 'b', volumes }, web: {}, ...more }, { volumes: { data: {} } });

function held(world: World): readonly string[] {
  const view = world.view('a');
  return heldSlots(view, ownersOf(view)).map(
    ({ service, slot, why }) => `${service}-${slot} ${why}`,
  );
}

describe('a slot whose machine is away', () => {
  test('is reported with its data', () => {
    const world = new World('a', 'b', 'c');
    world.up('a', withData());
    expect(held(world)).toEqual([]);
    expect(held(world.is('b', 'headless'))).toEqual([]);
    expect(held(world.is('b', 'unreachable'))).toContain(
      'db-1 held: its volume app_data is on b, which is unreachable',
    );
    expect(held(world.is('b', 'lost'))).toEqual([
      'db-1 held: its volume app_data is on b, which is lost',
    ]);
  });

  test('is reported as held by the file, or as waited for', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { 'x-machines': 'b', 'x-on-lost': 'hold' } }));
    const { hash } = world.service('web');
    world.container('b', 'x', { hash });
    expect(held(world.is('b', 'lost'))).toEqual([
      'web-1 held (x-on-lost: hold): it belongs to b, which is lost',
    ]);
    const other = new World('a', 'b');
    other.up('a', aProject({ web: { 'x-machines': 'b' } }));
    expect(held(other.is('b', 'unreachable'))).toEqual(['web-1 waits for b, which is unreachable']);
  });

  test('does not keep the rest of a change from being accepted, or from being ready', () => {
    const world = new World('a', 'b', 'c');
    world.up('a', withData());
    world.is('b', 'lost');
    world.up('a', withData({ more: {} }));
    expect(world.service('db').slots).toEqual({ 1: b });
    for (const service of ['web', 'more']) {
      const { hash, slots } = world.service(service);
      const machine = slots['1']?.slice(3) ?? '';
      expect(machine).not.toBe('b');
      world.container(machine, service, { service, hash });
    }
    const view = world.view('a');
    const owners = ownersOf(view);
    const status = rolloutStatus(toSnapshot(view, heldSlots(view, owners), owners), 'app', 0, []);
    expect(status.state).toBe('ready');
    expect(status.lines.find(({ service }) => service === 'db')?.why).toContain('held');
  });
});

describe('a change that reached only some machines', () => {
  test.each([[], ['isolated']] as const)('is carried out on those, guards %j', (...guards) => {
    const world = new World('a', 'b', 'c');
    world.up('a', aProject({ web: { deploy: { replicas: 3 } } }));
    const { hash, slots } = world.service('web');
    for (const [slot, machine] of Object.entries(slots)) {
      world.container(machine.slice(3), `s${slot}`, { slot, hash });
    }
    world.is('b', 'unreachable').is('c', 'unreachable');
    world.guards = [...guards];
    world.up('a', aProject({ web: { deploy: { replicas: 3 } } }));
    expect(world.service('web').away).toEqual([b, machineId('c')]);
    const ownersNow = ownersOf(world.view('a')).get('app/web');
    expect([...(ownersNow?.values() ?? [])]).toEqual(Array(3).fill(machineId('a')));
    const runs = plan(world.view('a'), idleLocalState).actions.filter(({ name }) => name === 'run');
    expect(runs).toHaveLength(2);
    // What runs on the others counts again as soon as they are back.
    world.is('b', 'reachable').is('c', 'reachable');
    expect(Object.fromEntries(ownersOf(world.view('a')).get('app/web') ?? [])).toEqual(slots);
  });
});

describe('of two copies', () => {
  const links = (world: World, from: string, to: readonly (readonly [string, number])[]): void => {
    world.write(`links/${machineId(from)}`, machineId(from), {
      up: to.map(([name, sinceMs]) => ({ machine: machineId(name), sinceMs })),
      able: true,
      headless: [],
    });
  };

  function healed(): World {
    const world = new World('a', 'b', 'c');
    world.up('a', aProject({ web: {} }));
    const { hash } = world.service('web');
    const slot = { hash, ready: true };
    world.container('c', 'old', { ...slot, createdMs: 1 });
    world.container('a', 'new', { ...slot, createdMs: 500_000, startedMs: 500_000 });
    links(world, 'a', [
      ['b', 10],
      ['c', 999_000],
    ]);
    links(world, 'b', [
      ['a', 10],
      ['c', 999_500],
    ]);
    links(world, 'c', [
      ['a', 999_200],
      ['b', 999_100],
    ]);
    return world;
  }

  test('that of the machine which has been connected for longest is kept', () => {
    const world = healed();
    expect(ownersOf(world.view('b')).get('app/web')?.get('1')).toBe(machineId('a'));
    expect(world.view('a').machines.get(machineId('c'))?.connectedSinceMs).toBe(999_200);
    links(world, 'c', []);
    expect(world.view('a').machines.get(machineId('c'))?.connectedSinceMs).toBe(0);
  });

  test('the other goes when the kept one has been in reach and ready for 5 s', () => {
    const world = healed();
    let since: ServingSince = new Map();
    const drains = (): boolean => {
      const view = world.view('c');
      since = servingSince(since, view);
      const { actions } = plan(view, { ...idleLocalState, servingSince: since });
      return actions.some(({ name }) => name === 'drain');
    };
    world.is('a', 'lost');
    world.nowMs += 10_000;
    expect(drains()).toBe(false);
    world.is('a', 'reachable');
    expect(drains()).toBe(false);
    world.nowMs += 4_900;
    expect(drains()).toBe(false);
    world.nowMs += 100;
    expect(drains()).toBe(true);
  });
});

describe('an agent that has just started is behind', () => {
  test.each([
    ['a container of a project that it does not know', { project: 'other' }, true],
    ['a newer container of another definition', { hash: 'h2', createdMs: 2_000_000 }, true],
    ['an older container of another definition', { hash: 'h0', createdMs: 5 }, false],
    ['a container of the definition that it knows', {}, false],
  ])('with %s', (_what, change, expected) => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: {} }));
    const { hash } = world.service('web');
    world.container('a', 'x', { hash, createdMs: 2_000_000, ...change });
    expect(isBehind(world.view('a'))).toBe(false);
    world.guards = ['booting'];
    expect(isBehind(world.view('a'))).toBe(expected);
    expect(isBehind(world.view('b'))).toBe(false);
  });
});

describe('what a power cut ended', () => {
  const starts = (guards: readonly ('booting' | 'isolated')[], exitCode: number): boolean => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { 'x-machines': 'a', restart: 'always' } }));
    const { hash } = world.service('web');
    world.container('a', 'x', { hash, state: 'exited', exitCode, ready: false, finishedMs: 2_000 });
    world.guards = guards;
    return plan(world.view('a'), idleLocalState).actions.some(({ name }) => name === 'start');
  };

  test('is started again when the others have been heard, any other end at once', () => {
    expect(starts(['booting'], 255)).toBe(false);
    expect(starts([], 255)).toBe(true);
    expect(starts(['isolated'], 255)).toBe(true);
    expect(starts(['booting'], 1)).toBe(true);
  });
});
