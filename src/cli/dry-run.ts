/** The steps of `up --dry-run`, by machine. Pure. */
import type { PlannedStep } from '../model/api.ts';
import type { MachineId } from '../model/ids.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { machineName } from './ps-rows.ts';

/** @returns lines for stdout; says so when there is nothing to do */
export function dryRunLines(steps: readonly PlannedStep[], snapshot: Snapshot): readonly string[] {
  if (steps.length === 0) return ['Nothing to do.'];
  const byMachine = new Map<MachineId, PlannedStep[]>();
  for (const step of steps) {
    byMachine.set(step.machine, [...(byMachine.get(step.machine) ?? []), step]);
  }
  return [...byMachine]
    .map(([machine, list]) => [machineName(snapshot, machine), list] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, list]) => [name, ...list.map((step) => `  ${stepText(step, snapshot)}`)]);
}

function stepText({ action }: PlannedStep, snapshot: Snapshot): string {
  const nameOf = (id: string): string =>
    snapshot.containers.find((container) => container.id === id)?.name ?? id.slice(0, 12);
  switch (action.name) {
    case 'run':
      return `create ${action.arguments.service}-${action.arguments.slot}: ${action.reason}`;
    case 'start':
    case 'restart':
    case 'drain':
    case 'stop':
    case 'kill':
    case 'remove':
      return `${action.name} ${nameOf(action.arguments.containerId)}: ${action.reason}`;
    case 'rename':
      return `rename ${nameOf(action.arguments.containerId)} to ${action.arguments.name}`;
    case 'removeVolume':
      return `remove volume ${action.arguments.volume}: ${action.reason}`;
    case 'writeVerdict':
      return `judge the rollout of ${action.arguments.service}: ${action.arguments.verdict.result}`;
    case 'recordDone':
      return `note that ${action.arguments.service}-${action.arguments.slot} is done`;
    case 'reportFailure':
      return `report ${action.arguments.service}-${action.arguments.slot}: ${action.arguments.why}`;
  }
}
