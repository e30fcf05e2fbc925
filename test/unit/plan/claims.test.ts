import { describe, expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import { recordKey } from '../../../src/model/record.ts';
import { plan } from '../../../src/plan/plan.ts';
import { compareRank } from '../../../src/plan/rank.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const slot = { project: 'app', service: 'web', slot: '1' };

/** A slot whose machine is lost; "own" is who takes it over, "other" the third machine. */
function orphaned(more: Readonly<Record<string, Service>> = {}): {
  readonly world: World;
  readonly own: string;
  readonly other: string;
} {
  const world = new World('a', 'b', 'c');
  world.up('a', aProject({ web: { 'x-machines': 'b' }, ...more }));
  world.up('a', aProject({ web: {}, ...more }));
  const { hash } = world.service('web');
  world.container('b', 'gone', { hash }).is('b', 'lost');
  const own = ['a', 'c'].find((name) => planned(world, name).actions.length > 0) ?? '';
  return { world, own, other: own === 'a' ? 'c' : 'a' };
}

function planned(world: World, name: string) {
  const { actions, waiting, wakeAtMs } = plan(world.view(name), idleLocalState);
  return { actions: actions.map((action) => action.name), waiting, wakeAtMs };
}

function claim(world: World, name: string, atMs = world.nowMs): void {
  const id = machineId(name);
  world.write(recordKey.claim(id), id, { slots: [{ ...slot, atMs }] });
}

describe('a slot that nobody was given', () => {
  test('is claimed, and filled 300 ms later', () => {
    const { world, own } = orphaned();
    const first = planned(world, own);
    expect(first).toMatchObject({ actions: ['claim'], wakeAtMs: world.nowMs + 300 });
    claim(world, own);
    world.nowMs += 299;
    expect(planned(world, own).actions).toEqual([]);
    world.nowMs += 1;
    expect(planned(world, own).actions).toEqual(['run']);
  });

  test('is left to the better of two claims, whoever was first', () => {
    const { world, own, other } = orphaned();
    claim(world, own);
    world.nowMs += 1_000;
    claim(world, other);
    const isBetter = compareRank('app/web/1', machineId(other), machineId(own)) < 0;
    const { actions, waiting } = planned(world, own);
    expect(actions).toEqual(isBetter ? [] : ['run']);
    if (isBetter) expect(waiting[0]?.why).toBe(`${other} is about to run it`);
  });

  test('is not left to a machine that cannot be reached or cannot act', () => {
    const { world, own, other } = orphaned();
    claim(world, own);
    claim(world, other);
    world.nowMs += 300;
    const id = machineId(other);
    world.write(recordKey.links(id), id, { up: [], able: false, headless: [] });
    expect(planned(world, own).actions).toContain('run');
  });

  test('is claimed no more once it is filled, or belongs to another', () => {
    const { world, own } = orphaned();
    claim(world, own);
    const { hash } = world.service('web');
    world.container(own, 'new', { hash, name: 'app-web-1' });
    const { actions } = plan(world.view(own), idleLocalState);
    // Which of the machines judges the change is not the matter here.
    const others = actions.filter(({ name }) => name !== 'writeVerdict');
    expect(others.map(({ name, arguments: given }) => [name, given])).toEqual([
      ['claim', { slots: [] }],
    ]);
  });

  test('stays claimed while it is being filled', () => {
    const { world, own } = orphaned();
    claim(world, own);
    const local = { ...idleLocalState, inFlight: new Set(['slot:app/web/1']) };
    expect(plan(world.view(own), local).actions).toEqual([]);
  });
});

describe('no claim is needed', () => {
  test('for what a change has given to the machine, scale included', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: { deploy: { replicas: 2 } } }));
    world.write(recordKey.operation('app', 'web'), machineId('a'), {
      scale: 3,
      slots: { 3: machineId('a') },
    });
    expect(planned(world, 'a').actions).toEqual(['run', 'run']);
    expect(planned(world, 'b').actions).toEqual(['run']);
  });

  test('by a machine that is alone', () => {
    const world = new World('a', 'b').is('b', 'lost');
    world.up('a', aProject({ web: {} }));
    world.write(recordKey.operation('app', 'web'), machineId('a'), { scale: 2 });
    expect(planned(world, 'a').actions).toEqual(['run', 'run']);
  });
});

test('two machines that both think the slot theirs make one replica of it', () => {
  const { world } = orphaned({ each: { deploy: { mode: 'global' } } });
  const fake = new FakeCluster(world);
  fake.off.add('b');
  // For each the other is the one that carries more than its share.
  const round = (): void => {
    for (const name of ['a', 'c']) {
      const other = name === 'a' ? 'c' : 'a';
      world.options(other, { weight: 0.001 });
      fake.step(name);
      world.options(other, {});
    }
  };
  round();
  expect(world.view('a').claims).toHaveLength(2);
  for (let count = 0; count < 4; count += 1) {
    world.nowMs += 300;
    round();
  }
  const made = fake.running('web').filter(({ machine }) => machine !== machineId('b'));
  expect(made).toHaveLength(1);
});
