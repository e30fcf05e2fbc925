import { describe, expect, test } from 'vitest';
import type { Mount, Service } from '../../../src/model/project.ts';
import { recordKey } from '../../../src/model/record.ts';
import { ownersOf } from '../../../src/plan/owner.ts';
import { acceptVolumeAbandon, acceptVolumeMove } from '../../../src/plan/volume-home.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

const [a, b, c] = [machineId('a'), machineId('b'), machineId('c')];

const named = (source: string): Mount => ({ type: 'volume', source, target: `/${source}` });
const mounting = (...volumes: string[]): Service => ({ volumes: volumes.map(named) });

/** db and backup share `data`, backup also has `dumps`; cache stands alone. */
const project = aProject(
  {
    db: { ...mounting('data'), 'x-machines': ['a', 'b'] },
    backup: mounting('data', 'dumps'),
    cache: mounting('cache'),
    web: { deploy: { replicas: 2 } },
  },
  { volumes: { data: {}, dumps: {}, cache: {} } },
);

function running(): World {
  const world = new World('a', 'b', 'c');
  world.up('a', project);
  const pointer = world.records.get(recordKey.pointer('app'));
  const value = pointer?.value as { volumes: object };
  const volumes = { app_data: a, app_dumps: a, app_cache: c };
  world.write(recordKey.pointer('app'), a, { ...value, volumes });
  return world;
}

const question = (volume: string, machine?: string) => ({ volume, machine, user: 'me' });

describe('a move', () => {
  test('takes along everything that must stand beside the volume', () => {
    const world = running();
    const change = acceptVolumeMove(world.view('c'), question('app_data', 'b'));
    expect(change.volumes).toEqual(['app_data', 'app_dumps']);
    expect(change.services.map(({ name }) => name)).toEqual(['backup', 'db']);
    expect([change.from, change.to.id]).toEqual([a, b]);
    expect(change.pointer.volumes).toEqual({ app_data: b, app_dumps: b, app_cache: c });
    expect(change.pointer.services['db']?.slots).toEqual({ 1: b });
    const before = world.view('c').projects.get('app');
    expect(change.pointer).toMatchObject({ parent: before?.pointerHlc, author: { user: 'me' } });
    expect(change.pointer.services['web']).toEqual(before?.pointer?.services['web']);
    world.write(recordKey.pointer('app'), c, change.pointer);
    const owners = ownersOf(world.view('c'));
    expect([owners.get('app/db')?.get('1'), owners.get('app/backup')?.get('1')]).toEqual([b, b]);
  });

  test('knows a volume by its key as well', () => {
    const change = acceptVolumeMove(running().view('a'), question('cache', 'a'));
    expect(change.volumes).toEqual(['app_cache']);
  });

  test('keeps the operations of the project', () => {
    const world = running();
    world.operate('a', [{ key: recordKey.operation('app', 'web'), value: { scale: 5 } }]);
    const change = acceptVolumeMove(world.view('a'), question('cache', 'a'));
    expect(change.operations).toEqual([
      { key: recordKey.operation('app', 'web'), value: { scale: 5 } },
    ]);
  });

  test.each([
    ['an unknown volume', 'nothing', 'b', 'no volume of the cluster is called "nothing"'],
    ['an unknown machine', 'app_data', 'z', 'no machine of this cluster is called "z"'],
    ['where it is', 'app_data', 'a', 'volume app_data is on a already'],
    [
      'where a service may not run',
      'app_data',
      'c',
      'service "db" uses the volume and cannot run on c',
    ],
  ])('of or to %s is refused', (_title, volume, machine, why) => {
    expect(() => acceptVolumeMove(running().view('a'), question(volume, machine))).toThrow(why);
  });

  test('from or to a machine that is away is refused', () => {
    const world = running().is('a', 'lost');
    expect(() => acceptVolumeMove(world.view('b'), question('app_data', 'b'))).toThrow(
      'volume app_data is on a, which is lost',
    );
    expect(() => acceptVolumeMove(world.view('b'), question('cache', 'a'))).toThrow('is lost');
  });

  test('of a service with bind mounts on its machine is refused', () => {
    const world = new World('a', 'b');
    const bind: Mount = { type: 'bind', source: '/home/me/app/conf', target: '/conf' };
    world.up('a', aProject({ db: { volumes: [named('data'), bind] } }, { volumes: { data: {} } }));
    expect(() => acceptVolumeMove(world.view('a'), question('data', 'b'))).toThrow(
      'cannot run on b',
    );
  });

  test('of a volume that two projects share is refused', () => {
    const world = running();
    const shared = { volumes: { data: { name: 'app_data', external: true } } };
    world.up('a', { ...aProject({ other: mounting('data') }, shared), name: 'second' });
    expect(() => acceptVolumeMove(world.view('a'), question('app_data', 'b'))).toThrow(
      'app_data (project app) or app_data (project second)',
    );
  });
});

describe('an abandon', () => {
  test('goes on elsewhere with what stood together', () => {
    const world = running().is('a', 'lost');
    const change = acceptVolumeAbandon(world.view('c'), question('data'));
    expect(change.pointer.volumes).toEqual({ app_data: b, app_dumps: b, app_cache: c });
    expect(change.to.id).toBe(b);
  });

  test('is refused while the machine is there, and for a machine that does not fit', () => {
    const world = running();
    expect(() => acceptVolumeAbandon(world.view('b'), question('data'))).toThrow(
      'volume app_data is on a, which is there',
    );
    world.is('a', 'lost');
    expect(() => acceptVolumeAbandon(world.view('b'), question('data', 'c'))).toThrow(
      'service "db" uses the volume and cannot run on c',
    );
  });
});
