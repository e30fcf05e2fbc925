/**
 * What must stay stable is allocated once, by the agent that accepts the change: the machine that
 * holds a volume, the machine a service is tied to, the first machine of each slot. All services
 * that share a local volume, or a namespace, form one group with one home. What was allocated
 * before is never moved here; a contradiction is refused with both sides named.
 */
import { TscError } from '../lib/errors.ts';
import type { MachineId, Slot } from '../model/ids.ts';
import type { Project } from '../model/project.ts';
import type { PathPlaces, ResolvedImage } from '../model/record.ts';
import type { MachineView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { companionOf, localVolumesOf, modeOf, replicaCountOf } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import { bindPinsOf, type MachineFacts } from './bind-pins.ts';
import {
  companionsFirst,
  fitRefusal,
  followersOf,
  Load,
  type Placeable,
  pickMachine,
  placeable,
  placeableOf,
  refusal,
  slotsOf,
} from './place.ts';

export interface AllocationInput {
  readonly project: Project;
  /** Names of the services to place, in order. */
  readonly selected: readonly string[];
  readonly workingDir: string;
  readonly relativeBinds?: readonly string[] | undefined;
  /** Files and room of the machines that have answered; undefined while nobody has been asked. */
  readonly machines?: ReadonlyMap<MachineId, MachineFacts> | undefined;
  readonly images: Readonly<Record<string, ResolvedImage>>;
  /** Engine names of volumes whose machine is known. */
  readonly volumes: Readonly<Record<string, MachineId>>;
  readonly owners: Owners;
  /** Going back: who has a service's files has them still, wherever the command runs. */
  readonly keepsPins?: boolean;
}

export interface Allocation {
  readonly slots: ReadonlyMap<string, Readonly<Record<Slot, MachineId>>>;
  readonly pinned: ReadonlyMap<string, MachineId>;
  readonly paths: ReadonlyMap<string, PathPlaces>;
  readonly volumes: Readonly<Record<string, MachineId>>;
  readonly notes: readonly string[];
}

/** @throws TscError E_NO_ELIGIBLE_MACHINE, with the reason of every machine */
export function allocate(view: View, input: AllocationInput): Allocation {
  const notes: string[] = [];
  const pins = pinServices(view, input, notes);
  const { pinned } = pins;
  const load = loadOfOthers(view, input);
  const volumes = homeVolumes(view, input, { ...pins, load, notes });
  const slots = new Map<string, Readonly<Record<Slot, MachineId>>>();
  const services = input.selected.map((name) => ({
    name,
    spec: input.project.services[name] ?? {},
  }));
  for (const { name, spec } of companionsFirst(services)) {
    const group = [name, ...followersOf(input.project, name)];
    const bound = group
      .map((member) => homeOf(input, member, volumes) ?? pinned.get(member))
      .find((machine) => machine !== undefined);
    const service = { ...toPlaceable(input, name, bound), paths: pins.paths.get(name) };
    const companion = companionOf(spec);
    slots.set(
      name,
      companion === undefined
        ? assignSlots(view, service, { input, load, notes })
        : besideCompanion(service, slots.get(companion) ?? ownedSlots(input, companion)),
    );
  }
  return { slots, ...pins, volumes, notes };
}

function toPlaceable(input: AllocationInput, name: string, bound?: MachineId): Placeable {
  const { project, images } = input;
  return placeable(project.name, name, { definition: project, image: images[name], images, bound });
}

interface Pins {
  readonly pinned: ReadonlyMap<string, MachineId>;
  readonly paths: ReadonlyMap<string, PathPlaces>;
}

function pinServices(view: View, input: AllocationInput, notes: string[]): Pins {
  const pinned = new Map<string, MachineId>();
  const paths = new Map<string, PathPlaces>();
  for (const name of input.selected) {
    const spec = input.project.services[name] ?? {};
    if (input.keepsPins === true) {
      const kept = view.projects.get(input.project.name)?.services.get(name)?.pinned;
      if (kept !== undefined) pinned.set(name, kept);
      continue;
    }
    const pins = bindPinsOf(view, name, spec, input);
    notes.push(...pins.notes);
    if (pins.pinned !== undefined) pinned.set(name, pins.pinned);
    if (pins.paths !== undefined) paths.set(name, pins.paths);
    const first = pins.here[0];
    if (first === undefined) continue;
    const before = view.projects.get(input.project.name)?.services.get(name)?.pinned;
    const writable = pins.here.find((pin) => pin.isWritable);
    const elsewhere =
      before === undefined || before === view.self ? undefined : view.machines.get(before);
    if (elsewhere !== undefined && writable !== undefined) {
      throw new TscError(
        'E_PINNED_ELSEWHERE',
        `service "${name}" keeps files under ${writable.path} on machine ${elsewhere.name}, where it runs`,
        { hint: `run up on ${elsewhere.name}, or use a named volume` },
      );
    }
    pinned.set(name, view.self);
    notes.push(`service ${name} stays on ${nameOf(view, view.self)}: it mounts ${first.path}`);
  }
  return { pinned, paths };
}

/** Containers of every service that this change leaves where it is. */
function loadOfOthers(view: View, input: AllocationInput): Load {
  const load = new Load(view.machines.values());
  for (const project of view.projects.values()) {
    for (const service of project.services.values()) {
      if (project.name === input.project.name && input.selected.includes(service.name)) continue;
      const owners = input.owners.get(serviceKey(project.name, service.name));
      for (const machine of owners?.values() ?? []) {
        if (machine !== undefined) load.add(placeableOf(service), machine);
      }
    }
  }
  return load;
}

interface HomeState extends Pins {
  readonly load: Load;
  readonly notes: string[];
}

/** Gives every local volume of the selected services a machine. */
function homeVolumes(
  view: View,
  input: AllocationInput,
  { pinned, paths, load, notes }: HomeState,
): Readonly<Record<string, MachineId>> {
  const volumes: Record<string, MachineId> = { ...input.volumes };
  for (const group of groupsOf(input)) {
    const needed = [...new Set(group.flatMap((name) => volumesOf(input, name)))];
    if (needed.length === 0) continue;
    const known = needed.map((volume) => volumes[volume]).find((home) => home !== undefined);
    const pin = group.map((name) => pinned.get(name)).find((machine) => machine !== undefined);
    const home = known ?? pin ?? pickHome(view, input, { group, needed, load, paths }).id;
    for (const volume of needed) {
      if (volumes[volume] !== undefined) continue;
      volumes[volume] = home;
      notes.push(`volume ${volume} is kept on ${nameOf(view, home)}`);
    }
    for (const name of group) checkHomes(view, input, { name, volumes, pin: pinned.get(name) });
  }
  return volumes;
}

interface HomeQuestion {
  readonly group: readonly string[];
  readonly needed: readonly string[];
  readonly load: Load;
  readonly paths: ReadonlyMap<string, PathPlaces>;
}

/**
 * The machines with most free disk and memory: each is compared with the best in the scarcer of the
 * two, in quarters, so that what is nearly equal is left to the balance.
 */
function roomiest(
  candidates: readonly MachineView[],
  facts: ReadonlyMap<MachineId, MachineFacts> | undefined,
): readonly MachineView[] {
  const known = candidates.flatMap(({ id }) => facts?.get(id) ?? []);
  const mostDisk = Math.max(1, ...known.map(({ freeDiskBytes }) => freeDiskBytes));
  const mostMemory = Math.max(1, ...known.map(({ freeMemoryBytes }) => freeMemoryBytes));
  const room = ({ id }: MachineView): number => {
    const fact = facts?.get(id);
    if (fact === undefined) return -1;
    const share = Math.min(fact.freeDiskBytes / mostDisk, fact.freeMemoryBytes / mostMemory);
    return Math.round(share * 4);
  };
  const best = Math.max(...candidates.map(room));
  return candidates.filter((machine) => room(machine) === best);
}

/** A machine that fits every service of the group; a volume made by hand is looked for here. */
function pickHome(
  view: View,
  input: AllocationInput,
  { group, needed, load, paths }: HomeQuestion,
): MachineView {
  const services = group.map((name) => ({
    ...toPlaceable(input, name),
    paths: paths.get(name),
  }));
  const fits = (machine: MachineView): boolean =>
    services.every((service) => refusal(service, machine) === undefined);
  const candidates = [...view.machines.values()].filter(fits);
  const self = candidates.find((machine) => machine.id === view.self);
  const isExternal = Object.entries(input.project.volumes ?? {}).some(
    ([key, volume]) => volume?.external === true && needed.includes(volume.name ?? key),
  );
  if (isExternal && self !== undefined) return self;
  const [first, ...others] = services;
  // One that is placed anywhere near the others needs room beside all of them.
  const together = first && { ...first, beside: others };
  const roomy = roomiest(candidates, input.machines);
  const picked = together && pickMachine(together, needed[0] ?? '', roomy, load);
  if (picked !== undefined) return picked;
  throw noMachine(
    view,
    `services ${group.join(', ')}`,
    (machine) =>
      services.map((service) => refusal(service, machine)).find((why) => why !== undefined) ??
      (together && load.refusal(together, machine)),
  );
}

function checkHomes(
  view: View,
  input: AllocationInput,
  service: {
    name: string;
    volumes: Readonly<Record<string, MachineId>>;
    pin: MachineId | undefined;
  },
): void {
  const places = new Map<MachineId, string>();
  for (const volume of volumesOf(input, service.name)) {
    const home = service.volumes[volume];
    if (home !== undefined && !places.has(home)) places.set(home, `volume ${volume}`);
  }
  if (service.pin !== undefined && !places.has(service.pin))
    places.set(service.pin, 'a bind mount');
  if (places.size < 2) return;
  const sides = [...places].map(([machine, what]) => `${what} is on ${nameOf(view, machine)}`);
  throw new TscError(
    'E_NO_ELIGIBLE_MACHINE',
    `no machine can run service "${service.name}": ${sides.join(', ')}`,
    { hint: 'run up on the machine that has the volume, or give the service a new volume' },
  );
}

/** Local volumes that tie a service; each replica of a global one has its own. */
function volumesOf(input: AllocationInput, name: string): readonly string[] {
  const spec = input.project.services[name] ?? {};
  return modeOf(spec) === 'global' ? [] : localVolumesOf(input.project, spec);
}

function homeOf(
  input: AllocationInput,
  name: string,
  volumes: Readonly<Record<string, MachineId>>,
): MachineId | undefined {
  return volumesOf(input, name).map((volume) => volumes[volume])[0];
}

/** Services joined by a shared local volume or a shared namespace, in order of the first name. */
function groupsOf(input: AllocationInput): readonly (readonly string[])[] {
  const groups: { names: string[]; ties: Set<string> }[] = [];
  for (const name of input.selected) {
    const companion = companionOf(input.project.services[name] ?? {});
    const ties = new Set([`service ${name}`, ...volumesOf(input, name)]);
    if (companion !== undefined) ties.add(`service ${companion}`);
    const joined = groups.filter((group) => [...group.ties].some((tie) => ties.has(tie)));
    const merged = {
      names: [...joined.flatMap((group) => group.names), name],
      ties: new Set([...joined.flatMap((group) => [...group.ties]), ...ties]),
    };
    groups.splice(0, groups.length, ...groups.filter((group) => !joined.includes(group)), merged);
  }
  return groups.map((group) => group.names);
}

interface SlotState {
  readonly input: AllocationInput;
  readonly load: Load;
  readonly notes: string[];
}

/** Slots that have a machine keep it; new ones are balanced. Scaling down drops the highest. */
function assignSlots(
  view: View,
  service: Placeable,
  { input, load, notes }: SlotState,
): Readonly<Record<Slot, MachineId>> {
  const machines = [...view.machines.values()];
  const mayRun = (machine: MachineView): boolean => refusal(service, machine) === undefined;
  const why = (machine: MachineView): string | undefined =>
    refusal(service, machine) ?? load.refusal(service, machine);
  if (service.mode === 'global') {
    if (machines.some(mayRun)) return {};
    throw noMachine(view, `service "${service.name}"`, why);
  }
  const wantedSlots = slotsOf(replicaCountOf(service.spec));
  const before = ownedSlots(input, service.name);
  const slots: Record<Slot, MachineId> = {};
  for (const slot of wantedSlots) {
    const machine = view.machines.get(before[slot] ?? view.self);
    // What the author cannot reach is not waited for: the change is carried out on this side.
    if (before[slot] === undefined || machine === undefined) continue;
    const isHeld = service.spec['x-on-lost'] === 'hold';
    if (!isInTraffic(view, machine.id) && !isHeld) continue;
    // Data does not leave a drained machine, so neither does what works on it.
    const wanted = service.bound === machine.id ? { ...machine, isDrained: false } : machine;
    if ((fitRefusal(service, wanted) ?? load.refusal(service, machine)) !== undefined) continue;
    if (wanted.isDrained !== machine.isDrained && slot === '1') {
      notes.push(
        `service ${service.name} stays on ${machine.name}, which is drained: its data is there`,
      );
    }
    slots[slot] = machine.id;
    load.add(service, machine.id);
  }
  const candidates = machines.filter(mayRun);
  for (const slot of wantedSlots) {
    if (slots[slot] !== undefined) continue;
    const machine =
      pickMachine(service, slot, candidates, load) ?? machineAway(view, service, before[slot]);
    if (machine === undefined) throw noMachine(view, `service "${service.name}"`, why);
    slots[slot] = machine.id;
    load.add(service, machine.id);
  }
  return slots;
}

/**
 * The machine of a slot that no other can take: the one with its data, or the only one that fits.
 * While that is away the slot is held, and the rest of the change goes on.
 */
function machineAway(
  view: View,
  service: Placeable,
  before: MachineId | undefined,
): MachineView | undefined {
  const machine = view.machines.get(service.bound ?? before ?? view.self);
  if (machine === undefined || (service.bound ?? before) === undefined) return undefined;
  if (isInTraffic(view, machine.id)) return undefined;
  return fitRefusal(service, machine) === undefined ? machine : undefined;
}

function ownedSlots(input: AllocationInput, name: string): Readonly<Record<Slot, MachineId>> {
  const owners = input.owners.get(serviceKey(input.project.name, name)) ?? [];
  return Object.fromEntries(
    [...owners].flatMap(([slot, machine]) => (machine === undefined ? [] : [[slot, machine]])),
  );
}

/** Each slot stands where the companion's slot of the same number is, or its first. */
function besideCompanion(
  service: Placeable,
  companion: Readonly<Record<Slot, MachineId>>,
): Readonly<Record<Slot, MachineId>> {
  return Object.fromEntries(
    slotsOf(replicaCountOf(service.spec)).flatMap((slot) => {
      const machine = companion[slot] ?? companion['1'];
      return machine === undefined ? [] : [[slot, machine]];
    }),
  );
}

function nameOf(view: View, machine: MachineId): string {
  return view.machines.get(machine)?.name ?? machine;
}

function noMachine(
  view: View,
  what: string,
  why: (machine: MachineView) => string | undefined,
): TscError {
  const reasons = [...view.machines.values()].map(
    (machine) => `${machine.name} ${why(machine) ?? 'has no room'}`,
  );
  return new TscError('E_NO_ELIGIBLE_MACHINE', `no machine can run ${what}: ${reasons.join('; ')}`);
}
