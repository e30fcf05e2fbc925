import { describe, expect, test } from 'vitest';
import { acceptScale } from '../../../src/plan/accept.ts';
import { acceptOperation } from '../../../src/plan/operate.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

function cluster(...names: readonly string[]): FakeCluster {
  return new FakeCluster(new World(...names));
}

const web = (replicas: number, image = 'web:1') =>
  aProject({ web: { image, deploy: { replicas } } });

describe('a cluster that carries out its plans', () => {
  test('six replicas on three machines are two on each', () => {
    const fake = cluster('a', 'b', 'c');
    fake.world.up('a', web(6));
    fake.settle();
    expect(fake.spread('web')).toBe('a:2 b:2 c:2');
    expect(
      fake
        .running('web')
        .map((found) => found.name)
        .sort(),
    ).toEqual(['app-web-1', 'app-web-2', 'app-web-3', 'app-web-4', 'app-web-5', 'app-web-6']);
  });

  test('a second up of the same file does nothing', () => {
    const fake = cluster('a', 'b', 'c');
    fake.world.up('a', web(6));
    fake.settle();
    const before = fake.log.length;
    expect(fake.world.up('b', web(6)).changed).toEqual([]);
    fake.settle();
    expect(fake.log.slice(before)).toEqual([]);
  });

  test('scaling up keeps what runs, scaling down removes the highest slots', () => {
    const fake = cluster('a', 'b', 'c');
    fake.world.up('a', web(3));
    fake.settle();
    const kept = fake.running('web').map((found) => found.id);
    fake.world.operate('b', acceptScale(fake.world.view('b'), 'app', { scale: { web: 6 } }));
    fake.settle();
    expect(fake.spread('web')).toBe('a:2 b:2 c:2');
    expect(fake.running('web').map((found) => found.id)).toEqual(expect.arrayContaining(kept));
    fake.world.operate('b', acceptScale(fake.world.view('b'), 'app', { scale: { web: 2 } }));
    fake.settle();
    expect(fake.running('web').map((found) => found.slot)).toEqual(['1', '2']);
  });

  test('an update start-first never has fewer ready replicas than wanted', () => {
    const fake = cluster('a', 'b', 'c');
    fake.world.up('a', web(4));
    fake.settle();
    fake.world.up('a', web(4, 'web:2'));
    let least = Number.POSITIVE_INFINITY;
    let most = 0;
    fake.settle(() => {
      const ready = fake.running('web').filter((found) => found.ready && !found.draining).length;
      least = Math.min(least, ready);
      // What is on its way out of service is not counted, as everywhere (Swarm, Kubernetes).
      most = Math.max(most, fake.running('web').filter((found) => !found.draining).length);
    });
    expect(least).toBe(4);
    expect(most).toBe(5);
    const { hash } = fake.world.service('web');
    expect(fake.running('web').map((found) => [found.name, found.hash])).toEqual(
      [1, 2, 3, 4].map((slot) => [`app-web-${slot}`, hash]),
    );
  });

  test('an update stop-first takes out one at a time and never runs two of a slot', () => {
    const fake = cluster('a', 'b', 'c');
    const project = (image: string) =>
      aProject({ web: { image, deploy: { replicas: 3, update_config: { order: 'stop-first' } } } });
    fake.world.up('a', project('web:1'));
    fake.settle();
    fake.world.up('a', project('web:2'));
    let least = 3;
    fake.settle(() => {
      least = Math.min(least, fake.running('web').filter((found) => found.ready).length);
      const slots = fake.running('web').map((found) => found.slot);
      expect(new Set(slots).size).toBe(slots.length);
    });
    expect(least).toBe(2);
    expect(
      fake.running('web').every((found) => found.hash === fake.world.service('web').hash),
    ).toBe(true);
  });

  test('parallelism 2 moves two slots at a time, 0 all of them', () => {
    for (const [parallelism, expected] of [
      [2, 6],
      [0, 8],
    ] as const) {
      const fake = cluster('a', 'b');
      const project = (image: string) =>
        aProject({ web: { image, deploy: { replicas: 4, update_config: { parallelism } } } });
      fake.world.up('a', project('web:1'));
      fake.settle();
      fake.world.up('a', project('web:2'));
      let most = 0;
      fake.settle(() => {
        most = Math.max(most, fake.running('web').filter((found) => !found.draining).length);
      });
      expect(most).toBe(expected);
    }
  });

  test('the replicas of a lost machine are brought up elsewhere and leave when it returns', () => {
    const fake = cluster('a', 'b', 'c');
    fake.world.up('a', web(6));
    fake.settle();
    fake.powerOff('c');
    fake.settle();
    const alive = fake.running('web').filter((found) => found.machine !== machineId('c'));
    expect(alive).toHaveLength(6);
    expect(new Set(alive.map((found) => found.slot)).size).toBe(6);
    fake.powerOn('c');
    fake.settle();
    const slots = fake.running('web').map((found) => found.slot);
    expect(slots).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(fake.containers()).toHaveLength(6);
  });

  test('an unreachable machine keeps its replicas', () => {
    const fake = cluster('a', 'b');
    fake.world.up('a', web(4));
    fake.settle();
    const before = fake.log.length;
    fake.off.add('b');
    fake.world.is('b', 'unreachable');
    fake.settle();
    expect(fake.log.slice(before)).toEqual([]);
  });

  test('data stays with a lost machine: the slot is held, not doubled', () => {
    const fake = cluster('a', 'b');
    const project = aProject(
      { db: { volumes: [{ type: 'volume', source: 'data', target: '/data' }] } },
      { volumes: { data: { name: 'app_data' } } },
    );
    fake.world.up('a', project);
    fake.settle();
    const home = fake.running('db')[0]?.machine ?? '';
    fake.powerOff(home.slice('id-'.length));
    fake.settle();
    expect(fake.containers()).toHaveLength(1);
    fake.powerOn(home.slice('id-'.length));
    fake.settle();
    expect(fake.running('db').map((found) => found.machine)).toEqual([home]);
  });

  test('a machine that joins gets global services and nothing else', () => {
    const fake = cluster('a', 'b');
    const project = aProject({
      web: { deploy: { replicas: 4 } },
      agent: { deploy: { mode: 'global' } },
    });
    fake.world.up('a', project);
    fake.settle();
    fake.world.machine('c');
    fake.settle();
    expect(fake.spread('web')).toBe('a:2 b:2');
    expect(fake.spread('agent')).toBe('a:1 b:1 c:1');
    expect(fake.running('agent').map((found) => found.name)).toContain('app-agent-c');
  });

  test('draining a machine moves its replicas without losing capacity', () => {
    const fake = cluster('a', 'b', 'c');
    fake.world.up('a', web(3));
    fake.settle();
    fake.world.options('b', { drain: true });
    let least = 3;
    fake.settle(() => {
      least = Math.min(least, fake.running('web').filter((found) => found.ready).length);
    });
    expect(least).toBe(3);
    expect(fake.spread('web')).not.toContain('b');
    expect(fake.running('web')).toHaveLength(3);
  });

  test('down removes all containers, and the volumes only when asked', () => {
    const fake = cluster('a', 'b');
    const project = aProject(
      { db: { volumes: [{ type: 'volume', source: 'data', target: '/data' }] }, web: {} },
      { volumes: { data: { name: 'app_data' } } },
    );
    fake.world.up('a', project);
    fake.settle();
    const home = fake.running('db')[0]?.machine ?? machineId('a');
    fake.volumes.set(home, new Set(['app_data']));
    fake.world.down('b');
    fake.settle();
    expect(fake.containers()).toEqual([]);
    expect([...(fake.volumes.get(home) ?? [])]).toEqual(['app_data']);
    fake.world.up('b', project);
    fake.settle();
    expect(fake.running('db')[0]?.machine).toBe(home);
    fake.world.down('b', 'app', true);
    fake.settle();
    expect([...(fake.volumes.get(home) ?? [])]).toEqual([]);
  });

  test('containers of an unknown project are left alone and reported', () => {
    const fake = cluster('a');
    fake.world.container('a', 'stranger', { project: 'other', name: 'other-web-1' });
    fake.world.up('a', web(1));
    fake.settle();
    expect(fake.containers().map((found) => found.id)).toContain('stranger');
    expect(fake.waiting.map((wait) => wait.why)).toEqual([
      'no record of project other: other-web-1 is kept',
    ]);
  });

  test('services start in the order of their conditions, across machines', () => {
    const fake = cluster('a', 'b', 'c');
    fake.behaviours.set('migrate', { exitAfterMs: 2_000 });
    fake.world.up(
      'a',
      aProject({
        web: {
          depends_on: {
            migrate: { condition: 'service_completed_successfully' },
            db: { condition: 'service_healthy' },
          },
        },
        migrate: { depends_on: { db: { condition: 'service_healthy' } } },
        db: { deploy: { replicas: 2 } },
      }),
    );
    fake.settle();
    const runs = fake.log
      .filter((line) => line.includes(' run '))
      .map((line) => line.split(':')[1]);
    expect(new Set(runs.slice(0, 2))).toEqual(new Set(['app/db/1', 'app/db/2']));
    expect(runs.slice(2)).toEqual(['app/migrate/1', 'app/web/1']);
  });

  test('a failed rollout stops, keeps the old replicas and is reported once', () => {
    const fake = cluster('a', 'b', 'c');
    fake.world.up('a', web(3));
    fake.settle();
    fake.world.up('a', web(3, 'web:2'));
    const broken = fake.world.service('web');
    fake.behaviours.set(`web@${broken.hash}`, { exitAfterMs: 100, exitCode: 1 });
    fake.settle();
    expect(fake.running('web')).toHaveLength(3);
    expect(fake.running('web').every((found) => found.hash !== broken.hash)).toBe(true);
    expect(fake.log.filter((line) => line.includes('reportFailure'))).toHaveLength(1);
    fake.world.up('a', web(3, 'web:3'));
    fake.settle();
    expect(
      fake.running('web').every((found) => found.hash === fake.world.service('web').hash),
    ).toBe(true);
    const kept = fake.containers().filter((found) => found.state === 'exited');
    expect(fake.containers()).toHaveLength(3 + kept.length);
    expect(kept.map((found) => found.name)).toEqual([
      'app-web-1-old',
      'app-web-2-old',
      'app-web-3-old',
    ]);
  });

  test('with failure_action: continue the slots that do not break are updated', () => {
    const fake = cluster('a', 'b', 'c');
    const update_config = { failure_action: 'continue', order: 'start-first' };
    const project = (image: string) =>
      aProject({ web: { image, deploy: { replicas: 3, update_config } } });
    fake.world.up('a', project('web:1'));
    fake.settle();
    fake.world.up('a', project('web:2'));
    const { hash, slots } = fake.world.service('web');
    fake.behaviours.set(`web@${hash}`, { exitAfterMs: 100, exitCode: 1 });
    while (fake.world.view('a').failures.length === 0) fake.tick();
    fake.behaviours.clear();
    fake.settle();
    const updated = fake.running('web').filter((found) => found.hash === hash);
    expect(updated.map((found) => found.slot)).toEqual(['2', '3']);
    expect(Object.keys(slots)).toHaveLength(3);
  });

  test('a container that cannot be made is a failure at once, and is tried again each minute', () => {
    const fake = cluster('a');
    fake.behaviours.set('web', { runFailure: 'no such image' });
    fake.world.up('a', web(1));
    fake.settle();
    expect(fake.log).toEqual(['a run slot:app/web/1', 'a writeVerdict verdict:app/web']);
    expect(fake.world.view('a').failures.map((failure) => failure.why)).toEqual(['no such image']);
    expect(fake.waiting.map((wait) => wait.why)).toEqual(['failed: no such image']);
    for (let round = 0; round < 120; round += 1) fake.tick();
    expect(fake.log).toHaveLength(3);
    fake.behaviours.clear();
    fake.world.up('a', web(1));
    fake.settle();
    expect(fake.running('web')).toHaveLength(1);
  });

  test('stop stops, start starts, restart restarts one after the other', () => {
    const fake = cluster('a', 'b');
    fake.world.up('a', web(2));
    fake.settle();
    const act = (name: 'stop' | 'start' | 'restart'): void => {
      const { world } = fake;
      const change = { services: ['web'], act: name };
      world.operate('a', acceptOperation(world.view('a'), 'app', change, world.nowMs).writes);
      fake.settle(() => {
        if (name === 'restart') {
          expect(fake.running('web').filter((found) => found.ready).length).toBeGreaterThan(0);
        }
      });
    };
    const ids = fake.running('web').map((found) => found.id);
    act('stop');
    expect(fake.running('web')).toEqual([]);
    act('start');
    expect(fake.running('web').map((found) => found.id)).toEqual(ids);
    const startedMs = fake.running('web').map((found) => found.startedMs);
    act('restart');
    fake.running('web').forEach((found, index) => {
      expect(found.startedMs).toBeGreaterThan(startedMs[index] ?? 0);
    });
    act('stop');
    fake.world.up('b', web(2));
    fake.settle();
    expect(fake.running('web').map((found) => found.id)).toEqual(ids);
  });

  test('services that leave the file stay until --remove-orphans', () => {
    const fake = cluster('a', 'b');
    fake.world.up('a', aProject({ web: {}, old: {} }));
    fake.settle();
    const accepted = fake.world.up('a', aProject({ web: {} }));
    fake.settle();
    expect(accepted.orphans).toEqual(['old']);
    expect(fake.running('old')).toHaveLength(1);
    fake.world.up('a', aProject({ web: {} }), { removeOrphans: true });
    fake.settle();
    expect(fake.running('old')).toEqual([]);
    expect(fake.running('web')).toHaveLength(1);
  });

  test('a service in another one’s network follows it to its machine and is remade with it', () => {
    const fake = cluster('a', 'b', 'c');
    const project = (image: string) =>
      aProject({ vpn: { image }, app: { network_mode: 'service:vpn' } });
    fake.world.up('a', project('vpn:1'));
    fake.settle();
    expect(fake.running('app')[0]?.machine).toBe(fake.running('vpn')[0]?.machine);
    const before = fake.running('app')[0]?.id;
    fake.world.up('a', project('vpn:2'));
    fake.settle();
    expect(fake.running('app')).toHaveLength(1);
    expect(fake.running('app')[0]?.id).not.toBe(before);
  });
});
