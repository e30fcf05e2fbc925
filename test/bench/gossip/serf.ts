/**
 * Serf agents with their settings for a LAN, each on an address of its own. What they know is read
 * from their logs, which are written before serf holds events back to send several at once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensurePackages, toolPath } from '../../lab/packages.ts';
import type { Cluster } from './cluster.ts';
import type { Namespace } from './namespace.ts';
import { monotonicMs, Sightings } from './sightings.ts';

const gossipPort = 7946;
const rpcPort = 7373;

const address = (machine: number): string => `127.0.1.${machine + 1}`;

export class SerfCluster implements Cluster {
  readonly name = 'serf';
  readonly size: number;
  readonly sightings: Sightings;
  readonly #namespace: Namespace;
  readonly #program: string;
  readonly #children: ChildProcess[] = [];
  #lastUpdate = 0;

  private constructor(namespace: Namespace, program: string, size: number) {
    this.size = size;
    this.sightings = new Sightings(size);
    this.#namespace = namespace;
    this.#program = program;
  }

  /** Forms a cluster; resolves when everybody sees everybody. */
  static async form(namespace: Namespace, size: number): Promise<SerfCluster> {
    const program = toolPath(await ensurePackages('serf'), 'serf');
    const cluster = new SerfCluster(namespace, program, size);
    try {
      for (let machine = 0; machine < size; machine++) {
        await cluster.restart(machine);
        if (machine === 0) await sleep(500);
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
    const update = `u${++this.#lastUpdate}`;
    const rpc = `-rpc-addr=${address(writer)}:${rpcPort}`;
    await this.#namespace.run([this.#program, 'event', rpc, '-coalesce=false', update]);
    await this.sightings.everyoneSaw(update, writer);
    // Its own sight: what the command's start costs is not counted.
    return { update, startMs: this.sightings.firstSight(update, writer) };
  }

  restart(machine: number): Promise<void> {
    this.sightings.forgetObserver(machine);
    const argv = [
      this.#program,
      'agent',
      `-node=n${machine}`,
      `-bind=${address(machine)}:${gossipPort}`,
      `-rpc-addr=${address(machine)}:${rpcPort}`,
      '-profile=lan',
      '-log-level=info',
      // Any other one: the first may be the one that comes back.
      ...(this.#children.length === 0
        ? []
        : [`-retry-join=${address(machine === 0 ? 1 : 0)}:${gossipPort}`]),
    ];
    const [command, ...words] = this.#namespace.inside(argv);
    const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#children[machine] = child;
    if (child.stdout === null) throw new Error('no log of serf');
    createInterface({ input: child.stdout }).on('line', (line) => this.#heard(machine, line));
    return Promise.resolve();
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
  }

  #heard(observer: number, line: string): void {
    const atMs = monotonicMs();
    const update = /Received event: user-event: (u\d+)/u.exec(line)?.[1];
    if (update !== undefined) return this.sightings.sawUpdate(observer, update, atMs);
    const [, event, name] = /serf: EventMember(Join|Failed): n(\d+)/u.exec(line) ?? [];
    if (event === undefined) return;
    this.sightings.sawState(observer, Number(name), event === 'Join', atMs);
  }
}
