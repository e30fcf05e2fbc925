/**
 * Where a replica may run, and which of the permitted machines takes it. Eligibility gives a reason
 * for every refusal, because "no machine" without reasons helps nobody. The balance is: fewest
 * replicas of the same service, then fewest containers, then rendezvous rank; no load figures, so
 * every machine comes to the same answer from the same records.
 */
import { parseBytes } from '../lib/bytes.ts';
import type { MachineId, Slot } from '../model/ids.ts';
import type { Project, Service } from '../model/project.ts';
import type { PathPlaces, ResolvedImage } from '../model/record.ts';
import type { MachineView, ServiceView } from '../model/view.ts';
import { companionOf, modeOf } from '../view/service-spec.ts';
import { serviceKey } from '../view/snapshot.ts';
import { rulesRefusal } from './machine-rules.ts';
import { clash, hostPortsOf, type OpenPort, portText } from './published.ts';
import { rank } from './rank.ts';

/** What placement needs to know of a service, accepted or about to be. */
export interface Placeable {
  readonly project: string;
  readonly name: string;
  readonly spec: Service;
  readonly mode: 'replicated' | 'global';
  /** Platforms its image is known for; empty: not known, any. */
  readonly platforms: readonly string[];
  /** Machine that data or the author's files tie it to. */
  readonly bound: MachineId | undefined;
  /** Where the paths that it mounts are; undefined: it mounts none, or nobody has looked. */
  readonly paths?: PathPlaces | undefined;
}

export function placeable(
  project: string,
  name: string,
  source: {
    readonly definition: Project;
    readonly image: ResolvedImage | undefined;
    readonly bound: MachineId | undefined;
    readonly paths?: PathPlaces | undefined;
  },
): Placeable {
  const spec = source.definition.services[name] ?? {};
  return {
    project,
    name,
    spec,
    mode: modeOf(spec),
    platforms: Object.keys({ ...source.image?.ids, ...source.image?.digests }),
    bound: source.bound,
    paths: source.paths,
  };
}

export function placeableOf(service: ServiceView): Placeable {
  return placeable(service.project, service.name, {
    definition: service.definition,
    image: service.revision.images[service.name],
    bound: service.volumeHome ?? service.pinned,
    paths: service.paths,
  });
}

/** Why a machine can never run the service as things are set; undefined when it fits. */
export function fitRefusal(service: Placeable, machine: MachineView): string | undefined {
  if (service.bound !== undefined && service.bound !== machine.id) {
    return 'the data or files of the service are on another machine';
  }
  const { on, notOn } = service.paths ?? {};
  if (on?.includes(machine.id) === false || notOn?.includes(machine.id) === true) {
    return 'does not have all the paths that the service mounts';
  }
  if (machine.isDrained) return 'is drained';
  const rules = rulesRefusal(service.spec, machine);
  if (rules !== undefined) return rules;
  const wanted = service.spec.platform;
  if (wanted !== undefined && !isSamePlatform(wanted, machine.platform)) {
    return `is ${machine.platform}, the service wants ${wanted}`;
  }
  // An explicit `platform` may run under emulation; then the image's own list says nothing.
  const isBuiltFor = service.platforms.some((known) => isSamePlatform(known, machine.platform));
  if (wanted === undefined && service.platforms.length > 0 && !isBuiltFor) {
    return `is ${machine.platform}, the image is for ${service.platforms.join(', ')}`;
  }
  return undefined;
}

/** Compares system and architecture; a variant ("/v8") is left to the engine. */
function isSamePlatform(left: string, right: string): boolean {
  const [leftSystem, leftArchitecture] = left.split('/');
  const [rightSystem, rightArchitecture] = right.split('/');
  return (
    leftSystem === rightSystem &&
    (leftArchitecture === undefined || leftArchitecture === rightArchitecture)
  );
}

/** Why nothing new may be started there now; undefined when it may. */
export function refusal(service: Placeable, machine: MachineView): string | undefined {
  const fit = fitRefusal(service, machine);
  if (fit !== undefined) return fit;
  if (machine.liveness !== 'reachable') return `is ${machine.liveness}`;
  return machine.isAble ? undefined : 'cannot start containers at the moment';
}

interface Usage {
  total: number;
  readonly services: Map<string, number>;
  readonly hostPorts: { readonly service: string; readonly port: OpenPort }[];
  cpuCount: number;
  memoryBytes: number;
}

/** What is placed where so far; grows while slots are given out one after the other. */
export class Load {
  readonly #usage = new Map<MachineId, Usage>();

  add(service: Placeable, machine: MachineId): void {
    const usage = this.#of(machine);
    const key = serviceKey(service.project, service.name);
    usage.total += 1;
    usage.services.set(key, (usage.services.get(key) ?? 0) + 1);
    for (const port of hostPortsOf(service.spec)) usage.hostPorts.push({ service: key, port });
    const reserved = reservationOf(service.spec);
    usage.cpuCount += reserved.cpuCount;
    usage.memoryBytes += reserved.memoryBytes;
  }

  total(machine: MachineId): number {
    return this.#usage.get(machine)?.total ?? 0;
  }

  replicas(service: Placeable, machine: MachineId): number {
    const key = serviceKey(service.project, service.name);
    return this.#usage.get(machine)?.services.get(key) ?? 0;
  }

  /** Why one more replica does not fit beside what is there already. */
  refusal(service: Placeable, machine: MachineView): string | undefined {
    const usage = this.#usage.get(machine.id);
    const limit = service.spec.deploy?.placement?.max_replicas_per_node ?? 0;
    if (limit > 0 && this.replicas(service, machine.id) >= limit) {
      return `has ${limit} replicas already (max_replicas_per_node)`;
    }
    for (const port of hostPortsOf(service.spec)) {
      const taken = usage?.hostPorts.find((other) => clash(port, other.port));
      if (taken !== undefined) return `port ${portText(port)} is used there by ${taken.service}`;
    }
    const { cpuCount, memoryBytes } = reservationOf(service.spec);
    if (cpuCount > 0 && (usage?.cpuCount ?? 0) + cpuCount > machine.cpuCount) {
      return `${cpuCount} CPUs are not free to be reserved`;
    }
    if (memoryBytes > 0 && (usage?.memoryBytes ?? 0) + memoryBytes > machine.memoryBytes) {
      return `${memoryBytes} bytes of memory are not free to be reserved`;
    }
    return undefined;
  }

  #of(machine: MachineId): Usage {
    const known = this.#usage.get(machine);
    if (known !== undefined) return known;
    const usage = { total: 0, services: new Map(), hostPorts: [], cpuCount: 0, memoryBytes: 0 };
    this.#usage.set(machine, usage);
    return usage;
  }
}

function reservationOf(spec: Service): { readonly cpuCount: number; readonly memoryBytes: number } {
  const reserved = spec.deploy?.resources?.reservations ?? {};
  const cpuCount = Number(reserved['cpus'] ?? 0);
  const text = reserved['memory'];
  const memory = parseBytes(typeof text === 'string' ? text : '0');
  return {
    cpuCount: Number.isFinite(cpuCount) ? cpuCount : 0,
    memoryBytes: typeof memory === 'bigint' ? Number(memory) : 0,
  };
}

/** The machine that takes one more replica; undefined when no candidate has room. */
export function pickMachine(
  service: Placeable,
  slot: Slot,
  candidates: readonly MachineView[],
  load: Load,
): MachineView | undefined {
  const costs = placementCosts(service, slot, candidates, load);
  let best: { readonly machine: MachineView; readonly cost: readonly number[] } | undefined;
  for (const machine of candidates) {
    if (load.refusal(service, machine) !== undefined) continue;
    const cost = costs.of(machine);
    const order = best === undefined ? -1 : compareCosts(cost, best.cost);
    if (order < 0 || (order === 0 && best !== undefined && machine.id < best.machine.id)) {
      best = { machine, cost };
    }
  }
  return best?.machine;
}

export interface PlacementCosts {
  /** What each figure counts, for people. */
  readonly names: readonly string[];
  /** Compared from the first on; the least wins. */
  readonly of: (machine: MachineView) => readonly number[];
}

/** The figures by which machines are compared for one more replica: `why` shows the same ones. */
export function placementCosts(
  service: Placeable,
  slot: Slot,
  candidates: readonly MachineView[],
  load: Load,
): PlacementCosts {
  const subject = `${service.project}/${service.name}/${slot}`;
  const spreads = spreadLabelsOf(service.spec);
  const groupCount = (machine: MachineView, label: string): number =>
    candidates
      .filter((other) => other.labels[label] === machine.labels[label])
      .reduce((sum, other) => sum + load.replicas(service, other.id), 0);
  return {
    names: [
      ...spreads.map((label) => `replicas with this ${label}`),
      'replicas',
      'containers',
      'rank',
    ],
    of: (machine) => [
      ...spreads.map((label) => groupCount(machine, label)),
      load.replicas(service, machine.id),
      load.total(machine.id),
      -rank(subject, machine.id),
    ],
  };
}

/** By the first figure that differs. */
export function compareCosts(left: readonly number[], right: readonly number[]): number {
  for (const [index, cost] of left.entries()) {
    const difference = cost - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Labels of `placement.preferences`: replicas spread over their values first. */
function spreadLabelsOf(spec: Service): readonly string[] {
  return (spec.deploy?.placement?.preferences ?? []).flatMap(
    ({ spread }) => /^(?:node|engine)\.labels\.(.+)$/.exec(spread ?? '')?.[1] ?? [],
  );
}

/** Slots of a replicated service, in order. */
export function slotsOf(replicaCount: number): readonly Slot[] {
  return Array.from({ length: replicaCount }, (_, index) => `${index + 1}`);
}

/** Services with those they must stand beside first; a ring, which is no valid file, ends it. */
export function companionsFirst<T extends { readonly name: string; readonly spec: Service }>(
  services: readonly T[],
): readonly T[] {
  const byName = new Map(services.map((service) => [service.name, service]));
  const ordered = new Set<T>();
  const visit = (service: T, depth: number): void => {
    const companion = byName.get(companionOf(service.spec) ?? '');
    if (companion !== undefined && !ordered.has(companion) && depth < services.length) {
      visit(companion, depth + 1);
    }
    ordered.add(service);
  };
  for (const service of services) visit(service, 0);
  return [...ordered];
}
