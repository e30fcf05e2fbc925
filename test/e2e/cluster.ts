/**
 * A cluster for end-to-end tests: lab machines with the built agent on each, and the built command
 * run on them as a user would. Nothing is replaced by a mock. What a test reads about containers
 * comes from the engines themselves, never from what the agents say about them.
 */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import { expect } from 'vitest';
import { composeLabel, engineNetwork, label } from '../../src/model/names.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { loadImages } from '../lab/images.ts';
import { Lab, labUnavailable } from '../lab/lab.ts';
import type { Machine, MachineProcess } from '../lab/machine.ts';
import type { EngineName } from '../lab/packages.ts';
import type { RunResult } from '../lab/run.ts';

const root = resolve(import.meta.dirname, '../..');
/** The Node that tests run on: the development dependency, so machines need none. */
const node = process.execPath;
const agentMain = join(root, 'bin/tsc-compose-agent.cjs');
export const cliMain = join(root, 'bin/tsc-compose.cjs');

/** Where an agent keeps its records. */
const dataDir = '/var/lib/tsc-compose';

/** 60 s: an `up` of the samples takes 2-4 s on a quiet machine; CI machines are shared. */
const commandTimeoutMs = 60_000;

export interface ClusterOptions {
  readonly machines: number;
  readonly engine: EngineName;
  readonly images?: readonly string[];
  /** Added to the engines' configuration. */
  readonly daemonConfig?: Readonly<Record<string, unknown>>;
  /** A machine whose agent gets a small disk of its own. */
  readonly smallDisk?: string;
}

export interface ContainerFacts {
  readonly id: string;
  readonly name: string;
  readonly service: string;
  readonly machine: string;
  readonly state: string;
  readonly startedAt: string;
}

/** The engines that can be had here; the others are named with the reason. */
export function engines(): readonly { readonly engine: EngineName }[] {
  return wantedEngines.map((engine) => ({ engine }));
}

const wantedEngines: EngineName[] = [];
for (const engine of ['28.5', '20.10'] as const) {
  const chosen = process.env.TSC_COMPOSE_ENGINE;
  if (chosen !== undefined && chosen !== engine) continue;
  const reason = await labUnavailable(engine, (line) => process.stderr.write(`${line}\n`));
  if (reason === undefined) wantedEngines.push(engine);
  else process.stderr.write(`skipped: tests on engine ${engine}: ${reason}\n`);
}

export class Cluster {
  readonly #lab: Lab;
  readonly #images: readonly string[];
  readonly #daemonConfig: ClusterOptions['daemonConfig'];
  readonly #agents = new Map<string, MachineProcess>();
  readonly #smallDisk: string | undefined;

  private constructor(lab: Lab, images: readonly string[], options: ClusterOptions) {
    this.#lab = lab;
    this.#images = images;
    this.#daemonConfig = options.daemonConfig;
    this.#smallDisk = options.smallDisk;
  }

  /** Machines with agents that have formed one cluster. */
  static async create(options: ClusterOptions): Promise<Cluster> {
    const images = options.images ?? ['busybox:latest', 'redis:7', 'caddy:2', 'node:24'];
    const name = process.env.TSC_COMPOSE_TEST_LAB;
    const lab = await Lab.create({
      machines: options.machines,
      engine: options.engine,
      ...(name === undefined ? {} : { name }),
      ...(options.daemonConfig === undefined ? {} : { daemonConfig: options.daemonConfig }),
      log: (line) => process.stderr.write(`${line}\n`),
    });
    const cluster = new Cluster(lab, images, options);
    try {
      await Promise.all(lab.machines.map((machine) => cluster.#prepare(machine)));
      for (const machine of lab.machines) await cluster.#enter(machine);
      await cluster.untilReachable(options.machines);
    } catch (error) {
      cluster.printAgentLogs();
      await lab.destroy();
      throw error;
    }
    return cluster;
  }

  get lab(): Lab {
    return this.#lab;
  }

  async destroy(): Promise<void> {
    if (process.env.TSC_COMPOSE_SHOW_LOGS) this.printAgentLogs();
    await this.#lab.destroy();
  }

  /** What the agents logged: for a failed set-up. */
  printAgentLogs(): void {
    for (const [name, agent] of this.#agents) {
      process.stderr.write(
        `--- agent of ${name}\n${readFileSync(agent.logFile, 'utf8').slice(-6000)}\n`,
      );
    }
  }

  async addMachine(name: string): Promise<void> {
    const machine = await this.#lab.addMachine(
      this.#daemonConfig === undefined ? {} : { daemonConfig: this.#daemonConfig },
    );
    expect(machine.name).toBe(name);
    await this.#prepare(machine);
    await this.#enter(machine);
  }

  address(machine: string): string {
    return this.#lab.machine(machine).address;
  }

  docker(machine: string): Docker {
    return this.#lab.machine(machine).docker();
  }

  /** The folder of a project on a machine. */
  folder(machine: string, project: string): string {
    return join(this.#projects(machine), project);
  }

  /** Containers that plain docker compose made: id and start, of those that run. */
  async plainContainers(machine: string, project: string): Promise<readonly string[]> {
    const found = await this.docker(machine).listContainers({
      filters: { label: [`${composeLabel.project}=${project}`] },
    });
    return found.map((one) => `${one.Id} ${one.Created}`);
  }

  /** Writes a file below the machine's folder for projects, where commands run. */
  writeFile(machine: string, path: string, text: string): void {
    const target = join(this.#projects(machine), path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }

  removeFile(machine: string, path: string): void {
    rmSync(join(this.#projects(machine), path), { force: true });
  }

  /** Runs the command on a machine, in a folder of its projects. */
  async tsc(
    machine: string,
    args: readonly string[],
    options: {
      cwd?: string;
      env?: Record<string, string>;
      input?: string;
      /** Sends the command SIGINT, as Ctrl-C does. */
      interruptAfterMs?: number;
    } = {},
  ): Promise<RunResult> {
    const cwd = this.folder(machine, options.cwd ?? '.');
    mkdirSync(cwd, { recursive: true });
    const seconds = (options.interruptAfterMs ?? 0) / 1000;
    const interrupt =
      seconds === 0 ? [] : ['timeout', '--preserve-status', '-s', 'INT', String(seconds)];
    return this.#lab.machine(machine).exec([...interrupt, node, cliMain, ...args], {
      cwd,
      timeoutMs: commandTimeoutMs,
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.input === undefined ? {} : { input: options.input }),
    });
  }

  /** `up` of a sample, whose files are copied to the machine the first time. */
  async up(
    machine: string,
    sample: string,
    args: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<RunResult> {
    cpSync(join(root, 'samples', sample), join(this.#projects(machine), sample), {
      recursive: true,
      force: false,
    });
    return this.tsc(machine, ['up', ...args], { cwd: sample, env });
  }

  /**
   * Containers of a project on all machines that are on, by name and machine; from the engines.
   * Without those that were replaced and are kept, stopped, for their logs.
   */
  async containers(project: string): Promise<readonly ContainerFacts[]> {
    return (await this.allContainers(project)).filter(({ name }) => !/-old(-\w+)?$/u.test(name));
  }

  /** The same, those that are kept for their logs included. */
  async allContainers(project: string): Promise<readonly ContainerFacts[]> {
    const found: ContainerFacts[] = [];
    for (const machine of this.#lab.machines.filter((m) => m.isUp)) {
      const docker = machine.docker();
      const list = await docker.listContainers({
        all: true,
        filters: { label: [`${label.project}=${project}`] },
      });
      for (const one of list) {
        const inspected = await docker
          .getContainer(one.Id)
          .inspect()
          .catch(() => undefined);
        if (inspected === undefined) continue;
        found.push({
          id: one.Id,
          name: inspected.Name.replace(/^\//u, ''),
          service: one.Labels[label.service] ?? '',
          machine: machine.name,
          state: inspected.State.Status,
          startedAt: inspected.State.StartedAt,
        });
      }
    }
    return found.sort((a, b) => (`${a.name} ${a.machine}` < `${b.name} ${b.machine}` ? -1 : 1));
  }

  /** Names of the containers that the agent of a machine runs for itself. */
  async systemContainers(machine: string): Promise<readonly string[]> {
    const found = await this.docker(machine).listContainers({ filters: { label: [label.system] } });
    return found.flatMap((one) => one.Names.map((name) => name.replace(/^\//u, '')));
  }

  async volumes(machine: string): Promise<readonly string[]> {
    const { Volumes } = await this.docker(machine).listVolumes();
    return Volumes.map((volume) => volume.Name);
  }

  /** A running container that is not ours. @returns its id */
  async foreignContainer(
    machine: string,
    name: string,
    labels: Record<string, string>,
  ): Promise<string> {
    const container = await this.docker(machine).createContainer({
      name,
      Image: 'busybox:latest',
      Cmd: ['sleep', '1000'],
      Labels: labels,
      HostConfig: { Init: true },
    });
    await container.start();
    return container.id;
  }

  /** Runs a program inside a container, through its engine. */
  async execIn(container: ContainerFacts | undefined, argv: readonly string[]): Promise<RunResult> {
    if (container === undefined) throw new Error('no such container');
    return this.#lab
      .machine(container.machine)
      .exec(['docker', 'exec', container.id, ...argv], { timeoutMs: commandTimeoutMs });
  }

  /** Which of these addresses and ports accept a TCP connection from inside a container. */
  async openFrom(
    container: ContainerFacts | undefined,
    targets: readonly (readonly [string, number])[],
  ): Promise<string[]> {
    const result = await this.execIn(container, ['node', '-e', dialScript(targets)]);
    expect(result.code, result.stderr).toBe(0);
    return JSON.parse(result.stdout) as string[];
  }

  /** Which of these accept a TCP connection from a machine itself, besides its containers. */
  async openFromMachine(
    machine: string,
    targets: readonly (readonly [string, number])[],
  ): Promise<string[]> {
    const printed = await this.exec(machine, [node, '-e', dialScript(targets)]);
    return JSON.parse(printed) as string[];
  }

  /** Runs a program on a machine. @returns what it printed */
  exec(machine: string, argv: readonly string[]): Promise<string> {
    return this.#lab.machine(machine).execOk(argv);
  }

  /** Addresses of a service's containers in the mesh, from the engines. */
  async addresses(project: string, service: string): Promise<readonly string[]> {
    const found: string[] = [];
    for (const { id, machine, ...one } of await this.containers(project)) {
      if (one.service !== service) continue;
      const { NetworkSettings } = await this.docker(machine).getContainer(id).inspect();
      found.push(NetworkSettings.Networks[engineNetwork]?.IPAddress ?? '');
    }
    return found;
  }

  /** An HTTP request from outside to a machine's address. */
  http(
    machine: string,
    host: string,
    path: string,
    port = 80,
  ): Promise<{ status: number; body: string }> {
    return new Promise((done, failed) => {
      const call = request(
        {
          host: this.address(machine),
          port,
          path,
          headers: { host },
          agent: false,
          timeout: 10_000,
        },
        (response) => {
          let body = '';
          response.setEncoding('utf8');
          response.on('data', (text: string) => (body += text));
          response.on('end', () => done({ status: response.statusCode ?? 0, body }));
          response.on('error', failed);
        },
      );
      call.on('timeout', () => call.destroy(new Error(`${machine} does not answer within 10 s`)));
      call.on('error', failed);
      call.end();
    });
  }

  /** What a machine's agent answers a stranger on the mesh who knows the cluster's id. */
  async strangerDials(machine: string, path: '/gossip' | '/rpc'): Promise<string> {
    const { cluster, self, machines } = await this.snapshot(machine);
    const meshIp = machines.find((m) => m.id === self)?.meshIp ?? '';
    const script = join(root, 'test/e2e/stranger.ts');
    return this.#lab.machine(machine).execOk([node, script, meshIp, cluster, path]);
  }

  /** What the agent of a machine knows. */
  async snapshot(machine: string): Promise<Snapshot> {
    const answer = await this.#get(machine, '/v1/snapshot');
    if (answer.code !== 0) throw new Error(`the agent of ${machine}: ${answer.stderr}`);
    const snapshot = JSON.parse(answer.stdout) as Snapshot;
    // An agent that has just started answers before it has opened its cluster.
    if (snapshot.machines === undefined)
      throw new Error(`the agent of ${machine}: ${answer.stdout}`);
    return snapshot;
  }

  async machines(): Promise<Snapshot['machines']> {
    return (await this.snapshot('m1')).machines;
  }

  /** Waits until every agent that runs sees this many machines reachable. */
  async untilReachable(count: number): Promise<void> {
    const endMs = Date.now() + 20_000;
    for (;;) {
      const counts = await Promise.all(
        [...this.#agents.keys()].map(async (name) => {
          const snapshot = await this.snapshot(name).catch(() => undefined);
          return snapshot?.machines.filter((m) => m.liveness === 'reachable').length ?? 0;
        }),
      );
      if (counts.every((n) => n === count)) return;
      if (Date.now() > endMs)
        throw new Error(`machines seen as reachable: ${counts.join(', ')}, not ${count}`);
      await sleep(100);
    }
  }

  /** Cuts a machine's power. */
  async crash(machine: string): Promise<void> {
    this.#agents.delete(machine);
    await this.#lab.machine(machine).crash();
  }

  /** Switches a machine on with the disk it had; engine and agent start as at any boot. */
  async boot(machine: string): Promise<void> {
    await this.#lab.machine(machine).boot();
    await this.startAgent(machine);
  }

  /** The project's containers that run, as "machine service-slot", from the engines. */
  async running(project: string): Promise<readonly string[]> {
    const all = await this.containers(project);
    return all
      .filter((c) => c.state === 'running')
      .map((c) => `${c.machine} ${c.name.slice(project.length + 1)}`)
      .sort();
  }

  /** Fills the disk of the machine that has a small one, or frees it. */
  async fillDisk(isFull: boolean): Promise<void> {
    const machine = this.#lab.machine(this.#smallDisk ?? '');
    const fill = `dd if=/dev/zero of=${dataDir}/filler bs=64k 2>/dev/null; true`;
    await machine.execOk(isFull ? ['sh', '-c', fill] : ['rm', '-f', `${dataDir}/filler`]);
  }

  /** Stops the engine of a machine in the middle of whatever it does, or lets it go on. */
  async hangEngine(name: string, isHung: boolean): Promise<void> {
    const machine = this.#lab.machine(name);
    const pid = Number(await machine.execOk(['cat', '/run/docker.pid']));
    await machine.signal(pid, isHung ? 'SIGSTOP' : 'SIGCONT');
  }

  async killAgent(machine: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const agent = this.#agents.get(machine);
    if (agent === undefined) throw new Error(`no agent on ${machine}`);
    await this.#lab.machine(machine).signal(agent.pid, signal);
    this.#agents.delete(machine);
  }

  async startAgent(machine: string): Promise<void> {
    const agent = await this.#lab
      .machine(machine)
      .spawn([node, agentMain, '--name', machine, '--log-level', 'debug'], { name: 'agent' });
    this.#agents.set(machine, agent);
    const endMs = Date.now() + 15_000;
    while ((await this.#get(machine, '/v1/info')).code !== 0) {
      if (Date.now() > endMs) throw new Error(`the agent of ${machine} does not answer`);
      await sleep(50);
    }
  }

  /** A plain request to a machine's agent; the answer is on standard output. */
  #get(machine: string, path: string): Promise<RunResult> {
    const script =
      "require('node:http').get({socketPath:'/run/tsc-compose/agent.sock',path:process.argv[1]}," +
      "r=>r.pipe(process.stdout)).on('error',e=>{console.error(e.message);process.exit(1)})";
    return this.#lab.machine(machine).exec([node, '-e', script, path]);
  }

  #projects(machine: string): string {
    return join(this.#lab.machine(machine).dir, 'projects');
  }

  async #prepare(machine: Machine): Promise<void> {
    mkdirSync(this.#projects(machine.name), { recursive: true });
    if (machine.name === this.#smallDisk) await machine.addSmallDisk(dataDir);
    await loadImages(machine, this.#images);
    await this.startAgent(machine.name);
  }

  /** The first machine makes the cluster, the others join it with a token of the first. */
  async #enter(machine: Machine): Promise<void> {
    if (machine.name === 'm1') {
      expect(await this.tsc('m1', ['machine', 'init'])).toSucceed();
      return;
    }
    const token = await this.tsc('m1', ['machine', 'token']);
    expect(token).toSucceed();
    expect(await this.tsc(machine.name, ['machine', 'join', token.stdout.trim()])).toSucceed();
  }
}

expect.extend({
  toSucceed(received: RunResult) {
    return {
      pass: received.code === 0,
      message: () =>
        `exit code ${received.code}\n--- stdout\n${received.stdout}\n--- stderr\n${received.stderr}`,
    };
  },
});

declare module 'vitest' {
  interface Matchers {
    /** The program ended with exit code 0; shows what it printed when not. */
    toSucceed(): void;
  }
}

/** Prints which of these accept a TCP connection, as JSON. */
function dialScript(targets: readonly (readonly [string, number])[]): string {
  return `
      const net = require('net');
      const attempts = ${JSON.stringify(targets)}.map(([host, port]) => new Promise((done) => {
        const socket = net.connect({ host, port, timeout: 1500 });
        const end = (result) => { socket.destroy(); done(result); };
        socket.on('connect', () => end(host + ':' + port));
        socket.on('timeout', () => end());
        socket.on('error', () => end());
      }));
      Promise.all(attempts).then((open) => console.log(JSON.stringify(open.filter(Boolean))));`;
}
