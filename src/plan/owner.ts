/**
 * Who owns a slot: the one machine that brings it up and keeps it up. In this order: the machine
 * that data binds it to; the machine that has it already; the machine that the accepted change
 * assigned; else a balanced plan over the eligible machines. Nothing here is stored: each machine
 * derives it from the view, and a short disagreement costs a surplus copy, never a missing one.
 *
 * A machine that is only unreachable keeps its slots. A lost one loses them where this side holds
 * at least half of the members; a smaller side gives a service one replica only if it has none.
 */
import type { MachineId, Slot } from '../model/ids.ts';
import type { SlotMove } from '../model/record.ts';
import type { ContainerView, MachineView, ServiceView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { compareText } from '../view/order.ts';
import { companionOf, isJob, isRunOnce, mayComplete } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import { unableLostMs } from './limits.ts';
import { machineCountOf } from './machine-rules.ts';
import { activeMoves, type MovingService } from './moves.ts';
import { hasNeeds } from './needs.ts';
import {
  companionsFirst,
  fitKey,
  fitRefusal,
  Load,
  type Placeable,
  pickMachine,
  placeableOf,
  slotsOf,
} from './place.ts';
import { compareRank } from './rank.ts';
import { isRetired } from './retired.ts';

type SlotOwners = Map<Slot, MachineId | undefined>;

/** Containers by `<project>/<service>`, each list in the view's order. */
export type ContainerIndex = ReadonlyMap<string, readonly ContainerView[]>;

export function indexContainers(view: View): ContainerIndex {
  const index = new Map<string, ContainerView[]>();
  for (const container of view.containers) {
    // What a rollout replaced is there for its log, and holds no slot.
    const service = view.projects.get(container.project)?.services.get(container.service);
    if (isRetired(service, container)) continue;
    const key = serviceKey(container.project, container.service);
    const list = index.get(key);
    if (list === undefined) index.set(key, [container]);
    else list.push(container);
  }
  return index;
}

/** The owner of every slot of every service, in order of project, service and slot. */
export function ownersOf(view: View, index: ContainerIndex = indexContainers(view)): Owners {
  const services = [...view.projects.values()].flatMap((project) =>
    companionsFirst([...project.services.values()]).map((service) => ({
      service,
      key: serviceKey(project.name, service.name),
      placeable: placeableOf(service, project),
      containers: index.get(serviceKey(project.name, service.name)) ?? [],
    })),
  );
  const owners = new Map<string, SlotOwners>();
  const load = new Load(view.machines.values());
  const moves = activeMoves(view, services);
  for (const entry of services) {
    const slots = settledOwners(view, entry, moves.get(entry.key));
    owners.set(entry.key, slots);
    for (const machine of slots.values()) {
      if (machine !== undefined) load.add(entry.placeable, machine);
    }
  }
  const candidates = candidatesIn(view);
  for (const entry of services) {
    const slots = owners.get(entry.key);
    if (slots !== undefined) deriveOpenSlots(view, entry, { slots, owners, load, candidates });
  }
  return owners;
}

type ServiceEntry = MovingService;

/** Everything that is decided without looking at the load: bound, moving, running, assigned. */
function settledOwners(
  view: View,
  entry: ServiceEntry,
  moving: { readonly slot: Slot; readonly move: SlotMove } | undefined,
): SlotOwners {
  const { service, placeable, containers } = entry;
  if (service.mode === 'global') return globalOwners(view, entry);
  const slots: SlotOwners = new Map();
  const keeps = keeperRule(view, entry);
  const follows = companionOf(service.spec) !== undefined;
  for (const slot of slotsOf(service.replicaCount)) {
    const holder = containers
      .filter((container) => container.slot === slot && isHolding(container))
      .filter((container) => !isPassedOver(view, service, container))
      .filter(
        (container) =>
          keeps(container.machine, container) ||
          isDone(service, container) ||
          isBegun(service, container),
      )
      .sort((left, right) => compareHolders(view, left, right))[0];
    const movedTo = moving?.slot === slot && holder?.id === moving.move.container && moving.move.to;
    const assigned = service.slots[slot];
    const isKept = assigned !== undefined && keeps(assigned, undefined);
    const running = movedTo === false ? holder?.machine : movedTo;
    const settled = placeable.bound ?? running ?? (isKept ? assigned : undefined);
    slots.set(slot, follows ? undefined : settled);
  }
  return slots;
}

/** A slot per machine that fits; a lost machine's slot ends with it, there is nothing to move. */
function globalOwners(view: View, { service, placeable, containers }: ServiceEntry): SlotOwners {
  const running = new Set<MachineId>();
  const done = new Set<MachineId>();
  for (const container of containers) {
    if (!isHolding(container)) continue;
    running.add(container.machine);
    if (isJob(service.spec) && isDone(service, container)) done.add(container.machine);
  }
  let machines = [...view.machines.values()].filter(
    (machine) =>
      machine.liveness !== 'lost' &&
      (done.has(machine.id) || fitRefusal(placeable, machine) === undefined),
  );
  const maxCount = machineCountOf(service.spec);
  if (maxCount !== undefined && machines.length > maxCount) {
    const subject = serviceKey(service.project, service.name);
    machines = machines
      .sort(
        (left, right) =>
          Number(running.has(right.id)) - Number(running.has(left.id)) ||
          compareRank(subject, left.id, right.id),
      )
      .slice(0, maxCount)
      .sort((left, right) => compareText(left.id, right.id));
  }
  // Where it does not run yet, what it needs must be free: that is known when all others are placed.
  const mustFit = hasNeeds(service.spec);
  return new Map(
    machines.map(({ id }) => [id, mustFit && !running.has(id) ? undefined : id] as const),
  );
}

/** Whether a machine keeps the slots of a service that it has. */
function keeperRule(
  view: View,
  entry: ServiceEntry,
): (machine: MachineId, container: ContainerView | undefined) => boolean {
  const isReplacing = view.guards.length === 0;
  const isServed = entry.containers.some(
    (container) => isHolding(container) && isInTraffic(view, container.machine),
  );
  const isHeld = entry.service.spec['x-on-lost'] === 'hold';
  const mayReplaceLost = isReplacing && !isHeld && (isLargerSide(view) || !isServed);
  return (id, container) => {
    const machine = view.machines.get(id);
    if (machine === undefined) return false;
    const isGone = machine.liveness === 'lost' || hasFailedToAct(view, machine);
    if (isGone && mayReplaceLost) return false;
    if (!machine.isAble && container?.state !== 'running') return false;
    return !isReplacing || fitRefusal(entry.placeable, machine) === undefined;
  };
}

/** When a machine that cannot act counts as lost for placement; undefined while it can act. */
export function placedAnewAtMs({ isAble, unableSinceMs }: MachineView): number | undefined {
  return isAble || unableSinceMs === undefined ? undefined : unableSinceMs + unableLostMs;
}

function hasFailedToAct(view: View, machine: MachineView): boolean {
  const atMs = placedAnewAtMs(machine);
  return atMs !== undefined && view.nowMs >= atMs;
}

/** Half is enough: of two machines, the one left goes on alone. */
export function isLargerSide(view: View): boolean {
  let isLarger = knownSides.get(view);
  if (isLarger === undefined) {
    const machines = [...view.machines.values()];
    const present = machines.filter((machine) => isInTraffic(view, machine.id));
    isLarger = present.length * 2 >= machines.length;
    knownSides.set(view, isLarger);
  }
  return isLarger;
}

/** A view never changes, and is asked once for each service. */
const knownSides = new WeakMap<View, boolean>();

function isHolding(container: ContainerView): boolean {
  return container.state !== 'dead' && container.state !== 'removing';
}

/**
 * An explicit change is carried out on the machines that its author reached, even where nothing is
 * placed anew by itself: what runs on the others counts again when they are back.
 */
function isPassedOver(view: View, service: ServiceView, { machine }: ContainerView): boolean {
  if (service.spec['x-on-lost'] === 'hold') return false;
  return service.away.includes(machine) && !isInTraffic(view, machine);
}

/** A run that must not happen twice stays with its machine, even while that is away. */
function isBegun(service: ServiceView, container: ContainerView): boolean {
  return container.rollout === service.rollout && container.startedMs > 0 && isRunOnce(service);
}

/** Ran to its end with success and is not to run again. */
export function isDone(service: ServiceView, container: ContainerView): boolean {
  return (
    container.state === 'exited' &&
    container.exitCode === 0 &&
    container.hash === service.hash &&
    container.startedMs > 0 &&
    // One that was taken out of traffic was ended by its machine, and has completed nothing.
    !container.draining &&
    mayComplete(service.spec)
  );
}

/**
 * Of several copies the one that serves is kept; of equals that of the machine which has been
 * connected for longest, because the other one has just come back; then the oldest, then rank.
 */
function compareHolders(view: View, left: ContainerView, right: ContainerView): number {
  const subject = `${serviceKey(left.project, left.service)}/${left.slot}`;
  return (
    Number(isInTraffic(view, right.machine)) - Number(isInTraffic(view, left.machine)) ||
    value(right) - value(left) ||
    connectedSince(view, left) - connectedSince(view, right) ||
    left.createdMs - right.createdMs ||
    compareRank(subject, left.machine, right.machine) ||
    compareText(left.id, right.id)
  );
}

function connectedSince(view: View, { machine }: ContainerView): number {
  return view.machines.get(machine)?.connectedSinceMs ?? 0;
}

function value(container: ContainerView): number {
  if (container.state !== 'running') return 0;
  if (container.draining) return 1;
  return container.ready ? 3 : 2;
}

interface Derivation {
  readonly slots: SlotOwners;
  readonly owners: ReadonlyMap<string, SlotOwners>;
  readonly load: Load;
  readonly candidates: (placeable: Placeable) => readonly MachineView[];
}

/** Services with the same rules have the same candidates: found once for all of them. */
function candidatesIn(view: View): (placeable: Placeable) => readonly MachineView[] {
  const machines = [...view.machines.values()];
  const known = new Map<string, readonly MachineView[]>();
  return (placeable) => {
    const rules = fitKey(placeable);
    const found = known.get(rules) ?? machines.filter((machine) => isCandidate(placeable, machine));
    known.set(rules, found);
    return found;
  };
}

/** The plan for slots that nobody has: placed in order, each counting those before it. */
function deriveOpenSlots(view: View, entry: ServiceEntry, derivation: Derivation): void {
  const { slots, owners, load } = derivation;
  const open = [...slots].filter(([, machine]) => machine === undefined).map(([slot]) => slot);
  if (open.length === 0) return;
  const companion = companionOf(entry.service.spec);
  if (companion !== undefined) {
    const beside = owners.get(serviceKey(entry.service.project, companion));
    for (const slot of open) slots.set(slot, beside?.get(slot) ?? beside?.get('1'));
    return;
  }
  if (view.guards.length > 0) return;
  if (entry.service.mode === 'global') {
    for (const slot of open) {
      // The slot of a global service is named after its machine.
      const machine = view.machines.get(slot as MachineId);
      if (machine === undefined || load.refusal(entry.placeable, machine) !== undefined) continue;
      slots.set(slot, machine.id);
      load.add(entry.placeable, machine.id);
    }
    return;
  }
  const candidates = derivation.candidates(entry.placeable);
  let mayReplace = isLargerSide(view) || open.length === slots.size;
  for (const slot of open) {
    const wasHeld = wasHeldByLost(view, entry, slot);
    if (wasHeld && !mayReplace) continue;
    const machine = pickMachine(entry.placeable, slot, candidates, load);
    slots.set(slot, machine?.id);
    if (machine !== undefined) load.add(entry.placeable, machine.id);
    // The smaller side keeps a service alive with one replica and leaves the rest to the larger.
    if (wasHeld && !isLargerSide(view)) mayReplace = false;
  }
}

/** Not lost is enough: a machine that is silent for a moment keeps what the plan gave it. */
function isCandidate(placeable: Placeable, machine: MachineView): boolean {
  return (
    machine.liveness !== 'lost' && machine.isAble && fitRefusal(placeable, machine) === undefined
  );
}

/** Whether the slot may still be running on a machine that this side cannot see. */
function wasHeldByLost(view: View, entry: ServiceEntry, slot: Slot): boolean {
  const holders = entry.containers.filter((container) => container.slot === slot);
  const machines = [...holders.map((container) => container.machine), entry.service.slots[slot]];
  return machines.some((id) => id !== undefined && view.machines.get(id)?.liveness === 'lost');
}
