import { describe, expect, test } from 'vitest';
import type { Project, Service } from '../../../src/model/project.ts';
import { acceptUp } from '../../../src/plan/accept.ts';
import {
  changesOf,
  historyEntries,
  historyKey,
  historyOf,
  rollbackRequest,
  rollbackTarget,
  unreferenced,
} from '../../../src/plan/history.ts';
import { isPointer } from '../../../src/view/record-checks.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const a = machineId('a');

const web = (image: string, more: Service = {}) => aProject({ web: { ...more, image } });

/** As the acceptor does: the change is noted beside its pointer. */
function up(world: World, project: Project): void {
  world.up('a', project);
  note(world);
}

function note(world: World): void {
  const entry = world.records.get('app/app');
  if (entry === undefined || !isPointer(entry.value)) throw new Error('no pointer');
  const record = historyOf(entry.value, entry.hlc);
  world.write(historyKey('app', entry.hlc), a, record);
}

function back(world: World, to?: string) {
  const view = world.view('a');
  const project = view.projects.get('app');
  if (project === undefined) throw new Error('no project');
  const target = rollbackTarget(world.records, project, to);
  const { request, images } = rollbackRequest(world.records, 'app', target);
  const newId = (): string => world.newId();
  const facts = { self: a, nowMs: world.nowMs, images, newId, isRollback: true };
  const accepted = acceptUp(view, request, facts);
  world.write(`rev/app/${accepted.revision.hash}`, a, accepted.revision.record);
  world.write('app/app', a, accepted.pointer);
  note(world);
  return accepted;
}

function settled(): { readonly world: World; readonly fake: FakeCluster } {
  const world = new World('a', 'b');
  return { world, fake: new FakeCluster(world) };
}

describe('history', () => {
  test('a pointer that was signed anew for a removed machine is the same change', () => {
    const { world, fake } = settled();
    for (const image of ['web:1', 'web:2']) {
      up(world, web(image));
      fake.settle();
    }
    const before = historyEntries(world.records, 'app');
    world.write('app/app', machineId('b'), world.records.get('app/app')?.value);
    expect(historyEntries(world.records, 'app')).toEqual(before);
    const target = back(world);
    expect(target.pointer.services['web']?.revision).toBe(before[1]?.revision);
  });

  test('lists changes newest first, with author, what changed and how it ended', () => {
    const { world, fake } = settled();
    up(world, aProject({ web: { image: 'web:1' }, db: {} }));
    fake.settle();
    up(world, aProject({ web: { image: 'web:2' }, db: {} }));
    fake.settle();
    const entries = historyEntries(world.records, 'app');
    expect(entries).toMatchObject([
      {
        isCurrent: true,
        act: 'up',
        author: { machine: a },
        services: [
          { name: 'db', isChanged: false },
          { name: 'web', isChanged: true, verdict: { result: 'good' } },
        ],
      },
      { isCurrent: false, services: [{ isChanged: true }, { isChanged: true }] },
    ]);
    expect(entries[0]?.revision).toBe(world.service('web').revisionHash);
  });

  test('a change that nobody noted is listed while it is in force', () => {
    const { world } = settled();
    world.up('a', web('web:1'));
    expect(changesOf(world.records, 'app')).toHaveLength(1);
  });
});

describe('rollback', () => {
  test('goes back to the last that differs, and forth to a revision that is named', () => {
    const { world, fake } = settled();
    for (const image of ['web:1', 'web:2', 'web:3']) {
      up(world, web(image));
      fake.settle();
    }
    const third = world.service('web').revisionHash;
    const { pointer, changed } = back(world);
    expect(changed).toEqual(['web']);
    expect(pointer).toMatchObject({ act: 'rollback', services: { web: { isRollback: true } } });
    fake.settle();
    expect(world.service('web')).toMatchObject({ spec: { image: 'web:2' }, isRollback: true });
    expect(fake.running('web').map(({ hash }) => hash)).toEqual([world.service('web').hash]);
    back(world, third.slice(0, 6));
    fake.settle();
    expect(world.service('web').spec.image).toBe('web:3');
    expect(fake.running('web').map(({ hash }) => hash)).toEqual([world.service('web').hash]);
  });

  test('names the same revision as the change did: nothing is stored twice', () => {
    const { world, fake } = settled();
    up(world, web('web:1'));
    const first = world.service('web').revisionHash;
    fake.settle();
    up(world, web('web:2'));
    fake.settle();
    expect(back(world).revision.hash).toBe(first);
  });

  test('passes over what failed, unless it is named', () => {
    const { world, fake } = settled();
    up(world, web('web:1'));
    fake.settle();
    up(world, web('web:2'));
    const { hash, revisionHash } = world.service('web');
    fake.behaviours.set(`web@${hash}`, { exitAfterMs: 100, exitCode: 1 });
    fake.settle();
    // The broken container is still kept for its log: it must not pass for a new one.
    expect(back(world, revisionHash).pointer.services['web']?.hash).not.toBe(hash);
    up(world, web('web:3'));
    fake.settle();
    fake.behaviours.clear();
    back(world);
    expect(world.service('web').spec.image).toBe('web:1');
    fake.settle();
    back(world, revisionHash);
    fake.settle();
    expect(world.service('web').spec.image).toBe('web:2');
    expect(fake.running('web')).toHaveLength(1);
  });

  test('brings back each service as it was, also those that another change brought', () => {
    const { world, fake } = settled();
    up(world, aProject({ web: { image: 'web:1' }, db: { image: 'db:1' } }));
    fake.settle();
    const partial = aProject({ web: { image: 'web:2' }, db: { image: 'db:2' } });
    world.up('a', partial, { services: ['web'] });
    note(world);
    fake.settle();
    up(world, aProject({ web: { image: 'web:3' }, db: { image: 'db:3' } }));
    fake.settle();
    back(world);
    expect([world.service('web').spec.image, world.service('db').spec.image]).toEqual([
      'web:2',
      'db:1',
    ]);
  });

  test('without an earlier one, or with an unknown one, says what there is', () => {
    const { world } = settled();
    up(world, web('web:1'));
    expect(() => back(world)).toThrow('no earlier revision');
    expect(() => back(world, 'zzz')).toThrow('has no revision zzz');
    expect(() => back(world, '')).toThrow('has no revision');
  });
});

describe('what is no longer referred to', () => {
  const hour = 3_600_000;

  function longHistory(): World {
    const world = new World('a', 'b');
    for (let index = 0; index < 14; index += 1) up(world, web(`web:${index}`));
    return world;
  }

  /** Records in the tests have small clocks: the time is what makes them old. */
  function dropped(world: World, ageMs = 2 * hour): readonly string[] {
    const oldestMs = 0;
    return unreferenced(world.records, world.view('a', oldestMs + ageMs));
  }

  test('ten changes are kept with their revisions; older ones go', () => {
    const world = longHistory();
    const keys = dropped(world);
    expect(keys.filter((key) => key.startsWith('rev/'))).toHaveLength(4);
    expect(keys.filter((key) => key.startsWith('hist/'))).toHaveLength(4);
    for (const key of keys) world.write(key, a, null);
    expect(changesOf(world.records, 'app')).toHaveLength(10);
    expect(world.view('a').projects.get('app')?.isComplete).toBe(true);
    expect(dropped(world)).toEqual([]);
  });

  test('what is younger than an hour stays, as does all while a member is away', () => {
    const world = longHistory();
    expect(dropped(world, hour)).toEqual([]);
    world.is('b', 'lost');
    expect(dropped(world)).toEqual([]);
  });

  test('a revision that an old rollout goes back to stays', () => {
    const world = new World('a', 'b');
    const fake = new FakeCluster(world);
    up(world, web('web:1'));
    fake.settle();
    const good = world.service('web').revisionHash;
    const other = (index: number) =>
      aProject({ web: { image: 'web:2' }, x: { image: `x:${index}` } });
    up(world, other(0));
    fake.behaviours.set(`web@${world.service('web').hash}`, { exitAfterMs: 100, exitCode: 1 });
    fake.settle();
    for (let index = 1; index < 13; index += 1) {
      world.up('a', other(index), { services: ['x'] });
      note(world);
    }
    expect(world.service('web').revisionHash).toBe(good);
    const keys = unreferenced(world.records, world.view('a', world.nowMs + 2 * hour));
    expect(keys).not.toContain(`rev/app/${good}`);
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) world.write(key, a, null);
    expect(world.service('web').revisionHash).toBe(good);
  });

  test('a project that is down leaves nothing behind', () => {
    const world = longHistory();
    world.down('a');
    const keys = dropped(world);
    expect(keys.filter((key) => key.startsWith('rev/'))).toHaveLength(14);
  });
});
