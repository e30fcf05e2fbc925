import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createLog } from '../../../agent/log.ts';
import { Observer } from '../../../agent/observer.ts';
import { label } from '../../../src/model/names.ts';
import type { Service } from '../../../src/model/project.ts';
import type { ContainerRecord } from '../../../src/model/record.ts';
import type { ServiceView } from '../../../src/model/view.ts';
import { aMachine, aService, aView, cluster } from '../container/builders.ts';
import { FakeEngine } from './fake-engine.ts';
import { MemoryReplica } from './memory-replica.ts';

const self = aMachine().id;

const labels = {
  [label.cluster]: cluster,
  [label.project]: 'shop',
  [label.service]: 'web',
  [label.slot]: '1',
  [label.hash]: 'hash1',
  [label.rollout]: 'rollout1',
  [label.names]: '{"aliases":["front"],"networks":{"default":["www"]}}',
};

/** Healthy as soon as Docker says so: most tests want no waiting. */
const checked: Service = { healthcheck: { test: ['CMD', 'x'] } };

let engine: FakeEngine;
let replica: MemoryReplica;
let services: ServiceView[];
let observer: Observer;
let log: string;
let openPorts: Set<number>;
let probed: string[];
let changes: boolean[];
let nowMs: number;
/** When containers were started that the engine has ended. */
let endedByEngine: Set<number>;

beforeEach(() => {
  engine = new FakeEngine();
  replica = new MemoryReplica(self);
  services = [aService(checked)];
  log = '';
  openPorts = new Set();
  probed = [];
  changes = [];
  endedByEngine = new Set();
  nowMs = engine.nowMs;
  observer = make();
});

afterEach(() => observer.stop());

function make(): Observer {
  return new Observer(
    {
      engine,
      replica,
      view: () => aView(services),
      probe: async (ip, ports) => {
        probed.push(`${ip} ${ports.join(',')}`);
        return ports.every((port) => openPorts.has(port));
      },
      hasEngineEnded: ({ startedMs }) => endedByEngine.has(startedMs),
      onChange: () => changes.push(observer.isSynced()),
      now: () => nowMs,
      log: createLog((line) => {
        log += line;
      }, 'debug'),
    },
    { cluster },
  );
}

async function synced(): Promise<void> {
  observer.start();
  engine.watcher?.onUp();
  await vi.waitFor(() => expect(observer.isSynced()).toBe(true), { interval: 1 });
}

function recordOf(id: string): ContainerRecord | null | undefined {
  return replica.get(`c/${self}/${id}`)?.value as ContainerRecord | null | undefined;
}

test('everything of this cluster is recorded before it says that one may plan', async () => {
  const { id } = engine.add('shop-web-1', labels);
  const other = engine.add('other', { ...labels, [label.cluster]: 'another' });
  const caddy = engine.add('caddy', { ...labels, [label.system]: 'caddy' });
  const half = engine.add('half', { [label.cluster]: cluster });
  expect(observer.isSynced()).toBe(false);
  await synced();
  expect(recordOf(id)).toEqual({
    name: 'shop-web-1',
    project: 'shop',
    service: 'web',
    slot: '1',
    hash: 'hash1',
    rollout: 'rollout1',
    image: 'nginx:1',
    state: 'running',
    health: 'none',
    ready: false,
    draining: false,
    ip: '10.210.1.2',
    createdMs: 500_000,
    startedMs: 1_000_000,
    finishedMs: 0,
    exitCode: 0,
    restarts: 0,
    aliases: ['front'],
    networks: { default: ['www'] },
  });
  for (const stranger of [other, caddy, half]) expect(recordOf(stranger.id)).toBeUndefined();
  expect(changes).toEqual([false, true]);
});

test('a record of a container that is gone becomes a tombstone at the first look', async () => {
  replica.observe(`c/${self}/${'f'.repeat(64)}`, { name: 'was here' });
  replica.observe('c/another/machine', { name: 'not ours' });
  await synced();
  expect(recordOf('f'.repeat(64))).toBeNull();
  expect(replica.get('c/another/machine')?.value).not.toBeNull();
});

test('an engine that is away takes no record with it, and nothing is planned until it is back', async () => {
  const { id } = engine.add('shop-web-1', labels);
  await synced();
  engine.isDown = true;
  engine.watcher?.onDown(new Error('gone'));
  expect(observer.isSynced()).toBe(false);
  expect(observer.isEngineUp()).toBe(false);
  expect(recordOf(id)).not.toBeNull();
  engine.isDown = false;
  engine.containers.delete(id);
  engine.watcher?.onUp();
  await vi.waitFor(() => expect(recordOf(id)).toBeNull(), { interval: 1 });
});

test('an event makes it look, and a container that has gone leaves a tombstone', async () => {
  await synced();
  const container = engine.add('shop-web-1', labels);
  engine.tell('start', container);
  await vi.waitFor(() => expect(recordOf(container.id)?.state).toBe('running'));
  container.status = 'exited';
  container.exitCode = 3;
  engine.tell('die', container);
  await vi.waitFor(() =>
    expect(recordOf(container.id)).toMatchObject({ state: 'exited', exitCode: 3, ip: '' }),
  );
  engine.containers.delete(container.id);
  engine.tell('destroy', container);
  await vi.waitFor(() => expect(recordOf(container.id)).toBeNull());
  expect(observer.containerIds()).toEqual([]);
});

test('what peers bring back of our containers is looked after, what it wrote itself is not', async () => {
  const container = engine.add('shop-web-1', labels);
  await synced();
  const key = `c/${self}/${container.id}`;
  const own = recordOf(container.id);
  const gone = `c/${self}/${'f'.repeat(64)}`;
  const { inspectCount } = engine;
  observer.noteChanges([key, 'c/another/machine', 'app/shop']);
  expect(engine.inspectCount).toBe(inspectCount);
  replica.observe(key, { ...own, state: 'exited' });
  replica.observe(gone, { name: 'was here' });
  observer.noteChanges([key, gone]);
  await vi.waitFor(() => expect(recordOf(container.id)).toEqual(own), { interval: 1 });
  await vi.waitFor(() => expect(recordOf('f'.repeat(64))).toBeNull(), { interval: 1 });
  replica.observe(key, null);
  observer.noteChanges([key, gone]);
  await vi.waitFor(() => expect(recordOf(container.id)).toEqual(own), { interval: 1 });
});

test('what the engine ended has neither failed nor completed, and that stays known', async () => {
  const container = engine.add('shop-web-1', labels);
  await synced();
  endedByEngine.add(Date.parse(container.startedAt));
  container.status = 'exited';
  engine.tell('die', container);
  await vi.waitFor(() => expect(recordOf(container.id)?.state).toBe('exited'));
  expect(recordOf(container.id)?.exitCode).toBe(255);
  endedByEngine.clear();
  await observer.refresh(container.id);
  expect(recordOf(container.id)?.exitCode).toBe(255);
  container.status = 'running';
  await observer.refresh(container.id);
  expect(recordOf(container.id)?.exitCode).toBe(0);
});

test('events of health checks being run are not even looked at', async () => {
  const container = engine.add('shop-web-1', labels);
  await synced();
  container.status = 'exited';
  engine.tell('exec_create: /bin/check', container);
  engine.tell('exec_die', container);
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(recordOf(container.id)?.state).toBe('running');
});

test('what a health event says of a container that runs is not asked for again', async () => {
  const container = engine.add('shop-web-1', labels);
  container.health = 'starting';
  await synced();
  const { inspectCount } = engine;
  container.health = 'healthy';
  engine.tell('health_status: healthy', container);
  await vi.waitFor(() =>
    expect(recordOf(container.id)).toMatchObject({ health: 'healthy', ready: true }),
  );
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(engine.inspectCount).toBe(inspectCount);
});

test('a health event beside another one, or of what was not seen to run, brings a look', async () => {
  const container = engine.add('shop-web-1', labels, 'created');
  await synced();
  const { inspectCount } = engine;
  container.status = 'running';
  container.health = 'healthy';
  engine.tell('health_status: healthy', container);
  await vi.waitFor(() =>
    expect(recordOf(container.id)).toMatchObject({ state: 'running', health: 'healthy' }),
  );
  expect(engine.inspectCount).toBe(inspectCount + 1);
  container.status = 'exited';
  engine.tell('die', container);
  engine.tell('health_status: unhealthy', container);
  // Not from the event: it would say so of a container that seemed to run.
  expect(recordOf(container.id)?.health).toBe('healthy');
  await vi.waitFor(() => expect(recordOf(container.id)?.state).toBe('exited'));
});

test('an event of just before a look brings none, one of after it or of another time does', async () => {
  const container = engine.add('shop-web-1', labels);
  await synced();
  const lookedMs = nowMs;
  const { inspectCount } = engine;
  container.status = 'exited';
  engine.tell('die', container, lookedMs - 5);
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(engine.inspectCount).toBe(inspectCount);
  engine.tell('die', container, lookedMs + 5);
  await vi.waitFor(() => expect(recordOf(container.id)?.state).toBe('exited'));
  container.status = 'running';
  engine.tell('start', container, lookedMs - 3_600_000);
  await vi.waitFor(() => expect(recordOf(container.id)?.state).toBe('running'));
});

test('a look that failed tells nothing of an event before it', async () => {
  const container = engine.add('shop-web-1', labels);
  await synced();
  container.status = 'exited';
  engine.failures.set('inspect', new Error('busy'));
  await expect(observer.refresh(container.id)).rejects.toThrow('busy');
  engine.tell('die', container, nowMs - 5);
  await vi.waitFor(() => expect(recordOf(container.id)?.state).toBe('exited'));
});

test('an event during a look is followed by another look', async () => {
  const container = engine.add('shop-web-1', labels);
  await synced();
  const first = observer.refresh(container.id);
  // The first inspection has been asked for and sees what is now; the second what comes after.
  await new Promise((resolve) => setImmediate(resolve));
  const second = observer.refresh(container.id);
  container.status = 'exited';
  await Promise.all([first, second]);
  expect(recordOf(container.id)?.state).toBe('exited');
});

describe('what only the agent knows', () => {
  test('a draining container is not ready, at once and after an agent restart', async () => {
    const container = engine.add('shop-web-1', labels);
    container.health = 'healthy';
    await synced();
    expect(recordOf(container.id)?.ready).toBe(true);
    observer.setDraining(container.id, true);
    observer.setRestarts(container.id, 3);
    const drained = { draining: true, ready: false, restarts: 3 };
    expect(recordOf(container.id)).toMatchObject(drained);

    observer.stop();
    observer = make();
    await synced();
    expect(recordOf(container.id)).toMatchObject(drained);
    observer.setDraining(container.id, false);
    expect(recordOf(container.id)).toMatchObject({ draining: false, ready: true });
  });

  test('is not written for a container that nobody has seen', async () => {
    await synced();
    observer.setDraining('f'.repeat(64), true);
    expect(recordOf('f'.repeat(64))).toBeUndefined();
  });

  test('an unchanged container is not written again', async () => {
    const container = engine.add('shop-web-1', labels);
    await synced();
    const count = replica.writes.length;
    await observer.refresh(container.id);
    expect(replica.writes).toHaveLength(count);
  });
});

describe('readiness', () => {
  test('follows the health check', async () => {
    const container = engine.add('shop-web-1', labels);
    container.health = 'starting';
    await synced();
    for (const [health, ready] of [
      ['healthy', true],
      ['unhealthy', false],
    ] as const) {
      container.health = health;
      engine.tell(`health_status: ${health}`, container);
      await vi.waitFor(() => expect(recordOf(container.id)).toMatchObject({ health, ready }));
    }
  });

  test('without a health check it follows the declared ports, until the next start', async () => {
    services = [aService({ expose: ['80', '81'] })];
    const container = engine.add('shop-web-1', labels);
    await synced();
    expect(probed[0]).toBe('10.210.1.2 80,81');
    expect(recordOf(container.id)?.ready).toBe(false);
    openPorts = new Set([80, 81]);
    nowMs += 10_000;
    await observer.refresh(container.id);
    await vi.waitFor(() => expect(recordOf(container.id)?.ready).toBe(true));
    const count = probed.length;
    await observer.refresh(container.id);
    expect(probed).toHaveLength(count);

    openPorts.clear();
    engine.nowMs += 20_000;
    nowMs = engine.nowMs;
    await engine.restart(container.id);
    await observer.refresh(container.id);
    expect(recordOf(container.id)?.ready).toBe(false);
  });

  test('ports that never open count after their time, with one warning', async () => {
    services = [aService({ expose: ['80'] })];
    const container = engine.add('shop-web-1', labels);
    await synced();
    nowMs += 60_000;
    await observer.refresh(container.id);
    await observer.refresh(container.id);
    expect(recordOf(container.id)?.ready).toBe(true);
    expect(log.split('does not accept connections')).toHaveLength(2);
  });

  test.each([
    ['in the host network is asked on the machine itself', 'host', ['127.0.0.1 80']],
    ['in the network of another one is asked there', 'companion', ['10.210.1.2 80']],
    ['without a network is not asked', 'none', []],
  ])('a container %s', async (_title, mode, expected) => {
    services = [aService({ expose: ['80'] })];
    const companion = engine.add('shop-vpn-1', { ...labels, [label.service]: 'vpn' });
    const networkMode = mode === 'companion' ? `container:${companion.id}` : mode;
    const container = engine.add('shop-web-1', labels, 'running', networkMode);
    await synced();
    probed.length = 0;
    await observer.refresh(container.id);
    expect(probed).toEqual(expected);
  });

  test('an older container keeps what it was while its definition is being replaced', async () => {
    services = [aService({})];
    const container = engine.add('shop-web-1', labels);
    nowMs += 60_000;
    await synced();
    expect(recordOf(container.id)?.ready).toBe(true);
    services = [aService({}, { view: { hash: 'hash2' } })];
    await observer.refresh(container.id);
    expect(recordOf(container.id)?.ready).toBe(true);
    engine.nowMs += 1_000;
    await engine.restart(container.id);
    await observer.refresh(container.id);
    expect(recordOf(container.id)?.ready).toBe(false);
  });

  test('what runs is not taken out of traffic by an agent that has lost its memory', async () => {
    services = [];
    const container = engine.add('shop-web-1', labels);
    await synced();
    expect(recordOf(container.id)?.ready).toBe(true);
    // The definition arrives: its ports are not doubted, and were not probed.
    services = [aService({ expose: ['8000'] })];
    await observer.refresh(container.id);
    expect(recordOf(container.id)?.ready).toBe(true);
    expect(probed).toEqual([]);
  });

  test('a stopped container is never ready', async () => {
    services = [aService({})];
    const container = engine.add('shop-web-1', labels, 'exited');
    nowMs += 60_000;
    await synced();
    expect(recordOf(container.id)?.ready).toBe(false);
  });
});

test('a look that fails is tried again while the engine is up', async () => {
  const container = engine.add('shop-web-1', labels);
  engine.failures.set('list', new Error('busy'));
  observer.start();
  engine.watcher?.onUp();
  await vi.waitFor(() => expect(log).toContain('could not look at the containers'));
  expect(observer.isSynced()).toBe(false);
  await vi.waitFor(() => expect(recordOf(container.id)?.state).toBe('running'), {
    timeout: 3_000,
  });
});

test('a container is not ready while its post_start hooks run, nor is one of a hook ever', async () => {
  const { id } = engine.add('shop-web-1', labels);
  const hook = engine.add('shop-web-pre_deploy-1', { ...labels, [label.hook]: 'rollout1' });
  for (const container of engine.containers.values()) container.health = 'healthy';
  observer.setStarting(id, true);
  await synced();
  expect(recordOf(id)?.ready).toBe(false);
  observer.setStarting(id, false);
  expect(recordOf(id)?.ready).toBe(true);
  expect(recordOf(hook.id)).toMatchObject({ hook: 'rollout1', ready: false });
});
