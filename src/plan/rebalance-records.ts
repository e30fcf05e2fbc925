/** Moves as records: what `rebalance` writes, by hand or by itself. */
import type { OperationRecord, SlotMove } from '../model/record.ts';
import type { ServiceView, View } from '../model/view.ts';
import type { PlannedMove } from './rebalance.ts';

export interface MoveOperation {
  readonly service: ServiceView;
  readonly operation: OperationRecord;
}

/** One operation for each service that moves; moves of earlier ones are replaced. */
export function moveOperations(
  view: View,
  moves: readonly PlannedMove[],
): readonly MoveOperation[] {
  const byService = new Map<ServiceView, Record<string, SlotMove>>();
  for (const { project, service: name, slot, container, to } of moves) {
    const service = view.projects.get(project)?.services.get(name);
    if (service === undefined) continue;
    byService.set(service, { ...byService.get(service), [slot]: { container, to } });
  }
  return [...byService].map(([service, own]) => ({
    service,
    operation: { ...service.operation, moves: own, movedAtMs: view.nowMs },
  }));
}
