/**
 * Machines of the slots that `scale` adds. Like the slots of an `up` they are allocated once, by the
 * agent that accepts the change, so that no machine has to claim them and wait.
 */
import type { MachineId, Slot } from '../model/ids.ts';
import type { OperationRecord } from '../model/record.ts';
import type { ServiceView, View } from '../model/view.ts';
import { companionOf } from '../view/service-spec.ts';
import { serviceKey } from '../view/snapshot.ts';
import { weightPlanVersion } from '../view/weight.ts';
import { ownersOf } from './owner.ts';
import { Load, pickMachine, placeableOf, refusal, slotsOf } from './place.ts';

/** @returns the part of the operation that says where; nothing where it follows from elsewhere */
export function scaledSlots(
  view: View,
  service: ServiceView,
  count: number,
): Pick<OperationRecord, 'slots'> {
  const { project, name } = service;
  const placed = placeableOf(service, view.projects.get(project));
  if (placed.bound !== undefined || companionOf(service.spec) !== undefined) return {};
  const machines = [...view.machines.values()];
  // Agents that do not read the assignment would come to another one.
  if (machines.some(({ versions }) => versions.plan < weightPlanVersion)) return {};
  const owners = ownersOf(view);
  const load = new Load(machines);
  for (const other of view.projects.values()) {
    for (const sibling of other.services.values()) {
      const key = serviceKey(other.name, sibling.name);
      for (const machine of owners.get(key)?.values() ?? []) {
        if (machine !== undefined) load.add(placeableOf(sibling), machine);
      }
    }
  }
  const owned = owners.get(serviceKey(project, name));
  const candidates = machines.filter((machine) => refusal(placed, machine) === undefined);
  const slots: Record<Slot, MachineId> = {};
  for (const slot of slotsOf(count)) {
    if (owned?.get(slot) !== undefined) continue;
    const machine = pickMachine(placed, slot, candidates, load)?.id;
    if (machine === undefined) continue;
    load.add(placed, machine);
    slots[slot] = machine;
  }
  if (Object.keys(slots).length === 0) return {};
  return { slots: { ...service.operation?.slots, ...slots } };
}
