/** Our gossip: one process a machine, built like the agent that is shipped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Identity, loadIdentity } from '../../../agent/identity.ts';
import { builtinsByCall } from '../../../scripts/lib/builtins-by-call.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import { projectDir } from '../../lab/paths.ts';
import type { Cluster } from './cluster.ts';
import type { Command, Done, Message } from './gossip-process.ts';
import type { Namespace } from './namespace.ts';
import { Sightings } from './sightings.ts';

/** As bin/tsc-compose-agent.cjs starts Node. */
const nodeFlags = createRequire(import.meta.url)(
  '../../../bin/agent-flags.cjs',
) as readonly string[];

type Environment = Readonly<Record<string, string>>;

type Asked = Command extends infer Each ? (Each extends unknown ? Omit<Each, 'id'> : never) : never;

export class OurCluster implements Cluster {
  readonly name = 'tsc-compose';
  readonly size: number;
  readonly sightings: Sightings;
  readonly #namespace: Namespace;
  readonly #dir: string;
  readonly #machines: ReadonlyMap<MachineId, number>;
  readonly #children: ChildProcess[] = [];
  readonly #waiting = new Map<number, (done: Done) => void>();
  /** By machine: what its process gets besides our own environment. */
  readonly #environments: readonly Environment[];
  #lastId = 0;

  private constructor(
    namespace: Namespace,
    dir: string,
    identities: readonly Identity[],
    environments: readonly Environment[],
  ) {
    this.size = identities.length;
    this.sightings = new Sightings(this.size);
    this.#namespace = namespace;
    this.#dir = dir;
    this.#environments = environments;
    this.#machines = new Map(identities.map(({ machine }, index) => [machine, index]));
  }

  /**
   * Forms a cluster; resolves when everybody sees everybody.
   * @param dir a folder for its files
   * @param environments of the first machines' processes, where they differ from ours
   */
  static async form(
    namespace: Namespace,
    dir: string,
    size: number,
    environments: readonly Environment[] = [],
  ): Promise<OurCluster> {
    const dirs = Array.from({ length: size }, (_, index) => join(dir, `m${index}`));
    const identities = await Promise.all(dirs.map((each) => loadIdentity(each)));
    await namespace.addAddresses(identities.map(({ meshIp }) => `${meshIp}/128`));
    await buildProgram(dir);
    const cluster = new OurCluster(namespace, dir, identities, environments);
    try {
      await Promise.all(identities.map((_, index) => cluster.#start(index)));
      await cluster.#ask(0, { type: 'found' });
      for (const [index, { publicKey, wgPublicKey }] of identities.entries()) {
        if (index === 0) continue;
        const { answer } = await cluster.#ask(0, { type: 'admit', publicKey, wgPublicKey });
        if (answer === undefined) throw new Error('no answer to a join');
        await cluster.#ask(index, { type: 'join', answer });
      }
      await cluster.sightings.everyoneAlive();
      return cluster;
    } catch (error) {
      await cluster.end();
      throw error;
    }
  }

  get pids(): readonly number[] {
    return this.#children.map(({ pid }) => pid ?? 0);
  }

  async update(writer: number): Promise<{ readonly update: string; readonly startMs: number }> {
    const update = `u${++this.#lastId}`;
    void this.#ask(writer, { type: 'write', update });
    // The writer's own sight is in the turn of its `write`: what the parent's channel costs is
    // not counted.
    await this.sightings.everyoneSaw(update, writer);
    return { update, startMs: this.sightings.firstSight(update, writer) };
  }

  /** Writes a record that all have to keep. @returns milliseconds until it was safe at its author */
  async write(writer: number): Promise<number> {
    const startMs = performance.now();
    await this.#ask(writer, { type: 'write', update: `w${++this.#lastId}` });
    return performance.now() - startMs;
  }

  /** Starts the agent's resolver in the process of a machine, on the loopback of the namespace. */
  async startResolver(machine: number): Promise<void> {
    await this.#ask(machine, { type: 'resolve' });
  }

  /** Links that the machines have lost, all together: each end counts. */
  async lostLinkCount(): Promise<number> {
    const all = await Promise.all(
      this.#children.map((_, index) => this.#ask(index, { type: 'count' })),
    );
    return all.reduce((total, { lostLinkCount = 0 }) => total + lostLinkCount, 0);
  }

  restart(machine: number): Promise<void> {
    this.sightings.forgetObserver(machine);
    return this.#start(machine);
  }

  async end(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const isGone = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await isGone;
      }),
    );
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #start(index: number): Promise<void> {
    const program = join(this.#dir, 'dist/gossip-process.js');
    const dir = join(this.#dir, `m${index}`);
    const argv = [process.execPath, ...nodeFlags, program, dir, `m${index}`];
    const [command, ...words] = this.#namespace.inside(argv);
    const isChatty = process.env['TSC_COMPOSE_SHOW_LOGS'] !== undefined;
    const child = spawn(command, words, {
      stdio: ['ignore', 'ignore', isChatty ? 'inherit' : 'ignore', 'ipc'],
      env: { ...process.env, ...this.#environments[index] },
    });
    this.#children[index] = child;
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`a process ended with ${code}`)));
      // Only our own program is at the other end of the channel.
      child.on('message', (message: Message) => {
        if (message.type === 'ready') resolve();
        else this.#heard(index, message);
      });
    });
  }

  #heard(observer: number, message: Message): void {
    if (message.type === 'update') {
      this.sightings.sawUpdate(observer, message.update, message.atMs);
    } else if (message.type === 'state') {
      const subject = this.#machines.get(message.machine);
      if (subject === undefined) return;
      this.sightings.sawState(observer, subject, message.isAlive, message.atMs);
    } else if (message.type === 'done') {
      this.#waiting.get(message.id)?.(message);
      this.#waiting.delete(message.id);
    }
  }

  #ask(machine: number, asked: Asked): Promise<Done> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#children[machine]?.send({ ...asked, id } satisfies Command);
    });
  }
}

/** Bundled as the agent is (scripts/build.ts): type stripping at run time would cost memory. */
async function buildProgram(dir: string): Promise<void> {
  const outdir = join(dir, 'dist');
  mkdirSync(outdir, { recursive: true });
  await build({
    absWorkingDir: projectDir,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    splitting: true,
    minifySyntax: true,
    logLevel: 'warning',
    entryPoints: {
      'gossip-process': 'test/bench/gossip/gossip-process.ts',
      'store-worker': 'agent/store-worker.ts',
    },
    outdir,
    banner: {
      js: "import { createRequire as createRequire_ } from 'node:module'; const require = createRequire_(import.meta.url);",
    },
    external: ['bufferutil', 'utf-8-validate'],
    plugins: [builtinsByCall],
  });
}
