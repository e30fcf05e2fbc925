/**
 * The sentences below the tables of `status`: changes that were overruled, why this agent holds
 * back, what has failed, and what waits for what. Pure. Nothing is said twice of one service.
 */
import type { Snapshot } from '../../model/snapshot.ts';
import type { ContainerView, FailureView } from '../../model/view.ts';
import { conflictLines } from '../../plan/conflict.ts';
import { machineName } from '../ps-rows.ts';

const guardTexts: Readonly<Record<string, string>> = {
  stale: 'this agent is catching up with the others: it changes nothing yet',
  booting: 'this agent has just started: it changes nothing until it knows the others',
  isolated: 'this machine sees no other one: it moves no replica',
};

/** A service that is on its way, as rollout-status.ts sees it. */
export interface PendingService {
  readonly project: string;
  readonly name: string;
  readonly ready: number;
  readonly wanted: number;
  readonly why: string;
}

/**
 * @param pending services that are neither ready nor failed
 * @returns sentences, most important first
 */
export function statusNotes(
  snapshot: Snapshot,
  pending: readonly PendingService[],
): readonly string[] {
  const failures = snapshot.failures.filter((failure) => isStanding(snapshot, failure));
  const { waiting } = snapshot;
  const isExplained = ({ project, name }: PendingService): boolean =>
    [...failures, ...waiting].some((one) => one.project === project && one.service === name);
  return [
    ...snapshot.projects.flatMap(({ name, conflicts }) =>
      conflicts.map((lost) =>
        conflictLines(name, lost, (id) => machineName(snapshot, id)).join(' '),
      ),
    ),
    ...snapshot.guards.map((guard) => guardTexts[guard] ?? `this agent is held back: ${guard}`),
    ...failures.map(({ project, service, slot, machine, why, exitCode }) => {
      const isSaid = exitCode === null || why.includes(`(${exitCode})`);
      const code = isSaid ? '' : ` (exit code ${exitCode})`;
      const place = machineName(snapshot, machine);
      return `${project}/${service}-${slot} failed on ${place}: ${why}${code}`;
    }),
    ...pending
      .filter((service) => !isExplained(service))
      .map(
        ({ project, name, ready, wanted, why }) =>
          `${project}/${name}: ${ready} of ${wanted} ready: ${why}`,
      ),
    ...waiting.map(({ project, service, slot, why }) => {
      // A wait without a service is about the whole project.
      const who = service === '' ? project : `${project}/${service}-${slot}`;
      return `${who}: ${why}`;
    }),
  ];
}

/** Of the running rollout, and not overcome since. */
function isStanding(snapshot: Snapshot, failure: FailureView): boolean {
  const service = snapshot.projects
    .find(({ name }) => name === failure.project)
    ?.services.find(({ name }) => name === failure.service);
  const isUp = (container: ContainerView): boolean =>
    container.project === failure.project &&
    container.service === failure.service &&
    container.slot === failure.slot &&
    container.hash === service?.hash &&
    container.ready;
  return service?.rollout === failure.rollout && !snapshot.containers.some(isUp);
}
