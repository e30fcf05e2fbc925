import { Readable } from 'node:stream';
import type Dockerode from 'dockerode';
import { extract, pack } from 'tar-stream';
import { beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '../../../agent/log.ts';
import {
  abandonVolume,
  moveVolume,
  type VolumeMoveComponents,
} from '../../../agent/volume-moves.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import { label } from '../../../src/model/names.ts';
import type { OperationRecord, PointerRecord } from '../../../src/model/record.ts';
import { recordKey } from '../../../src/model/record.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

type Files = ReadonlyMap<string, string>;

interface FakeVolume {
  files: Files;
  readonly labels: Readonly<Record<string, string>>;
}

const missing = (): Error => Object.assign(new Error('no such thing'), { statusCode: 404 });

/** Volumes and helper containers of one engine; what is asked for beside these is a mistake. */
class FakeDocker {
  readonly volumes = new Map<string, FakeVolume>();
  readonly removed: string[] = [];
  /** Changes what is read back. */
  isLying = false;
  helperCount = 0;

  getVolume = (name: string) => ({
    inspect: async () => {
      const found = this.volumes.get(name);
      if (found === undefined) throw missing();
      return { Name: name, Labels: found.labels };
    },
    remove: async () => {
      if (!this.volumes.delete(name)) throw missing();
    },
  });

  createVolume = async ({ Name, Labels }: { Name: string; Labels: Record<string, string> }) => {
    this.volumes.set(Name, { files: new Map(), labels: Labels });
  };

  createContainer = async ({ HostConfig }: { HostConfig: { Mounts: { Source: string }[] } }) => {
    const name = HostConfig.Mounts[0]?.Source ?? '';
    this.helperCount += 1;
    return {
      getArchive: async () => {
        const tar = pack();
        const files = this.volumes.get(name)?.files ?? new Map();
        for (const [path, text] of files)
          tar.entry({ name: path, mtime: new Date(5_000) }, this.isLying ? 'lies' : text);
        tar.finalize();
        const chunks: Buffer[] = [];
        for await (const chunk of tar) chunks.push(chunk as Buffer);
        return Readable.from(chunks);
      },
      putArchive: async (tar: Readable) => {
        const files = new Map<string, string>();
        const entries = tar.pipe(extract());
        for await (const entry of entries) {
          let text = '';
          for await (const chunk of entry) text += String(chunk);
          files.set(entry.header.name, text);
        }
        const volume = this.volumes.get(name);
        if (volume !== undefined) volume.files = files;
      },
      remove: async () => {
        this.helperCount -= 1;
      },
    };
  };

  getContainer = (id: string) => ({ remove: async () => void this.removed.push(id) });
  listContainers = async () => [];
  getImage = () => ({ inspect: async () => ({ Id: 'sha256:1' }) });
}

const [a, b] = [machineId('a'), machineId('b')];
const data: Files = new Map([
  ['v/one', 'text'],
  ['v/two', 'x'.repeat(100_000)],
]);

let world: World;
let engines: Map<MachineId, FakeDocker>;
let components: VolumeMoveComponents;
/** Done when the services have been stopped. */
let onStop: () => void;

beforeEach(() => {
  world = new World('a', 'b');
  const volumes = { data: {} };
  const mount = { type: 'volume', source: 'data', target: '/data' };
  world.up('a', aProject({ db: { volumes: [mount], 'x-machines': ['a', 'b'] } }, { volumes }));
  const pointer = world.records.get(recordKey.pointer('app'))?.value as PointerRecord;
  world.write(recordKey.pointer('app'), a, { ...pointer, volumes: { app_data: a } });
  const { hash, rollout } = world.service('db');
  const running = { service: 'db', name: 'app-db-1', hash, rollout };
  world.container('a', 'c1', running);
  engines = new Map([a, b].map((id) => [id, new FakeDocker()]));
  const { cluster } = world.view('a');
  const labels = { [label.cluster]: cluster };
  engineOf(a).volumes.set('app_data', { files: data, labels });
  onStop = () => undefined;
  components = {
    replica: {
      get: (key) => world.records.get(key),
      write: async (key, value) => {
        const hlc = world.write(key, b, value);
        if ((value as OperationRecord).stopped === true) {
          world.container('a', 'c1', { ...running, state: 'exited', ready: false });
          onStop();
        }
        return { hlc };
      },
    },
    view: () => world.view('b'),
    // The calls that are made are there.
    docker: async (id) => engineOf(id) as unknown as Dockerode,
    stored: async () => 2,
    now: () => world.nowMs,
    log: createLog(() => undefined),
  };
});

function engineOf(id: MachineId): FakeDocker {
  const engine = engines.get(id);
  if (engine === undefined) throw new Error(`no engine of ${id}`);
  return engine;
}

const homes = () => world.view('a').projects.get('app')?.pointer?.volumes;
const move = (machine = 'b') =>
  moveVolume(components, 'app_data', { machine, user: 'me' }, new AbortController().signal);

describe('a move', () => {
  test('carries the data over, gives it its new home, and deletes the old', async () => {
    expect(await move()).toMatchObject({
      project: 'app',
      volumes: ['app_data'],
      services: ['db'],
      from: 'a',
      to: 'b',
      sizeBytes: 100_004,
      storedOnCount: 2,
      notes: [],
    });
    expect(homes()).toEqual({ app_data: b });
    expect(engineOf(b).volumes.get('app_data')?.files).toEqual(data);
    expect(engineOf(a).volumes.size).toBe(0);
    expect(engineOf(a).removed).toEqual(['c1']);
    expect([engineOf(a).helperCount, engineOf(b).helperCount]).toEqual([0, 0]);
    // The stop was of the older pointer: the service starts where the data is.
    expect(world.service('db')).toMatchObject({ isStopped: false, volumeHome: b, slots: { 1: b } });
  });

  test('of a volume that was never made moves only the home', async () => {
    engineOf(a).volumes.clear();
    expect(await move()).toMatchObject({ sizeBytes: 0 });
    expect(homes()).toEqual({ app_data: b });
    expect(engineOf(b).volumes.size).toBe(0);
  });

  test('whose copy differs leaves everything where it was and starts the service again', async () => {
    engineOf(b).isLying = true;
    await expect(move()).rejects.toMatchObject({ code: 'E_VOLUME_COPY' });
    expect(homes()).toEqual({ app_data: a });
    expect(engineOf(a).volumes.get('app_data')?.files).toEqual(data);
    expect(engineOf(b).volumes.size).toBe(0);
    expect(engineOf(a).removed).toEqual([]);
    const { operation, isStopped } = world.service('db');
    expect(isStopped).toBe(false);
    expect(operation?.restartAtMs).toBe(world.nowMs);
  });

  test('leaves a service stopped that was stopped before', async () => {
    world.operate('a', [{ key: recordKey.operation('app', 'db'), value: { stopped: true } }]);
    engineOf(b).isLying = true;
    await expect(move()).rejects.toMatchObject({ code: 'E_VOLUME_COPY' });
    expect(world.service('db').isStopped).toBe(true);
  });

  test('stops nothing when the other machine has a volume of its own of that name', async () => {
    engineOf(b).volumes.set('app_data', { files: new Map(), labels: {} });
    await expect(move()).rejects.toMatchObject({ code: 'E_VOLUME_EXISTS' });
    expect(world.service('db').operation).toBeUndefined();
  });

  test('replaces the unfinished copy of an earlier one', async () => {
    const labels = { 'tsc-compose.moving': world.view('a').cluster };
    engineOf(b).volumes.set('app_data', { files: new Map([['v/half', 'x']]), labels });
    await move();
    expect(engineOf(b).volumes.get('app_data')?.files).toEqual(data);
  });

  test('is given up when somebody changes the project meanwhile', async () => {
    onStop = () => {
      const pointer = world.records.get(recordKey.pointer('app'))?.value as PointerRecord;
      world.write(recordKey.pointer('app'), a, { ...pointer, createdMs: 7 });
      onStop = () => undefined;
    };
    await expect(move()).rejects.toMatchObject({ code: 'E_PROJECT_CHANGED' });
    expect(homes()).toEqual({ app_data: a });
    expect(engineOf(a).volumes.get('app_data')?.files).toEqual(data);
    expect(engineOf(b).volumes.size).toBe(0);
  });

  test('keeps a volume at its old place that somebody else made', async () => {
    engineOf(a).volumes.set('app_data', { files: data, labels: {} });
    const { notes } = await move();
    expect(notes).toEqual(['a keeps its volume app_data, which somebody else made there']);
    expect(engineOf(a).volumes.size).toBe(1);
  });
});

test('an abandon writes the new home and touches no engine', async () => {
  world.is('a', 'lost');
  const answer = await abandonVolume(components, 'data', {});
  expect(answer).toMatchObject({ from: 'a', to: 'b', sizeBytes: 0 });
  expect(answer.notes).toEqual(['what a has of app_data is kept there and not used']);
  expect(homes()).toEqual({ app_data: b });
  expect(engineOf(a).volumes.size).toBe(1);
});
