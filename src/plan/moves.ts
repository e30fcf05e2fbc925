/**
 * Slots that leave their machine although it could keep them: `rebalance` writes them into `op/`
 * records, every machine reads from the same records which of them are on. Few at a time, one of a
 * service, and the next only when the one before is over: its old container gone, which happens
 * only after the new one has served for a while. A move whose target cannot take the slot, or broke
 * doing so, is passed over: the slot stays where it is.
 */
import type { Slot } from '../model/ids.ts';
import type { SlotMove } from '../model/record.ts';
import type { ContainerView, ServiceView, View } from '../model/view.ts';
import { failuresOfService } from '../view/endpoints.ts';
import { compareSlots } from '../view/order.ts';
import { maxMoveCount } from './limits.ts';
import { fitRefusal, type Placeable } from './place.ts';

/** By `<project>/<service>`: the slot that moves, and where to. */
export type ActiveMoves = ReadonlyMap<string, { readonly slot: Slot; readonly move: SlotMove }>;

export interface MovingService {
  readonly key: string;
  readonly service: ServiceView;
  readonly placeable: Placeable;
  readonly containers: readonly ContainerView[];
}

/** The moves that are on, of all that are pending. */
export function activeMoves(view: View, services: readonly MovingService[]): ActiveMoves {
  const active = new Map<string, { readonly slot: Slot; readonly move: SlotMove }>();
  if (view.guards.length > 0) return active;
  for (const entry of services) {
    if (active.size >= maxMoveCount) break;
    const next = pendingMoves(view, entry)[0];
    if (next !== undefined) active.set(entry.key, next);
  }
  return active;
}

/** Moves that are not over and can be carried out, in order of slot. */
export function pendingMoves(
  view: View,
  { service, placeable, containers }: Omit<MovingService, 'key'>,
): readonly { readonly slot: Slot; readonly move: SlotMove }[] {
  const moves = service.operation?.moves;
  if (moves === undefined || service.isStopped || placeable.bound !== undefined) return [];
  return Object.entries(moves)
    .filter(([slot, move]) => {
      const isThere = containers.some(
        (container) => container.id === move.container && container.slot === slot,
      );
      return isThere && canTake(view, { service, placeable }, slot, move);
    })
    .sort(([left], [right]) => compareSlots(left, right))
    .map(([slot, move]) => ({ slot, move }));
}

function canTake(
  view: View,
  { service, placeable }: Pick<MovingService, 'service' | 'placeable'>,
  slot: Slot,
  { to }: SlotMove,
): boolean {
  const machine = view.machines.get(to);
  if (machine?.liveness !== 'reachable' || !machine.isAble) return false;
  if (fitRefusal(placeable, machine) !== undefined) return false;
  return !failuresOfService(view, service.project, service.name).some(
    (failure) =>
      failure.machine === to && failure.slot === slot && failure.rollout === service.rollout,
  );
}
