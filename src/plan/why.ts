/**
 * Explains one service out of the functions that decide about it: the refusals and costs are those
 * of placement, the owners those of every plan, what a slot waits for is what the plan of its owner
 * says. Nothing is decided here, and nothing is guessed: a cause that no record tells is absent.
 */
import { TscError } from '../lib/errors.ts';
import type { Plan } from '../model/action.ts';
import type { MachineId, Slot } from '../model/ids.ts';
import type { ContainerView, ProjectView, ServiceView, View } from '../model/view.ts';
import type { WhyAnswer, WhyChange, WhyMachine, WhyRequest, WhySlot } from '../model/why.ts';
import { containersOfService } from '../view/endpoints.ts';
import { compareSlots } from '../view/order.ts';
import { companionOf } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import { heldSlots } from './held.ts';
import { ownersOf } from './owner.ts';
import {
  compareCosts,
  Load,
  type Placeable,
  placeableOf,
  placementCosts,
  refusal,
} from './place.ts';

/** 16 plans: under a second on a large cluster, in which the agent does nothing else. */
const maxPlanCount = 16;

/**
 * @param decide `plan`, for any machine as `view.self`
 * @throws TscError E_SERVICE_UNKNOWN
 */
export function explain(
  view: View,
  projectName: string,
  request: WhyRequest,
  decide: (view: View) => Plan,
): WhyAnswer {
  const project = view.projects.get(projectName);
  const service = project?.services.get(request.service);
  if (project === undefined || service === undefined) {
    const names = [...(project?.services.keys() ?? [])].join(', ');
    throw new TscError('E_SERVICE_UNKNOWN', `no such service: ${request.service}`, {
      hint: names === '' ? 'see `tsc-compose ls`' : `project ${projectName} has: ${names}`,
    });
  }
  const owners = ownersOf(view);
  const waits = waitsOf(view, service, owners, decide);
  const slots = slotsOf(view, service, owners)
    .filter((slot) => request.slot === undefined || slot === request.slot)
    .map((slot) => whySlot(view, service, slot, { owners, waits }));
  const placedSlot = request.slot ?? openSlot(service, slots);
  return {
    project: projectName,
    service: service.name,
    image: service.spec.image ?? '',
    mode: service.mode,
    wantedCount: owners.get(serviceKey(projectName, service.name))?.size ?? 0,
    isStopped: service.isStopped,
    changes: changesOf(project, service),
    slots,
    placedSlot,
    machines: whyMachines(view, service, placedSlot, owners),
    failures: view.failures
      .filter((one) => one.project === projectName && one.service === service.name)
      .filter((one) => one.rollout === service.rollout)
      .map(({ machine, slot, why, atMs }) => ({ machine, slot, why, atMs })),
  };
}

/** Slots that are wanted, and those of containers that are still there. */
function slotsOf(view: View, service: ServiceView, owners: Owners): readonly Slot[] {
  const wanted = owners.get(serviceKey(service.project, service.name))?.keys() ?? [];
  const there = containersOfService(view, service.project, service.name).map(({ slot }) => slot);
  return [...new Set([...wanted, ...there])].sort(compareSlots);
}

/** One that waits, or else the next one to be added. */
function openSlot(service: ServiceView, slots: readonly WhySlot[]): Slot {
  const open = slots.find(({ owner, containers }) => owner === null || containers.length === 0);
  return open?.slot ?? `${service.replicaCount + 1}`;
}

type Waits = ReadonlyMap<Slot, readonly string[]>;

/** What the plans of the owners say that they wait for. */
function waitsOf(
  view: View,
  service: ServiceView,
  owners: Owners,
  decide: (view: View) => Plan,
): Waits {
  const copies = containersOfService(view, service.project, service.name);
  const isWell = (slot: Slot): boolean => {
    const own = copies.filter((copy) => copy.slot === slot);
    return own.length === 1 && own.every(({ ready, hash }) => ready && hash === service.hash);
  };
  const open = [...(owners.get(serviceKey(service.project, service.name)) ?? [])].filter(
    ([slot]) => !isWell(slot),
  );
  const concerned = [
    ...open.map(([, machine]) => machine),
    ...copies.filter(({ slot }) => !isWell(slot)).map(({ machine }) => machine),
  ];
  const machines = [...new Set([view.self, ...concerned])].slice(0, maxPlanCount);
  const waits = new Map<Slot, Set<string>>();
  const add = (slot: Slot, why: string): void => {
    waits.set(slot, (waits.get(slot) ?? new Set()).add(why));
  };
  for (const machine of machines) {
    if (machine === undefined || view.machines.get(machine)?.liveness !== 'reachable') continue;
    for (const wait of decide({ ...view, self: machine }).waiting) {
      const isIts = wait.project === service.project && wait.service === service.name;
      if (isIts) add(wait.slot, wait.why);
    }
  }
  for (const { project, service: name, slot, why } of heldSlots(view, owners)) {
    if (project === service.project && name === service.name) add(slot, why);
  }
  return new Map([...waits].map(([slot, texts]) => [slot, [...texts]]));
}

function whySlot(
  view: View,
  service: ServiceView,
  slot: Slot,
  { owners, waits }: { readonly owners: Owners; readonly waits: Waits },
): WhySlot {
  const key = serviceKey(service.project, service.name);
  const owner = owners.get(key)?.get(slot);
  const containers = containersOfService(view, service.project, service.name).filter(
    (container) => container.slot === slot,
  );
  return {
    slot,
    owner: owner ?? null,
    because:
      owners.get(key)?.has(slot) === true
        ? ownerReason(service, slot, owner, containers)
        : 'is not wanted any more',
    waiting: waits.get(slot) ?? [],
    containers: containers.map(({ id, name, machine, state, ready, exitCode, cause = null }) => ({
      id,
      name,
      machine,
      state,
      ready,
      exitCode,
      cause,
    })),
  };
}

/** What ties the slot to its owner, in the order in which owners are found. */
function ownerReason(
  service: ServiceView,
  slot: Slot,
  owner: MachineId | undefined,
  containers: readonly ContainerView[],
): string {
  if (owner === undefined) return 'no machine can run it';
  if (service.mode === 'global') return 'runs once on every machine that fits';
  const companion = companionOf(service.spec);
  if (companion !== undefined) return `stands beside ${companion}`;
  if (service.volumeHome === owner) return 'its volume is there';
  if (service.pinned === owner) return 'its files are there';
  if (containers.some(({ machine }) => machine === owner)) return 'has it already';
  if (service.slots[slot] === owner) return 'was given it by the change';
  return 'is the best place';
}

/** Every machine with what refuses it, or the figures that it is compared by. */
function whyMachines(
  view: View,
  service: ServiceView,
  slot: Slot,
  owners: Owners,
): readonly WhyMachine[] {
  const placeable = placeableOf(service);
  const load = loadWithout(view, owners, service, slot);
  const machines = [...view.machines.values()];
  const refused = machines.flatMap((machine) => {
    const why = refusal(placeable, machine) ?? roomRefusal(placeable, machine.id);
    return why === undefined ? [] : [{ machine: machine.id, refusal: why, costs: [] }];
  });
  const fitting = machines.filter(({ id }) => !refused.some(({ machine }) => machine === id));
  if (service.mode === 'global') {
    return [...fitting.map(({ id }) => ({ machine: id, refusal: null, costs: [] })), ...refused];
  }
  const candidates = machines.filter((machine) => refusal(placeable, machine) === undefined);
  const { names, of } = placementCosts(placeable, slot, candidates, load);
  const scored = fitting
    .map((machine) => ({ machine: machine.id, values: of(machine) }))
    .sort((left, right) => compareCosts(left.values, right.values))
    .map(({ machine, values }) => ({
      machine,
      refusal: null,
      costs: names.map((name, index) => ({ name, value: values[index] ?? 0 })),
    }));
  return [...scored, ...refused];

  function roomRefusal(service: Placeable, id: MachineId): string | undefined {
    const machine = view.machines.get(id);
    return machine === undefined ? undefined : load.refusal(service, machine);
  }
}

/** What is placed, but for the slot that is looked at. */
function loadWithout(view: View, owners: Owners, service: ServiceView, slot: Slot): Load {
  const load = new Load(view.machines.values());
  for (const project of view.projects.values()) {
    for (const other of project.services.values()) {
      const placeable = placeableOf(other);
      for (const [taken, machine] of owners.get(serviceKey(project.name, other.name)) ?? []) {
        const isIt = other === service && taken === slot;
        if (machine !== undefined && !isIt) load.add(placeable, machine);
      }
    }
  }
  return load;
}

function changesOf({ pointer }: ProjectView, service: ServiceView): readonly WhyChange[] {
  const by = service.operation?.by;
  return [
    ...(pointer === undefined ? [] : [{ act: 'up', ...pointer.author, atMs: pointer.createdMs }]),
    ...(by === undefined ? [] : [by]),
  ];
}
