/**
 * Selectors on the view: which machines are in traffic, which containers belong to a service or a
 * slot, in the view's order. Which of them answer for a service is src/render/endpoints.ts.
 */
import type { MachineId, Slot } from '../model/ids.ts';
import type { ContainerView, MachineView, View } from '../model/view.ts';

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

export function containersOfService(
  view: View,
  project: string,
  service: string,
): readonly ContainerView[] {
  return view.containers.filter(
    (container) => container.project === project && container.service === service,
  );
}

export function containersOfSlot(
  view: View,
  project: string,
  service: string,
  slot: Slot,
): readonly ContainerView[] {
  return containersOfService(view, project, service).filter((found) => found.slot === slot);
}
