/**
 * An engine in memory: containers with names, labels and states, and the errors of the real one. It
 * answers in the next turn of the event loop, or when the test lets it.
 */
import type Docker from 'dockerode';
import type { EngineCalls, ExecSpec, VolumeSpec } from '../../../agent/engine.ts';
import type { EngineWatcher } from '../../../agent/engine-events.ts';
import type { NetworkOutcome } from '../../../agent/engine-network.ts';
import { TscError } from '../../../src/lib/errors.ts';
import type { ClusterId } from '../../../src/model/ids.ts';
import { label } from '../../../src/model/names.ts';
import type { ContainerBody } from '../../../src/render/container-body.ts';

interface FakeContainer {
  readonly id: string;
  name: string;
  readonly body: ContainerBody;
  status: string;
  health: string | undefined;
  startedAt: string;
  exitCode: number;
  stopTimeoutSeconds: number | undefined;
}

const never = '0001-01-01T00:00:00Z';

export class FakeEngine implements EngineCalls {
  readonly containers = new Map<string, FakeContainer>();
  readonly volumes = new Map<string, Readonly<Record<string, string>>>();
  inspectCount = 0;
  listCount = 0;
  /** Every call that changes something, in order: "start web-1". */
  readonly calls: string[] = [];
  /** Of every stop, in order. */
  readonly graces: number[] = [];
  watcher: EngineWatcher | undefined;
  isDown = false;
  nowMs = 1_000_000;
  /** Errors for the next calls of that name. */
  readonly failures = new Map<string, Error>();
  /** While set, calls of that name wait for it; a name may have a subject. */
  readonly gates = new Map<string, Promise<void>>();
  networkOutcome: NetworkOutcome = { type: 'unchanged' };
  #count = 0;

  /** A container that is there before the test begins. */
  add(
    name: string,
    labels: Readonly<Record<string, string>>,
    status = 'running',
    networkMode = 'tsc-compose',
  ): FakeContainer {
    this.#count += 1;
    const container: FakeContainer = {
      id: String(this.#count).padStart(64, 'a'),
      name,
      body: {
        name,
        Image: 'nginx:1',
        Labels: labels,
        HostConfig: {
          NetworkMode: networkMode,
          RestartPolicy: { Name: 'no' },
          LogConfig: { Type: '', Config: {} },
        },
      },
      status,
      health: undefined,
      startedAt: status === 'running' ? new Date(this.nowMs).toISOString() : never,
      exitCode: 0,
      stopTimeoutSeconds: undefined,
    };
    this.containers.set(container.id, container);
    return container;
  }

  /** Says to the observer that something has happened. */
  tell(action: string, { id, body }: FakeContainer, atMs?: number): void {
    const time = atMs === undefined ? {} : { atMs };
    this.watcher?.onEvent({ action, containerId: id, labels: body.Labels, ...time });
  }

  async #step(call: string, subject = ''): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.isDown) throw new TscError('E_ENGINE_UNREACHABLE', 'the engine is away');
    if (subject !== '') this.calls.push(`${call} ${subject}`);
    await (this.gates.get(`${call} ${subject}`) ?? this.gates.get(call));
    const failure = this.failures.get(call);
    if (failure !== undefined) {
      this.failures.delete(call);
      throw failure;
    }
  }

  #get(id: string): FakeContainer {
    const found = this.containers.get(id);
    if (found === undefined) throw new TscError('E_ENGINE_NOT_FOUND', `no container ${id}`);
    return found;
  }

  async version() {
    await this.#step('version');
    return { engine: '28.5.2', apiVersion: '1.51', platform: 'linux/amd64' };
  }

  async root(): Promise<string> {
    return '/var/lib/docker';
  }

  async ping(): Promise<void> {
    await this.#step('ping');
  }

  async ensureNetwork(): Promise<NetworkOutcome> {
    await this.#step('ensureNetwork');
    return this.networkOutcome;
  }

  async ensureVolume(spec: VolumeSpec): Promise<'unchanged' | 'created'> {
    await this.#step('ensureVolume', spec.name);
    if (this.volumes.has(spec.name)) return 'unchanged';
    this.volumes.set(spec.name, spec.labels);
    return 'created';
  }

  async volumeLabels(name: string): Promise<Readonly<Record<string, string>> | undefined> {
    await this.#step('volumeLabels');
    return this.volumes.get(name);
  }

  async listOwnVolumes(cluster: ClusterId): Promise<readonly string[]> {
    await this.#step('listVolumes');
    const own = [...this.volumes].filter(([, labels]) => labels[label.cluster] === cluster);
    return own.map(([name]) => name);
  }

  async removeVolume(name: string): Promise<void> {
    await this.#step('removeVolume', name);
    this.volumes.delete(name);
  }

  async ensureImage(request: { readonly reference: string }) {
    await this.#step('ensureImage', request.reference);
    return { id: 'sha256:1', createFrom: request.reference };
  }

  async createContainer(body: ContainerBody): Promise<string> {
    await this.#step('create', body.name);
    const holder = [...this.containers.values()].find(({ name }) => name === body.name);
    if (holder !== undefined) throw new TscError('E_CONTAINER_NAME_TAKEN', `${body.name} is taken`);
    const container = this.add(body.name, body.Labels, 'created');
    container.stopTimeoutSeconds = body.StopTimeout;
    return container.id;
  }

  async start(id: string): Promise<void> {
    await this.#step('start', this.containers.get(id)?.name ?? id);
    const container = this.#get(id);
    if (container.status === 'running') return;
    container.status = 'running';
    container.startedAt = new Date(this.nowMs).toISOString();
  }

  async stop(id: string, graceMs: number): Promise<void> {
    this.graces.push(graceMs);
    await this.#step('stop', this.containers.get(id)?.name ?? id);
    const container = this.containers.get(id);
    if (container !== undefined) container.status = 'exited';
  }

  async restart(id: string): Promise<void> {
    await this.#step('restart', this.containers.get(id)?.name ?? id);
    this.#get(id).startedAt = new Date(this.nowMs).toISOString();
  }

  async kill(id: string, signal: string): Promise<void> {
    await this.#step('kill', `${this.containers.get(id)?.name ?? id} ${signal}`);
  }

  async remove(id: string): Promise<void> {
    await this.#step('remove', this.containers.get(id)?.name ?? id);
    this.containers.delete(id);
  }

  async rename(id: string, name: string): Promise<void> {
    await this.#step('rename', name);
    this.#get(id).name = name;
  }

  async inspect(idOrName: string): Promise<Docker.ContainerInspectInfo | undefined> {
    this.inspectCount++;
    await this.#step('inspect');
    const byName = [...this.containers.values()].find(({ name }) => name === idOrName);
    const found = this.containers.get(idOrName) ?? byName;
    return found === undefined ? undefined : inspected(found);
  }

  async listOwn(cluster: ClusterId): Promise<readonly Docker.ContainerInfo[]> {
    return this.listByLabels([`${label.cluster}=${cluster}`]);
  }

  async listByLabels(labels: readonly string[]): Promise<readonly Docker.ContainerInfo[]> {
    this.listCount++;
    await this.#step('list');
    return [...this.containers.values()]
      .filter(({ body }) =>
        labels.every((text) => {
          const at = text.indexOf('=');
          return body.Labels[text.slice(0, at)] === text.slice(at + 1);
        }),
      )
      .map(listed);
  }

  async logs(): Promise<readonly string[]> {
    await this.#step('logs');
    return ['first line', 'last line'];
  }

  async exec(id: string, spec: ExecSpec) {
    await this.#step('exec', spec.command.join(' '));
    this.#get(id);
    return { exitCode: spec.command[0] === 'false' ? 1 : 0, output: ['said'] };
  }

  async putArchive(): Promise<void> {
    await this.#step('putArchive');
  }

  async getArchive(): Promise<NodeJS.ReadableStream> {
    await this.#step('getArchive');
    throw new TscError('E_ENGINE_NOT_FOUND', 'this engine has no files');
  }

  watch(_cluster: ClusterId, watcher: EngineWatcher): () => void {
    this.watcher = watcher;
    return () => {
      this.watcher = undefined;
    };
  }
}

function inspected(container: FakeContainer): Docker.ContainerInspectInfo {
  const { id, name, body, status, health, startedAt, exitCode, stopTimeoutSeconds } = container;
  const hasAddress = status === 'running' && body.HostConfig.NetworkMode === 'tsc-compose';
  const ip = hasAddress ? `10.210.1.${Number(id.slice(-3).replace(/\D/g, '')) + 1}` : '';
  const info: object = {
    Id: id,
    Name: `/${name}`,
    Created: new Date(500_000).toISOString(),
    State: {
      Status: status,
      Running: status === 'running',
      ExitCode: exitCode,
      StartedAt: startedAt,
      FinishedAt: never,
      ...(health === undefined ? {} : { Health: { Status: health } }),
    },
    Config: { Image: body.Image, Labels: body.Labels, StopTimeout: stopTimeoutSeconds },
    HostConfig: body.HostConfig,
    Mounts: [],
    NetworkSettings: { Networks: { 'tsc-compose': { IPAddress: ip } } },
  };
  // The driver reads these fields only; the type has a hundred.
  return info as Docker.ContainerInspectInfo;
}

function listed({ id, name, body, status }: FakeContainer): Docker.ContainerInfo {
  const info: object = {
    Id: id,
    Names: [`/${name}`],
    Labels: body.Labels,
    State: status,
    Created: 500,
    Mounts: [],
  };
  // As above.
  return info as Docker.ContainerInfo;
}
