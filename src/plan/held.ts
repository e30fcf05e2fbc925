/**
 * Slots that nobody brings up because their machine is away: bound to it by data, or waited for
 * because the machine may be back in a moment. Every machine reports them alike, since the one that
 * would is the one that is missing. Only a report: who owns a slot is decided in owner.ts.
 */
import type { Waiting } from '../model/action.ts';
import type { MachineView, ServiceView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { localVolumesOf } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';

/** Slots of machines that are away, each with the reason why it is not placed elsewhere. */
export function heldSlots(view: View, owners: Owners): readonly Waiting[] {
  const held: Waiting[] = [];
  for (const project of view.projects.values()) {
    for (const service of project.services.values()) {
      // A global service has no slot to miss where its machine is away.
      if (service.isStopped || service.mode === 'global') continue;
      for (const [slot, owner] of owners.get(serviceKey(project.name, service.name)) ?? []) {
        const machine = owner === undefined ? undefined : view.machines.get(owner);
        if (machine === undefined) continue;
        if (isInTraffic(view, machine.id)) {
          const why = drainWait(project.pointer?.volumes ?? {}, service, machine);
          if (why !== undefined) {
            held.push({ project: project.name, service: service.name, slot, why });
          }
          continue;
        }
        const why = `${reasonOf(project.pointer?.volumes ?? {}, service, machine)}${machine.name}, which is ${machine.liveness}`;
        held.push({ project: project.name, service: service.name, slot, why });
      }
    }
  }
  return held;
}

/** Data does not leave a machine because it is drained: moving it is for the operator to decide. */
function drainWait(
  homes: Readonly<Record<string, string>>,
  service: ServiceView,
  machine: MachineView,
): string | undefined {
  if (!machine.isDrained) return undefined;
  const reason = reasonOf(homes, service, machine);
  return reason.startsWith('held: ') ? `${reason}${machine.name}, which is drained` : undefined;
}

function reasonOf(
  homes: Readonly<Record<string, string>>,
  service: ServiceView,
  machine: MachineView,
): string {
  const volumes = localVolumesOf(service.definition, service.spec).filter(
    (volume) => homes[volume] === machine.id,
  );
  if (volumes.length > 1) return `held: its volumes ${volumes.join(', ')} are on `;
  if (volumes.length === 1) return `held: its volume ${volumes[0]} is on `;
  if (service.pinned === machine.id) return 'held: its files are on ';
  if (service.spec['x-on-lost'] === 'hold') return 'held (x-on-lost: hold): it belongs to ';
  return 'waits for ';
}
