/**
 * Balancing without being asked: only after every machine was rebooted since the project was
 * changed last, as when an update of the system goes round. Each reboot sends the replicas of one
 * machine to the others, and the first to go would stay empty. One machine does it, the first in
 * rendezvous order, once; a machine that merely joins moves nothing.
 */
import type { ProjectView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import { movePlanVersion, rebalanceSettleMs, rebalanceWindowMs } from './limits.ts';
import type { ContainerIndex } from './owner.ts';
import { firstRanked } from './rank.ts';
import { rebalanceMoves } from './rebalance.ts';
import { moveOperations } from './rebalance-records.ts';
import type { Steps } from './steps.ts';

interface Parts {
  readonly owners: Owners;
  readonly index: ContainerIndex;
  readonly steps: Steps;
}

/** Adds the moves of the projects whose turn it is, if this machine is the one to write them. */
export function autoRebalance(view: View, { owners, index, steps }: Parts): void {
  if (view.guards.length > 0 || view.machines.size < 2) return;
  const machines = [...view.machines.values()];
  const areHere = machines.every(
    ({ liveness, isAble, isDrained, bootedAtMs, versions }) =>
      liveness === 'reachable' &&
      isAble &&
      !isDrained &&
      bootedAtMs > 0 &&
      versions.plan >= movePlanVersion,
  );
  if (!areHere) return;
  const lastBootMs = Math.max(
    ...machines.map(({ bootedAtMs, connectedSinceMs }) => Math.max(bootedAtMs, connectedSinceMs)),
  );
  if (view.nowMs > lastBootMs + rebalanceWindowMs) return;
  const firstBootMs = Math.min(...machines.map(({ bootedAtMs }) => bootedAtMs));
  for (const project of view.projects.values()) {
    if (changedMs(project) >= firstBootMs || !isWriter(view, project)) continue;
    if (!steps.isPast(lastBootMs + rebalanceSettleMs)) return;
    if (!isCalm(view, project, { owners, index })) continue;
    const moves = rebalanceMoves(view, { owners, index }, ({ project: of }) => of === project.name);
    for (const { service, operation } of moveOperations(view, moves)) {
      const { project: of, name } = service;
      steps.add('moveSlots', `moves:${of}/${name}`, 'all machines were rebooted', {
        project: of,
        service: name,
        operation,
      });
    }
  }
}

/** When anything was last said about where the project's slots are. */
function changedMs({ pointer, services }: ProjectView): number {
  const moved = [...services.values()].map(({ operation }) => operation?.movedAtMs ?? 0);
  return Math.max(pointer?.createdMs ?? Number.POSITIVE_INFINITY, ...moved);
}

function isWriter(view: View, { name }: ProjectView): boolean {
  return firstRanked(`rebalance/${name}`, view.machines.keys()) === view.self;
}

/** Every slot has its one container, where it belongs and ready. */
function isCalm(
  view: View,
  project: ProjectView,
  { owners, index }: Pick<Parts, 'owners' | 'index'>,
): boolean {
  return [...project.services.values()].every((service) => {
    if (service.isStopped) return true;
    const key = serviceKey(project.name, service.name);
    const copies = index.get(key) ?? [];
    return [...(owners.get(key) ?? [])].every(([slot, owner]) => {
      const ofSlot = copies.filter((copy) => copy.slot === slot);
      const [only] = ofSlot;
      if (only === undefined || ofSlot.length > 1 || only.machine !== owner) return false;
      return isInTraffic(view, owner) && (only.ready || only.state === 'exited');
    });
  });
}
