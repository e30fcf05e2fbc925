/**
 * The Docker engine of this machine, as calls that say what they do. It decides nothing and keeps
 * no state: what to run is `plan`'s, what is recorded the observer's. It makes calls idempotent
 * (starting what runs, removing what is gone), gives each a deadline, and turns the engine's answers
 * into errors a user can act on (engine-errors.ts).
 */
import * as http from 'node:http';
import Docker from 'dockerode';
import { assert } from '../src/lib/assert.ts';
import { TscError } from '../src/lib/errors.ts';
import type { ClusterId } from '../src/model/ids.ts';
import { label } from '../src/model/names.ts';
import type { ContainerBody } from '../src/render/container-body.ts';
import {
  engineError,
  isConflict,
  isNetworkGone,
  isNotFound,
  statusOfCause,
} from './engine-errors.ts';
import { type EngineWatcher, followEvents } from './engine-events.ts';
import { ensureImage, type ImageRequest, type LocalImage } from './engine-image.ts';
import { demultiplex, lastLines } from './engine-logs.ts';
import {
  type NetworkOutcome,
  type NetworkSpec,
  networkBody,
  networkDifferences,
} from './engine-network.ts';
import type { Log } from './log.ts';

/** 30 s: the engine's own work, also on a slow disk. */
const callMs = 30_000;
/** 60 s: starting mounts volumes and sets up the network; creating may unpack layers. */
const startMs = 60_000;
/** 20 s more than the grace period: the engine kills, then cleans up. */
const afterGraceMs = 20_000;

export interface EngineVersion {
  /** "28.5.2" */
  readonly engine: string;
  /** "1.51" */
  readonly apiVersion: string;
  /** "linux/amd64" */
  readonly platform: string;
}

export interface VolumeSpec {
  readonly name: string;
  readonly driver: string | undefined;
  readonly driverOptions: Readonly<Record<string, string>> | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly isExternal: boolean;
}

export interface ExecSpec {
  readonly command: readonly string[];
  readonly user: string | undefined;
  readonly workingDir: string | undefined;
  readonly environment: readonly string[];
  readonly isPrivileged: boolean;
  readonly timeoutMs: number;
}

export interface EngineOptions {
  readonly socketPath: string;
  readonly machineName: string;
  readonly log: Log;
}

export class Engine {
  readonly #docker: Docker;
  readonly #socketPath: string;
  readonly #machineName: string;
  readonly #log: Log;
  #version: EngineVersion | undefined;

  constructor({ socketPath, machineName, log }: EngineOptions) {
    this.#docker = new Docker({ socketPath });
    this.#socketPath = socketPath;
    this.#machineName = machineName;
    this.#log = log.part('engine');
  }

  /** Version, API and platform; asked once until the engine has been away. */
  async version(): Promise<EngineVersion> {
    this.#version ??= await this.#call('ask for the version', async () => {
      const found = await this.#docker.version();
      return {
        engine: found.Version,
        apiVersion: found.ApiVersion,
        platform: `${found.Os}/${found.Arch}`,
      };
    });
    return this.#version;
  }

  /** The folder where the engine keeps its data. */
  async root(): Promise<string | undefined> {
    const found: unknown = await this.#call('ask for its folder', () => this.#docker.info());
    const folder =
      typeof found === 'object' && found !== null ? Reflect.get(found, 'DockerRootDir') : undefined;
    return typeof folder === 'string' ? folder : undefined;
  }

  /** Throws when the engine is down or hangs. */
  async ping(timeoutMs: number): Promise<void> {
    // Not dockerode's: its types know no signal for it, and pings of a hung engine must not pile up.
    const ping = (signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const request = http.get({ socketPath: this.#socketPath, path: '/_ping', signal });
        request.once('error', reject);
        request.once('response', (answer) => answer.resume().once('end', resolve));
      });
    await this.#call('ping', ping, timeoutMs);
  }

  /** Creates the network; recreates it when it differs and nothing is attached. */
  async ensureNetwork(spec: NetworkSpec): Promise<NetworkOutcome> {
    const { apiVersion } = await this.version();
    const found = await this.#orAbsent(`look for network ${spec.name}`, () =>
      this.#docker.getNetwork(spec.name).inspect(),
    );
    if (found === undefined) {
      await this.#createNetwork(spec, apiVersion);
      return { type: 'created' };
    }
    const differences = networkDifferences(found, spec, apiVersion);
    if (differences.length === 0) return { type: 'unchanged' };
    const containers = Object.values(found.Containers ?? {}).map(({ Name }) => Name);
    if (containers.length > 0) return { type: 'in-use', differences, containers };
    await this.#call(`remove network ${spec.name}`, (abortSignal) =>
      this.#docker.getNetwork(found.Id).remove({ abortSignal }),
    );
    await this.#createNetwork(spec, apiVersion);
    return { type: 'recreated', differences };
  }

  async #createNetwork(spec: NetworkSpec, apiVersion: string): Promise<void> {
    await this.#call(`create network ${spec.name} (${spec.subnet})`, (abortSignal) =>
      this.#docker.createNetwork({ ...networkBody(spec, apiVersion), abortSignal }),
    );
  }

  /**
   * Creates the volume unless it is there.
   * @throws TscError E_VOLUME_NOT_FOUND for an external one that is missing
   */
  async ensureVolume(spec: VolumeSpec): Promise<'unchanged' | 'created'> {
    const found = await this.#orAbsent(`look for volume ${spec.name}`, (abortSignal) =>
      this.#docker.getVolume(spec.name).inspect({ abortSignal }),
    );
    if (found !== undefined) return 'unchanged';
    if (spec.isExternal) {
      throw new TscError(
        'E_VOLUME_NOT_FOUND',
        `external volume "${spec.name}" is not on machine ${this.#machineName}`,
        { hint: `create it there: docker volume create ${spec.name}` },
      );
    }
    await this.#call(`create volume ${spec.name}`, (abortSignal) =>
      this.#docker.createVolume({
        Name: spec.name,
        ...(spec.driver === undefined ? {} : { Driver: spec.driver }),
        DriverOpts: { ...spec.driverOptions },
        Labels: { ...spec.labels },
        abortSignal,
      }),
    );
    return 'created';
  }

  /** Labels of a volume; undefined when there is none of that name. */
  async volumeLabels(name: string): Promise<Readonly<Record<string, string>> | undefined> {
    const found = await this.#orAbsent(`look for volume ${name}`, (abortSignal) =>
      this.#docker.getVolume(name).inspect({ abortSignal }),
    );
    return found === undefined ? undefined : { ...found.Labels };
  }

  /** Engine names of the volumes that this cluster made. */
  async listOwnVolumes(cluster: ClusterId): Promise<readonly string[]> {
    const { Volumes } = await this.#call('list volumes', () =>
      this.#docker.listVolumes({
        filters: JSON.stringify({ label: [`${label.cluster}=${cluster}`] }),
      }),
    );
    return (Volumes ?? []).map((volume) => volume.Name);
  }

  /** Removes a volume; one that is gone is removed. A volume in use is a conflict. */
  async removeVolume(name: string): Promise<void> {
    await this.#orAbsent(`remove volume ${name}`, (abortSignal) =>
      this.#docker.getVolume(name).remove({ abortSignal }),
    );
  }

  /** Finds the image here or pulls it. */
  async ensureImage(request: Omit<ImageRequest, 'machineName'>): Promise<LocalImage> {
    return ensureImage(this.#docker, { ...request, machineName: this.#machineName }, this.#log);
  }

  /** Creates a container and returns its id. */
  async createContainer(body: ContainerBody): Promise<string> {
    const { name, platform, ...rest } = body;
    return this.#call(
      `create ${name}`,
      async (abortSignal) => {
        // dockerode passes `_query` and `_body` on; its types know the flat form only, which would
        // put the whole body into the URL as well.
        const options = {
          _query: { name, ...(platform === undefined ? {} : { platform }) },
          _body: rest,
          abortSignal,
        } as Docker.ContainerCreateOptions;
        const container = await this.#docker.createContainer(options);
        return container.id;
      },
      startMs,
    );
  }

  /** Starts a container; one that runs is started. Its network may have been made anew. */
  async start(id: string): Promise<void> {
    const start = () =>
      this.#call(
        `start ${shortId(id)}`,
        (abortSignal) => unless304(this.#container(id).start({ abortSignal })),
        startMs,
      );
    await start().catch(async (error: unknown) => {
      if (!isNetworkGone(error)) throw error;
      await this.#reattach(id);
      await start();
    });
  }

  /** Asks a container to stop and kills it after the grace period; one that is off or gone is stopped. */
  async stop(id: string, graceMs: number): Promise<void> {
    await this.#orAbsent(
      `stop ${shortId(id)}`,
      (abortSignal) =>
        unless304(this.#container(id).stop({ t: Math.ceil(graceMs / 1000), abortSignal })),
      graceMs + afterGraceMs,
    );
  }

  async restart(id: string, graceMs: number): Promise<void> {
    await this.#call(
      `restart ${shortId(id)}`,
      (abortSignal) => this.#container(id).restart({ t: Math.ceil(graceMs / 1000), abortSignal }),
      graceMs + startMs,
    ).catch(async (error: unknown) => {
      // By then the container has been stopped.
      if (!isNetworkGone(error)) throw error;
      await this.start(id);
    });
  }

  /** A stopped container keeps the id of its network, which is wrong once that was recreated. */
  async #reattach(id: string): Promise<void> {
    const found = await this.inspect(id);
    const name = found?.HostConfig.NetworkMode;
    if (name === undefined) return;
    const network = this.#docker.getNetwork(name);
    await this.#call(`detach ${shortId(id)} from the old ${name}`, (abortSignal) =>
      network.disconnect({ Container: id, Force: true, abortSignal }),
    );
    await this.#call(`attach ${shortId(id)} to ${name}`, () => network.connect({ Container: id }));
  }

  /** Sends a signal to a container; one that is off or gone needs none. */
  async kill(id: string, signal: string): Promise<void> {
    await this.#orAbsent(`send ${signal} to ${shortId(id)}`, (abortSignal) =>
      this.#container(id).kill({ signal, abortSignal }),
    ).catch((error: unknown) => {
      if (!isConflict(error)) throw error;
    });
  }

  /** Removes a stopped container, with its anonymous volumes or without; one that is gone is removed. */
  async remove(id: string, withVolumes = true): Promise<void> {
    await this.#orAbsent(`remove ${shortId(id)}`, (abortSignal) =>
      this.#container(id).remove({ v: withVolumes, force: true, abortSignal }),
    );
  }

  async rename(id: string, name: string): Promise<void> {
    await this.#call(`rename ${shortId(id)} to ${name}`, (abortSignal) =>
      this.#container(id).rename({ name, abortSignal }),
    );
  }

  /** @returns undefined when there is no such container */
  async inspect(idOrName: string): Promise<Docker.ContainerInspectInfo | undefined> {
    return this.#orAbsent(`inspect ${shortId(idOrName)}`, (abortSignal) =>
      this.#container(idOrName).inspect({ abortSignal }),
    );
  }

  /** Ids of this cluster's containers on this machine, in any state. */
  async listOwn(cluster: ClusterId): Promise<readonly Docker.ContainerInfo[]> {
    return this.listByLabels([`${label.cluster}=${cluster}`]);
  }

  /** Containers that have all of these labels ("key" or "key=value"), in any state. */
  async listByLabels(labels: readonly string[]): Promise<readonly Docker.ContainerInfo[]> {
    return this.#call('list containers', (abortSignal) =>
      this.#docker.listContainers({
        all: true,
        filters: JSON.stringify({ label: labels }),
        abortSignal,
      }),
    );
  }

  /** The last lines that a container wrote, of both streams; none when its log cannot be read. */
  async logs(id: string, lineCount: number): Promise<readonly string[]> {
    const found = await this.#orAbsent(`read the log of ${shortId(id)}`, (abortSignal) =>
      this.#container(id).logs({
        stdout: true,
        stderr: true,
        tail: lineCount,
        follow: false,
        abortSignal,
      }),
    );
    return found === undefined ? [] : lastLines(demultiplex(asBuffer(found)), lineCount);
  }

  /** Runs a command inside a running container and returns its exit code and last words. */
  async exec(
    id: string,
    spec: ExecSpec,
  ): Promise<{ readonly exitCode: number; readonly output: readonly string[] }> {
    return this.#call(
      `run ${spec.command[0] ?? ''} in ${shortId(id)}`,
      async (abortSignal) => {
        const exec = await this.#container(id).exec({
          Cmd: [...spec.command],
          AttachStdout: true,
          AttachStderr: true,
          Env: [...spec.environment],
          Privileged: spec.isPrivileged,
          ...(spec.user === undefined ? {} : { User: spec.user }),
          ...(spec.workingDir === undefined ? {} : { WorkingDir: spec.workingDir }),
          abortSignal,
        });
        const stream = await exec.start({ abortSignal });
        const chunks: Buffer[] = [];
        for await (const chunk of stream) chunks.push(asBuffer(chunk));
        const { ExitCode } = await exec.inspect({ abortSignal });
        const output = lastLines(demultiplex(Buffer.concat(chunks)), 10);
        return { exitCode: ExitCode ?? 255, output };
      },
      spec.timeoutMs,
    );
  }

  /** Puts a tar archive's files into a container, running or not. */
  async putArchive(id: string, path: string, tar: NodeJS.ReadableStream): Promise<void> {
    await this.#call(
      `copy into ${shortId(id)}`,
      (abortSignal) => this.#container(id).putArchive(tar, { path, abortSignal }),
      startMs,
    );
  }

  /** A tar archive of a path in a container. */
  async getArchive(id: string, path: string): Promise<NodeJS.ReadableStream> {
    return this.#call(`copy out of ${shortId(id)}`, (abortSignal) =>
      this.#container(id).getArchive({ path, abortSignal }),
    );
  }

  /**
   * Follows events of this cluster's containers, reconnecting for ever.
   * @returns the function that ends it
   */
  watch(cluster: ClusterId, watcher: EngineWatcher): () => void {
    const forgetVersion = () => {
      this.#version = undefined;
    };
    return followEvents(
      this.#docker,
      {
        onEvent: (event) => watcher.onEvent(event),
        onUp: () => watcher.onUp(),
        onDown: (error) => {
          // Another version may come back.
          forgetVersion();
          watcher.onDown(error);
        },
      },
      {
        filters: { type: ['container'], label: [`${label.cluster}=${cluster}`] },
        ping: (timeoutMs) => this.ping(timeoutMs),
        log: this.#log,
      },
    );
  }

  /** Without an id the engine would send the client elsewhere. */
  #container(id: string): Docker.Container {
    assert(id !== '', 'a container is asked for by id or name');
    return this.#docker.getContainer(id);
  }

  /** One call with a deadline and its error translated. */
  async #call<T>(
    what: string,
    work: (abortSignal: AbortSignal) => Promise<T>,
    timeoutMs = callMs,
  ): Promise<T> {
    try {
      return await within(AbortSignal.timeout(timeoutMs), work);
    } catch (cause) {
      throw engineError(cause, what);
    }
  }

  /** As `#call`, where "there is none" is an answer. */
  async #orAbsent<T>(
    what: string,
    work: (abortSignal: AbortSignal) => Promise<T>,
    timeoutMs = callMs,
  ): Promise<T | undefined> {
    try {
      return await this.#call(what, work, timeoutMs);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}

/** The engine as its users see it: what a test's engine must offer. */
export type EngineCalls = Pick<Engine, keyof Engine>;

/** Ends the wait with the signal, also for calls that cannot be taken back. */
function within<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    work(signal).then(resolve, reject);
  });
}

/** 304: it is already so. */
async function unless304(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (cause) {
    if (statusOfCause(cause) !== 304) throw cause;
  }
}

function asBuffer(value: unknown): Buffer {
  return Buffer.isBuffer(value) ? value : Buffer.from(String(value));
}

function shortId(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id;
}
