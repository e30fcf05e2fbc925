import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import type { Liveness } from '../../../src/model/view.ts';
import { acceptRebalance } from '../../../src/plan/accept-machines.ts';
import { ownersOf } from '../../../src/plan/owner.ts';
import { plan } from '../../../src/plan/plan.ts';
import { isStartFirst } from '../../../src/plan/rollout-policy.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { buildView } from '../../../src/view/build-view.ts';
import { aProject, machineId, RecordMap, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const names = ['a', 'b', 'c', 'd', 'e'];
const machineCount = fc.integer({ min: 1, max: names.length });
const replicas = fc.integer({ min: 0, max: 12 });
const liveness = fc.constantFrom<Liveness>('reachable', 'headless', 'unreachable', 'lost');

const web = (count: number, image = 'web:1') =>
  aProject({ web: { image, deploy: { replicas: count } } });

/** What changes how a service is kept and replaced. */
const spec = fc.constantFrom<Service>(
  {},
  { restart: 'always' },
  { restart: 'on-failure:2' },
  { deploy: { update_config: { order: 'stop-first' } } },
  { deploy: { update_config: { order: 'stop-first', parallelism: 2, delay: '3s' } } },
  { deploy: { update_config: { parallelism: 0 } }, restart: 'unless-stopped' },
  { volumes: [{ type: 'volume', source: 'data', target: '/data' }] },
  { volumes: [{ type: 'volume', target: '/anonymous' }], restart: 'always' },
);

/** A world in the middle of things: some slots have containers, anywhere, in any state. */
const messyWorld = fc
  .record({
    count: machineCount,
    replicas,
    spec,
    states: fc.array(
      fc.record({
        slot: fc.integer({ min: 1, max: 14 }),
        machine: fc.integer({ min: 0, max: 4 }),
        state: fc.constantFrom('running', 'exited', 'created', 'dead'),
        ready: fc.boolean(),
        draining: fc.boolean(),
        isOld: fc.boolean(),
        createdMs: fc.integer({ min: 1, max: 3 }),
      }),
      { maxLength: 20 },
    ),
    liveness: fc.array(liveness, { minLength: 4, maxLength: 4 }),
  })
  .map((input) => {
    const world = new World(...names.slice(0, input.count));
    const deploy = { ...input.spec.deploy, replicas: input.replicas };
    const service = { ...input.spec, image: 'web:1', deploy };
    world.up('a', aProject({ web: service }, { volumes: { data: {} } }));
    const { hash, rollout } = world.service('web');
    for (const [index, { slot, machine, isOld, ...rest }] of input.states.entries()) {
      const name = names[machine % input.count] ?? 'a';
      world.container(name, `seed${index}`, {
        ...rest,
        ready: rest.ready && rest.state === 'running',
        slot: `${slot}`,
        hash: isOld ? 'old' : hash,
        rollout,
        name: `n${index}`,
      });
    }
    for (const [index, state] of input.liveness.entries()) {
      const name = names[index + 1];
      if (name !== undefined && index + 1 < input.count) world.is(name, state);
    }
    return world;
  });

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** How many slots each machine owns. */
function countsOf(world: World, count: number): readonly number[] {
  const owners = [...ownersOf(world.view('a')).values()].flatMap((slots) => [...slots.values()]);
  return names
    .slice(0, count)
    .map((name) => owners.filter((owner) => owner === machineId(name)).length);
}

describe('placement', () => {
  test('replicas of one service differ by one at most between machines', () => {
    fc.assert(
      fc.property(machineCount, replicas, (count, wanted) => {
        const world = new World(...names.slice(0, count));
        const { pointer } = world.accept('a', web(wanted));
        const placed = Object.values(pointer.services['web']?.slots ?? {});
        const perMachine = names
          .slice(0, count)
          .map((name) => placed.filter((machine) => machine === machineId(name)).length);
        expect(placed).toHaveLength(wanted);
        expect(Math.max(...perMachine) - Math.min(...perMachine)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('a change of the count moves no slot that stays', () => {
    fc.assert(
      fc.property(machineCount, replicas, replicas, (count, before, after) => {
        const world = new World(...names.slice(0, count));
        const first = world.up('a', web(before)).pointer.services['web']?.slots ?? {};
        const second = world.accept('a', web(after)).pointer.services['web']?.slots ?? {};
        for (const [slot, machine] of Object.entries(second)) {
          if (first[slot] !== undefined) expect(machine).toBe(first[slot]);
        }
        expect(Object.keys(second)).toHaveLength(after);
      }),
    );
  });

  test('containers of all services together differ by one at most between equal machines', () => {
    fc.assert(
      fc.property(
        machineCount,
        fc.array(replicas, { minLength: 1, maxLength: 6 }),
        (count, all) => {
          const world = new World(...names.slice(0, count));
          const services = all.map((wanted, n) => [`s${n}`, { deploy: { replicas: wanted } }]);
          world.up('a', aProject(Object.fromEntries(services)));
          const perMachine = countsOf(world, count);
          expect(sum(perMachine)).toBe(sum(all));
          expect(Math.max(...perMachine) - Math.min(...perMachine)).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  test('a machine that is lost moves only what it had', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 5 }),
        replicas,
        fc.integer({ min: 1, max: 4 }),
        (count, wanted, which) => {
          const world = new World(...names.slice(0, count));
          world.up('a', web(wanted));
          const fake = new FakeCluster(world);
          fake.settle();
          const before = ownersOf(world.view('a')).get('app/web');
          const lost = names[which % count] ?? 'b';
          if (lost === 'a') return;
          world.is(lost, 'lost');
          for (const [slot, owner] of ownersOf(world.view('a')).get('app/web') ?? []) {
            if (before?.get(slot) === machineId(lost)) expect(owner).not.toBe(machineId(lost));
            else expect(owner).toBe(before?.get(slot));
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test('rebalancing after a join moves just what evens the counts, and then nothing more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), replicas, (count, wanted) => {
        const world = new World(...names.slice(0, count));
        world.up('a', web(wanted));
        const fake = new FakeCluster(world);
        fake.settle();
        world.machine('joined');
        const { moves, writes } = acceptRebalance(world.view('a'), []);
        expect(moves).toHaveLength(Math.floor(wanted / (count + 1)));
        expect(new Set(moves.map(({ to }) => to)).size).toBe(Math.min(1, moves.length));
        world.operate('a', writes);
        fake.settle();
        expect(fake.running('web')).toHaveLength(wanted);
        expect(acceptRebalance(world.view('a'), []).moves).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  test('a slot with data never has two holders, whatever is lost, drained or full', () => {
    const volumes = [{ type: 'volume', source: 'data', target: '/data' }];
    const project = aProject({ db: { volumes }, web: {} }, { volumes: { data: {} } });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(liveness, fc.boolean()), { minLength: 5, maxLength: 5 }),
        fc.array(fc.tuple(liveness, fc.boolean()), { minLength: 5, maxLength: 5 }),
        (first, second) => {
          const world = new World(...names);
          const home = world.up('a', project).pointer.volumes['app_data'];
          for (const states of [first, second]) {
            for (const [n, [state, drain]] of states.entries()) {
              const name = names[n] ?? 'a';
              world.is(name, state).options(name, { drain });
            }
            const runs = names.filter((self) => {
              // Whoever is asked, and whoever it believes to be there.
              const view = world.view(self);
              expect(ownersOf(view).get('app/db')?.get('1')).toBe(home);
              return plan(view, idleLocalState).actions.some(
                ({ name, arguments: given }) =>
                  name === 'run' && 'service' in given && given.service === 'db',
              );
            });
            expect(runs.map(machineId)).toEqual(home === undefined ? [] : [home]);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('the order of machines and services decides nothing', () => {
    fc.assert(
      fc.property(
        fc.shuffledSubarray(names, { minLength: 5 }),
        fc.array(replicas, { minLength: 2, maxLength: 4 }),
        (order, all) => {
          const slotsFor = (given: readonly string[]): unknown => {
            const world = new World();
            for (const name of given)
              world.machine(name, { labels: { zone: name < 'c' ? 'x' : 'y' } });
            const placement = { preferences: [{ spread: 'node.labels.zone' }] };
            const services = all.map((wanted, n) => [
              `s${n}`,
              { deploy: { replicas: wanted, ...(n === 0 ? { placement } : {}) } },
            ]);
            const { pointer } = world.up('a', aProject(Object.fromEntries(services)));
            return Object.entries(pointer.services).map(([name, { slots }]) => [name, slots]);
          };
          expect(slotsFor(order)).toEqual(slotsFor(names));
        },
      ),
      { numRuns: 40 },
    );
  });

  test('a machine that joins moves nothing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), replicas, (count, wanted) => {
        const world = new World(...names.slice(0, count));
        world.up('a', web(wanted));
        const before = ownersOf(world.view('a'));
        world.machine('joined');
        expect(ownersOf(world.view('a'))).toEqual(before);
      }),
    );
  });
});

describe('plans', () => {
  test('the order of records is irrelevant', () => {
    fc.assert(
      fc.property(messyWorld, fc.infiniteStream(fc.nat()), (world, random) => {
        const shuffled = new RecordMap();
        const keyed = world.records
          .all()
          .map((entry) => ({ entry, key: random.next().value ?? 0 }));
        keyed.sort((left, right) => left.key - right.key);
        for (const { entry } of keyed) shuffled.set(entry);
        const view = world.view('a');
        const other = buildView(shuffled, { ...view, liveness: world.liveness });
        expect(plan(other, idleLocalState)).toEqual(plan(view, idleLocalState));
      }),
    );
  });

  test('two machines with one view agree on all owners, and only one runs a slot', () => {
    fc.assert(
      fc.property(messyWorld, (world) => {
        const view = world.view('a');
        const owners = ownersOf(view);
        const runs: string[] = [];
        for (const machine of view.machines.values()) {
          const own = { ...view, self: machine.id };
          expect(ownersOf(own)).toEqual(owners);
          for (const action of plan(own, idleLocalState).actions) {
            if (action.name === 'run') runs.push(action.subject);
          }
        }
        expect(new Set(runs).size).toBe(runs.length);
      }),
    );
  });

  test('nothing ready is taken out while its slot has no other copy that serves', () => {
    fc.assert(
      fc.property(messyWorld, (world) => {
        const view = world.view('a');
        const service = view.projects.get('app')?.services.get('web');
        // stop-first is made to take one out before its successor is there.
        if (service === undefined || !isStartFirst(service)) return;
        for (const { id: self } of view.machines.values()) {
          for (const action of plan({ ...view, self }, idleLocalState).actions) {
            if (action.name !== 'drain' && action.name !== 'remove') continue;
            const { containerId } = action.arguments;
            const taken = view.containers.find((found) => found.id === containerId);
            const isWanted = Number(taken?.slot) <= service.replicaCount;
            if (taken?.ready !== true || taken.draining || !isWanted) continue;
            const others = view.containers.filter(
              (found) => found.slot === taken.slot && found.id !== taken.id,
            );
            expect(others.some((found) => found.ready || found.state === 'exited')).toBe(true);
          }
        }
      }),
    );
  });

  test('a guarded machine removes no copy of a slot and re-places none', () => {
    fc.assert(
      fc.property(messyWorld, (world) => {
        world.guards = ['stale'];
        const { actions } = plan(world.view('a'), idleLocalState);
        const forbidden = ['run', 'drain', 'stop', 'removeVolume'];
        expect(actions.filter((action) => forbidden.includes(action.name))).toEqual([]);
      }),
    );
  });

  test('from any state a cluster whose machines all work ends with what is wanted', () => {
    fc.assert(
      fc.property(messyWorld, (world) => {
        for (const id of world.liveness.keys()) world.liveness.set(id, 'reachable');
        const wanted = world.service('web');
        const fake = new FakeCluster(world);
        fake.settle();
        // A container of the new definition that never started is a failure of the rollout, and
        // what has been judged stays judged: the others keep what serves.
        if (world.service('web').verdict?.result === 'paused') return;
        const all = fake.containers();
        const kept = all.filter((found) => found.hash !== wanted.hash);
        // The last container of a slot that was replaced stays, stopped, for its log.
        expect(new Set(kept.map((found) => found.slot)).size).toBe(kept.length);
        for (const found of kept) {
          expect(found.state).toBe('exited');
          expect(found.name).toBe(`app-web-${found.slot}-old`);
        }
        const left = all.filter((found) => !kept.includes(found));
        expect(left.map((found) => found.slot)).toEqual(
          Array.from({ length: wanted.replicaCount }, (_, index) => `${index + 1}`),
        );
        for (const found of left) {
          expect(found.hash).toBe(wanted.hash);
          expect(found.name).toBe(`app-web-${found.slot}`);
          expect(found.ready || found.state === 'exited').toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});
