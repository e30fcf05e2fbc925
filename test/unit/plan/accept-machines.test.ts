import { describe, expect, test } from 'vitest';
import { recordKey } from '../../../src/model/record.ts';
import { acceptScale } from '../../../src/plan/accept.ts';
import { acceptMachineOptions, machineNamed } from '../../../src/plan/accept-machines.ts';
import { heldSlots } from '../../../src/plan/held.ts';
import { ownersOf } from '../../../src/plan/owner.ts';
import { aMachineRecord, aProject, machineId, World } from '../../lib/builders.ts';

describe('what operators set of a machine', () => {
  test('changes what is named and keeps the rest', () => {
    const before = { name: 'blue', labels: { a: '1', b: '2' }, weight: 2, publish: false };
    expect(acceptMachineOptions(before, { drain: true })).toEqual({ ...before, drain: true });
    expect(acceptMachineOptions(before, { labels: { a: null, c: '3' } })).toEqual({
      ...before,
      labels: { b: '2', c: '3' },
    });
    expect(acceptMachineOptions(before, { weight: null, resources: { gpu: 1 } })).toEqual({
      name: 'blue',
      publish: false,
      labels: { a: '1', b: '2' },
      resources: { gpu: 1 },
    });
    expect(acceptMachineOptions({ labels: { a: '1' } }, { labels: { a: null } })).toEqual({});
  });

  test('is refused when it cannot be meant', () => {
    expect(() => acceptMachineOptions({}, { weight: 0 })).toThrow('a weight is a number above 0');
    expect(() => acceptMachineOptions({}, { weight: 1e9 })).toThrow('1000000 at most');
    for (const name of ['', ' a', '-a', 'a b']) {
      expect(() => acceptMachineOptions({}, { labels: { [name]: 'x' } })).toThrow('no name of a');
    }
  });

  test('a machine is found by name or id', () => {
    const view = new World('a', 'b').view('a');
    expect(machineNamed(view, 'b').id).toBe('id-b');
    expect(machineNamed(view, 'id-b').name).toBe('b');
    expect(() => machineNamed(view, 'c')).toThrow('no machine of this cluster is called "c"');
  });
});

describe('slots that scale adds', () => {
  const scaled = (world: World, count: number) =>
    acceptScale(world.view('a'), 'app', { scale: { web: count } })[0]?.value;

  test('get their machines with the change, balanced with what is there', () => {
    const world = new World('a', 'b', 'c');
    world.up('a', aProject({ web: {} }));
    const first = world.service('web').slots['1'];
    const { slots = {} } = scaled(world, 3) ?? {};
    expect(Object.keys(slots)).toEqual(['2', '3']);
    expect(new Set([first, ...Object.values(slots)]).size).toBe(3);
    world.write(recordKey.operation('app', 'web'), machineId('a'), scaled(world, 3));
    expect(world.service('web').slots).toEqual({ 1: first, ...slots });
  });

  test('are left to every machine while an agent does not read them, or where data decides', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: {} }));
    const old = aMachineRecord('b', 2);
    const record = { ...old, versions: { ...old.versions, plan: 1 } };
    world.write(recordKey.machine(machineId('b')), machineId('b'), record);
    expect(scaled(world, 3)).toEqual({ scale: 3 });
    const data = new World('a', 'b');
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    data.up('a', aProject({ web: { volumes } }, { volumes: { data: {} } }));
    expect(scaled(data, 2)).toEqual({ scale: 2 });
  });
});

describe('owners', () => {
  const owned = (world: World, service: string) =>
    Object.fromEntries(ownersOf(world.view('a')).get(`app/${service}`) ?? []);

  test('a group stands together, where every member fits, also when it is placed anew', () => {
    const world = new World('a', 'b', 'c');
    const sidecar = { network_mode: 'service:app', 'x-machines': '!a' };
    world.up('a', aProject({ app: {}, sidecar }));
    const home = world.service('app').slots['1'];
    expect(home).not.toBe(machineId('a'));
    expect(world.service('sidecar').slots).toEqual({ 1: home });
    const { hash } = world.service('app');
    const name = home?.slice('id-'.length) ?? '';
    world.container(name, 'x', { service: 'app', hash }).is(name, 'lost');
    const other = machineId(name === 'b' ? 'c' : 'b');
    expect([owned(world, 'app'), owned(world, 'sidecar')]).toEqual([{ 1: other }, { 1: other }]);
  });

  test('data of one member ties the group', () => {
    const world = new World('a', 'b', 'c');
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    const sidecar = { network_mode: 'service:app', volumes, 'x-machines': 'c' };
    world.up('a', aProject({ app: {}, sidecar }, { volumes: { data: {} } }));
    expect(world.service('app').slots).toEqual({ 1: machineId('c') });
    world.is('c', 'lost');
    expect(owned(world, 'app')).toEqual({ 1: machineId('c') });
  });

  test('a global service waits where what it needs is taken, and stays where it runs', () => {
    const world = new World('a', 'b');
    const ports = [{ target: 80, published: '80', mode: 'host' }];
    world.up('a', aProject({ web: { ports, 'x-machines': 'a' } }));
    world.up('a', aProject({ each: { ports, deploy: { mode: 'global' } } }, { name: 'other' }));
    const each = () => Object.fromEntries(ownersOf(world.view('a')).get('other/each') ?? []);
    expect(each()).toEqual({ 'id-a': undefined, 'id-b': machineId('b') });
    const { hash } = world.service('each', 'other');
    const running = { project: 'other', service: 'each', slot: 'id-a', hash };
    world.container('a', 'x', running);
    expect(each()).toEqual({ 'id-a': machineId('a'), 'id-b': machineId('b') });
  });

  test('a global service with a count stays on its machines when another one joins', () => {
    const world = new World('a', 'b', 'c');
    const spec = { 'x-machines': { count: 2 }, deploy: { mode: 'global' } };
    world.up('a', aProject({ web: spec }));
    const before = Object.keys(owned(world, 'web'));
    expect(before).toHaveLength(2);
    const { hash } = world.service('web');
    for (const slot of before) world.container(slot.slice('id-'.length), slot, { slot, hash });
    for (const name of ['d', 'e', 'f', 'g']) world.machine(name);
    expect(Object.keys(owned(world, 'web'))).toEqual(before);
  });

  test('a global job that is done stays done on a machine that is drained', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { deploy: { mode: 'global-job' } } }));
    const { hash } = world.service('web');
    const done = { slot: 'id-b', hash, state: 'exited', ready: false } as const;
    world.container('b', 'x', done).options('b', { drain: true });
    expect(owned(world, 'web')).toEqual({ 'id-a': machineId('a'), 'id-b': machineId('b') });
  });

  test('data on a drained machine is reported', () => {
    const world = new World('a', 'b');
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    const project = aProject({ web: { volumes, 'x-machines': 'b' } }, { volumes: { data: {} } });
    world.up('a', project);
    world.options('b', { drain: true });
    const view = world.view('a');
    expect(heldSlots(view, ownersOf(view)).map(({ why }) => why)).toEqual([
      'held: its volume app_data is on b, which is drained',
    ]);
  });
});
