import { describe, expect, test } from 'vitest';
import { TscError } from '../../../src/lib/errors.ts';
import type { Mount } from '../../../src/model/project.ts';
import { recordKey } from '../../../src/model/record.ts';
import { acceptDown, acceptScale } from '../../../src/plan/accept.ts';
import { acceptOperation } from '../../../src/plan/operate.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

const a = machineId('a');
const b = machineId('b');

function thrown(act: () => unknown): TscError {
  try {
    act();
  } catch (error) {
    if (error instanceof TscError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const named = (source: string): Mount => ({ type: 'volume', source, target: `/${source}` });
const bind = (source: string, change: Partial<Mount> = {}): Mount => ({
  type: 'bind',
  source,
  target: '/x',
  ...change,
});

describe('a first up', () => {
  test('writes the revision and a pointer with slots spread over the machines', () => {
    const world = new World('a', 'b', 'c');
    const project = aProject({ web: { deploy: { replicas: 6 } } });
    const accepted = world.accept('a', project, { user: 'me' });
    const { web } = accepted.pointer.services;
    expect(accepted.changed).toEqual(['web']);
    expect(accepted.orphans).toEqual([]);
    expect(accepted.revision.record.project).toEqual(project);
    expect(web?.revision).toBe(accepted.revision.hash);
    expect(web?.hash).toBe(accepted.revision.record.hashes['web']);
    expect(Object.keys(web?.slots ?? {})).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(accepted.pointer).toMatchObject({
      parent: null,
      createdMs: world.nowMs,
      author: { machine: a, user: 'me' },
    });
    const counts = Object.values(web?.slots ?? {}).reduce<Record<string, number>>(
      (sum, machine) => ({ ...sum, [machine]: (sum[machine] ?? 0) + 1 }),
      {},
    );
    expect(Object.values(counts)).toEqual([2, 2, 2]);
  });

  test('places single services so that no machine has more than another', () => {
    const world = new World('a', 'b', 'c');
    const { pointer } = world.accept('a', aProject({ x: {}, y: {}, z: {} }));
    const machines = Object.values(pointer.services).map((service) => service.slots['1']);
    expect(new Set(machines).size).toBe(3);
  });

  test('a global service has no slots to allocate', () => {
    const world = new World('a');
    const { pointer } = world.accept('a', aProject({ all: { deploy: { mode: 'global' } } }));
    expect(pointer.services['all']?.slots).toEqual({});
  });

  test('the same request gives the same revision, with keys in another order too', () => {
    const world = new World('a');
    const one = world.accept('a', aProject({ web: { command: ['x'], init: true }, db: {} }));
    const two = world.accept('a', aProject({ db: {}, web: { init: true, command: ['x'] } }));
    expect(two.revision.hash).toBe(one.revision.hash);
    expect(one.revision.hash).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe('a second up', () => {
  test('keeps hash, rollout and slots of what has not changed', () => {
    const world = new World('a', 'b', 'c');
    const project = aProject({ web: { deploy: { replicas: 3 } }, db: {} });
    const first = world.up('a', project);
    const second = world.accept('b', project);
    expect(second.changed).toEqual([]);
    expect(second.pointer.services).toEqual(first.pointer.services);
    expect(second.pointer.parent).toBe(world.view('a').projects.get('app')?.pointerHlc);
  });

  test('a new count, label or place changes the revision and recreates nothing', () => {
    const world = new World('a', 'b', 'c');
    const first = world.up('a', aProject({ web: { deploy: { replicas: 2 } } }));
    const second = world.accept(
      'a',
      aProject({ web: { deploy: { replicas: 4, labels: { x: 'y' } }, 'x-ports': ['80/http'] } }),
    );
    const [old, now] = [first.pointer.services['web'], second.pointer.services['web']];
    expect(second.changed).toEqual(['web']);
    expect(now?.revision).not.toBe(old?.revision);
    expect([now?.hash, now?.rollout]).toEqual([old?.hash, old?.rollout]);
    expect(now?.slots).toMatchObject(old?.slots ?? {});
    expect(Object.keys(now?.slots ?? {})).toHaveLength(4);
  });

  test('scaling down drops the highest slots', () => {
    const world = new World('a', 'b', 'c');
    const first = world.up('a', aProject({ web: { deploy: { replicas: 5 } } }));
    const second = world.accept('a', aProject({ web: { deploy: { replicas: 2 } } }));
    const { 1: one, 2: two } = first.pointer.services['web']?.slots ?? {};
    expect(second.pointer.services['web']?.slots).toEqual({ 1: one, 2: two });
  });

  test('another image under the same tag is a new rollout', () => {
    const world = new World('a');
    const images = (id: string) => ({ web: { reference: 'web:1', ids: { 'linux/amd64': id } } });
    const first = world.up('a', aProject({ web: {} }), { images: images('sha256:1') });
    const second = world.accept('a', aProject({ web: {} }), { images: images('sha256:2') });
    expect(second.pointer.services['web']?.hash).not.toBe(first.pointer.services['web']?.hash);
    expect(second.pointer.services['web']?.rollout).not.toBe(
      first.pointer.services['web']?.rollout,
    );
  });

  test('--force-recreate gives new containers once', () => {
    const world = new World('a');
    const project = aProject({ web: {} });
    const first = world.up('a', project);
    const forced = world.up('a', project, { forceRecreate: true });
    expect(forced.changed).toEqual(['web']);
    expect(forced.pointer.services['web']?.hash).not.toBe(first.pointer.services['web']?.hash);
    expect(world.accept('a', project).pointer.services).toEqual(forced.pointer.services);
    const again = world.accept('a', project, { forceRecreate: true });
    expect(again.pointer.services['web']?.hash).not.toBe(forced.pointer.services['web']?.hash);
  });

  test('a rollout that has failed is tried again although the file is the same', () => {
    const world = new World('a');
    const project = aProject({ web: {} });
    const first = world.up('a', project);
    world.failure('a', world.service('web'));
    const second = world.accept('a', project);
    expect(second.changed).toEqual(['web']);
    expect(second.pointer.services['web']?.rollout).not.toBe(
      first.pointer.services['web']?.rollout,
    );
  });

  test('a failure that the slot has overcome is forgotten', () => {
    const world = new World('a');
    const project = aProject({ web: {} });
    world.up('a', project);
    const service = world.service('web');
    world.failure('a', service).container('a', 'one', { hash: service.hash });
    expect(world.accept('a', project).changed).toEqual([]);
  });

  test('what has ended is started again', () => {
    const world = new World('a');
    const project = aProject({ job: {} });
    world.up('a', project);
    const { hash } = world.service('job');
    world.container('a', 'one', { service: 'job', hash, state: 'exited', ready: false });
    const second = world.accept('a', project);
    expect(second.changed).toEqual([]);
    expect(second.operationsToWrite).toEqual([
      { key: 'op/app/job', value: { restartAtMs: world.nowMs } },
    ]);
  });

  test('the revision that was good stays named while another is tried', () => {
    const world = new World('a');
    const good = world.up('a', aProject({ web: {} }));
    const { hash } = world.service('web');
    world.container('a', 'one', { hash });
    const second = world.up('a', aProject({ web: { image: 'web:2' } }));
    expect(second.pointer.services['web']?.lastGoodRevision).toBe(good.revision.hash);
    const third = world.up('a', aProject({ web: { image: 'web:3' } }));
    expect(third.pointer.services['web']?.lastGoodRevision).toBe(good.revision.hash);
  });
});

describe('a part of a project', () => {
  test('up of one service leaves the others at their revision', () => {
    const world = new World('a');
    const first = world.up('a', aProject({ web: {}, db: {} }));
    const changed = aProject({ web: { image: 'web:2' }, db: { image: 'db:2' } });
    const second = world.accept('a', changed, { services: ['web'] });
    expect(second.changed).toEqual(['web']);
    expect(second.pointer.services['db']).toEqual(first.pointer.services['db']);
    expect(second.pointer.services['web']?.revision).toBe(second.revision.hash);
  });

  test('operations of other services are written again, those of its own are taken back', () => {
    const world = new World('a');
    const project = aProject({ web: {}, db: {} });
    world.up('a', project);
    world.write(recordKey.operation('app', 'web'), a, { scale: 3 });
    world.write(recordKey.operation('app', 'db'), a, { stopped: true });
    const second = world.accept('a', project, { services: ['web'] });
    expect(second.operationsToWrite).toEqual([{ key: 'op/app/db', value: { stopped: true } }]);
    expect(second.operationsToClear).toEqual(['op/app/web']);
    expect(second.changed).toEqual(['web']);
  });

  test('services that left the file are orphans, and go only when asked', () => {
    const world = new World('a');
    world.up('a', aProject({ web: {}, old: {} }));
    const kept = world.accept('a', aProject({ web: {} }));
    expect(kept.orphans).toEqual(['old']);
    expect(kept.pointer.orphans).toEqual(['old']);
    expect(Object.keys(kept.pointer.services).sort((x, y) => x.localeCompare(y))).toEqual([
      'old',
      'web',
    ]);
    const removed = world.accept('a', aProject({ web: {} }), { removeOrphans: true });
    expect(Object.keys(removed.pointer.services)).toEqual(['web']);
    expect(removed.pointer.orphans).toEqual([]);
  });

  test('a service that the file does not define is refused', () => {
    const world = new World('a');
    const act = (): unknown => world.accept('a', aProject({ web: {} }), { services: ['x'] });
    expect(thrown(act).code).toBe('E_UNKNOWN_SERVICE');
    const scale = (): unknown => world.accept('a', aProject({ web: {} }), { scale: { x: 2 } });
    expect(thrown(scale).code).toBe('E_UNKNOWN_SERVICE');
  });

  test('--scale becomes part of the definition', () => {
    const world = new World('a');
    const project = aProject({ web: { deploy: { replicas: 2 } } });
    const { revision, pointer } = world.accept('a', project, { scale: { web: 4 } });
    expect(revision.record.project.services['web']).toMatchObject({
      scale: 4,
      deploy: { replicas: 4 },
    });
    expect(Object.keys(pointer.services['web']?.slots ?? {})).toHaveLength(4);
  });
});

describe('what ties a service to a machine', () => {
  test('a local volume gets a home that all its services share and that stays', () => {
    const world = new World('a', 'b', 'c');
    const project = aProject(
      { db: { volumes: [named('data')] }, backup: { volumes: [named('data')] } },
      { volumes: { data: { name: 'app_data' } } },
    );
    const first = world.up('a', project);
    const home = first.pointer.volumes['app_data'];
    expect(home).toBeDefined();
    expect(first.pointer.services['db']?.slots).toEqual({ 1: home });
    expect(first.pointer.services['backup']?.slots).toEqual({ 1: home });
    expect(first.notes.join()).toContain('volume app_data is kept on');
    const name = home?.slice('id-'.length) ?? '';
    world.options(name, { drain: true });
    const again = world.accept('a', project);
    expect(again.pointer.services['db']?.slots).toEqual({ 1: home });
    expect(again.notes).toContain(
      `service db stays on ${name}, which is drained: its data is there`,
    );
    world.down('a');
    expect(thrown(() => world.accept('a', project)).message).toContain(`${name} is drained`);
  });

  test('a volume keeps its home over down and up', () => {
    const world = new World('a', 'b', 'c');
    const project = aProject({ db: { volumes: [named('data')] } }, { volumes: { data: {} } });
    const home = world.up('a', project).pointer.volumes['app_data'];
    world.down('a');
    for (const name of ['a', 'b', 'c']) {
      if (machineId(name) === home) continue;
      expect(world.accept(name, project).pointer.volumes['app_data']).toBe(home);
    }
  });

  test('volumes that one chain of services shares have one home', () => {
    const world = new World('a', 'b', 'c');
    const project = aProject(
      {
        x: { volumes: [named('one')] },
        y: { volumes: [named('one'), named('two')] },
        z: { volumes: [named('two')] },
      },
      { volumes: { one: {}, two: {} } },
    );
    const { pointer } = world.accept('a', project);
    expect(pointer.volumes['app_one']).toBe(pointer.volumes['app_two']);
  });

  test('shared storage, and the volumes of a global service, tie nothing', () => {
    const world = new World('a', 'b');
    const project = aProject(
      {
        web: { deploy: { replicas: 2 }, volumes: [named('share')] },
        all: { deploy: { mode: 'global' }, volumes: [named('own')] },
      },
      { volumes: { share: { driver_opts: { type: 'nfs' } }, own: {} } },
    );
    const { pointer } = world.accept('a', project);
    expect(pointer.volumes).toEqual({});
    expect(new Set(Object.values(pointer.services['web']?.slots ?? {})).size).toBe(2);
  });

  test('an external volume is looked for on the machine where up was typed', () => {
    const world = new World('a', 'b', 'c');
    const project = aProject(
      { db: { volumes: [named('data')] } },
      { volumes: { data: { name: 'mine', external: true } } },
    );
    for (const name of ['a', 'b', 'c']) {
      expect(world.accept(name, project).pointer.volumes['mine']).toBe(machineId(name));
    }
  });

  test.each<[string, Mount[], boolean]>([
    ['the file’s own folder', [bind('/home/me/app/conf')], true],
    ['any other path, while nobody was asked for it', [bind('/srv/data')], false],
    ['a copy that came with the change', [bind('tsc-compose-copy:abc')], false],
    ['the Docker socket', [bind('/var/run/docker.sock')], false],
    ['kernel and time', [bind('/proc'), bind('/sys/fs/cgroup'), bind('/etc/localtime')], false],
    ['devices', [bind('/dev/snd')], false],
  ])('a bind mount of %s', (_title, volumes, isPinned) => {
    const world = new World('a', 'b', 'c');
    const accepted = world.accept('b', aProject({ web: { volumes, deploy: { replicas: 2 } } }));
    const { web } = accepted.pointer.services;
    expect(web?.pinned).toBe(isPinned ? b : undefined);
    if (isPinned) expect(web?.slots).toEqual({ 1: b, 2: b });
    expect(accepted.notes.some((note) => note.includes('stays on b'))).toBe(isPinned);
  });

  test('with x-machines, or for a global service, only the file’s own folder ties', () => {
    const world = new World('a', 'b');
    const placed = aProject({ web: { 'x-machines': 'b', volumes: [bind('/srv/data')] } });
    const accepted = world.accept('a', placed);
    expect(accepted.pointer.services['web']).toMatchObject({ slots: { 1: b }, pinned: b });
    const everywhere = aProject({ web: { deploy: { mode: 'global' }, volumes: [bind('/srv')] } });
    expect(world.accept('a', everywhere).pointer.services['web']?.pinned).toBeUndefined();
    const own = aProject({ web: { 'x-machines': 'b', volumes: [bind('/home/me/app/x')] } });
    expect(thrown(() => world.accept('a', own)).code).toBe('E_NO_ELIGIBLE_MACHINE');
  });

  test('files that a service writes are not left behind when up is typed elsewhere', () => {
    const world = new World('a', 'b');
    const writing = aProject({ db: { volumes: [bind('/home/me/app/data')] } });
    world.up('a', writing);
    expect(thrown(() => world.accept('b', writing)).code).toBe('E_PINNED_ELSEWHERE');
    expect(world.accept('a', writing).changed).toEqual([]);
    const reading = aProject({
      web: { volumes: [bind('/home/me/app/conf', { read_only: true })] },
    });
    const other = { ...reading, name: 'other' };
    world.up('a', other);
    expect(world.accept('b', other).pointer.services['web']?.slots).toEqual({ 1: b });
  });

  test('data on one machine and files on another are refused with both named', () => {
    const world = new World('a', 'b');
    const volumes = { data: {} };
    world.up('a', aProject({ db: { 'x-machines': 'a', volumes: [named('data')] } }, { volumes }));
    const mount = bind('/home/me/app/conf', { read_only: true });
    const both = aProject({ db: { volumes: [named('data'), mount] } }, { volumes });
    const error = thrown(() => world.accept('b', both));
    expect(error.message).toBe(
      'no machine can run service "db": volume app_data is on a, a bind mount is on b',
    );
  });

  test('a service in another’s network is placed beside it', () => {
    const world = new World('a', 'b', 'c');
    const project = aProject({
      app: { network_mode: 'service:vpn' },
      vpn: {},
      x: {},
      y: {},
    });
    const { services } = world.accept('a', project).pointer;
    expect(services['app']?.slots).toEqual(services['vpn']?.slots);
  });
});

describe('what is refused', () => {
  test('no machine, with the reason of each', () => {
    const world = new World('a').machine('b', { drain: true }).machine('c').is('c', 'unreachable');
    const error = thrown(() => world.accept('a', aProject({ web: { 'x-machines': ['b', 'c'] } })));
    expect(error.code).toBe('E_NO_ELIGIBLE_MACHINE');
    expect(error.message).toBe(
      'no machine can run service "web": a is not named in x-machines; b is drained; c is unreachable',
    );
  });

  test('a global service that fits nowhere', () => {
    const world = new World().machine('a', { drain: true });
    const project = aProject({ all: { deploy: { mode: 'global' } } });
    expect(thrown(() => world.accept('a', project)).code).toBe('E_NO_ELIGIBLE_MACHINE');
  });

  test('more replicas with a host port than machines', () => {
    const ports = [{ target: 80, published: '80', mode: 'host' }];
    const project = aProject({ web: { ports, deploy: { replicas: 3 } } });
    const error = thrown(() => new World('a', 'b').accept('a', project));
    expect(error.message).toContain('a port 80/tcp is used there by app/web');
    expect(Object.keys(new World('a', 'b', 'c').accept('a', project).pointer.services)).toEqual([
      'web',
    ]);
  });

  test('no replicas need no machine', () => {
    const world = new World().machine('a', { drain: true });
    const project = aProject({ web: { deploy: { replicas: 0 } } });
    expect(world.accept('a', project).pointer.services['web']?.slots).toEqual({});
  });

  test('x-machines that names nobody', () => {
    const error = thrown(() =>
      new World('a').accept('a', aProject({ web: { 'x-machines': 'x' } })),
    );
    expect(error.code).toBe('E_UNKNOWN_MACHINE');
    expect(error.hint).toBe('machines: a');
  });

  const publish = (published: string, mode = 'ingress') =>
    ({ ports: [{ target: 80, published, mode }] }) as const;

  test('a port that another project publishes, whatever the mode of one of them', () => {
    const world = new World('a', 'b');
    world.up('a', aProject({ web: publish('8080-8082') }, { name: 'first' }));
    const error = thrown(() => world.accept('a', aProject({ x: publish('8081', 'host') })));
    expect(error.code).toBe('E_PORT_TAKEN');
    expect(error.message).toContain('service "web" of project "first"');
    expect(world.accept('a', aProject({ x: publish('8083') })).changed).toEqual(['x']);
    world.down('a', 'first');
    expect(world.accept('a', aProject({ x: publish('8081') })).changed).toEqual(['x']);
  });

  test('a port that another service of the file publishes', () => {
    const project = aProject({ x: publish('80'), y: publish('80') });
    expect(thrown(() => new World('a').accept('a', project)).code).toBe('E_PORT_TAKEN');
  });

  test('a service may keep its own port', () => {
    const world = new World('a');
    world.up('a', aProject({ x: publish('80') }));
    expect(world.accept('a', aProject({ x: { ...publish('80'), image: 'x:2' } })).changed).toEqual([
      'x',
    ]);
  });

  test('a hostname that another project answers for', () => {
    const world = new World('a');
    const site = { 'x-ports': ['www.example.com:80/https'] };
    world.up('a', aProject({ web: site }, { name: 'first' }));
    expect(thrown(() => world.accept('a', aProject({ x: site }))).code).toBe('E_PORT_TAKEN');
  });

  test('a container name that another service has, and more replicas than names', () => {
    const world = new World('a');
    world.up('a', aProject({ web: { container_name: 'shop' } }, { name: 'first' }));
    const taken = aProject({ x: { container_name: 'shop' } });
    expect(thrown(() => world.accept('a', taken)).code).toBe('E_CONTAINER_NAME_TAKEN');
    const usual = aProject({ x: { container_name: 'first-y-1' } });
    world.up('a', aProject({ web: { container_name: 'shop' }, y: {} }, { name: 'first' }));
    world.container('a', 'one', { name: 'first-y-1', project: 'first', service: 'y' });
    expect(thrown(() => world.accept('a', usual)).code).toBe('E_CONTAINER_NAME_TAKEN');
    const two = aProject({ x: { container_name: 'own', deploy: { replicas: 2 } } });
    expect(thrown(() => world.accept('a', two)).code).toBe('E_CONTAINER_NAME_SCALE');
  });
});

describe('down', () => {
  test('leaves a tombstone that knows where the data is', () => {
    const world = new World('a');
    const volumes = { data: {}, made: { name: 'made', external: true } };
    world.up('a', aProject({ db: { volumes: [named('data'), named('made')] } }, { volumes }));
    const facts = { self: a, nowMs: 5 };
    const kept = acceptDown(world.view('a'), 'app', { volumes: false }, facts).tombstone;
    expect(kept).toEqual({
      removed: true,
      createdMs: 5,
      author: { machine: a },
      deleteVolumes: [],
      volumes: { app_data: a, made: a },
      ownVolumes: ['app_data'],
      ancestors: [expect.stringMatching(/^[0-9a-f]{16}$/)],
    });
    const deleted = acceptDown(world.view('a'), 'app', { volumes: true, user: 'me' }, facts);
    expect(deleted.tombstone).toMatchObject({
      author: { machine: a, user: 'me' },
      deleteVolumes: ['app_data'],
      volumes: { made: a },
    });
  });

  test('of what is not there is a note', () => {
    const world = new World('a');
    const facts = { self: a, nowMs: 5 };
    expect(acceptDown(world.view('a'), 'app', { volumes: false }, facts)).toMatchObject({
      tombstone: undefined,
      notes: ['project app is not running: nothing to take down'],
    });
  });
});

describe('operations', () => {
  const world = new World('a');
  world.up(
    'a',
    aProject({ web: {}, all: { deploy: { mode: 'global' } }, own: { container_name: 'x' } }),
  );
  const view = world.view('a');

  test('scale keeps what else was asked for', () => {
    const other = new World('a');
    other.up('a', aProject({ web: {} }));
    other.write(recordKey.operation('app', 'web'), a, { restartAtMs: 7 });
    expect(acceptScale(other.view('a'), 'app', { scale: { web: 3 } })).toEqual([
      { key: 'op/app/web', value: { restartAtMs: 7, scale: 3, slots: { 2: a, 3: a } } },
    ]);
  });

  test.each([
    [{ all: 2 }, 'E_SCALE_GLOBAL'],
    [{ own: 2 }, 'E_CONTAINER_NAME_SCALE'],
    [{ none: 2 }, 'E_UNKNOWN_SERVICE'],
  ])('scale %j is refused', (scale: Record<string, number>, code) => {
    expect(thrown(() => acceptScale(view, 'app', { scale })).code).toBe(code);
  });

  test('scale of a project that is not there is refused', () => {
    expect(thrown(() => acceptScale(view, 'no', { scale: { web: 2 } })).code).toBe(
      'E_UNKNOWN_PROJECT',
    );
  });

  test('scale up with no machine left is refused', () => {
    const drained = new World('a');
    drained.up('a', aProject({ web: {} }));
    drained.options('a', { drain: true });
    const act = (): unknown => acceptScale(drained.view('a'), 'app', { scale: { web: 2 } });
    expect(thrown(act).code).toBe('E_NO_ELIGIBLE_MACHINE');
  });

  test('stop, start and restart are about all services unless some are named', () => {
    const act = (name: 'stop' | 'start' | 'restart', services: readonly string[]) =>
      acceptOperation(view, 'app', { services, act: name }, 9).writes;
    expect(act('stop', []).map((write) => write.key)).toEqual([
      'op/app/all',
      'op/app/own',
      'op/app/web',
    ]);
    expect(act('restart', ['web'])).toEqual([
      { key: 'op/app/web', value: { stopped: false, restartAtMs: 9 } },
    ]);
  });
});

describe('services that a profile switches off', () => {
  const both = aProject({ web: {}, debug: {} });
  const enabled = aProject({ web: {} });

  test('are kept as they are and are no orphans, also with --remove-orphans', () => {
    const world = new World('a');
    const first = world.up('a', both);
    const change = { disabledServices: ['debug'], removeOrphans: true };
    const second = world.accept('a', enabled, change);
    expect(second.orphans).toEqual([]);
    expect(second.pointer.orphans).toEqual([]);
    expect(second.pointer.services['debug']).toEqual(first.pointer.services['debug']);
  });

  test('are orphans once the file no longer names them', () => {
    const world = new World('a');
    world.up('a', both);
    expect(world.accept('a', enabled).orphans).toEqual(['debug']);
    const removing = world.accept('a', enabled, { removeOrphans: true });
    expect(Object.keys(removing.pointer.services)).toEqual(['web']);
  });
});

describe('down -v of a project that is down', () => {
  const facts = { self: a, nowMs: 7 };
  const project = aProject(
    {
      web: { volumes: [named('data'), named('theirs')] },
      all: { deploy: { mode: 'global' }, volumes: [named('each')] },
    },
    { volumes: { data: {}, each: {}, theirs: { external: true, name: 'theirs' } } },
  );

  test('deletes the volumes that the project had made, and no others', () => {
    const world = new World('a', 'b');
    world.up('a', project);
    world.down('a');
    const { tombstone } = acceptDown(world.view('b'), 'app', { volumes: true }, facts);
    expect(tombstone).toMatchObject({
      removed: true,
      deleteVolumes: ['app_data', 'app_each'],
      ownVolumes: [],
    });
    expect(Object.keys(tombstone?.volumes ?? {})).toEqual(['theirs']);
  });

  test('writes nothing when there is nothing to delete', () => {
    const world = new World('a');
    world.up('a', project);
    world.down('a', 'app', true);
    expect(acceptDown(world.view('a'), 'app', { volumes: true }, facts).tombstone).toBeUndefined();
    world.up('a', project);
    world.down('a');
    expect(acceptDown(world.view('a'), 'app', { volumes: false }, facts).tombstone).toBeUndefined();
    const never = acceptDown(world.view('a'), 'never', { volumes: true }, facts);
    expect(never.tombstone).toBeUndefined();
  });

  test('makes the machines delete them', () => {
    const fake = new FakeCluster(new World('a'));
    fake.world.up('a', project);
    fake.volumes.set(a, new Set(['app_data', 'app_each', 'other']));
    fake.settle();
    fake.world.down('a');
    fake.settle();
    expect(fake.volumes.get(a)).toEqual(new Set(['app_data', 'app_each', 'other']));
    fake.world.down('a', 'app', true);
    fake.settle();
    expect(fake.volumes.get(a)).toEqual(new Set(['other']));
  });
});

test('an entry of x-ports that cannot be read is refused', () => {
  const project = aProject({ web: { 'x-ports': ['80/https'] } });
  expect(thrown(() => new World('a').accept('a', project))).toMatchObject({
    code: 'E_COMPOSE_X_PORTS',
  });
});
