/**
 * The cluster that chaos works on: lab machines with agents, what of them is broken at the moment,
 * and how the machines see each other. Faults change it, checks read it.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { formCluster, startAgent, tsc } from '../lab/agents.ts';
import { loadImages } from '../lab/images.ts';
import { Lab } from '../lab/lab.ts';
import type { Machine, MachineProcess } from '../lab/machine.ts';

/** The agents' folder of the machine whose disk can be filled. */
const dataDir = '/var/lib/tsc-compose';
const fillerFile = `${dataDir}/filler`;
const pollMs = 100;

export interface Condition {
  readonly machine: Machine;
  agent: MachineProcess | undefined;
  isEngineUp: boolean;
  isEngineHung: boolean;
  isDiskFull: boolean;
}

export class World {
  readonly lab: Lab;
  readonly #conditions: readonly Condition[];
  /** Groups of machines that can reach each other; one group while nothing is cut. */
  groups: readonly (readonly string[])[];
  /** A line that loses frames or works one way: who sees whom is not foreseeable then. */
  isLineBad = false;
  /** When a fault began or ended last. */
  changedMs = Date.now();

  private constructor(lab: Lab, conditions: readonly Condition[]) {
    this.lab = lab;
    this.#conditions = conditions;
    this.groups = [this.names];
  }

  /** A cluster whose last machine has a small disk of its own for its agent. */
  static async create(machineCount: number, log: (line: string) => void): Promise<World> {
    const lab = await Lab.create({ machines: machineCount, engine: '28.5', log });
    try {
      await lab.machines.at(-1)?.addSmallDisk(dataDir);
      await loadImages(lab.machines, ['busybox', 'caddy:2', 'node:24']);
      const conditions = await Promise.all(
        lab.machines.map(async (machine) => ({
          machine,
          agent: await startAgent(machine, { logLevel: 'debug' }),
          isEngineUp: true,
          isEngineHung: false,
          isDiskFull: false,
        })),
      );
      await formCluster(lab.machines);
      return new World(lab, conditions);
    } catch (error) {
      await lab.destroy();
      throw error;
    }
  }

  get names(): readonly string[] {
    return this.#conditions.map(({ machine }) => machine.name);
  }

  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  of(name: string): Condition {
    const found = this.#conditions.find(({ machine }) => machine.name === name);
    if (found === undefined) throw new Error(`no machine ${name}`);
    return found;
  }

  /** The machine whose disk can be filled. */
  get smallDiskMachine(): string {
    return this.names.at(-1) ?? '';
  }

  /** Power, engine and agent are as they should be. */
  isWhole({ machine, agent, isEngineUp, isEngineHung, isDiskFull }: Condition): boolean {
    return machine.isUp && agent !== undefined && isEngineUp && !isEngineHung && !isDiskFull;
  }

  noteChange(): void {
    this.changedMs = Date.now();
  }

  async cutPower(name: string): Promise<void> {
    const one = this.of(name);
    one.agent = undefined;
    one.isEngineUp = false;
    await one.machine.crash();
  }

  async powerOn(name: string): Promise<void> {
    const one = this.of(name);
    await one.machine.boot();
    one.isEngineUp = true;
    one.agent = await startAgent(one.machine, { logLevel: 'debug' });
  }

  async killAgent(name: string): Promise<void> {
    const one = this.of(name);
    if (one.agent === undefined) return;
    await one.machine.signal(one.agent.pid, 'SIGKILL');
    one.agent = undefined;
  }

  async startAgent(name: string): Promise<void> {
    const one = this.of(name);
    one.agent = await startAgent(one.machine, { logLevel: 'debug' });
  }

  async killEngine(name: string): Promise<void> {
    const one = this.of(name);
    one.isEngineUp = false;
    await one.machine.stopEngine('SIGKILL');
  }

  async startEngine(name: string): Promise<void> {
    const one = this.of(name);
    await one.machine.startEngine();
    one.isEngineUp = true;
  }

  async hangEngine(name: string, isHung: boolean): Promise<void> {
    const one = this.of(name);
    if (isHung) one.isEngineHung = true;
    const pid = Number(await one.machine.execOk(['cat', '/run/docker.pid']));
    await one.machine.signal(pid, isHung ? 'SIGSTOP' : 'SIGCONT');
    one.isEngineHung = isHung;
  }

  async fillDisk(isFull: boolean): Promise<void> {
    const one = this.of(this.smallDiskMachine);
    one.isDiskFull = isFull;
    const fill = `dd if=/dev/zero of=${fillerFile} bs=64k 2>/dev/null; true`;
    await one.machine.exec(isFull ? ['sh', '-c', fill] : ['rm', '-f', fillerFile]);
  }

  /** Ends every fault; machines that were off are on again. */
  async healAll(): Promise<void> {
    await this.lab.heal();
    this.groups = [this.names];
    this.isLineBad = false;
    for (const one of this.#conditions) {
      const { name } = one.machine;
      if (!one.machine.isUp) await this.powerOn(name);
      if (one.isEngineHung) await this.hangEngine(name, false);
      if (!one.isEngineUp) await this.startEngine(name);
      if (one.isDiskFull) await this.fillDisk(false);
      if (one.agent === undefined) await this.startAgent(name);
    }
    this.noteChange();
  }

  /** What an agent knows; undefined when it does not answer. */
  async snapshot(name: string): Promise<Snapshot | undefined> {
    const { machine } = this.of(name);
    if (!machine.isUp) return undefined;
    const script =
      "require('node:http').get({socketPath:'/run/tsc-compose/agent.sock',path:'/v1/snapshot'}," +
      "r=>r.pipe(process.stdout)).on('error',()=>process.exit(1))";
    const result = await machine.exec([process.execPath, '-e', script], { timeoutMs: 10_000 });
    if (result.code !== 0) return undefined;
    // The agent's own JSON; one that has just started answers with an error instead.
    const snapshot = JSON.parse(result.stdout) as Snapshot;
    return snapshot.machines === undefined ? undefined : snapshot;
  }

  /** Runs the command on a machine, for at most so long. */
  /** @param timeoutMs after which the command is ended */
  command(name: string, args: readonly string[], cwd: string, timeoutMs: number) {
    return tsc(this.of(name).machine, args, { cwd, timeoutMs });
  }

  agentLogs(): string {
    return this.names
      .map((name) => {
        const file = `${this.of(name).machine.dir}/logs/agent.log`;
        return `--- agent of ${name}\n${readFileSync(file, 'utf8')}`;
      })
      .join('\n');
  }

  async destroy(): Promise<void> {
    await this.lab.destroy();
  }
}

/** Waits until something is so. @returns how long it took in ms; undefined when it did not come */
export async function waitFor(
  isSo: () => Promise<boolean>,
  timeoutMs: number,
): Promise<number | undefined> {
  const startMs = Date.now();
  while (!(await isSo())) {
    if (Date.now() - startMs > timeoutMs) return undefined;
    await sleep(pollMs);
  }
  return Date.now() - startMs;
}
