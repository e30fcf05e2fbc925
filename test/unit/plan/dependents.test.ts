import { describe, expect, test } from 'vitest';
import type { Dependency } from '../../../src/model/project.ts';
import { aProject, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const restart: Dependency = { condition: 'service_started', restart: true };

function app(image: string, dependency: Dependency = restart) {
  return aProject({
    db: { image },
    web: { depends_on: { db: dependency }, deploy: { replicas: 2 } },
    edge: { depends_on: { web: dependency } },
  });
}

function running(image: string, dependency?: Dependency): FakeCluster {
  const fake = new FakeCluster(new World('a', 'b'));
  fake.world.up('a', app(image, dependency));
  fake.settle();
  fake.world.nowMs += 1_000;
  return fake;
}

const restarts = (log: readonly string[]): readonly string[] =>
  log.filter((line) => line.includes(' restart '));

describe('depends_on restart: true', () => {
  test('a service that is made anew takes its dependents with it, one after the other', () => {
    const fake = running('db:1');
    const ids = ['web', 'edge'].flatMap((name) => fake.running(name).map(({ id }) => id));
    const from = fake.log.length;
    fake.world.up('b', app('db:2'));
    fake.settle(() => {
      const dbReady = fake
        .running('db')
        .some(({ ready, hash }) => ready && hash === fake.world.service('db').hash);
      if (!dbReady) expect(restarts(fake.log.slice(from))).toEqual([]);
    });
    const order = restarts(fake.log.slice(from)).map((line) => line.split(':')[1]);
    expect(order).toEqual(ids);
    expect(['web', 'edge'].flatMap((name) => fake.running(name).map(({ id }) => id))).toEqual(ids);
  });

  test('another change, a crash or a move of what they need takes nobody with it', () => {
    const fake = running('db:1');
    const from = fake.log.length;
    fake.world.up('a', app('db:1'), { scale: { web: 3 } });
    fake.settle();
    const home = (fake.running('db')[0]?.machine ?? '').slice('id-'.length);
    fake.powerOff(home);
    fake.settle();
    expect(fake.running('db').some(({ machine }) => machine !== `id-${home}`)).toBe(true);
    expect(restarts(fake.log.slice(from))).toEqual([]);
  });

  test('without it nobody follows', () => {
    const fake = running('db:1', { condition: 'service_started' });
    const from = fake.log.length;
    fake.world.up('a', app('db:2', { condition: 'service_started' }));
    fake.settle();
    expect(restarts(fake.log.slice(from))).toEqual([]);
  });

  test('a change of the needed service alone takes those along that it did not name', () => {
    const fake = running('db:1');
    const from = fake.log.length;
    fake.world.up('a', app('db:2'), { services: ['db'] });
    fake.settle();
    expect(restarts(fake.log.slice(from))).toHaveLength(3);
  });
});

describe('dependencies on what has completed', () => {
  const project = (image: string) =>
    aProject({
      migrate: { restart: 'no' },
      web: { image, depends_on: { migrate: { condition: 'service_completed_successfully' } } },
    });

  test('hold when its container was removed, and it is not run again', () => {
    const fake = new FakeCluster(new World('a', 'b'));
    fake.behaviours.set('migrate', { exitAfterMs: 100 });
    fake.world.up('a', project('web:1'));
    fake.settle();
    const [job] = fake.containers().filter(({ service }) => service === 'migrate');
    fake.world.records.delete(`c/${job?.machine}/${job?.id}`);
    const from = fake.log.length;
    fake.world.up('a', project('web:2'), { services: ['web'] });
    fake.settle();
    expect(fake.running('web')).toMatchObject([{ image: 'image' }]);
    expect(fake.log.slice(from).filter((line) => line.includes('migrate'))).toEqual([]);
    // Asked for by name it runs once more, as with docker compose.
    fake.world.nowMs += 1_000;
    fake.world.up('a', project('web:2'), { services: ['migrate'] });
    fake.settle();
    expect(
      fake.log.slice(from).filter((line) => line.includes(' run slot:app/migrate')),
    ).toHaveLength(1);
  });

  test('a run that has begun is held on its machine, not taken over', () => {
    const fake = new FakeCluster(new World('a', 'b', 'c'));
    fake.world.up('a', project('web:1'));
    for (let round = 0; round < 4; round += 1) fake.tick();
    const machine = (fake.running('migrate')[0]?.machine ?? '').slice('id-'.length);
    const from = fake.log.length;
    fake.powerOff(machine);
    fake.settle();
    expect(fake.log.slice(from).filter((line) => line.includes('migrate'))).toEqual([]);
    expect(fake.running('web')).toEqual([]);
  });
});

describe('jobs', () => {
  const job = (deploy: Readonly<Record<string, unknown>>, image = 'job:1') =>
    aProject({ job: { image, deploy: { mode: 'replicated-job', ...deploy } } });

  test('run so many at a time, once each, and are good when all are done', () => {
    const fake = new FakeCluster(new World('a', 'b'));
    fake.behaviours.set('job', { exitAfterMs: 1_500 });
    fake.world.up('a', job({ replicas: 5, 'x-max-concurrent': 2 }));
    let most = 0;
    fake.settle(() => {
      most = Math.max(most, fake.running('job').length);
    });
    expect(most).toBe(2);
    expect(fake.log.filter((line) => line.includes(' run '))).toHaveLength(5);
    expect(fake.world.service('job').verdict?.result).toBe('good');
    const from = fake.log.length;
    fake.world.up('a', job({ replicas: 5, 'x-max-concurrent': 2 }, 'job:2'));
    fake.settle();
    expect(fake.log.slice(from).filter((line) => line.includes(' run '))).toHaveLength(5);
  });

  test('one that fails is tried again, as often as its policy says, and pauses', () => {
    const fake = new FakeCluster(new World('a', 'b'));
    fake.behaviours.set('job', { exitAfterMs: 100, exitCode: 1 });
    fake.world.up('a', job({ restart_policy: { condition: 'on-failure', max_attempts: 2 } }));
    fake.settle();
    expect(fake.log.filter((line) => line.includes(' start '))).toHaveLength(2);
    // A first deploy is given some time: what it needs may be slow.
    for (let round = 0; round < 30; round += 1) fake.tick();
    expect(fake.world.service('job').verdict).toMatchObject({
      result: 'paused',
      failure: { why: 'exited (1) after 2 restarts' },
    });
  });

  test('a global job runs once on every machine, also on one that joins', () => {
    const fake = new FakeCluster(new World('a', 'b'));
    fake.behaviours.set('job', { exitAfterMs: 100 });
    fake.world.up('a', aProject({ job: { deploy: { mode: 'global-job' } } }));
    fake.settle();
    fake.world.machine('c');
    fake.settle();
    expect(fake.containers().map(({ machine, state }) => `${machine} ${state}`)).toEqual([
      'id-a exited',
      'id-b exited',
      'id-c exited',
    ]);
    expect(fake.log.filter((line) => line.includes(' run '))).toHaveLength(3);
  });
});
