import { describe, expect, test } from 'vitest';
import type { View } from '../../../src/model/view.ts';
import { acceptScale } from '../../../src/plan/accept.ts';
import { ownersOf } from '../../../src/plan/owner.ts';
import { plan } from '../../../src/plan/plan.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { explain } from '../../../src/plan/why.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const decide = (view: View) => plan(view, idleLocalState);
const why = (world: World, service: string, slot?: string) =>
  explain(world.view('a'), 'app', { service, ...(slot === undefined ? {} : { slot }) }, decide);

describe('why', () => {
  test('names the constraint that refused each machine, and the figures of the others', () => {
    const world = new World('a', 'b').machine('c', { drain: true }).machine('d').machine('e');
    world.is('d', 'unreachable');
    world.up('a', aProject({ web: { 'x-machines': ['a', 'b', 'c', 'd'] } }));
    const refusals = Object.fromEntries(
      why(world, 'web').machines.map(({ machine, refusal }) => [machine, refusal]),
    );
    expect(refusals).toMatchObject({
      'id-a': null,
      'id-b': null,
      'id-c': 'is drained',
      'id-d': 'is unreachable',
    });
    expect(refusals['id-e']).toMatch(/x-machines/);
    const [best] = why(world, 'web').machines;
    expect(best?.costs.map(({ name }) => name)).toEqual([
      'replicas by weight',
      'containers by weight',
      'rank',
    ]);
  });

  test('the best machine for a further replica is the one that gets it', () => {
    for (let count = 1; count < 8; count += 1) {
      const world = new World('a', 'b', 'c');
      world.up('a', aProject({ web: { deploy: { replicas: count } }, other: {} }));
      const { machines, placedSlot } = why(world, 'web');
      expect(placedSlot).toBe('1');
      const fake = new FakeCluster(world);
      fake.settle();
      const further = why(world, 'web');
      expect(further.placedSlot).toBe(`${count + 1}`);
      world.operate('a', acceptScale(world.view('a'), 'app', { scale: { web: count + 1 } }));
      const owner = ownersOf(world.view('a'))
        .get('app/web')
        ?.get(`${count + 1}`);
      expect(further.machines[0]?.machine).toBe(owner);
      expect(machines).toHaveLength(3);
    }
  });

  test('says what a slot waits for, as the plan of its owner says it', () => {
    const world = new World('a', 'b');
    world.up(
      'a',
      aProject({
        db: { 'x-machines': ['b'], healthcheck: { test: ['CMD', 'true'] } },
        web: { 'x-machines': ['b'], depends_on: { db: { condition: 'service_healthy' } } },
      }),
    );
    expect(why(world, 'web').slots).toMatchObject([
      { slot: '1', owner: 'id-b', waiting: ['waits for db to be healthy (0/1)'], containers: [] },
    ]);
    world.options('b', { drain: true });
    expect(why(world, 'db').machines.map(({ refusal }) => refusal)).not.toContain(null);
  });

  test('tells by whom it was asked for, and what became of each container', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }), { user: 'me' });
    new FakeCluster(world).settle();
    const by = { machine: machineId('a'), atMs: world.nowMs };
    world.operate('a', acceptScale(world.view('a'), 'app', { scale: { web: 2 } }, by));
    const { service, hash, rollout } = { ...world.service('web'), service: 'web' };
    const cause = { what: 'restart', why: 'is unhealthy', atMs: 7 };
    world.container('a', 'c1', { service, hash, rollout, slot: '1', cause });
    const answer = why(world, 'web', '1');
    expect(answer.changes).toMatchObject([
      { act: 'up', machine: 'id-a', user: 'me' },
      { act: 'scale to 2', machine: 'id-a' },
    ]);
    expect(answer.slots).toMatchObject([{ because: 'has it already', containers: [{ cause }] }]);
  });

  test('a replica that is made anew elsewhere says what became of its machine', () => {
    const fake = new FakeCluster(new World('a', 'b', 'c'));
    fake.world.up('a', aProject({ web: { deploy: { replicas: 3 } } }));
    fake.settle();
    fake.powerOff('b');
    const reasons: string[] = [];
    for (let round = 0; round < 4; round += 1) {
      fake.world.nowMs += 500;
      for (const name of ['a', 'c']) {
        for (const action of fake.step(name))
          if (action.name === 'run') reasons.push(action.reason);
      }
    }
    expect(reasons).toEqual(['b, which had it, is lost']);
  });

  test('of what does not exist is refused with what does', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {} }));
    expect(() => why(world, 'nope')).toThrow('no such service: nope');
  });
});
