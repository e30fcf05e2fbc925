/**
 * Selectors on the view: which machines are in traffic, which containers and failures belong to a
 * service or a slot, in the view's order. Which of them answer is src/render/endpoints.ts.
 *
 * Lists of a view never change, and every service asks for its part of them: each list is split once,
 * at the first question, so that a decision about all services does not grow with their square.
 */
import type { MachineId, Slot } from '../model/ids.ts';
import type { ContainerView, FailureView, MachineView, View } from '../model/view.ts';

/** Whether traffic can get there: a headless machine keeps forwarding although its agent is gone. */
export function isInTraffic(view: View, machine: MachineId): boolean {
  const liveness = view.machines.get(machine)?.liveness;
  return liveness === 'reachable' || liveness === 'headless';
}

/** The view as it would be with some of its machines silent. */
export function withSilent(view: View, silent: ReadonlySet<MachineId>): View {
  if (![...silent].some((id) => isInTraffic(view, id))) return view;
  const machines = [...view.machines].map(
    ([id, machine]) =>
      [id, silent.has(id) ? { ...machine, liveness: 'unreachable' as const } : machine] as const,
  );
  return { ...view, machines: new Map(machines) };
}

/** Machines whose agents can be asked, in order of id. */
export function reachableMachines(view: View): readonly MachineView[] {
  return [...view.machines.values()].filter((machine) => machine.liveness === 'reachable');
}

interface OfService {
  readonly project: string;
  readonly service: string;
}

/** By project, then service: no name has to be joined with another one. */
type ByService<T> = ReadonlyMap<string, ReadonlyMap<string, readonly T[]>>;

const knownContainers = new WeakMap<readonly ContainerView[], ByService<ContainerView>>();
const knownFailures = new WeakMap<readonly FailureView[], ByService<FailureView>>();

/** Containers of a service, retired ones as well, in the view's order. */
export function containersOfService(
  { containers }: Pick<View, 'containers'>,
  project: string,
  service: string,
): readonly ContainerView[] {
  return split(knownContainers, containers).get(project)?.get(service) ?? [];
}

/** Failures that were reported of a service, of earlier rollouts as well, in the view's order. */
export function failuresOfService(
  { failures }: Pick<View, 'failures'>,
  project: string,
  service: string,
): readonly FailureView[] {
  return split(knownFailures, failures).get(project)?.get(service) ?? [];
}

function split<T extends OfService>(
  known: WeakMap<readonly T[], ByService<T>>,
  list: readonly T[],
): ByService<T> {
  const found = known.get(list);
  if (found !== undefined) return found;
  const projects = new Map<string, Map<string, T[]>>();
  for (const one of list) {
    let services = projects.get(one.project);
    if (services === undefined) {
      services = new Map();
      projects.set(one.project, services);
    }
    const own = services.get(one.service);
    if (own === undefined) services.set(one.service, [one]);
    else own.push(one);
  }
  known.set(list, projects);
  return projects;
}

export function containersOfSlot(
  view: View,
  project: string,
  service: string,
  slot: Slot,
): readonly ContainerView[] {
  return containersOfService(view, project, service).filter((found) => found.slot === slot);
}
