/** Operations from the request to what every machine does, on engines made of a map. */
import { describe, expect, test } from 'vitest';
import type { OperateRequest } from '../../../src/model/api.ts';
import type { Service } from '../../../src/model/project.ts';
import { type ContainerRecord, recordKey } from '../../../src/model/record.ts';
import { acceptOperation, signalName } from '../../../src/plan/operate.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

type Change = Partial<OperateRequest> & Pick<OperateRequest, 'act'>;

function order(fake: FakeCluster, change: Change) {
  const { world } = fake;
  const request = { services: [], ...change };
  const by = { machine: machineId('a'), user: 'me' };
  const accepted = acceptOperation(world.view('a'), 'app', request, world.nowMs, by);
  world.operate('a', accepted.writes);
  return accepted;
}

/** A settled project on two machines. */
function settled(services: Record<string, Service>): FakeCluster {
  const fake = new FakeCluster(new World('a', 'b'));
  fake.world.up('a', aProject(services));
  fake.settle();
  fake.log.length = 0;
  return fake;
}

const states = (fake: FakeCluster, service: string) =>
  fake
    .containers()
    .filter((found) => found.service === service)
    .map((found) => found.state);

describe('stop', () => {
  test('holds on a machine that was cut off when it was asked for', () => {
    const fake = settled({ web: { deploy: { replicas: 2 } } });
    fake.world.is('b', 'unreachable');
    fake.off.add('b');
    expect(order(fake, { act: 'stop' }).notes).toEqual([
      'b is unreachable: what it runs follows when it is back',
    ]);
    fake.settle();
    expect(states(fake, 'web').sort()).toEqual(['exited', 'running']);
    fake.off.delete('b');
    fake.world.is('b', 'reachable');
    fake.settle();
    expect(states(fake, 'web')).toEqual(['exited', 'exited']);
  });

  test('ends what needs others before those', () => {
    const fake = settled({
      db: {},
      web: { depends_on: { db: { condition: 'service_started' } } },
    });
    order(fake, { act: 'stop' });
    fake.settle(() => {
      if (states(fake, 'db')[0] === 'exited') expect(states(fake, 'web')).toEqual(['exited']);
    });
    expect(states(fake, 'db')).toEqual(['exited']);
  });

  test('of one service leaves those that need it alone', () => {
    const fake = settled({
      db: {},
      web: { depends_on: { db: { condition: 'service_started' } } },
    });
    order(fake, { act: 'stop', services: ['db'] });
    fake.settle();
    expect([...states(fake, 'db'), ...states(fake, 'web')]).toEqual(['exited', 'running']);
  });

  test('takes the time that was named', () => {
    const fake = settled({ web: { stop_grace_period: '1m' } });
    order(fake, { act: 'stop', graceMs: 2_000 });
    const graces: unknown[] = [];
    for (let round = 0; round < 10; round += 1) {
      fake.world.nowMs += 500;
      for (const name of ['a', 'b']) {
        for (const action of fake.step(name)) {
          if (action.name === 'stop') graces.push(action.arguments.graceMs);
        }
      }
    }
    expect(graces).toEqual([2_000]);
  });
});

describe('start', () => {
  test('brings along what the service needs, and waits for it', () => {
    const fake = settled({
      db: { healthcheck: { test: ['CMD', 'true'] } },
      web: { depends_on: { db: { condition: 'service_started' } } },
      other: {},
    });
    order(fake, { act: 'stop' });
    fake.settle();
    const { services } = order(fake, { act: 'start', services: ['web'] });
    expect([...services].sort()).toEqual(['db', 'web']);
    fake.settle();
    expect(states(fake, 'web')).toEqual(['running']);
    expect(states(fake, 'other')).toEqual(['exited']);
  });

  test('does not disturb what a machine that was away still runs', () => {
    const fake = settled({ web: { deploy: { replicas: 2 } } });
    fake.world.is('b', 'unreachable');
    fake.off.add('b');
    order(fake, { act: 'stop' });
    fake.settle();
    const before = fake.running('web')[0];
    order(fake, { act: 'start' });
    fake.off.delete('b');
    fake.world.is('b', 'reachable');
    fake.settle();
    expect(states(fake, 'web')).toEqual(['running', 'running']);
    expect(fake.running('web').find(({ id }) => id === before?.id)?.startedMs).toBe(
      before?.startedMs,
    );
  });

  test('of a service without containers is refused', () => {
    const fake = new FakeCluster(new World('a'));
    fake.world.up('a', aProject({ web: {} }));
    expect(() => order(fake, { act: 'start', services: ['web'] })).toThrow(
      'service "web" has no container to start',
    );
  });

  test('of what runs is nothing', () => {
    expect(order(settled({ web: {} }), { act: 'start' }).writes).toEqual([]);
  });
});

describe('restart', () => {
  test('takes services along that ask for it, unless told not to', () => {
    const fake = settled({
      db: {},
      web: { depends_on: { db: { condition: 'service_started', restart: true } } },
      other: { depends_on: { db: { condition: 'service_started' } } },
    });
    const names = (change: Partial<OperateRequest>) =>
      order(fake, { act: 'restart', services: ['db'], ...change }).services;
    expect(names({ withoutDependents: true })).toEqual(['db']);
    expect(names({})).toEqual(['db', 'web']);
    fake.settle();
    const at = (service: string) => fake.running(service)[0]?.startedMs ?? 0;
    expect(at('web')).toBeGreaterThanOrEqual(at('db'));
    expect(at('other')).toBeLessThan(at('db'));
  });

  test.each([
    [1, 2],
    [2, 1],
  ])('with parallelism %i leaves %i of 3 ready', (parallelism, expected) => {
    const fake = settled({ web: { deploy: { replicas: 3, update_config: { parallelism } } } });
    let least = 3;
    order(fake, { act: 'restart' });
    fake.settle(() => {
      least = Math.min(least, fake.running('web').filter(({ ready }) => ready).length);
    });
    expect(least).toBe(expected);
  });

  /** Settles, and looks at each step how many are ready. @returns the fewest */
  function leastReady(fake: FakeCluster, onStep: () => void = () => undefined): number {
    let least = Number.POSITIVE_INFINITY;
    fake.settle(() => {
      onStep();
      least = Math.min(least, fake.running('web').filter(({ ready }) => ready).length);
    });
    return least;
  }

  const slotOf = (fake: FakeCluster, slot: string) =>
    fake.containers().find((found) => found.service === 'web' && found.slot === slot);

  function change(fake: FakeCluster, slot: string, facts: Partial<ContainerRecord>): void {
    const found = slotOf(fake, slot);
    if (found === undefined) throw new Error(`no slot ${slot}`);
    const { id, machine, ...record } = found;
    fake.world.write(recordKey.container(machine, id), machine, { ...record, ...facts });
  }

  const startsOf = (fake: FakeCluster) => fake.running('web').map(({ startedMs }) => startedMs);

  test.each(['1', '2', '3'])(
    'again, while slot %s is not back, takes no further one out',
    (slot) => {
      const fake = settled({ web: { deploy: { replicas: 3 } } });
      order(fake, { act: 'restart' });
      const orderedMs = fake.world.nowMs;
      const isUnderWay = (): boolean => {
        const found = slotOf(fake, slot);
        return found?.ready === false && found.startedMs >= orderedMs;
      };
      for (let round = 0; round < 100 && !isUnderWay(); round += 1) fake.tick();
      expect(isUnderWay()).toBe(true);
      fake.world.nowMs += 1;
      order(fake, { act: 'restart' });
      const againMs = fake.world.nowMs;
      expect(leastReady(fake)).toBe(2);
      expect(startsOf(fake).every((startedMs) => startedMs >= againMs)).toBe(true);
    },
  );

  test('begins with what serves nobody, and goes on when that is back', () => {
    const fake = settled({ web: { restart: 'always', deploy: { replicas: 3 } } });
    change(fake, '3', { health: 'unhealthy', ready: false });
    order(fake, { act: 'restart' });
    const orderedMs = fake.world.nowMs;
    expect(leastReady(fake)).toBe(2);
    expect(startsOf(fake).every((startedMs) => startedMs >= orderedMs)).toBe(true);
    expect(Math.min(...startsOf(fake))).toBe(slotOf(fake, '3')?.startedMs);
  });

  test('goes one by one through what serves nobody', () => {
    const fake = settled({ web: { restart: 'always', deploy: { replicas: 3 } } });
    for (const slot of ['1', '2', '3']) change(fake, slot, { health: 'unhealthy', ready: false });
    order(fake, { act: 'restart' });
    fake.settle();
    expect(new Set(startsOf(fake)).size).toBe(3);
  });

  test('does not wait for a later slot that has been given up', () => {
    const fake = settled({ web: { restart: 'no', deploy: { replicas: 3 } } });
    const break3 = (): void => {
      if (slotOf(fake, '3')?.state !== 'running') return;
      const atMs = fake.world.nowMs;
      change(fake, '3', { state: 'exited', exitCode: 1, ready: false, finishedMs: atMs });
    };
    fake.settle(break3);
    order(fake, { act: 'restart' });
    const orderedMs = fake.world.nowMs;
    expect(leastReady(fake, break3)).toBe(1);
    expect(startsOf(fake)).toHaveLength(2);
    expect(startsOf(fake).every((startedMs) => startedMs >= orderedMs)).toBe(true);
  });

  test('of one slot restarts no other', () => {
    const fake = settled({ web: { deploy: { replicas: 3 } } });
    const before = fake.running('web').map(({ startedMs }) => startedMs);
    order(fake, { act: 'restart', services: ['web'], slot: '2' });
    fake.settle();
    const after = fake.running('web').map(({ startedMs }) => startedMs);
    expect(after.map((ms, index) => ms > (before[index] ?? 0))).toEqual([false, true, false]);
    expect(() => order(fake, { act: 'restart', services: ['web'], slot: '9' })).toThrow(
      'service "web" has no replica 9',
    );
  });
});

describe('up, of what others want to be restarted with', () => {
  const services = (image: string): Record<string, Service> => ({
    db: { image, deploy: { replicas: 2 } },
    web: { depends_on: { db: { condition: 'service_started', restart: true } } },
    far: { depends_on: { web: { condition: 'service_started', restart: true } } },
    other: { depends_on: { db: { condition: 'service_started' } } },
  });

  test('restarts those when the new containers are there, and no others', () => {
    const fake = settled(services('db:1'));
    const before = new Map(fake.containers().map(({ id, startedMs }) => [id, startedMs]));
    fake.world.up('a', aProject(services('db:2')));
    fake.settle();
    const restarted = (service: string): boolean =>
      fake.running(service).some(({ id, startedMs }) => startedMs > (before.get(id) ?? 0));
    expect([restarted('web'), restarted('far'), restarted('other')]).toEqual([true, true, false]);
    const dbMs = Math.max(...fake.running('db').map(({ startedMs }) => startedMs));
    expect(fake.running('web')[0]?.startedMs).toBeGreaterThanOrEqual(dbMs);
    expect(fake.running('web')[0]?.id).toBeDefined();
    expect(before.has(fake.running('web')[0]?.id ?? '')).toBe(true);
  });

  test('restarts nothing when nothing was replaced, and starts nothing that is stopped', () => {
    const fake = settled(services('db:1'));
    expect(fake.world.accept('a', aProject(services('db:1'))).operationsToWrite).toEqual([]);
    order(fake, { act: 'stop', services: ['web'] });
    fake.settle();
    const { operationsToWrite } = fake.world.accept('a', aProject(services('db:2')), {
      services: ['db'],
    });
    expect(operationsToWrite.map(({ value }) => value.restartAtMs)).toEqual([undefined]);
  });
});

describe('kill', () => {
  test('with SIGKILL ends all and nothing is restarted', () => {
    const fake = settled({ web: { restart: 'always', deploy: { replicas: 2 } } });
    order(fake, { act: 'kill' });
    fake.settle();
    expect(states(fake, 'web')).toEqual(['exited', 'exited']);
    expect(fake.log.filter((line) => line.includes(' kill '))).toHaveLength(2);
    expect(fake.log.filter((line) => / (drain|stop|start) /.test(line))).toEqual([]);
  });

  test('with another signal is sent once to each, and once more when asked again', () => {
    const fake = settled({ web: { deploy: { replicas: 2 } } });
    order(fake, { act: 'kill', signal: 'HUP' });
    fake.settle();
    const kills = () => fake.log.filter((line) => line.includes(' kill ')).length;
    expect(kills()).toBe(2);
    expect(states(fake, 'web')).toEqual(['running', 'running']);
    order(fake, { act: 'kill', signal: 'HUP' });
    fake.settle();
    expect(kills()).toBe(4);
  });

  test.each([
    ['HUP', 'SIGHUP'],
    ['sigusr1', 'SIGUSR1'],
    ['9', 'SIGKILL'],
  ])('knows signal %s', (text, name) => {
    expect(signalName(text)).toBe(name);
  });

  test('of a signal that does not exist is refused', () => {
    expect(() => signalName('SIGNOPE')).toThrow('"SIGNOPE" is no signal');
  });
});

describe('rm', () => {
  test('of a stopped service removes its containers, and up makes them anew', () => {
    const fake = settled({ web: { deploy: { replicas: 2 } }, other: {} });
    order(fake, { act: 'stop', services: ['web'] });
    fake.settle();
    expect(order(fake, { act: 'remove' }).services).toEqual(['web']);
    fake.settle();
    expect(states(fake, 'web')).toEqual([]);
    expect(states(fake, 'other')).toEqual(['running']);
    fake.world.up('a', aProject({ web: { deploy: { replicas: 2 } }, other: {} }));
    fake.settle();
    expect(states(fake, 'web')).toEqual(['running', 'running']);
  });

  test('of a job that is done does not run it again', () => {
    const fake = new FakeCluster(new World('a'));
    fake.behaviours.set('job', { exitAfterMs: 1_000 });
    fake.world.up('a', aProject({ job: { restart: 'no' } }));
    fake.settle();
    expect(states(fake, 'job')).toEqual(['exited']);
    order(fake, { act: 'remove' });
    fake.settle();
    expect(states(fake, 'job')).toEqual([]);
    fake.world.up('a', aProject({ job: { restart: 'no' } }));
    fake.settle();
    expect(states(fake, 'job')).toEqual(['exited']);
  });

  test('of what runs is nothing, and with stop it is all', () => {
    const fake = settled({ web: {} });
    expect(order(fake, { act: 'remove' }).services).toEqual([]);
    order(fake, { act: 'remove', stopsFirst: true });
    fake.settle();
    expect(states(fake, 'web')).toEqual([]);
  });
});
