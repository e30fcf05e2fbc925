/**
 * What really runs, read from the engines and never from the agents: so the demo's picture cannot
 * be prettier than the truth.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { label } from '../../src/model/names.ts';
import type { Lab } from '../lab/lab.ts';
import type { Machine } from '../lab/machine.ts';

/** 100 ms: seconds are told with one digit after the point. */
const lookEveryMs = 100;
/** 2 s: a machine whose engine does not list its containers in this time shows none. */
const listTimeoutMs = 2_000;

export interface ContainerFact {
  readonly id: string;
  readonly machine: string;
  readonly service: string;
  /** "3" of "demo-web-3". */
  readonly slot: string;
  readonly state: string;
}

export interface MachineFact {
  readonly name: string;
  readonly address: string;
  readonly isUp: boolean;
  readonly containers: readonly ContainerFact[];
}

/** Looks at the project's containers again and again, and remembers where each one was seen. */
export class Facts {
  readonly project: string;
  readonly #lab: Lab;
  readonly #seen = new Map<string, ContainerFact>();
  readonly #listeners = new Set<(appeared: ContainerFact) => void>();
  #machines: readonly MachineFact[] = [];
  #isWatching = true;
  readonly #loop: Promise<void>;

  constructor(lab: Lab, project: string) {
    this.#lab = lab;
    this.project = project;
    this.#loop = this.#look();
  }

  /** As of the last look. */
  get machines(): readonly MachineFact[] {
    return this.#machines;
  }

  /** All containers that run, on machines that are on. */
  running(service?: string): readonly ContainerFact[] {
    return this.#machines
      .flatMap(({ containers }) => containers)
      .filter((one) => one.state === 'running' && (service ?? one.service) === one.service);
  }

  /** The container that calls itself by the first 12 digits of its id, also when it is gone. */
  ofHostname(hostname: string): ContainerFact | undefined {
    return this.#seen.get(hostname);
  }

  /** Calls back for each container that is seen for the first time, or in a new state. */
  onChange(listener: (changed: ContainerFact) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Waits until the facts are as wanted. @throws Error with `what` when they are not in time */
  async until(what: string, timeoutMs: number, isSo: () => boolean): Promise<void> {
    const endMs = Date.now() + timeoutMs;
    while (!isSo()) {
      if (Date.now() > endMs) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
      await sleep(lookEveryMs / 2);
    }
  }

  async stop(): Promise<void> {
    this.#isWatching = false;
    await this.#loop;
  }

  async #look(): Promise<void> {
    while (this.#isWatching) {
      this.#machines = await Promise.all(this.#lab.machines.map((one) => this.#factOf(one)));
      for (const { containers } of this.#machines) for (const one of containers) this.#note(one);
      await sleep(lookEveryMs);
    }
  }

  #note(fact: ContainerFact): void {
    const key = fact.id.slice(0, 12);
    const before = this.#seen.get(key);
    this.#seen.set(key, fact);
    if (before?.state === fact.state) return;
    for (const listener of this.#listeners) listener(fact);
  }

  async #factOf(machine: Machine): Promise<MachineFact> {
    const { name, address, isUp } = machine;
    if (!isUp) return { name, address, isUp, containers: [] };
    try {
      const list = await machine.docker().listContainers({
        all: true,
        filters: { label: [`${label.project}=${this.project}`] },
        abortSignal: AbortSignal.timeout(listTimeoutMs),
      });
      // What an update replaced is kept, stopped, for its log.
      const replicas = list.filter(({ Names }) => !/-old(-\w+)?$/u.test(Names[0] ?? ''));
      const containers = replicas.map((one) => ({
        id: one.Id,
        machine: name,
        service: one.Labels[label.service] ?? '',
        slot: one.Labels[label.slot] ?? '',
        state: one.State,
      }));
      containers.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
      return { name, address, isUp, containers };
    } catch {
      // The power went, or the engine is still starting: then nothing can be seen there.
      return { name, address, isUp: machine.isUp, containers: [] };
    }
  }
}

/** "web-3" */
export function nameOf({ service, slot }: Pick<ContainerFact, 'service' | 'slot'>): string {
  return `${service}-${slot}`;
}
