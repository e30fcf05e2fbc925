/**
 * What is placed where so far, and whether one more replica fits beside it. It grows while slots are
 * given out one after the other, and shrinks while `rebalance` tries what a move would change.
 */
import type { MachineId } from '../model/ids.ts';
import type { MachineView } from '../model/view.ts';
import { serviceKey } from '../view/snapshot.ts';
import { type Needs, needsOf } from './needs.ts';
import type { Placeable } from './place.ts';
import { clash, type OpenPort, portText } from './published.ts';
import { quickRanking, quickRankPlanVersion, rank } from './rank.ts';

interface TakenPort {
  readonly service: string;
  readonly port: OpenPort;
}

interface Usage {
  total: number;
  cpuCount: number;
  memoryBytes: number;
  readonly hostPorts: Map<number, TakenPort[]>;
  readonly resources: Map<string, number>;
}

type Counts = Map<MachineId, number>;

const none: Counts = new Map();

export class Load {
  readonly #isOldPlan: boolean;
  readonly #usage = new Map<MachineId, Usage>();
  readonly #services = new Map<string, Counts>();

  /** @param machines all members: while one knows no better, the old ranking holds */
  constructor(machines: Iterable<MachineView> = []) {
    this.#isOldPlan = [...machines].some(({ versions }) => versions.plan < quickRankPlanVersion);
  }

  /** Breaks ties for a subject: the higher score wins. */
  ranking(subject: string): (machine: MachineId) => number {
    return this.#isOldPlan ? (machine) => rank(subject, machine) : quickRanking(subject);
  }

  add(service: Placeable, machine: MachineId): void {
    this.#count(service, machine, 1);
    const key = serviceKey(service.project, service.name);
    for (const port of needsOf(service.spec).hostPorts) {
      const { hostPorts } = this.#of(machine);
      hostPorts.set(port.port, [...(hostPorts.get(port.port) ?? []), { service: key, port }]);
    }
  }

  remove(service: Placeable, machine: MachineId): void {
    this.#count(service, machine, -1);
    const key = serviceKey(service.project, service.name);
    for (const { port } of needsOf(service.spec).hostPorts) {
      const taken = this.#of(machine).hostPorts.get(port) ?? [];
      const index = taken.findIndex((other) => other.service === key);
      if (index >= 0) taken.splice(index, 1);
    }
  }

  #count(service: Placeable, machine: MachineId, sign: 1 | -1): void {
    const usage = this.#of(machine);
    const key = serviceKey(service.project, service.name);
    const counts = this.#services.get(key) ?? new Map<MachineId, number>();
    this.#services.set(key, counts);
    const count = (counts.get(machine) ?? 0) + sign;
    if (count === 0) counts.delete(machine);
    else counts.set(machine, count);
    usage.total += sign;
    const { cpuCount, memoryBytes, resources } = needsOf(service.spec);
    usage.cpuCount += sign * cpuCount;
    usage.memoryBytes += sign * memoryBytes;
    for (const [kind, wanted] of Object.entries(resources)) {
      usage.resources.set(kind, (usage.resources.get(kind) ?? 0) + sign * wanted);
    }
  }

  /** Containers on a machine. */
  total(machine: MachineId): number {
    return this.#usage.get(machine)?.total ?? 0;
  }

  /** Replicas of a service by machine; machines without one are absent. */
  replicasOf(service: Placeable): ReadonlyMap<MachineId, number> {
    return this.#services.get(serviceKey(service.project, service.name)) ?? none;
  }

  replicas(service: Placeable, machine: MachineId): number {
    return this.replicasOf(service).get(machine) ?? 0;
  }

  /** Why one more replica, with those that stand beside it, does not fit; undefined when it does. */
  refusal(service: Placeable, machine: MachineView): string | undefined {
    const members = [service, ...(service.beside ?? [])];
    const usage = this.#usage.get(machine.id);
    let cpuCount = 0;
    let memoryBytes = 0;
    let resources: Record<string, number> | undefined;
    for (const member of members) {
      const needs = needsOf(member.spec);
      const limit = needs.maxPerMachine;
      if (limit > 0 && this.replicas(member, machine.id) >= limit) {
        return `has ${limit} replicas already (max_replicas_per_node)`;
      }
      const taken = takenPort(needs, usage);
      if (taken !== undefined) return taken;
      cpuCount += needs.cpuCount;
      memoryBytes += needs.memoryBytes;
      for (const [kind, count] of Object.entries(needs.resources)) {
        resources ??= {};
        resources[kind] = (resources[kind] ?? 0) + count;
      }
    }
    const freeCpuCount = machine.cpuCount - (usage?.cpuCount ?? 0);
    // Fractions of CPUs do not add up exactly: 0.1 + 0.2.
    if (cpuCount > 0 && cpuCount > freeCpuCount + 1e-9) {
      return `has ${round(freeCpuCount)} of ${machine.cpuCount} CPUs left to reserve, not ${round(cpuCount)}`;
    }
    const freeBytes = machine.memoryBytes - (usage?.memoryBytes ?? 0);
    if (memoryBytes > 0 && memoryBytes > freeBytes) {
      return `has ${mebibytes(freeBytes)} of ${mebibytes(machine.memoryBytes)} MiB of memory left to reserve, not ${mebibytes(memoryBytes)}`;
    }
    for (const [kind, count] of Object.entries(resources ?? {})) {
      const free = (machine.resources[kind] ?? 0) - (usage?.resources.get(kind) ?? 0);
      if (count > free) return `has ${free} ${kind} left to reserve, not ${count}`;
    }
    return undefined;
  }

  #of(machine: MachineId): Usage {
    const known = this.#usage.get(machine);
    if (known !== undefined) return known;
    const usage: Usage = {
      total: 0,
      cpuCount: 0,
      memoryBytes: 0,
      hostPorts: new Map(),
      resources: new Map(),
    };
    this.#usage.set(machine, usage);
    return usage;
  }
}

function takenPort({ hostPorts }: Needs, usage: Usage | undefined): string | undefined {
  for (const port of hostPorts) {
    const taken = usage?.hostPorts.get(port.port)?.find((other) => clash(port, other.port));
    if (taken !== undefined) return `port ${portText(port)} is used there by ${taken.service}`;
  }
  return undefined;
}

function round(count: number): number {
  return Math.round(count * 100) / 100;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 1024 ** 2);
}
