/**
 * Drives the ingress: one system container with Caddy on the machine's own network, there while
 * some service needs it. It outlives the agent, and after a reboot the engine starts it with the
 * last configuration that Caddy took. What fails is told by `status()` and tried again; it never
 * stops the other parts of the agent.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { TscError } from '../src/lib/errors.ts';
import type { ClusterId } from '../src/model/ids.ts';
import { label } from '../src/model/names.ts';
import { type CaddyConfig, caddyAdminSocket } from '../src/render/ingress.ts';
import { caddyUpstreamFolder } from '../src/render/ingress-upstreams.ts';
import { loadConfig, readConfig } from './caddy-admin.ts';
import { UpstreamFiles } from './caddy-upstreams.ts';
import type { Log } from './log.ts';

/** Name of the container; there is one on a machine. */
export const caddyContainer = 'tsc-compose-caddy';

/** 10 s for Caddy to open its socket after a start; it takes 100 ms. */
const startTimeoutMs = 10_000;
const startPollMs = 50;
/** After a failure: 1 s, then twice as long each time, up to 30 s. */
const firstRetryMs = 1_000;
const lastRetryMs = 30_000;
/** 5 s: how long a running container is believed to run without being asked for. */
const trustMs = 5_000;

/** The part of the engine's client that is used; dockerode has it. */
export interface CaddyEngine {
  getContainer(name: string): {
    inspect(): Promise<CaddyContainerInfo>;
    start(): Promise<unknown>;
    remove(options: { readonly force: boolean }): Promise<unknown>;
  };
  createContainer(body: CaddyContainerBody): Promise<unknown>;
  getImage(name: string): { inspect(): Promise<unknown> };
}

export interface CaddyContainerInfo {
  readonly State: { readonly Running: boolean };
  readonly Config: { readonly Labels?: Readonly<Record<string, string>> | null };
}

export interface CaddyContainerBody {
  readonly name: string;
  readonly Image: string;
  Entrypoint: string[];
  Cmd: string[];
  Labels: Record<string, string>;
  readonly HostConfig: {
    readonly NetworkMode: string;
    readonly RestartPolicy: { readonly Name: string };
    Binds: string[];
  };
}

export interface CaddyOptions {
  readonly docker: CaddyEngine;
  readonly image: string;
  readonly runtimeDir: string;
  readonly dataDir: string;
  readonly clusterId: ClusterId;
  readonly log: Log;
}

export interface CaddyStatus {
  readonly isWanted: boolean;
  /** The wanted configuration is in force. */
  readonly isApplied: boolean;
  readonly error: TscError | undefined;
}

interface CaddyFound {
  readonly isSame: boolean;
  readonly found: unknown;
}

export class CaddyDriver {
  readonly #options: CaddyOptions;
  readonly #upstreamFiles: UpstreamFiles;
  #wanted: CaddyConfig | null = null;
  #upstreams: ReadonlyMap<string, string> = new Map();
  #withoutOwn: () => CaddyConfig | null = () => null;
  /** Text of the configuration in force; undefined while that is not known. */
  #loaded: string | null | undefined;
  #checkedMs = Number.NEGATIVE_INFINITY;
  #error: TscError | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = firstRetryMs;
  #isStopped = false;
  #queue: Promise<void> = Promise.resolve();

  constructor(options: CaddyOptions) {
    this.#options = options;
    this.#upstreamFiles = new UpstreamFiles(this.#inCaddy(caddyUpstreamFolder));
  }

  /**
   * Makes Caddy serve this, or removes it for null. Resolved after one try, good or not.
   * @param upstreams texts of the files that the configuration names
   * @param withoutOwn gives what is served when Caddy refuses a service's own Caddyfile, so that one
   *   project's mistake is no other's trouble
   */
  set(
    config: CaddyConfig | null,
    upstreams: ReadonlyMap<string, string> = new Map(),
    withoutOwn: () => CaddyConfig | null = () => null,
  ): Promise<void> {
    this.#isStopped = false;
    this.#wanted = config;
    this.#upstreams = upstreams;
    this.#withoutOwn = withoutOwn;
    return this.#enqueue();
  }

  status(): CaddyStatus {
    const wanted = this.#wanted;
    const text = wanted === null ? null : JSON.stringify(wanted);
    return {
      isWanted: wanted !== null,
      isApplied: this.#error === undefined && this.#loaded === text,
      error: this.#error,
    };
  }

  /** Stops trying; Caddy goes on serving. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#retry);
    await this.#queue;
  }

  /** Removes the container, also one of an earlier agent. Certificates are kept. */
  async cleanUp(): Promise<void> {
    await this.stop();
    await this.#remove();
  }

  #enqueue(): Promise<void> {
    clearTimeout(this.#retry);
    this.#queue = this.#queue.then(() => this.#try());
    return this.#queue;
  }

  async #try(): Promise<void> {
    if (this.#isStopped) return;
    try {
      await this.#apply(this.#wanted);
      if (this.#error !== undefined) this.#options.log.info('ingress works again');
      this.#error = undefined;
      this.#retryMs = firstRetryMs;
    } catch (error) {
      this.#loaded = undefined;
      this.#checkedMs = Number.NEGATIVE_INFINITY;
      const fault = asTscError(error);
      if (this.#error?.message !== fault.message) {
        this.#options.log.error('ingress is not as wanted', { code: fault.code, error: fault });
      }
      this.#error = fault;
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => void this.#enqueue(), this.#retryMs);
      this.#retry.unref();
      this.#retryMs = Math.min(lastRetryMs, this.#retryMs * 2);
    }
  }

  async #apply(config: CaddyConfig | null): Promise<void> {
    if (config === null) {
      if (this.#loaded === null) return;
      await this.#remove();
      this.#loaded = null;
      return;
    }
    const upstreams = this.#upstreams;
    // Before the configuration that names them; alone, they are all that a rolling update changes.
    await this.#upstreamFiles.write(upstreams);
    const text = JSON.stringify(config);
    const isFresh = performance.now() - this.#checkedMs < trustMs;
    if (this.#loaded === text && isFresh) return;
    if (this.#loaded === text || !(await this.#replaceLoaded(config))) {
      const { isSame, found } = await this.#ensureContainer(config);
      this.#checkedMs = performance.now();
      if (isSame && this.#loaded === text) return;
      // What comes over the wire has no `undefined` and no order of keys.
      if (!isDeepStrictEqual(found, JSON.parse(text))) await this.#load(config, found);
    }
    await this.#writeFile(config);
    this.#loaded = text;
    await this.#upstreamFiles.removeOthers(upstreams);
    // Where agents of earlier versions had them.
    await rm(join(this.#options.dataDir, 'caddy', 'upstreams'), { recursive: true, force: true });
  }

  /**
   * Loads the configuration in place of the one that this driver loaded before: a Caddy that takes
   * it need not be asked whether it runs, and with what.
   * @returns false when nothing was loaded before, or Caddy does not answer any more
   * @throws TscError E_CADDY_REFUSED
   */
  async #replaceLoaded(config: CaddyConfig): Promise<boolean> {
    if (typeof this.#loaded !== 'string') return false;
    try {
      await this.#load(config, JSON.parse(this.#loaded));
    } catch (error) {
      if (isRefused(error)) throw error;
      return false;
    }
    this.#checkedMs = performance.now();
    return true;
  }

  /** Loads the configuration; the one without own Caddyfiles when it is refused, and fails then. */
  async #load(config: CaddyConfig, found: unknown): Promise<void> {
    const withoutOwn = this.#withoutOwn;
    try {
      await loadConfig(this.#socketPath, config);
    } catch (error) {
      const plain = isRefused(error) ? withoutOwn() : null;
      const text = JSON.stringify(plain);
      if (plain !== null && text !== JSON.stringify(config)) {
        if (!isDeepStrictEqual(found, JSON.parse(text))) await loadConfig(this.#socketPath, plain);
      }
      throw error;
    }
  }

  /**
   * Makes sure that Caddy runs and answers.
   * @returns whether it had been running all the time, and the configuration that it has
   */
  async #ensureContainer(config: CaddyConfig): Promise<CaddyFound> {
    const { docker } = this.#options;
    const body = this.#containerBody();
    const found = await this.#inspect();
    if (found?.State.Running === true && hasLabel(found, label.hash, body)) {
      return { isSame: true, found: await this.#waitForSocket() };
    }
    await this.#ensureImage();
    if (found !== undefined) await docker.getContainer(caddyContainer).remove({ force: true });
    await mkdir(join(this.#options.runtimeDir, 'caddy'), { recursive: true });
    await mkdir(join(this.#options.dataDir, 'caddy'), { recursive: true });
    await rm(this.#socketPath, { force: true });
    // A port that is taken would keep Caddy from starting with the whole configuration; loading it
    // afterwards gives the reason instead.
    await this.#writeFile({ admin: config['admin'] ?? null });
    await docker.createContainer(body);
    await docker.getContainer(caddyContainer).start();
    return { isSame: false, found: await this.#waitForSocket() };
  }

  /** Waits until Caddy answers, and gives the configuration that it has. */
  async #waitForSocket(): Promise<unknown> {
    const deadlineMs = performance.now() + startTimeoutMs;
    for (;;) {
      try {
        return await readConfig(this.#socketPath);
      } catch (error) {
        if (performance.now() < deadlineMs) {
          await sleep(startPollMs);
          continue;
        }
        // It runs and does not answer: the next try makes it anew.
        await this.#remove();
        throw error;
      }
    }
  }

  async #inspect(): Promise<CaddyContainerInfo | undefined> {
    try {
      const found = await this.#options.docker.getContainer(caddyContainer).inspect();
      if (found.Config.Labels?.[label.system] === 'caddy') return found;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
    throw new TscError('E_CADDY_NAME_TAKEN', `a container "${caddyContainer}" is not ours`, {
      hint: `rename it: docker rename ${caddyContainer} other-name`,
    });
  }

  async #remove(): Promise<void> {
    const found = await this.#inspect();
    if (found !== undefined) {
      await this.#options.docker.getContainer(caddyContainer).remove({ force: true });
    }
    await rm(this.#socketPath, { force: true });
  }

  async #ensureImage(): Promise<void> {
    const { docker, image } = this.#options;
    try {
      await docker.getImage(image).inspect();
    } catch (error) {
      if (!isNotFound(error)) throw error;
      throw new TscError('E_IMAGE_NOT_FOUND', `the ingress image "${image}" is not here`, {
        hint: `pull or load it on this machine: docker pull ${image}`,
        cause: error,
      });
    }
  }

  #containerBody(): CaddyContainerBody {
    const { image, runtimeDir, dataDir, clusterId } = this.#options;
    const body: CaddyContainerBody = {
      name: caddyContainer,
      Image: image,
      Entrypoint: ['caddy'],
      Cmd: ['run', '--config', '/data/caddy.json'],
      Labels: { [label.system]: 'caddy', [label.cluster]: clusterId },
      HostConfig: {
        NetworkMode: 'host',
        RestartPolicy: { Name: 'unless-stopped' },
        // Not `Mounts`: the engine makes a missing folder of a bind, as /run is empty after a boot.
        Binds: [
          `${join(runtimeDir, 'caddy')}:/run/tsc-compose/caddy`,
          `${join(dataDir, 'caddy')}:/data`,
        ],
      },
    };
    const hash = createHash('sha256').update(JSON.stringify(body)).digest('hex').slice(0, 16);
    body.Labels[label.hash] = hash;
    return body;
  }

  /** What Caddy starts with: written whole or not at all. */
  async #writeFile(config: CaddyConfig): Promise<void> {
    const path = join(this.#options.dataDir, 'caddy', 'caddy.json');
    const text = `${JSON.stringify(config, null, 2)}\n`;
    const before = await readFile(path, 'utf8').catch(() => '');
    if (before === text) return;
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  get #socketPath(): string {
    return this.#inCaddy(caddyAdminSocket);
  }

  /** A path of Caddy's `/run/tsc-compose/caddy`, as it is called outside. */
  #inCaddy(path: string): string {
    return join(this.#options.runtimeDir, 'caddy', basename(path));
  }
}

function hasLabel(found: CaddyContainerInfo, name: string, body: CaddyContainerBody): boolean {
  return found.Config.Labels?.[name] === body.Labels[name];
}

function isRefused(error: unknown): boolean {
  return error instanceof TscError && error.code === 'E_CADDY_REFUSED';
}

function isNotFound(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'statusCode' in error && error.statusCode === 404
  );
}

function asTscError(error: unknown): TscError {
  if (error instanceof TscError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new TscError('E_CADDY_FAILED', message, { cause: error });
}
