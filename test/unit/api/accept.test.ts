import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Acceptor } from '../../../agent/accept.ts';
import { createLog } from '../../../agent/log.ts';
import type { FactsAnswer, UpRequest } from '../../../src/model/api.ts';
import type { ClusterId, MachineId } from '../../../src/model/ids.ts';
import type { Service } from '../../../src/model/project.ts';
import type { PointerRecord, RevisionRecord } from '../../../src/model/record.ts';
import { recordKey } from '../../../src/model/record.ts';
import type { Replica } from '../../../src/model/replica.ts';
import type { Liveness } from '../../../src/model/view.ts';
import { plan } from '../../../src/plan/plan.ts';
import { idleLocalState } from '../../../src/plan/steps.ts';
import { aContainer, aMachineRecord, machineId, RecordMap } from '../../lib/builders.ts';
import { type FakeEngine, fakeEngine } from './fake-engine.ts';

const [m1, m2, m3] = [machineId('m1'), machineId('m2'), machineId('m3')];
const cluster = 'cluster' as ClusterId;

let folder: string;
let engines: Map<MachineId, FakeEngine>;
let replica: TestReplica;
let liveness: Map<MachineId, Liveness>;
let nowMs: number;
let acceptor: Acceptor;
/** Credentials that were to be kept, by change. */
let kept: unknown[];

/** The replicated map of m1, whose peers hold everything at once. */
class TestReplica extends RecordMap implements Replica {
  readonly self = m1;
  readonly writes: string[] = [];
  copyCount = 2;
  readonly asked: number[] = [];
  /** Runs before a write is done, to let something else happen meanwhile. */
  onWrite: (key: string) => void = () => undefined;
  #hlc = 100;

  async write(key: string, value: unknown): Promise<{ readonly hlc: number }> {
    await Promise.resolve();
    this.onWrite(key);
    return { hlc: this.put(key, value) };
  }

  put(key: string, value: unknown): number {
    this.#hlc += 1;
    this.writes.push(key);
    this.set({ key, origin: this.self, hlc: this.#hlc, value });
    return this.#hlc;
  }

  observe(key: string, value: unknown): void {
    this.put(key, value);
  }

  replicated(_key: string, _hlc: number, count: number): Promise<number> {
    this.asked.push(count);
    return Promise.resolve(Math.min(count, this.copyCount));
  }

  subscribe(): () => void {
    return () => undefined;
  }

  liveness(): ReadonlyMap<MachineId, Liveness> {
    return liveness;
  }

  guards(): readonly [] {
    return [];
  }
}

/** What this machine says of itself; no other one answers. */
let ownFacts: FactsAnswer = { existing: [], freeDiskBytes: 1, freeMemoryBytes: 1 };
/** Copies that the acceptor handed on. */
let spread: string[] = [];

beforeEach(async () => {
  ownFacts = { existing: [], freeDiskBytes: 1, freeMemoryBytes: 1 };
  spread = [];
  folder = mkdtempSync(join(tmpdir(), 'tsc-accept-'));
  replica = new TestReplica();
  liveness = new Map();
  engines = new Map();
  kept = [];
  nowMs = 5_000;
  for (const [index, name] of ['m1', 'm2', 'm3'].entries()) {
    const id = machineId(name);
    const engine = await fakeEngine(folder, name);
    engine.images.set('busybox', 'sha256:b');
    engines.set(id, engine);
    liveness.set(id, 'reachable');
    replica.set({
      key: recordKey.machine(id),
      origin: id,
      hlc: index,
      value: aMachineRecord(name, index + 1),
    });
  }
  let ids = 0;
  acceptor = new Acceptor({
    replica,
    viewContext: () => ({ self: m1, cluster, nowMs, liveness, guards: [] }),
    plan: (view) => plan(view, idleLocalState),
    docker: async (machine) => engineOf(machine).docker,
    credentials: {
      authFor: () => undefined,
      replace: async (_project, given) => void kept.push(given),
    },
    newId: () => {
      ids += 1;
      return `r${ids}`;
    },
    machineFacts: { read: async () => ownFacts },
    connectRpc: async () => {
      throw new Error('no machine answers');
    },
    caddyImage: 'caddy:2',
    copies: { spread: async (hashes) => void spread.push(...hashes) },
    log: createLog(() => undefined),
  });
});
afterEach(() => {
  for (const engine of engines.values()) engine.stop();
  rmSync(folder, { recursive: true });
});

function engineOf(machine: MachineId): FakeEngine {
  const engine = engines.get(machine);
  if (engine === undefined) throw new Error(`no engine for ${machine}`);
  return engine;
}

function upOf(services: Readonly<Record<string, Service>>, change: Partial<UpRequest> = {}) {
  const request: UpRequest = {
    project: { name: 'shop', services },
    services: [],
    disabledServices: [],
    scale: {},
    removeOrphans: false,
    isDryRun: false,
    forceRecreate: false,
    contents: {},
    workingDir: '/somewhere',
    composeFiles: ['/somewhere/compose.yaml'],
    ...change,
  };
  return acceptor.up('shop', request, new AbortController().signal);
}

function pointer(): PointerRecord {
  return replica.get('app/shop')?.value as PointerRecord;
}

function revision(): RevisionRecord {
  const hash = pointer().services.web?.revision ?? '';
  return replica.get(recordKey.revision('shop', hash))?.value as RevisionRecord;
}

const web: Service = { image: 'busybox', deploy: { replicas: 3 } };

describe('up', () => {
  test('writes the revision before the pointer and says on how many machines it is', async () => {
    const answer = await upOf({ web });
    expect(replica.writes).toEqual([
      expect.stringMatching(/^rev\/shop\//),
      'app/shop',
      expect.stringMatching(/^hist\/shop\//),
    ]);
    expect(answer).toMatchObject({
      storedOnCount: 3,
      reachableCount: 3,
      machineCount: 3,
      changed: ['web'],
      pointerHlc: replica.get('app/shop')?.hlc,
    });
    expect(Object.values(pointer().services.web?.slots ?? {}).sort()).toEqual([m1, m2, m3]);
    expect(revision().images.web).toEqual({
      reference: 'busybox',
      ids: { 'linux/amd64': 'sha256:b' },
    });
    expect(replica.asked).toEqual([2, 2]);
  });

  test('alone waits for no copy', async () => {
    liveness.set(m2, 'lost').set(m3, 'lost');
    expect(await upOf({ web })).toMatchObject({
      storedOnCount: 1,
      reachableCount: 1,
      machineCount: 3,
    });
    expect(replica.asked).toEqual([]);
  });

  test('without a change keeps the rollout and writes no second revision', async () => {
    await upOf({ web });
    const before = pointer().services.web;
    const answer = await upOf({ web });
    expect(answer.changed).toEqual([]);
    expect(pointer().services.web).toEqual(before);
    expect(replica.writes.filter((key) => key.startsWith('rev/'))).toHaveLength(1);
  });

  test('takes back a scale that it replaces', async () => {
    await upOf({ web });
    await acceptor.scale('shop', { scale: { web: 5 } });
    expect(replica.get('op/shop/web')?.value).toMatchObject({
      scale: 5,
      by: { machine: 'id-m1', act: 'scale to 5' },
    });
    await upOf({ web });
    expect(replica.get('op/shop/web')?.value).toBeNull();
  });

  test('pulls an image that no machine has, once it is known to exist', async () => {
    for (const engine of engines.values()) engine.registry.set('new', 'sha256:n');
    await upOf({ web: { ...web, image: 'new' } });
    expect(revision().images.web?.ids).toEqual({ 'linux/amd64': 'sha256:n' });
    for (const engine of engines.values()) expect(engine.images.get('new')).toBe('sha256:n');
  });

  test('refuses an image that exists nowhere, and writes nothing', async () => {
    await expect(upOf({ web: { image: 'nope' } })).rejects.toMatchObject({
      code: 'E_IMAGE_NOT_FOUND',
      message: expect.stringMatching(/service web: image "nope".*pull access denied/),
    });
    expect(replica.writes).toEqual([]);
  });

  test('refuses an image that a chosen machine cannot get, and names the machine', async () => {
    engineOf(m2).images.clear();
    await expect(upOf({ web })).rejects.toMatchObject({
      code: 'E_IMAGE_NOT_FOUND',
      message: expect.stringContaining('service web on m2'),
    });
    expect(replica.writes).toEqual([]);
    await upOf({ web: { ...web, 'x-machines': ['m1', 'm3'] } });
    expect(new Set(Object.values(pointer().services.web?.slots ?? {}))).toEqual(new Set([m1, m3]));
  });

  test('asks no machine that is away or may not run the service', async () => {
    liveness.set(m3, 'unreachable');
    engineOf(m3).images.clear();
    engineOf(m2).images.clear();
    await upOf({ web: { ...web, 'x-machines': 'm1' } });
    expect(engineOf(m2).pulled).toEqual([]);
    expect(engineOf(m3).pulled).toEqual([]);
  });

  test('means by a tag what it means on the accepting machine', async () => {
    engineOf(m1).images.set('busybox', 'sha256:mine');
    await upOf({ web });
    expect(revision().images.web?.ids).toEqual({ 'linux/amd64': 'sha256:mine' });
  });

  test('pulls again with pull_policy always', async () => {
    for (const engine of engines.values()) engine.registry.set('busybox', 'sha256:newer');
    await upOf({ web: { ...web, pull_policy: 'always' } });
    expect(revision().images.web?.ids).toEqual({ 'linux/amd64': 'sha256:newer' });
  });

  describe('with a registry that tells digests', () => {
    const [one, two] = [`sha256:${'1'.repeat(64)}`, `sha256:${'2'.repeat(64)}`];
    const pinned = `busybox@${one}`;

    function publish(digest: string, platforms?: readonly string[]): void {
      for (const engine of engines.values()) {
        engine.distribution.set('busybox', {
          digest,
          ...(platforms === undefined ? {} : { platforms }),
        });
        engine.registry.set(`busybox@${digest}`, `sha256:id-${digest.slice(7, 10)}`);
      }
    }

    test('pulls exactly what the tag meant, on each machine that runs it', async () => {
      publish(one);
      for (const engine of engines.values()) engine.images.clear();
      await upOf({ web: { ...web, 'x-machines': ['m1', 'm2'] } });
      expect(engineOf(m1).pulled).toEqual([pinned]);
      expect(engineOf(m2).pulled).toEqual([pinned]);
      expect(engineOf(m3).pulled).toEqual([]);
      // Under its name as well, so that `docker images` shows something to read.
      expect(engineOf(m2).images.get('busybox:latest') ?? engineOf(m2).images.get('busybox')).toBe(
        'sha256:id-111',
      );
      expect(revision().images.web).toEqual({
        reference: 'busybox',
        ids: {},
        digests: { 'linux/amd64': one },
      });
    });

    test('does not ask it about what is here, and pulls the same where it is not', async () => {
      publish(two);
      engineOf(m1).digests.set('busybox', [one]);
      engineOf(m2).registry.set(pinned, 'sha256:b');
      engineOf(m2).images.clear();
      await upOf({ web: { ...web, 'x-machines': ['m1', 'm2'] } });
      expect(engineOf(m1).pulled).toEqual([]);
      expect(engineOf(m2).pulled).toEqual([pinned]);
      expect(revision().images.web?.digests).toEqual({ 'linux/amd64': one });
    });

    test('a machine on which the tag means something else gets what is meant', async () => {
      engineOf(m1).digests.set('busybox', [one]);
      engineOf(m2).digests.set('busybox', [two]);
      engineOf(m2).images.set('busybox', 'sha256:old');
      engineOf(m2).registry.set(pinned, 'sha256:b');
      await upOf({ web: { ...web, 'x-machines': ['m1', 'm2'] } });
      expect(engineOf(m2).pulled).toEqual([pinned]);
    });

    test.each([
      ['always', 1, true],
      ['daily', 25, true],
      ['daily', 23, false],
      ['every_2h', 3, true],
      ['weekly', 25, false],
      ['missing', 999, false],
    ])('with pull_policy %s and an image of %i hours asks: %s', async (policy, hours, asks) => {
      publish(two);
      nowMs = 1e12;
      const tagged = new Date(nowMs - hours * 3_600_000).toISOString();
      for (const engine of engines.values()) {
        engine.digests.set('busybox', [one]);
        engine.tagged.set('busybox', tagged);
      }
      await upOf({ web: { ...web, pull_policy: policy } });
      expect(revision().images.web?.digests).toEqual({ 'linux/amd64': asks ? two : one });
    });

    test('an unchanged tag is no new rollout, however it was found out', async () => {
      publish(one);
      for (const engine of engines.values()) engine.digests.set('busybox', [one]);
      await upOf({ web });
      const before = pointer().services.web;
      await upOf({ web: { ...web, pull_policy: 'always' } });
      expect(pointer().services.web?.rollout).toBe(before?.rollout);
    });

    test('asks with the credentials of the command, and keeps them for later', async () => {
      publish(one);
      for (const engine of engines.values()) engine.images.clear();
      const credentials = { 'docker.io': { username: 'me', password: 'p' } };
      await upOf({ web: { ...web, 'x-machines': 'm2' } }, { credentials });
      const auth = { username: 'me', password: 'p', serveraddress: 'https://index.docker.io/v1/' };
      expect(engineOf(m2).auths).toEqual([auth, auth]);
      expect(kept).toEqual([credentials]);
    });

    test('a registry that refuses stops the change, and says whose credentials they were', async () => {
      for (const engine of engines.values()) {
        engine.images.clear();
        engine.distribution.set('busybox', 'refused');
      }
      const credentials = { 'docker.io': { username: 'me', password: 'wrong' } };
      await expect(upOf({ web }, { credentials })).rejects.toMatchObject({
        code: 'E_REGISTRY_REFUSED',
        message: expect.stringContaining('docker.io refuses the credentials of me'),
      });
      expect(replica.writes).toEqual([]);
      expect(kept).toEqual([]);
    });

    test('places by the platforms of the image', async () => {
      replica.set({
        key: recordKey.machine(m2),
        origin: m2,
        hlc: 9,
        value: aMachineRecord('m2', 2, 'linux/arm64'),
      });
      publish(one, ['linux/arm64']);
      for (const engine of engines.values()) engine.images.clear();
      await upOf({ web });
      expect(new Set(Object.values(pointer().services.web?.slots ?? {}))).toEqual(new Set([m2]));
      publish(one, ['linux/amd64', 'linux/arm64']);
      engineOf(m1).images.set('busybox', 'sha256:b');
      engineOf(m1).digests.set('busybox', [one]);
      await upOf({ web: { ...web, deploy: { mode: 'global' } } });
      expect(Object.keys(revision().images.web?.digests ?? {})).toEqual([
        'linux/amd64',
        'linux/arm64',
      ]);
      expect(engineOf(m3).pulled).toEqual([pinned]);
    });
  });

  test('refuses containers of the same project that are not ours, and lists them', async () => {
    const compose = { 'com.docker.compose.project': 'shop' };
    engineOf(m2).containers = [
      { name: 'shop-web-1', labels: compose },
      { name: 'shop-web-2', labels: { ...compose, 'tsc-compose.cluster': 'cluster' } },
      { name: 'else-web-1', labels: { 'com.docker.compose.project': 'else' } },
    ];
    await expect(upOf({ web })).rejects.toMatchObject({
      code: 'E_FOREIGN_CONTAINERS',
      message: expect.stringMatching(/: shop-web-1 on m2$/),
    });
    expect(replica.writes).toEqual([]);
  });

  test('goes on without an engine that does not answer, and says so', async () => {
    engineOf(m3).isDown = true;
    const answer = await upOf({ web: { ...web, 'x-machines': ['m1', 'm2'] } });
    expect(answer.notes).toEqual([
      expect.stringContaining('m3: its containers could not be listed'),
      expect.stringContaining('without logging'),
    ]);
  });

  test('asks a machine that did not say which images it has for nothing more', async () => {
    engineOf(m3).isDown = true;
    const answer = await upOf({ web });
    expect(answer.notes).toContain('m3 did not say which images it has');
    expect(engineOf(m3).pulled).toEqual([]);
    expect(Object.keys(pointer().services.web?.slots ?? {})).toHaveLength(3);
  });

  test('is refused when another change came in meanwhile', async () => {
    replica.onWrite = (key) => {
      if (!key.startsWith('rev/')) return;
      replica.onWrite = () => undefined;
      replica.put('app/shop', {
        services: {},
        createdMs: 1,
        parent: null,
        author: { machine: m2 },
        volumes: {},
        orphans: [],
      });
    };
    await expect(upOf({ web })).rejects.toMatchObject({ code: 'E_PROJECT_CHANGED' });
    expect(replica.writes.filter((key) => key === 'app/shop')).toHaveLength(1);
  });

  test('takes changes of one project one after the other', async () => {
    const answers = await Promise.all([upOf({ web }), upOf({ web, db: { image: 'busybox' } })]);
    expect(answers.map(({ changed }) => changed)).toEqual([['web'], ['db']]);
    expect(Object.keys(pointer().services)).toEqual(['db', 'web']);
  });

  test('goes on with the next change after one that failed', async () => {
    const [first, second] = await Promise.allSettled([
      upOf({ web: { image: 'nope' } }),
      upOf({ web }),
    ]);
    expect([first?.status, second?.status]).toEqual(['rejected', 'fulfilled']);
  });

  test('that the client gave up before it was written is not written', async () => {
    const aborter = new AbortController();
    aborter.abort();
    const request = { ...(await requestOf(web)) };
    await expect(acceptor.up('shop', request, aborter.signal)).rejects.toThrow();
    expect(replica.writes).toEqual([]);
  });

  test('as a dry run tells what each machine would do and writes nothing', async () => {
    engineOf(m1).registry.set('new', 'sha256:n');
    const answer = await upOf(
      { web, more: { image: 'new', 'x-machines': 'm2' } },
      { isDryRun: true },
    );
    expect(replica.writes).toEqual([]);
    expect(engineOf(m1).pulled).toEqual([]);
    expect(answer.notes).toContain('service more: image new would be pulled');
    const steps = answer.steps.map(({ machine, action }) => [machine, action.name]);
    expect(steps).toContainEqual([m1, 'run']);
    expect(steps).toContainEqual([m2, 'run']);
    expect(steps).toContainEqual([m3, 'run']);
  });

  test('as a dry run shows what starts only later, and services that are started again', async () => {
    const project = {
      web: { image: 'busybox', depends_on: { db: { condition: 'service_started' as const } } },
      db: { image: 'busybox', 'x-machines': 'm1' },
    };
    const names = async () =>
      (await upOf(project, { isDryRun: true })).steps.map(({ action }) =>
        'service' in action.arguments ? `${action.name} ${action.arguments.service}` : action.name,
      );
    expect(await names()).toEqual(['run db', 'run web']);
    await upOf(project);
    for (const [service, machine] of Object.entries(pointer().services)) {
      const owner = machine.slots['1'] ?? m1;
      const ended = { state: 'exited', ready: false, service, project: 'shop' } as const;
      const value = aContainer({ ...ended, hash: machine.hash, rollout: machine.rollout });
      const key = recordKey.container(owner, service);
      replica.set({ key, origin: owner, hlc: 1, value: { ...value, name: `shop-${service}-1` } });
    }
    expect(await names()).toEqual(['start', 'start']);
    expect(pointer().services.db).toBeDefined();
  });
});

describe('down and scale', () => {
  test('down writes a tombstone that names the volumes to delete', async () => {
    const project = {
      name: 'shop',
      services: {
        web: { ...web, volumes: [{ type: 'volume', source: 'data', target: '/data' }] },
      },
      volumes: { data: { name: 'shop_data' } },
    };
    await upOf({}, { project });
    const answer = await acceptor.down('shop', { volumes: true });
    expect(answer.storedOnCount).toBe(3);
    expect(replica.get('app/shop')?.value).toMatchObject({
      removed: true,
      deleteVolumes: ['shop_data'],
    });
  });

  test('asks for the paths that services mount, and keeps them where they are', async () => {
    const bind = { type: 'bind', source: '/srv/media', target: '/media' };
    const change = { project: { name: 'shop', services: { web: { ...web, volumes: [bind] } } } };
    await expect(upOf({}, change)).rejects.toMatchObject({ code: 'E_BIND_NOT_FOUND' });
    expect(replica.writes).toEqual([]);
    ownFacts = { existing: ['/srv/media'], freeDiskBytes: 1, freeMemoryBytes: 1 };
    await upOf({}, change);
    const pointer = replica.get('app/shop')?.value as PointerRecord;
    expect(pointer.services['web']).toMatchObject({ pinned: m1, slots: { 1: m1 } });
  });

  test('hands copies on before it names them, and none in a dry run', async () => {
    const hash = 'a'.repeat(64);
    const copy = { type: 'bind', source: `tsc-compose-copy:${hash}`, target: '/etc/app' };
    const change = { project: { name: 'shop', services: { web: { ...web, volumes: [copy] } } } };
    await upOf({}, { ...change, isDryRun: true });
    expect(spread).toEqual([]);
    await upOf({}, change);
    expect(spread).toEqual([hash]);
  });

  test('down of nothing writes nothing', async () => {
    expect(await acceptor.down('shop', { volumes: false })).toEqual({ hlc: 0, storedOnCount: 0 });
    expect(replica.writes).toEqual([]);
  });

  test('scale needs a project that runs', async () => {
    await expect(acceptor.scale('shop', { scale: { web: 2 } })).rejects.toMatchObject({
      code: 'E_PROJECT_NONE',
    });
  });
});

describe('going back', () => {
  test('rollback takes the earlier definition from its record, images included', async () => {
    await upOf({ web });
    const first = pointer().services.web;
    await upOf({ web: { ...web, environment: { A: '1' } } });
    for (const engine of engines.values()) engine.images.set('busybox', 'sha256:moved');
    const answer = await acceptor.rollback('shop', { isDryRun: false, user: 'ann' });
    expect(answer).toMatchObject({ changed: ['web'], storedOnCount: 3 });
    expect(pointer().services.web).toMatchObject({
      revision: first?.revision,
      hash: first?.hash,
      isRollback: true,
    });
    expect(revision().images.web?.ids).toEqual({ 'linux/amd64': 'sha256:b' });
    expect(acceptor.history('shop').entries.map(({ act, author }) => [act, author.user])).toEqual([
      ['rollback', 'ann'],
      ['up', undefined],
      ['up', undefined],
    ]);
  });

  test('a dry run of it writes nothing and shows the steps', async () => {
    await upOf({ web });
    await upOf({ web: { ...web, environment: { A: '1' } } });
    const before = replica.writes.length;
    const answer = await acceptor.rollback('shop', { isDryRun: true });
    expect(answer.steps.length).toBeGreaterThan(0);
    expect(replica.writes).toHaveLength(before);
  });

  test('history, rollback and definition need a project that runs', async () => {
    await expect(acceptor.rollback('shop', { isDryRun: false })).rejects.toMatchObject({
      code: 'E_PROJECT_NONE',
    });
    expect(() => acceptor.history('shop')).toThrow('is not running');
    expect(() => acceptor.definition('shop')).toThrow('is not running');
    await upOf({ web });
    expect(acceptor.definition('shop')).toMatchObject({ project: { services: { web } } });
  });
});

async function requestOf(service: Service): Promise<UpRequest> {
  return {
    project: { name: 'shop', services: { web: service } },
    services: [],
    disabledServices: [],
    scale: {},
    removeOrphans: false,
    isDryRun: false,
    forceRecreate: false,
    contents: {},
    workingDir: '/somewhere',
    composeFiles: [],
  };
}
