/**
 * Files that came with a change: read-only bind mounts of a command that runs on no member. Each is
 * a tar named by its SHA-256, kept on disk and unpacked where a container needs it; what is missing
 * is fetched from another member. Contents never change, so containers share them, and a change of
 * one file is another name and replaces only the containers that mount it.
 *
 * A copy is removed only when no revision here names it and it has not been used for an hour: one
 * that has just come belongs to a change that is still on its way.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import type * as http from 'node:http';
import { join } from 'node:path';
import { TscError } from '../src/lib/errors.ts';
import type { MachineId } from '../src/model/ids.ts';
import { maxCopyTarBytes } from '../src/model/limits.ts';
import { copyHashOf } from '../src/model/names.ts';
import type { Project } from '../src/model/project.ts';
import { unpackCopy } from './copies-unpack.ts';
import type { Log } from './log.ts';
import { askPeer, type ConnectRpc } from './peer-calls.ts';

/** 1 h without use, and unknown to every revision: nobody is going to ask for it. */
const keepMs = 3_600_000;
/** 60 s: the largest copy over a slow line. */
const transferMs = 60_000;
/** Copies that a change needs, besides on the machines that use them at once. */
const wantedHolderCount = 3;

const hashPattern = /^[0-9a-f]{64}$/;

export interface CopiesComponents {
  readonly dataDir: string;
  readonly connectRpc: ConnectRpc;
  /** Members that can be asked, this one not among them. */
  readonly peers: () => readonly MachineId[];
  readonly now: () => number;
  readonly log: Log;
}

export class Copies {
  readonly #components: CopiesComponents;
  readonly #root: string;
  /** By hash: work under way, so that two containers do not unpack the same one at once. */
  readonly #busy = new Map<string, Promise<string>>();

  constructor(components: CopiesComponents) {
    this.#components = components;
    this.#root = join(components.dataDir, 'copies');
  }

  /**
   * Serves `PUT`, `HEAD` and `GET` of `/<hash>`; errors are thrown.
   * @param path what follows `/v1/machines/<this>/copies`
   */
  async handle(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    path: string,
  ): Promise<void> {
    const hash = path.slice(1);
    if (!hashPattern.test(hash)) {
      throw new TscError('E_REQUEST_INVALID', `"${hash}" is no name of a copy`);
    }
    if (request.method === 'PUT') {
      await this.#keep(hash, await readBody(request));
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
      return;
    }
    const tar = await this.#read(hash);
    if (tar === undefined) throw notFound(hash);
    response.writeHead(200, {
      'content-type': 'application/x-tar',
      'content-length': tar.length,
    });
    response.end(request.method === 'HEAD' ? undefined : tar);
  }

  /**
   * Makes sure that this machine and some others hold the copies before a change names them.
   * @param users machines that will run containers with them
   * @throws TscError E_COPY_MISSING when this machine was never given one
   */
  async spread(hashes: readonly string[], users: readonly MachineId[]): Promise<void> {
    const { peers, connectRpc, log } = this.#components;
    const ordered = [...new Set([...users, ...peers()])].filter((id) => peers().includes(id));
    const count = Math.max(wantedHolderCount - 1, users.length);
    for (const hash of hashes) {
      const body = await this.#read(hash);
      if (body === undefined) throw notFound(hash);
      await Promise.all(
        ordered.slice(0, count).map(async (machine) => {
          const path = copyPath(machine, hash);
          try {
            const head = { method: 'HEAD', path, timeoutMs: transferMs } as const;
            if ((await askPeer(connectRpc, machine, head)).status === 200) return;
            await askPeer(connectRpc, machine, { ...head, method: 'PUT', body });
          } catch (error) {
            // It will ask for it when it needs it.
            log.warn('a copy could not be handed on', { machine, hash, error });
          }
        }),
      );
    }
  }

  /**
   * Where the copy lies on this machine, unpacked; fetched from a member when it is not here.
   * @throws TscError E_COPY_MISSING when no member that can be reached has it
   */
  path(hash: string): Promise<string> {
    const running = this.#busy.get(hash);
    if (running !== undefined) return running;
    const work = this.#unpacked(hash).finally(() => this.#busy.delete(hash));
    this.#busy.set(hash, work);
    return work;
  }

  /** Removes what no revision names and nobody has used for a while. */
  async collect(named: ReadonlySet<string>): Promise<void> {
    const { now } = this.#components;
    for (const name of await listed(this.#root)) {
      const hash = name.split('.', 1)[0] ?? name;
      if (named.has(hash) || this.#busy.has(hash)) continue;
      const path = join(this.#root, name);
      const found = await stat(path).catch(() => undefined);
      if (found === undefined || found.mtimeMs + keepMs > now()) continue;
      await rm(path, { recursive: true, force: true });
    }
  }

  async #unpacked(hash: string): Promise<string> {
    const folder = join(this.#root, `${hash}.files`);
    const content = join(folder, 'data');
    const now = new Date(this.#components.now());
    if ((await stat(content).catch(() => undefined)) !== undefined) {
      await utimes(folder, now, now);
      return content;
    }
    const tar = (await this.#read(hash)) ?? (await this.#fetch(hash));
    const draft = join(this.#root, `${hash}.draft`);
    await rm(draft, { recursive: true, force: true });
    await mkdir(draft, { recursive: true, mode: 0o700 });
    await unpackCopy(tar, draft);
    await rename(draft, folder);
    return content;
  }

  async #fetch(hash: string): Promise<Buffer> {
    const { peers, connectRpc, log } = this.#components;
    for (const machine of peers()) {
      try {
        const path = copyPath(machine, hash);
        const answer = await askPeer(connectRpc, machine, {
          method: 'GET',
          path,
          timeoutMs: transferMs,
        });
        if (answer.status !== 200) continue;
        await this.#keep(hash, answer.body);
        return answer.body;
      } catch (error) {
        log.warn('a copy could not be fetched', { machine, hash, error });
      }
    }
    throw notFound(hash);
  }

  /** @throws TscError E_COPY_BROKEN when the bytes are not what the name says */
  async #keep(hash: string, tar: Buffer): Promise<void> {
    const actual = createHash('sha256').update(tar).digest('hex');
    if (actual !== hash) throw new TscError('E_COPY_BROKEN', 'a copy did not arrive whole');
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    const draft = join(this.#root, `${hash}.new`);
    await writeFile(draft, tar, { mode: 0o600 });
    await rename(draft, join(this.#root, `${hash}.tar`));
  }

  async #read(hash: string): Promise<Buffer | undefined> {
    const path = join(this.#root, `${hash}.tar`);
    try {
      const tar = await readFile(path);
      const now = new Date(this.#components.now());
      await utimes(path, now, now);
      return tar;
    } catch (error) {
      if (error instanceof Error && Reflect.get(error, 'code') === 'ENOENT') return undefined;
      throw error;
    }
  }
}

/** Hashes of the copies that services of a project mount. */
export function copiesOf(project: Project, services?: readonly string[]): readonly string[] {
  const found = Object.entries(project.services)
    .filter(([name]) => services === undefined || services.includes(name))
    .flatMap(([, spec]) => (spec.volumes ?? []).map(({ source }) => copyHashOf(source)));
  return [...new Set(found.filter((hash) => hash !== undefined))].sort();
}

function copyPath(machine: MachineId, hash: string): string {
  return `/v1/machines/${encodeURIComponent(machine)}/copies/${hash}`;
}

async function listed(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (error instanceof Error && Reflect.get(error, 'code') === 'ENOENT') return [];
    throw error;
  }
}

async function readBody(request: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request) {
    // A request without an encoding yields buffers.
    const bytes = chunk as Buffer;
    sizeBytes += bytes.length;
    if (sizeBytes > maxCopyTarBytes) {
      throw new TscError('E_REQUEST_TOO_LARGE', 'a copy is larger than 16 MiB');
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function notFound(hash: string): TscError {
  return new TscError(
    'E_COPY_NOT_FOUND',
    `the files of a bind mount (copy ${hash.slice(0, 12)}) are on no machine that can be reached`,
    { hint: 'run up again where the files are' },
  );
}
