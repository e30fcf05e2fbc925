import { describe, expect, test } from 'vitest';
import type { Plan } from '../../../src/model/action.ts';
import type { Project } from '../../../src/model/project.ts';
import type { View } from '../../../src/model/view.ts';
import { foresee } from '../../../src/plan/foresee.ts';
import { plan } from '../../../src/plan/plan.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { aProject, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const decide = (view: View) => plan(view, idleLocalState);

/** Steps as "a run web-1", and what would still wait. */
function foreseen(world: World) {
  const { steps, ...rest } = foresee(world.view('a'), 'app', decide);
  const texts = steps.map(({ machine, action }) => {
    const given = action.arguments;
    const what = 'slot' in given ? `${given.service}-${given.slot}` : '';
    return `${machine.slice('id-'.length)} ${action.name} ${what}`.trim();
  });
  return { steps: texts, ...rest };
}

function running(project: Project): World {
  const fake = new FakeCluster(new World('a', 'b'));
  fake.world.up('a', project);
  fake.settle();
  return fake.world;
}

describe('what a change comes to', () => {
  test('includes services that wait for others', () => {
    const world = new World('a');
    world.up(
      'a',
      aProject({
        web: {
          depends_on: {
            db: { condition: 'service_healthy' },
            job: { condition: 'service_completed_successfully' },
          },
        },
        db: { healthcheck: { test: ['CMD', 'true'] } },
        job: { depends_on: { db: { condition: 'service_healthy' } } },
      }),
    );
    expect(foreseen(world)).toEqual({
      steps: ['a run db-1', 'a run job-1', 'a run web-1'],
      waiting: [],
      isComplete: true,
    });
  });

  test('is every replacement of an update, one after the other', () => {
    const project = (image: string) => aProject({ web: { image, deploy: { replicas: 2 } } });
    const world = running(project('web:1'));
    expect(foreseen(world).steps).toEqual([]);
    world.up('a', project('web:2'));
    const { steps, isComplete } = foreseen(world);
    expect(isComplete).toBe(true);
    const names = steps.map((step) => step.split(' ')[1]);
    expect(names.filter((name) => name === 'run')).toHaveLength(2);
    expect(names.filter((name) => name === 'stop')).toHaveLength(2);
    expect(names.indexOf('drain')).toBeLessThan(names.lastIndexOf('run'));
  });

  test.each([
    ['start-first', 1, 3],
    ['stop-first', 1, 2],
    ['stop-first', 2, 1],
  ])(
    'with %s and parallelism %i never has fewer than %i of 3 ready',
    (order, parallelism, least) => {
      const project = (image: string) =>
        aProject({
          web: { image, deploy: { replicas: 3, update_config: { order, parallelism } } },
        });
      const fake = new FakeCluster(new World('a', 'b'));
      const { world } = fake;
      world.up('a', project('web:1'));
      fake.settle();
      world.up('a', project('web:2'));
      const { steps } = foresee(world.view('a'), 'app', decide);
      const replicas = steps.flatMap(({ replica }) => replica ?? []);
      expect(Math.min(...replicas.map(({ leastReady }) => leastReady))).toBe(least);
      expect(new Set(replicas.map(({ service, wanted }) => `${service} ${wanted}`))).toEqual(
        new Set(['web 3']),
      );
      // What is foreseen is what comes.
      let seen = 3;
      fake.settle(() => {
        seen = Math.min(seen, fake.running('web').filter(({ ready }) => ready).length);
      });
      expect(seen).toBe(least);
    },
  );

  test('is nothing for other projects, and changes nothing', () => {
    const world = running(aProject({ web: {} }));
    world.up('a', aProject({ other: {} }, { name: 'else' }));
    const before = world.records.all();
    expect(foreseen(world).steps).toEqual([]);
    expect(world.records.all()).toEqual(before);
  });

  test('names what will go on waiting', () => {
    const world = new World('a', 'b');
    world.up(
      'a',
      aProject({
        web: { 'x-machines': ['a'], depends_on: { db: { condition: 'service_started' } } },
        db: { 'x-machines': ['b'] },
      }),
    );
    const { steps, waiting } = foreseen(world.is('b', 'unreachable'));
    expect(steps).toEqual([]);
    expect(waiting).toEqual([expect.stringContaining('web-1 on a waits:')]);
  });

  test('is cut when it becomes too much', () => {
    const world = running(aProject({ web: {} }));
    const view = world.view('a');
    const [one] = view.containers;
    const endless = (seen: View): Plan => ({
      actions:
        seen.self !== one?.machine
          ? []
          : [
              {
                name: 'restart',
                subject: 'container:x',
                reason: 'again',
                arguments: { containerId: one.id, graceMs: 0, restarts: 0 },
              },
            ],
      wakeAtMs: undefined,
      waiting: [],
    });
    const { steps, isComplete } = foresee(view, 'app', endless);
    expect(isComplete).toBe(false);
    expect(steps.length).toBeGreaterThan(100);
  });
});
