import { describe, expect, test } from 'vitest';
import { TscError } from '../../../src/lib/errors.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import type { Mount } from '../../../src/model/project.ts';
import { recordKey } from '../../../src/model/record.ts';
import { type MachineFacts, pathsToLookFor } from '../../../src/plan/bind-pins.ts';
import { ownersOf } from '../../../src/plan/owner.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

const a = machineId('a');
const b = machineId('b');
const c = machineId('c');
const gib = 1024 ** 3;

const bind = (source: string, change: Partial<Mount> = {}): Mount => ({
  type: 'bind',
  source,
  target: '/x',
  ...change,
});

/** What each machine has: its paths, and GiB of free disk and memory. */
function facts(
  machines: Readonly<Record<string, { paths?: readonly string[]; disk?: number; memory?: number }>>,
): ReadonlyMap<MachineId, MachineFacts> {
  return new Map(
    Object.entries(machines).map(([name, { paths = [], disk = 10, memory = 4 }]) => [
      machineId(name),
      {
        existing: new Set(paths),
        freeDiskBytes: disk * gib,
        freeMemoryBytes: memory * gib,
      },
    ]),
  );
}

const media = aProject({ web: { volumes: [bind('/srv/media')], deploy: { replicas: 4 } } });

describe('an absolute bind mount', () => {
  test('spreads the service over the machines that have the path, and over no others', () => {
    const world = new World('a', 'b', 'c');
    const machines = facts({ a: {}, b: { paths: ['/srv/media'] }, c: { paths: ['/srv/media'] } });
    const { pointer, notes } = world.up('a', media, { machines });
    expect(new Set(Object.values(pointer.services['web']?.slots ?? {}))).toEqual(new Set([b, c]));
    expect(pointer.services['web']?.paths).toEqual({ on: [b, c] });
    expect(notes).toContain('service web runs on b, c only: they have /srv/media');
    // Healing keeps to it: with b lost, its slots go to c and never to a.
    world.is('b', 'lost');
    const owners = ownersOf(world.view('a')).get('app/web');
    expect(new Set(owners?.values())).toEqual(new Set([c]));
  });

  test('ties the service to the one machine that has the path', () => {
    const world = new World('a', 'b', 'c');
    const machines = facts({ a: {}, b: { paths: ['/srv/media'] }, c: {} });
    const { pointer, notes } = world.accept('a', media, { machines });
    expect(pointer.services['web']?.pinned).toBe(b);
    expect(notes).toContain('service web stays on b: only that machine has /srv/media');
  });

  test('that is nowhere is refused, and says what to do', () => {
    const world = new World('a', 'b');
    const refused = (): unknown => world.accept('a', media, { machines: facts({ a: {}, b: {} }) });
    expect(refused).toThrow(TscError);
    expect(refused).toThrow(
      'service "web" mounts /srv/media, which is on no machine that may run it',
    );
  });

  test('is made where just one machine may run the service', () => {
    const named = aProject({ web: { 'x-machines': 'b', volumes: [bind('/srv/media')] } });
    const world = new World('a', 'b');
    const machines = facts({ a: {}, b: {} });
    expect(world.accept('a', named, { machines }).pointer.services['web']?.pinned).toBe(b);
    const single = new World('a');
    const alone = single.accept('a', media, { machines: facts({ a: {} }) });
    expect(alone.pointer.services['web']?.pinned).toBe(a);
  });

  test('of a global service leaves out the machines without the path, not those that join', () => {
    const world = new World('a', 'b');
    const logs = aProject({ all: { deploy: { mode: 'global' }, volumes: [bind('/var/log')] } });
    const machines = facts({ a: { paths: ['/var/log'] }, b: {} });
    const { notes } = world.up('a', logs, { machines });
    expect(notes).toContain('service all does not run on b, without /var/log');
    world.machine('c');
    expect([...(ownersOf(world.view('a')).get('app/all')?.keys() ?? [])]).toEqual([a, c]);
  });

  test('keeps its machine while that does not answer', () => {
    const world = new World('a', 'b');
    world.up('a', media, { machines: facts({ a: {}, b: { paths: ['/srv/media'] } }) });
    world.is('b', 'unreachable');
    const { pointer } = world.accept('a', media, { machines: facts({ a: {} }) });
    expect(pointer.services['web']?.pinned).toBe(b);
  });

  test('only these paths are asked for', () => {
    const volumes = [
      bind('/srv/media'),
      bind('/home/me/app/conf'),
      bind('/home/me/shared'),
      bind('/proc'),
      bind('tsc-compose-copy:1'),
    ];
    const project = aProject({ web: { volumes } });
    const input = { project, workingDir: '/home/me/app', relativeBinds: ['/home/me/shared'] };
    expect(pathsToLookFor(['web'], input)).toEqual(['/srv/media']);
  });
});

describe('other bind mounts', () => {
  test('what the file names relative to itself ties, wherever it is', () => {
    const world = new World('a', 'b');
    const project = aProject({ web: { volumes: [bind('/home/me/shared')] } });
    const { pointer } = world.accept('b', project, {
      relativeBinds: ['/home/me/shared'],
      machines: facts({ a: {}, b: {} }),
    });
    expect(pointer.services['web']?.pinned).toBe(b);
  });

  test('the Docker socket ties nothing and is explained', () => {
    const world = new World('a', 'b');
    const project = aProject({ web: { volumes: [bind('/var/run/docker.sock')] } });
    const { pointer, notes } = world.accept('b', project, { machines: facts({ a: {}, b: {} }) });
    expect(pointer.services['web']?.pinned).toBeUndefined();
    expect(notes).toContain(
      'service web: the Docker socket shows each replica its own machine only',
    );
  });
});

describe('the home of a new volume', () => {
  const data = (name: string) =>
    aProject(
      { [name]: { volumes: [{ type: 'volume', source: name, target: '/data' }] } },
      { name, volumes: { [name]: {} } },
    );

  test('is the machine with most free disk and memory, and is named', () => {
    const world = new World('a', 'b', 'c');
    const machines = facts({ a: { disk: 5 }, b: { disk: 40, memory: 8 }, c: { memory: 1 } });
    for (const name of ['one', 'two', 'three']) {
      const { pointer, notes } = world.up('a', data(name), { machines });
      expect(pointer.volumes).toEqual({ [`${name}_${name}`]: b });
      expect(notes).toContain(`volume ${name}_${name} is kept on b`);
    }
  });

  test('is balanced among machines that have about the same', () => {
    const world = new World('a', 'b', 'c');
    const machines = facts({ a: { disk: 10 }, b: { disk: 9.8 }, c: { disk: 10.1 } });
    const homes = ['one', 'two', 'three'].map(
      (name) => world.up('a', data(name), { machines }).pointer.volumes[`${name}_${name}`],
    );
    expect(new Set(homes).size).toBe(3);
  });

  test('stays where it was, whatever room there is later', () => {
    const world = new World('a', 'b');
    world.up('a', data('one'), { machines: facts({ a: { disk: 1 }, b: { disk: 9 } }) });
    const later = world.accept('a', data('one'), {
      machines: facts({ a: { disk: 9 }, b: { disk: 1 } }),
    });
    expect(later.pointer.volumes).toEqual({ one_one: b });
    expect(world.records.get(recordKey.pointer('one'))).toBeDefined();
  });

  test('a machine that did not answer is taken last', () => {
    const world = new World('a', 'b');
    const { pointer } = world.accept('a', data('one'), { machines: facts({ b: { disk: 1 } }) });
    expect(pointer.volumes).toEqual({ one_one: b });
  });
});
