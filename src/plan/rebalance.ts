/**
 * Which slots should change their machine so that all are where a fresh placement would put them, as
 * far as that is worth a move. One slot after the other is taken out and put where it costs least;
 * it moves only when that is strictly better by a figure other than the rank. Each such move makes
 * the whole more even, so the search ends. What has data or a rule that ties it stays; what is
 * stopped, a job, or not up stays as well.
 */
import type { RebalanceMove } from '../model/api.ts';
import type { MachineId, Slot } from '../model/ids.ts';
import type { SlotMove } from '../model/record.ts';
import type { ContainerView, MachineView, ServiceView, View } from '../model/view.ts';
import { companionOf, isJob } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import type { ContainerIndex } from './owner.ts';
import {
  compareCosts,
  fitKey,
  Load,
  type Placeable,
  pickMachine,
  placeableOf,
  placementFigures,
  refusal,
} from './place.ts';

/** 5 rounds over all services: the second one rarely finds anything more. */
const maxRoundCount = 5;

export type PlannedMove = RebalanceMove & SlotMove;

interface Movable {
  readonly placeable: Placeable;
  readonly candidates: readonly MachineView[];
  /** Slot to the container that would go. */
  readonly containers: ReadonlyMap<Slot, ContainerView>;
  readonly places: Map<Slot, MachineId>;
}

/**
 * @param isWanted which services may move
 * @returns the moves, in order of project, service and slot; none when all is even
 */
export function rebalanceMoves(
  view: View,
  { owners, index }: { readonly owners: Owners; readonly index: ContainerIndex },
  isWanted: (service: ServiceView) => boolean = () => true,
): readonly PlannedMove[] {
  const load = new Load(view.machines.values());
  const movable: Movable[] = [];
  const candidates = candidatesIn(view);
  for (const project of view.projects.values()) {
    for (const service of project.services.values()) {
      const placeable = placeableOf(service, project);
      const slots = owners.get(serviceKey(project.name, service.name));
      // What stands beside another service is counted, and moves, with it.
      for (const owner of companionOf(service.spec) === undefined ? (slots?.values() ?? []) : []) {
        if (owner !== undefined) addGroup(load, placeable, owner);
      }
      if (!isWanted(service) || !canMove(service, placeable)) continue;
      const containers = servingContainers(service, { owners, index });
      if (containers.size === 0) continue;
      movable.push({
        placeable,
        candidates: candidates(placeable),
        containers,
        places: new Map([...containers].map(([slot, { machine }]) => [slot, machine])),
      });
    }
  }
  for (let round = 0; round < maxRoundCount; round += 1) {
    const changes = movable.map((service) => improve(view, service, load));
    if (!changes.includes(true)) break;
  }
  return movable.flatMap(movesOf);
}

/** Services with the same rules have the same candidates: found once for all of them. */
function candidatesIn(view: View): (placeable: Placeable) => readonly MachineView[] {
  const machines = [...view.machines.values()];
  const known = new Map<string, readonly MachineView[]>();
  return (placeable) => {
    const rules = fitKey(placeable);
    const found =
      known.get(rules) ?? machines.filter((machine) => refusal(placeable, machine) === undefined);
    known.set(rules, found);
    return found;
  };
}

function addGroup(load: Load, service: Placeable, machine: MachineId): void {
  for (const member of [service, ...(service.beside ?? [])]) load.add(member, machine);
}

function removeGroup(load: Load, service: Placeable, machine: MachineId): void {
  for (const member of [service, ...(service.beside ?? [])]) load.remove(member, machine);
}

function canMove(service: ServiceView, placeable: Placeable): boolean {
  return (
    service.mode === 'replicated' &&
    !service.isStopped &&
    placeable.bound === undefined &&
    service.spec['x-on-lost'] !== 'hold' &&
    companionOf(service.spec) === undefined &&
    !isJob(service.spec)
  );
}

/** What runs where it belongs, as it should be; a slot in the middle of something else stays. */
function servingContainers(
  service: ServiceView,
  { owners, index }: { readonly owners: Owners; readonly index: ContainerIndex },
): ReadonlyMap<Slot, ContainerView> {
  const key = serviceKey(service.project, service.name);
  const serving = new Map<Slot, ContainerView>();
  const copies = index.get(key) ?? [];
  for (const copy of copies) {
    if (copy.hash !== service.hash || !copy.ready || copy.draining) continue;
    if (owners.get(key)?.get(copy.slot) === copy.machine) serving.set(copy.slot, copy);
  }
  return serving;
}

/** @returns whether any slot of the service found a better place */
function improve(view: View, service: Movable, load: Load): boolean {
  const { placeable, candidates, places } = service;
  let hasChanged = false;
  let least = leastCost(placeable, candidates, load);
  const open = new Map(places);
  for (;;) {
    const slot = fullest(view, { ...service, places: open }, load);
    if (slot === undefined) return hasChanged;
    const from = open.get(slot) ?? view.self;
    open.delete(slot);
    const machine = view.machines.get(from);
    if (machine === undefined) continue;
    removeGroup(load, placeable, from);
    const own = least && placementFigures(placeable, candidates, load).of(machine);
    if (least !== undefined && own !== undefined && compareCosts(own, least) <= 0) {
      addGroup(load, placeable, from);
      continue;
    }
    const best = pickMachine(placeable, slot, candidates, load);
    const figures = placementFigures(placeable, candidates, load);
    const isBetter = best !== undefined && compareCosts(figures.of(best), figures.of(machine)) < 0;
    const to = isBetter ? best.id : from;
    addGroup(load, placeable, to);
    if (to === from) continue;
    places.set(slot, to);
    hasChanged = true;
    least = leastCost(placeable, candidates, load);
  }
}

/** The slot on the machine that costs most now: taken from there, no more move than needed. */
function fullest(
  view: View,
  { placeable, candidates, places }: Pick<Movable, 'placeable' | 'candidates' | 'places'>,
  load: Load,
): Slot | undefined {
  const figures = placementFigures(placeable, candidates, load);
  let most: { readonly slot: Slot; readonly cost: readonly number[] } | undefined;
  for (const [slot, from] of places) {
    const machine = view.machines.get(from);
    const cost = machine === undefined ? [] : figures.of(machine);
    if (most === undefined || compareCosts(cost, most.cost) > 0) most = { slot, cost };
  }
  return most?.slot;
}

/**
 * No machine costs less than the least of each figure: whoever does not cost more stays, and no
 * machine has to be looked at. Not known where replicas are spread over labels.
 */
function leastCost(
  placeable: Placeable,
  candidates: readonly MachineView[],
  load: Load,
): readonly number[] | undefined {
  const figures = placementFigures(placeable, candidates, load);
  let least: readonly number[] | undefined;
  for (const machine of candidates) {
    const cost = figures.of(machine);
    if (cost.length > 2) return undefined;
    least = least === undefined ? cost : cost.map((one, n) => Math.min(one, least?.[n] ?? one));
  }
  return least;
}

function movesOf({ placeable, containers, places }: Movable): readonly PlannedMove[] {
  const { project, name: service } = placeable;
  return [...containers].flatMap(([slot, { id: container, machine: from }]) => {
    const to = places.get(slot);
    return to === undefined || to === from ? [] : [{ project, service, slot, container, from, to }];
  });
}
