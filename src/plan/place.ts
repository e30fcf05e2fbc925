/**
 * Where a replica may run, and which of the permitted machines takes it. Eligibility gives a reason
 * for every refusal, because "no machine" without reasons helps nobody. The balance is: first the
 * values of the labels to spread over, then the replicas of the same service, then all containers,
 * both by the weight of the machine, then rendezvous rank. Nothing measured from moment to moment
 * goes in, so every machine comes to the same answer from the same records.
 *
 * Services that share a namespace are placed as one: what the others need counts for the first.
 */
import type { MachineId, Slot } from '../model/ids.ts';
import type { Project, Service } from '../model/project.ts';
import type { PathPlaces, ResolvedImage } from '../model/record.ts';
import type { MachineView, ProjectView, ServiceView } from '../model/view.ts';
import { compareText } from '../view/order.ts';
import { companionOf, modeOf } from '../view/service-spec.ts';
import type { Load } from './load.ts';
import { machineCountOf, rulesRefusal, spreadsOf } from './machine-rules.ts';
import { needsOf } from './needs.ts';

export { Load } from './load.ts';

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
  /** Services that stand beside it, because they share its namespace. */
  readonly beside?: readonly Placeable[];
}

export function placeable(
  project: string,
  name: string,
  source: {
    readonly definition: Project;
    readonly image: ResolvedImage | undefined;
    /** Of the whole project, for the services that stand beside it. */
    readonly images?: Readonly<Record<string, ResolvedImage>>;
    readonly bound: MachineId | undefined;
    readonly paths?: PathPlaces | undefined;
  },
): Placeable {
  const { definition, images, bound } = source;
  const member = (of: string, image: ResolvedImage | undefined): Placeable => {
    const spec = definition.services[of] ?? {};
    const platforms = Object.keys({ ...image?.ids, ...image?.digests });
    return { project, name: of, spec, mode: modeOf(spec), platforms, bound };
  };
  const followers = followersOf(definition, name);
  return {
    ...member(name, source.image),
    paths: source.paths,
    ...(followers.length === 0
      ? {}
      : { beside: followers.map((follower) => member(follower, images?.[follower])) }),
  };
}

/** Definitions never change, and are asked about at every decision. */
const knownFollowers = new WeakMap<Project, ReadonlyMap<string, readonly string[]>>();

/** Services that must stand beside this one, directly or by way of another, in order of name. */
export function followersOf(definition: Project, name: string): readonly string[] {
  let followers = knownFollowers.get(definition);
  if (followers === undefined) {
    followers = readFollowers(definition);
    knownFollowers.set(definition, followers);
  }
  return followers.get(name) ?? [];
}

function readFollowers({ services }: Project): ReadonlyMap<string, readonly string[]> {
  const followers = new Map<string, string[]>();
  for (const name of Object.keys(services).sort(compareText)) {
    const passed = new Set([name]);
    let leader = companionOf(services[name] ?? {});
    while (leader !== undefined && !passed.has(leader)) {
      followers.set(leader, [...(followers.get(leader) ?? []), name]);
      passed.add(leader);
      leader = companionOf(services[leader] ?? {});
    }
  }
  return followers;
}

/**
 * @param project where its companions are looked up: data of one ties them all
 */
export function placeableOf(service: ServiceView, project?: ProjectView): Placeable {
  const { definition, name } = service;
  const group = project === undefined ? [] : followersOf(definition, name);
  const tied = [service, ...group.flatMap((follower) => project?.services.get(follower) ?? [])];
  const own = placeable(service.project, name, {
    definition,
    image: service.revision.images[service.name],
    images: service.revision.images,
    bound: tied.map(({ volumeHome, pinned }) => volumeHome ?? pinned).find(isKnown),
    paths: service.paths,
  });
  if (own.beside === undefined) return own;
  const pathsOf = (member: Placeable) => project?.services.get(member.name)?.paths;
  return { ...own, beside: own.beside.map((member) => ({ ...member, paths: pathsOf(member) })) };
}

function isKnown(machine: MachineId | undefined): boolean {
  return machine !== undefined;
}

/** Why a machine can never run the service as things are set; undefined when it fits. */
export function fitRefusal(service: Placeable, machine: MachineView): string | undefined {
  const own = memberRefusal(service, machine);
  if (own !== undefined) return own;
  for (const member of service.beside ?? []) {
    const why = memberRefusal(member, machine);
    if (why !== undefined) return `${why} (service ${member.name}, which stands beside it)`;
  }
  return undefined;
}

function memberRefusal(service: Placeable, machine: MachineView): string | undefined {
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
  for (const [kind, count] of Object.entries(needsOf(service.spec).devices)) {
    const has = machine.resources[kind] ?? 0;
    if (has < count)
      return `has ${has === 0 ? 'no' : `${has}`} ${kind}, the service wants ${count}`;
  }
  return undefined;
}

/** Two services with one key fit the same machines. */
export function fitKey(service: Placeable): string {
  const { spec, platforms, bound, paths, beside = [] } = service;
  const { placement } = spec.deploy ?? {};
  const key = [
    bound ?? '',
    paths ?? '',
    spec['x-machines'] ?? '',
    placement?.constraints ?? '',
    spec.platform ?? '',
    platforms,
    needsOf(spec).devices,
  ];
  return [JSON.stringify(key), ...beside.map(fitKey)].join('\n');
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

/** The machine that takes one more replica; undefined when no candidate has room. */
export function pickMachine(
  service: Placeable,
  slot: Slot,
  candidates: readonly MachineView[],
  load: Load,
): MachineView | undefined {
  const figures = placementFigures(service, candidates, load);
  const scoreOf = load.ranking(subjectOf(service, slot));
  let best: { readonly machine: MachineView; readonly cost: readonly number[] } | undefined;
  let bestScore: number | undefined;
  for (const machine of candidates) {
    if (best !== undefined && !figures.mayBeat(machine, best.cost)) continue;
    const cost = figures.of(machine);
    const order = best === undefined ? -1 : compareCosts(cost, best.cost);
    if (order > 0) continue;
    let score: number | undefined;
    if (order === 0 && best !== undefined) {
      bestScore ??= scoreOf(best.machine.id);
      score = scoreOf(machine.id);
      if (score < bestScore || (score === bestScore && machine.id > best.machine.id)) continue;
    }
    // Asked last, because it is dear: of many equals only few are ever the best so far.
    if (!figures.mayTake(machine) || load.refusal(service, machine) !== undefined) continue;
    best = { machine, cost };
    bestScore = score;
  }
  return best?.machine;
}

function subjectOf(service: Placeable, slot: Slot): string {
  return `${service.project}/${service.name}/${slot}`;
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
  const scoreOf = load.ranking(subjectOf(service, slot));
  const figures = placementFigures(service, candidates, load);
  return {
    names: [...figures.names, 'rank'],
    of: (machine) => [...figures.of(machine), -scoreOf(machine.id)],
  };
}

export interface Figures extends PlacementCosts {
  /** False when the machine certainly costs more; cheaper than its figures. */
  readonly mayBeat: (machine: MachineView, cost: readonly number[]) => boolean;
  /** False where the service would stand on more machines than `x-machines.count` says. */
  readonly mayTake: (machine: MachineView) => boolean;
}

/** All but the rank, which is dear and only decides between equals. */
export function placementFigures(
  service: Placeable,
  candidates: readonly MachineView[],
  load: Load,
): Figures {
  const spreads = spreadsOf(service.spec);
  const replicas = load.replicasOf(service);
  const groups = spreads.map((_, level) => {
    const counts = new Map<string, number>();
    for (const machine of candidates) {
      const group = groupOf(machine, level);
      counts.set(group, (counts.get(group) ?? 0) + (replicas.get(machine.id) ?? 0));
    }
    return counts;
  });
  // A preference within a preference: racks are those of one zone.
  function groupOf(machine: MachineView, level: number): string {
    return spreads
      .slice(0, level + 1)
      .map((spread) => spread.of(machine))
      .join('\n');
  }
  const { length: depth } = spreads;
  const maxMachineCount = machineCountOf(service.spec) ?? Number.POSITIVE_INFINITY;
  return {
    names: [
      ...spreads.map((spread) => `replicas with this ${spread.text}`),
      'replicas by weight',
      'containers by weight',
    ],
    of: (machine) => {
      const own = replicas.get(machine.id) ?? 0;
      const figures = [own / machine.weight, load.total(machine.id) / machine.weight];
      return depth === 0
        ? figures
        : [...groups.map((counts, level) => counts.get(groupOf(machine, level)) ?? 0), ...figures];
    },
    mayBeat: (machine, cost) => {
      if (depth > 0) return true;
      const own = (replicas.get(machine.id) ?? 0) / machine.weight;
      const least = cost[0] ?? 0;
      return (
        own < least || (own === least && load.total(machine.id) / machine.weight <= (cost[1] ?? 0))
      );
    },
    mayTake: (machine) => replicas.size < maxMachineCount || replicas.has(machine.id),
  };
}

/** By the first figure that differs. */
export function compareCosts(left: readonly number[], right: readonly number[]): number {
  for (let index = 0; index < left.length; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
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
