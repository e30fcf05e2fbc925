/**
 * Traffic under a failure: names resolved again and again inside a container, and requests through
 * every machine, each with the moment it ended. What a test states about seconds and failures comes
 * from here. All machines of a lab share one clock, so moments of both sides can be compared.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MachineProcess } from '../lab/machine.ts';
import type { Cluster, ContainerFacts } from './cluster.ts';

/** 50 ms between two look-ups or two requests: finer than any bound that is tested. */
const everyMs = 50;

export interface Lookup {
  readonly atMs: number;
  /** undefined: the look-up failed. */
  readonly addresses: readonly string[] | undefined;
}

/** Looks a name up inside a container until its machine or the watch ends. */
export class DnsWatch {
  readonly #cluster: Cluster;
  readonly #machine: string;
  readonly #process: MachineProcess;

  private constructor(cluster: Cluster, machine: string, process: MachineProcess) {
    this.#cluster = cluster;
    this.#machine = machine;
    this.#process = process;
  }

  static async start(
    cluster: Cluster,
    asker: ContainerFacts | undefined,
    name: string,
  ): Promise<DnsWatch> {
    if (asker === undefined) throw new Error('no container to ask from');
    const script =
      `const {Resolver}=require('dns').promises;const r=new Resolver({timeout:1000,tries:1});` +
      `const look=async()=>{const a=await r.resolve4('${name}').catch(()=>undefined);` +
      `console.log(JSON.stringify({atMs:Date.now(),addresses:a}));setTimeout(look,${everyMs})};look()`;
    const machine = cluster.lab.machine(asker.machine);
    const process = await machine.spawn(
      ['docker', 'exec', asker.id, 'timeout', '300', 'node', '-e', script],
      { name: `dns-${asker.id.slice(0, 8)}` },
    );
    return new DnsWatch(cluster, asker.machine, process);
  }

  lookups(): readonly Lookup[] {
    return readFileSync(this.#process.logFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Lookup);
  }

  async stop(): Promise<readonly Lookup[]> {
    await this.#cluster.lab.machine(this.#machine).signal(this.#process.pid, 'SIGKILL');
    return this.lookups();
  }
}

export interface Answer {
  readonly machine: string;
  readonly startedMs: number;
  readonly endedMs: number;
  /** What was answered; undefined when the request failed. */
  readonly body: string | undefined;
  readonly problem: string | undefined;
}

/** Sends a request after the other through each of some machines. */
export class HttpWatch {
  readonly answers: Answer[] = [];
  readonly #loops: Promise<void>[];
  #isStopped = false;

  constructor(cluster: Cluster, machines: readonly string[], host: string) {
    this.#loops = machines.map(async (machine) => {
      while (!this.#isStopped) {
        const startedMs = Date.now();
        const outcome = await cluster.http(machine, host, '/').then(
          ({ status, body }) => ({
            body: status === 200 ? body : undefined,
            problem: status === 200 ? undefined : `${status} ${body}`,
          }),
          (error: Error) => ({ body: undefined, problem: error.message }),
        );
        this.answers.push({ machine, startedMs, endedMs: Date.now(), ...outcome });
        await sleep(everyMs);
      }
    });
  }

  async stop(): Promise<readonly Answer[]> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
    return this.answers;
  }
}

/** Seconds from one moment to another, to one place. */
export function seconds(fromMs: number, toMs: number): number {
  return Math.round((toMs - fromMs) / 100) / 10;
}

/** Waits until something is true, and says since when. */
export async function until(
  what: string,
  timeoutMs: number,
  isTrue: () => Promise<boolean>,
): Promise<number> {
  const endMs = Date.now() + timeoutMs;
  for (;;) {
    if (await isTrue()) return Date.now();
    if (Date.now() > endMs) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(everyMs);
  }
}
