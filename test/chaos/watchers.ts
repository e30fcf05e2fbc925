/**
 * Two callers at every machine, all the time: a browser at its ingress, and a container on it that
 * looks the service up. Answers are judged afterwards, when it is known what was broken then.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { label } from '../../src/model/names.ts';
import { httpGet } from '../lab/http.ts';
import { host, project } from './workload.ts';
import type { World } from './world.ts';

/** 250 ms between two requests to a machine: chaos needs the processors more than its watchers. */
const everyMs = 250;
/** 10 s: longer than Caddy tries. */
const timeoutMs = 10_000;

export interface Answer {
  readonly kind: 'request' | 'look-up';
  readonly machine: string;
  readonly startedMs: number;
  readonly endedMs: number;
  readonly problem: string | undefined;
}

export class Watchers {
  readonly answers: Answer[] = [];
  readonly #world: World;
  readonly #loops: Promise<void>[];
  readonly #lookupLogs = new Map<string, { readonly file: string; readonly machine: string }>();
  #isStopped = false;

  constructor(world: World) {
    this.#world = world;
    this.#loops = world.names.map((name) => this.#browse(name));
  }

  /** Starts the look-ups in askers that have none: after each rest, as chaos ends containers. */
  async watchLookups(): Promise<void> {
    for (const { machine } of this.#world.conditions) {
      const filters = JSON.stringify({
        label: [`${label.project}=${project}`, `${label.service}=asker`],
      });
      const [asker] = await machine.docker().listContainers({ filters });
      if (asker === undefined) continue;
      const { State } = await machine.docker().getContainer(asker.Id).inspect();
      const run = `${asker.Id.slice(0, 12)}-${Date.parse(State.StartedAt)}`;
      if (this.#lookupLogs.has(run)) continue;
      const argv = ['docker', 'exec', asker.Id, 'node', '-e', lookupScript];
      const { logFile } = await machine.spawn(argv, { name: `lookups-${run}` });
      this.#lookupLogs.set(run, { file: logFile, machine: machine.name });
    }
  }

  async stop(): Promise<readonly Answer[]> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
    for (const { file, machine } of this.#lookupLogs.values()) {
      for (const line of readFileSync(file, 'utf8').split('\n')) {
        if (!line.startsWith('{') || !line.endsWith('}')) continue;
        // The script's own lines.
        const one = JSON.parse(line) as Pick<Answer, 'startedMs' | 'endedMs' | 'problem'>;
        this.answers.push({ kind: 'look-up', machine, ...one, problem: one.problem });
      }
    }
    return this.answers;
  }

  async #browse(name: string): Promise<void> {
    const { machine } = this.#world.of(name);
    while (!this.#isStopped) {
      const startedMs = Date.now();
      const problem = await httpGet({ address: machine.address, host, timeoutMs }).then(
        ({ status, body }) => (status === 200 ? undefined : `${status} ${body.slice(0, 80)}`),
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      this.answers.push({
        kind: 'request',
        machine: name,
        startedMs,
        endedMs: Date.now(),
        problem,
      });
      await sleep(everyMs);
    }
  }
}

const lookupScript =
  `const {Resolver}=require('dns').promises;const r=new Resolver({timeout:2000,tries:2});` +
  `const look=async()=>{const startedMs=Date.now();` +
  `const problem=await r.resolve4('web').then((a)=>a.length?undefined:'empty',(e)=>e.message);` +
  `console.log(JSON.stringify({startedMs,endedMs:Date.now(),problem}));setTimeout(look,${everyMs})};look()`;
