/**
 * Lab machines for pushes: engines of several kinds side by side, the image part of the agent on
 * each, and images whose layers do not compress, so that bytes sent can be foretold.
 */
import { createCipheriv, createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PushResult } from '../../src/client/push.ts';
import { buildImage, type LabImage } from '../lab/images.ts';
import { type AddMachineOptions, Lab } from '../lab/lab.ts';
import type { Machine, MachineProcess } from '../lab/machine.ts';

/** The kinds of engines that a push must work between. */
export const engineKinds: Readonly<Record<EngineKind, AddMachineOptions>> = {
  classic: { engine: '28.5' },
  containerd: {
    engine: '28.5',
    daemonConfig: { features: { 'containerd-snapshotter': true } },
  },
  old: { engine: '20.10' },
};
export type EngineKind = 'classic' | 'containerd' | 'old';

/** 2 min: 100 MB to three machines takes 5-15 s on two shared cores. */
const pushTimeoutMs = 120_000;

export interface PushReport {
  readonly results: readonly (Omit<PushResult, 'error'> & {
    readonly error?: { readonly code: string; readonly message: string };
  })[];
  readonly notes: readonly string[];
  readonly elapsedMs: number;
  readonly rssBytes: number;
}

export class PushLab {
  /** Holds the sockets of all agents. */
  readonly folder: string;
  readonly #lab: Lab;
  readonly #byKind = new Map<EngineKind, Machine>();
  readonly #agents = new Map<string, MachineProcess>();

  private constructor(lab: Lab, folder: string) {
    this.#lab = lab;
    this.folder = folder;
  }

  /** One machine of each kind, each with an agent. */
  static async create(kinds: readonly EngineKind[]): Promise<PushLab> {
    const lab = await Lab.create({
      machines: 0,
      log: (line) => process.stderr.write(`${line}\n`),
    });
    try {
      let push: PushLab | undefined;
      for (const kind of kinds) {
        const machine = await lab.addMachine(engineKinds[kind]);
        push ??= new PushLab(lab, join(machine.dir, 'agents'));
        mkdirSync(push.folder, { recursive: true });
        push.#byKind.set(kind, machine);
        await push.#startAgent(machine);
      }
      if (push === undefined) throw new Error('a lab needs at least one kind');
      return push;
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  get name(): string {
    return this.#lab.name;
  }

  async destroy(): Promise<void> {
    await this.#lab.destroy();
  }

  machine(kind: EngineKind): Machine {
    const machine = this.#byKind.get(kind);
    if (machine === undefined) throw new Error(`no machine of kind ${kind}`);
    return machine;
  }

  socketOf(kind: EngineKind): string {
    return join(this.folder, `${this.machine(kind).name}.sock`);
  }

  agentLog(kind: EngineKind): string {
    const agent = this.#agents.get(this.machine(kind).name);
    return agent === undefined ? '' : readFileSync(agent.logFile, 'utf8');
  }

  /** Pushes from the engine of one machine, run there as a user would. */
  async push(from: EngineKind, reference: string, to: readonly EngineKind[]): Promise<PushReport> {
    const request = {
      socketPath: this.socketOf(from),
      images: [{ reference, machines: to.map((kind) => this.machine(kind).name) }],
    };
    const program = join(import.meta.dirname, 'push-client.ts');
    const { code, stdout, stderr } = await this.machine(from).exec(
      [process.execPath, program, JSON.stringify(request)],
      { timeoutMs: pushTimeoutMs, env: { HOME: '/root' } },
    );
    if (code !== 0) throw new Error(`push failed (${code}): ${stderr}`);
    return JSON.parse(stdout) as PushReport; // written by push-client.ts
  }

  /** The digest of the config that a name means on a machine, from the engine's own data. */
  async configOf(kind: EngineKind, reference: string): Promise<string | undefined> {
    const machine = this.machine(kind);
    const found = await machine.exec(['docker', 'image', 'inspect', '-f', '{{.Id}}', reference]);
    if (found.code !== 0) return undefined;
    const id = found.stdout.trim();
    if (kind !== 'containerd') return id;
    const blobs = '/var/lib/docker/containerd/daemon/io.containerd.content.v1.content/blobs/sha256';
    const text = await machine.execOk(['cat', `${blobs}/${id.replace('sha256:', '')}`]);
    return (JSON.parse(text) as { readonly config: { readonly digest: string } }).config.digest;
  }

  /** All that `docker image ls --all` shows, to see that nothing was left. */
  async imagesOf(kind: EngineKind): Promise<readonly string[]> {
    const format = '{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}}';
    const text = await this.machine(kind).execOk([
      'docker',
      'image',
      'ls',
      '--all',
      '--no-trunc',
      '--format',
      format,
    ]);
    return text === '' ? [] : text.split('\n').sort();
  }

  /** SHA-256 of a file in an image, through a container that is never started. */
  async hashOfFile(kind: EngineKind, reference: string, path: string): Promise<string> {
    const script = [
      `id=$(docker create "${reference}" /x)`,
      `docker cp "$id:${path}" - | tar -xOf - | sha256sum`,
      'docker rm "$id" >/dev/null',
    ].join(' && ');
    return (await this.machine(kind).execOk(['sh', '-c', script])).slice(0, 64);
  }

  async #startAgent(machine: Machine): Promise<void> {
    const program = join(import.meta.dirname, 'push-agent.ts');
    const agent = await machine.spawn([process.execPath, program, machine.name, this.folder], {
      name: 'push-agent',
    });
    this.#agents.set(machine.name, agent);
    const endMs = Date.now() + 15_000;
    while (!existsSync(join(this.folder, `${machine.name}.sock`))) {
      if (Date.now() > endMs) throw new Error(readFileSync(agent.logFile, 'utf8'));
      await sleep(20);
    }
  }
}

/** Bytes that no compressor makes smaller, the same every time. */
export function noise(seed: string, sizeBytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));
}

/** Two versions of an image that differ in their last layer of 1 MB. */
export async function twoVersions(
  name: string,
  baseBytes: number,
): Promise<{ readonly v1: LabImage; readonly v2: LabImage }> {
  const layerCount = 9;
  const base = await buildImage({
    name: `${name}-base:1`,
    files: Array.from({ length: layerCount }, (_, index) => ({
      [`/layer${index}`]: noise(`${name} ${index}`, Math.floor(baseBytes / layerCount)),
    })),
  });
  const version = (tag: string) =>
    buildImage({
      name: `${name}:${tag}`,
      from: base,
      files: { '/app': noise(`${name} ${tag}`, 1_000_000) },
    });
  return { v1: await version('v1'), v2: await version('v2') };
}
