import { describe, expect, test } from 'vitest';
import type { LostChange } from '../../../src/model/record.ts';
import {
  type Change,
  changeId,
  conflictLines,
  lostChange,
  withLost,
} from '../../../src/plan/conflict.ts';
import { maxAncestorCount } from '../../../src/plan/limits.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

const a = machineId('a');
const b = machineId('b');
const dir = (): string => '/home/me/app';

function changeOf(world: World, self = 'a'): Change {
  const project = world.view(self).projects.get('app');
  const change = project?.pointer ?? project?.tombstone;
  if (change === undefined) throw new Error('no such project');
  return change;
}

/** Two worlds that parted after one change, and each made another. */
function parted(): { readonly world: World; readonly mine: Change; readonly theirs: Change } {
  const world = new World('a', 'b');
  world.up('a', aProject({ web: {} }));
  const first = changeOf(world);
  world.nowMs += 1_000;
  const mine = world.accept('a', aProject({ web: { command: ['mine'] } }), { user: 'ann' }).pointer;
  world.nowMs += 1_000;
  const theirs = world.accept('b', aProject({ web: { command: ['theirs'] } }), { user: 'bob' });
  expect(mine.ancestors).toEqual([changeId(first)]);
  return { world, mine, theirs: theirs.pointer };
}

describe('a change is lost', () => {
  test('when one replaces it that does not know of it', () => {
    const { mine, theirs } = parted();
    expect(lostChange(mine, theirs, dir)).toEqual({
      id: changeId(mine),
      author: { machine: a, user: 'ann' },
      atMs: mine.createdMs,
      isDown: false,
      workingDir: '/home/me/app',
      winner: { machine: b, user: 'bob' },
      volumes: {},
    });
  });

  test('not when it is an ancestor, however many changes lie between', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }));
    const first = changeOf(world);
    for (const command of ['1', '2', '3']) world.up('a', aProject({ web: { command: [command] } }));
    world.down('a');
    expect(lostChange(first, changeOf(world), dir)).toBeUndefined();
    world.up('a', aProject({ web: {} }));
    expect(lostChange(first, changeOf(world), dir)).toBeUndefined();
  });

  test('not when the same change is signed anew or taken back', () => {
    const { world, mine } = parted();
    expect(lostChange(mine, structuredClone(mine), dir)).toBeUndefined();
    expect(lostChange(mine, changeOf(world), dir)).toBeUndefined();
  });

  test('not when it lies before all that the other remembers', () => {
    const { mine, theirs } = parted();
    const ancestors = Array.from({ length: maxAncestorCount }, (_, index) => `id${index}`);
    expect(lostChange(mine, { ...theirs, ancestors }, dir)).toBeUndefined();
    const newer = { ...mine, createdMs: theirs.createdMs + 1 };
    expect(lostChange(newer, { ...theirs, ancestors }, dir)?.id).toBe(changeId(newer));
  });

  test('with the volumes that the winner has not got there', () => {
    const { mine, theirs } = parted();
    const lost = lostChange(
      { ...mine, volumes: { app_x: a, app_y: a, app_z: a } },
      { ...theirs, volumes: { app_x: a, app_y: b } },
      dir,
    );
    expect(lost?.volumes).toEqual({ app_y: a, app_z: a });
  });

  test('also when it took the project down', () => {
    const { world, theirs } = parted();
    world.down('a');
    expect(lostChange(changeOf(world), theirs, dir)).toMatchObject({
      isDown: true,
      workingDir: '',
    });
  });
});

const aLoss: LostChange = {
  id: 'lost1',
  author: { machine: b, user: 'ann' },
  atMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  isDown: false,
  workingDir: '/home/ann/app',
  winner: { machine: a },
  volumes: { app_data: b },
};

describe('what was lost', () => {
  test('is written down once', () => {
    const record = withLost(undefined, aLoss);
    expect(record).toEqual({ lost: [aLoss] });
    expect(withLost(record, aLoss)).toBeUndefined();
    const second = { ...aLoss, id: 'lost2', atMs: aLoss.atMs - 1 };
    expect(withLost(record, second)?.lost.map(({ id }) => id)).toEqual(['lost2', 'lost1']);
  });

  test('is told with the way to apply it again', () => {
    expect(conflictLines('app', aLoss, (id) => id.slice(3))).toEqual([
      'the up of project app by ann on b at 2026-01-02 03:04:05 UTC was replaced by a change on a that did not know of it.',
      'To apply it again: tsc-compose up in /home/ann/app on b',
      'Its volume app_data on b is kept.',
    ]);
    expect(conflictLines('app', { ...aLoss, isDown: true }, (id) => id)[1]).toBe(
      'To apply it again: tsc-compose -p app down',
    );
  });
});

describe('the next change', () => {
  const conflicted = (): World => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: {} }));
    world.write('conflict/app', b, { lost: [aLoss] });
    return world;
  };

  test('tells of what was lost, clears it, and is known to have done so', () => {
    const world = conflicted();
    expect(world.view('a').projects.get('app')?.conflicts).toEqual([aLoss]);
    const accepted = world.up('a', aProject({ web: {} }));
    expect(accepted.notes.join()).toContain('To apply it again');
    expect(accepted.operationsToClear).toEqual(['conflict/app']);
    expect(accepted.pointer.ancestors).toContain('lost1');
    expect(world.view('a').projects.get('app')?.conflicts).toEqual([]);
    expect(world.up('a', aProject({ web: {} })).notes.join()).not.toContain('apply it again');
  });

  test('finds the volume that the lost one made', () => {
    const world = conflicted();
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    const accepted = world.up('a', aProject({ web: { volumes } }, { volumes: { data: {} } }));
    expect(accepted.pointer.volumes).toEqual({ app_data: b });
    expect(accepted.pointer.services['web']?.slots).toEqual({ 1: b });
  });

  test('a record that is no list of lost changes is a problem, not a crash', () => {
    const world = conflicted();
    world.write('conflict/app', b, { lost: [{ id: 'x' }] });
    const view = world.view('a');
    expect(view.projects.get('app')?.conflicts).toEqual([]);
    expect(view.problems.map(({ key }) => key)).toEqual(['conflict/app']);
  });
});
