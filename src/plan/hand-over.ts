/**
 * A slot that changes its machine while the old one can be reached (drain, rebalance, a rule that
 * changed). As a rule the new copy comes first and the old one goes when it has served for a while.
 * Not where both would write to one shared volume, or where the file wants it the other way round:
 * there the old copy goes first, and the new machine waits for it.
 */
import type { MachineId, Slot } from '../model/ids.ts';
import type { ContainerView, ServiceView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { isNamedVolume } from '../view/service-spec.ts';
import { isAlive } from './leave.ts';

/** Whether two copies must not run at the same time, even on two machines. */
export function mustLeaveFirst({ spec }: ServiceView): boolean {
  if (spec.deploy?.update_config?.order === 'stop-first') return true;
  if (spec.deploy?.update_config?.order === 'start-first') return false;
  // A local volume ties the slot to its machine, so what moves has a volume that both machines see.
  return (spec.volumes ?? []).some((mount) => isNamedVolume(mount) && mount.read_only !== true);
}

/** Whether the machine could bring the slot up as soon as it is free. */
export function canArrive(view: View, owner: MachineId | undefined): boolean {
  const machine = owner === undefined ? undefined : view.machines.get(owner);
  return machine?.liveness === 'reachable' && machine.isAble;
}

/** Why the slot cannot be filled here while its copy on another machine is there. */
export function elsewhereWait(
  view: View,
  service: ServiceView,
  slot: Slot,
  copies: readonly ContainerView[],
): string | undefined {
  if (!mustLeaveFirst(service)) return undefined;
  const other = copies.find(
    (copy) =>
      copy.slot === slot &&
      copy.machine !== view.self &&
      isAlive(copy) &&
      isInTraffic(view, copy.machine),
  );
  if (other === undefined) return undefined;
  return `waits until ${view.machines.get(other.machine)?.name ?? other.machine} has stopped its copy`;
}
