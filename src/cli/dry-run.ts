/** The steps of `plan` and `up --dry-run`, in the order in which they are expected. Pure. */
import type { PlannedStep } from '../model/api.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { machineName } from './ps-rows.ts';
import { formatTable } from './table.ts';

/** @returns lines for stdout; says so when there is nothing to do */
export function dryRunLines(
  steps: readonly PlannedStep[],
  snapshot: Snapshot,
  project: string,
): readonly string[] {
  if (steps.length === 0) return ['Nothing to do.'];
  const rows = steps.map((step, index) => {
    const { machine, replica } = step;
    const ready = replica === undefined ? '' : `${replica.leastReady} of ${replica.wanted}`;
    return [`${index + 1}`, machineName(snapshot, machine), stepText(step, snapshot), ready];
  });
  return [
    ...formatTable(['STEP', 'MACHINE', 'DOES', 'READY'], rows),
    ...leastLines(steps, snapshot, project),
  ];
}

/** How far services that are ready now go down on the way. */
function leastLines(
  steps: readonly PlannedStep[],
  snapshot: Snapshot,
  project: string,
): readonly string[] {
  const least = new Map<string, { readonly ready: number; readonly wanted: number }>();
  for (const { replica } of steps) {
    if (replica === undefined) continue;
    const { service, leastReady, wanted } = replica;
    const before = least.get(service)?.ready ?? Number.POSITIVE_INFINITY;
    least.set(service, { ready: Math.min(before, leastReady), wanted });
  }
  const isServing = (service: string): boolean =>
    snapshot.containers.some((c) => c.project === project && c.service === service && c.ready);
  return [...least]
    .filter(([service]) => isServing(service))
    .map(([service, { ready, wanted }]) =>
      ready === 0
        ? `${service}: for a moment no replica is ready.`
        : `${service}: never fewer than ${ready} of ${wanted} ready.`,
    );
}

function stepText({ action, replica }: PlannedStep, snapshot: Snapshot): string {
  const nameOf = (id: string): string =>
    snapshot.containers.find((container) => container.id === id)?.name ??
    // One that an earlier step makes.
    (replica === undefined ? id.slice(0, 12) : `${replica.service}-${replica.slot}`);
  switch (action.name) {
    case 'run':
      return `create ${action.arguments.service}-${action.arguments.slot}: ${action.reason}`;
    case 'runHook':
      return `run the pre-deploy hook of ${action.arguments.service}: ${action.reason}`;
    case 'start':
    case 'restart':
    case 'drain':
    case 'stop':
    case 'kill':
    case 'remove':
      return `${action.name} ${nameOf(action.arguments.containerId)}: ${action.reason}`;
    case 'rename':
      return `name a container ${action.arguments.name}: ${action.reason}`;
    case 'claim':
      return `claim ${action.arguments.slots.map((c) => `${c.service}-${c.slot}`).join(', ')}`;
    case 'moveSlots':
      return `move slots of ${action.arguments.service}: ${action.reason}`;
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
