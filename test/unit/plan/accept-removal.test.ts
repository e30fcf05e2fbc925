import { describe, expect, test } from 'vitest';
import type { TscError } from '../../../src/lib/errors.ts';
import type { Mount, Project, Service } from '../../../src/model/project.ts';
import { recordKey } from '../../../src/model/record.ts';
import { acceptRemoval } from '../../../src/plan/accept-removal.ts';
import { ownersOf } from '../../../src/plan/owner.ts';
import { acceptVolumeAbandon } from '../../../src/plan/volume-home.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

const [a, b, c] = [machineId('a'), machineId('b'), machineId('c')];

const mounting = (...sources: string[]): Service => ({
  volumes: sources.map((source): Mount => ({ type: 'volume', source, target: `/${source}` })),
});

/** A project whose volumes lie on c. */
function withData(world: World, ...volumes: string[]): Project {
  const declared = Object.fromEntries(volumes.map((name) => [name, {}]));
  const project = aProject({ db: mounting(...volumes) }, { volumes: declared });
  world.up('a', project);
  const value = world.records.get(recordKey.pointer('app'))?.value as { volumes: object };
  const homes = Object.fromEntries(volumes.map((name) => [`app_${name}`, c]));
  world.write(recordKey.pointer('app'), a, { ...value, volumes: homes });
  return project;
}

function refusalOf(world: World, machine: string, self = 'a'): TscError {
  try {
    acceptRemoval(world.view(self), machine, { force: false });
  } catch (error) {
    return error as TscError;
  }
  throw new Error(`${machine} was not refused`);
}

const force = { force: true };
const gentle = { force: false };

describe('a machine is removed', () => {
  test('when it is there and nothing is on it', () => {
    const world = new World('a', 'b', 'c').container('c', 'ended', { state: 'exited' });
    const { machine, notes } = acceptRemoval(world.view('a'), 'c', gentle);
    expect([machine.id, notes]).toEqual([c, []]);
    expect(acceptRemoval(world.view('a'), c, gentle).machine.id).toBe(c);
  });

  test.each(['unreachable', 'lost'] as const)('when it is %s, whatever it ran', (state) => {
    const world = new World('a', 'b', 'c').container('c', 'one').is('c', state);
    expect(acceptRemoval(world.view('a'), 'c', gentle).notes).toEqual([
      `c is ${state} and ran 1 container: should it still be on, they go on until it is switched off`,
    ]);
  });

  test('by force, and the notes say what is left', () => {
    const world = new World('a', 'b', 'c').container('c', 'one').container('c', 'two');
    withData(world, 'data');
    expect(acceptRemoval(world.view('a'), 'c', force).notes).toEqual([
      expect.stringMatching(/^c still runs 2 containers.*on c: docker rm -f .*cluster=cluster\)$/),
      expect.stringMatching(/^the data of volume app\/app_data stays on c; .*`.* volume abandon/),
    ]);
  });

  test('with a note on services whose files are there', () => {
    const world = new World('a', 'b', 'c').is('c', 'lost');
    const bind: Mount = { type: 'bind', source: '/home/me/app/conf', target: '/conf' };
    world.up('c', aProject({ web: { volumes: [bind] } }));
    expect(acceptRemoval(world.view('a'), 'c', gentle).notes).toEqual([
      'the files of app/web are on c: run `up` again where others have them',
    ]);
  });
});

describe('a machine is not removed', () => {
  test('when it is not known', () => {
    expect(refusalOf(new World('a', 'b'), 'x')).toMatchObject({ code: 'E_MACHINE_UNKNOWN' });
  });

  test('by itself', () => {
    const world = new World('a', 'b', 'c').is('b', 'lost');
    const refused = refusalOf(world, 'a');
    expect(refused).toMatchObject({ code: 'E_MACHINE_SELF' });
    expect(refused.hint).toContain('run on c: tsc-compose machine rm a');
    expect(refusalOf(new World('a'), 'a').hint).toContain(
      'stop its agent and remove its data folder',
    );
    expect(() => acceptRemoval(world.view('a'), 'a', force)).toThrow(
      'is the machine that was asked',
    );
  });

  test.each(['reachable', 'headless'] as const)('while it is %s and runs something', (state) => {
    const world = new World('a', 'b', 'c').is('c', state).container('c', 'one');
    world.container('c', 'two', { state: 'paused' }).container('c', 'x', { state: 'exited' });
    const refused = refusalOf(world, 'c');
    expect(refused).toMatchObject({
      code: 'E_MACHINE_IN_USE',
      message: `c is ${state} and runs 2 containers`,
    });
    expect(refused.hint).toMatch(/`tsc-compose machine drain c`.*--force/);
  });

  test('while it has data: the hint fits whether it is there or away', () => {
    const world = new World('a', 'b', 'c');
    withData(world, 'data');
    const there = refusalOf(world, 'c');
    expect(there).toMatchObject({ code: 'E_MACHINE_HAS_DATA' });
    expect(there.message).toBe('c has data: volume app/app_data');
    expect(there.hint).toContain('`tsc-compose volume mv app_data MACHINE`');
    expect(refusalOf(world.is('c', 'lost'), 'c').hint).toContain(
      '`tsc-compose volume abandon app_data`',
    );
  });

  test('when it was drained and data holds a container there: the data is named', () => {
    const world = new World('a', 'b', 'c').container('c', 'one').options('c', { drain: true });
    expect(refusalOf(world, 'c')).toMatchObject({ code: 'E_MACHINE_IN_USE' });
    expect(refusalOf(world, 'c').hint).not.toContain('machine drain');
    withData(world, 'data');
    expect(refusalOf(world, 'c')).toMatchObject({ code: 'E_MACHINE_HAS_DATA' });
  });

  test('with many volumes: five are named', () => {
    const world = new World('a', 'b', 'c').is('c', 'lost');
    withData(world, 'd1', 'd2', 'd3', 'd4', 'd5', 'd6', 'd7');
    const { message } = refusalOf(world, 'c');
    expect(message).toMatch(/^c has data: volumes app\/app_d1, .*app\/app_d5 and 2 more$/);
  });

  test('while it has what a project that is down has left', () => {
    const world = new World('a', 'b', 'c');
    withData(world, 'data');
    world.down('a');
    expect(refusalOf(world, 'c')).toMatchObject({ code: 'E_MACHINE_HAS_DATA' });
    expect(refusalOf(world, 'c').hint).toContain('`tsc-compose -p app down -v`');
    world.down('a', 'app', true);
    expect(acceptRemoval(world.view('a'), 'c', gentle).machine.id).toBe(c);
  });
});

describe('after the removal', () => {
  const removed = (world: World): World => {
    world.write(recordKey.removed(c), a, { keeps: [] });
    return world;
  };

  test('its slots are placed anew at once, and its containers are not listed', () => {
    const world = new World('a', 'b', 'c');
    world.up('a', aProject({ web: { deploy: { replicas: 3 } } }));
    const { hash, rollout } = world.service('web');
    const slots = ownersOf(world.view('a')).get('app/web') ?? new Map();
    for (const [slot, machine] of slots) {
      world.container(String(machine).slice(3), `web${slot}`, { slot, hash, rollout });
    }
    expect(new Set(slots.values())).toEqual(new Set([a, b, c]));
    const view = removed(world).view('a');
    expect(view.containers.map(({ machine }) => machine).sort()).toEqual([a, b]);
    const after = [...(ownersOf(view).get('app/web')?.values() ?? [])];
    expect(after).toHaveLength(3);
    expect(after.every((machine) => machine === a || machine === b)).toBe(true);
  });

  test('volume abandon goes on without its data', () => {
    const world = new World('a', 'b', 'c');
    withData(world, 'data');
    const view = removed(world).view('a');
    expect(ownersOf(view).get('app/db')?.get('1')).toBe(c);
    const question = { volume: 'app_data', machine: undefined, user: undefined };
    const change = acceptVolumeAbandon(view, question);
    expect(change.from).toBe(c);
    expect([a, b]).toContain(change.to.id);
    world.write(recordKey.pointer('app'), a, change.pointer);
    expect(ownersOf(world.view('b')).get('app/db')?.get('1')).toBe(change.to.id);
  });

  test('a project that was down comes up again when what it had left is given up', () => {
    const world = new World('a', 'b', 'c');
    const project = withData(world, 'data');
    world.down('a');
    expect(acceptRemoval(world.view('a'), 'c', force).notes.join()).toContain('-p PROJECT down -v');
    removed(world);
    expect(() => world.up('a', project)).toThrow('the data or files of the service are on another');
    world.down('a', 'app', true);
    world.up('a', project);
    expect([a, b]).toContain(ownersOf(world.view('a')).get('app/db')?.get('1'));
  });

  test('what a hook of it has done is known, signed by another', () => {
    const world = new World('a', 'b', 'c');
    world.up('a', aProject({ web: {} }));
    const key = recordKey.pointer('app');
    const pointer = world.records.get(key)?.value as { services: { web: { rollout: string } } };
    const hook = { machine: c, run: pointer.services.web.rollout };
    world.write(key, a, { ...pointer, services: { web: { ...pointer.services.web, hook } } });
    const done = { ...hook, state: 'done', containerId: 'x', startedMs: 1, endedMs: 2 };
    const record = { ...done, exitCode: 0, why: '', lastLines: [] };
    world.write(recordKey.hook('app', 'web'), a, record);
    expect(world.service('web').hook?.state).toBeUndefined();
    removed(world);
    expect(world.service('web').hook?.state).toMatchObject({ state: 'done' });
  });
});
