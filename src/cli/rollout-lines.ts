/**
 * What changed between two snapshots, as one line a change ("web-2  m3  started"): the progress of
 * `up`, `scale` and `down` where there is no terminal. Pure. A line says what a container became,
 * never what somebody intends; a step that lies between two snapshots is not invented.
 */
import type { Snapshot } from '../model/snapshot.ts';
import type { ContainerView } from '../model/view.ts';
import { machineName } from './ps-rows.ts';

export interface RolloutLine {
  /** Container name without the project, or a service that waits. */
  readonly name: string;
  readonly machine: string;
  readonly text: string;
  readonly tone: 'good' | 'bad' | 'plain';
}

/** @returns a line for every container of the project that appeared, changed or went away */
export function rolloutLines(
  before: Snapshot | undefined,
  after: Snapshot,
  project: string,
): readonly RolloutLine[] {
  const known = new Map(containersOf(before, project).map((c) => [keyOf(c), c]));
  const lines: RolloutLine[] = [];
  const line = (container: ContainerView, text: string, tone: RolloutLine['tone']): void => {
    lines.push({
      name: shortName(container.name, project),
      machine: machineName(after, container.machine),
      text,
      tone,
    });
  };
  for (const container of containersOf(after, project)) {
    const old = known.get(keyOf(container));
    known.delete(keyOf(container));
    const [text, tone] = stateText(container);
    if (old === undefined || stateText(old)[0] !== text) line(container, text, tone);
  }
  for (const gone of known.values()) line(gone, 'removed', 'plain');
  return [...lines, ...waitingLines(before, after, project)];
}

/** Pads the columns so that lines of one `up` stand under each other. */
export function formatRolloutLine(line: RolloutLine): string {
  return `${line.name.padEnd(20)}  ${line.machine.padEnd(12)}  ${line.text}`;
}

/** @returns the name as a person says it inside its project: "web-2" */
export function shortName(name: string, project: string): string {
  return name.startsWith(`${project}-`) ? name.slice(project.length + 1) : name;
}

/** A word for where a container stands in its life. */
export function stateText(container: ContainerView): readonly [string, RolloutLine['tone']] {
  const { state, health, ready, draining, exitCode, restarts } = container;
  switch (state) {
    case 'created':
      return ['created', 'plain'];
    case 'running':
      if (draining) return ['draining', 'plain'];
      if (health === 'unhealthy') return ['unhealthy', 'bad'];
      if (ready) return [health === 'healthy' ? 'healthy' : 'ready', 'good'];
      return [restarts > 0 ? `restarted (${restarts})` : 'started', 'plain'];
    case 'paused':
      return ['paused', 'plain'];
    case 'restarting':
      return [`restarting (exit code ${exitCode})`, 'bad'];
    case 'exited':
      return draining || exitCode === 0
        ? [draining ? 'stopped' : 'exited (0)', 'plain']
        : [`exited (${exitCode})`, 'bad'];
    case 'removing':
      return ['being removed', 'plain'];
    case 'dead':
      return ['dead', 'bad'];
  }
}

function waitingLines(
  before: Snapshot | undefined,
  after: Snapshot,
  project: string,
): readonly RolloutLine[] {
  const known = new Set(
    before?.waiting
      .filter((waiting) => waiting.project === project)
      .map(({ service, slot, why }) => `${service}/${slot}/${why}`),
  );
  return after.waiting
    .filter((waiting) => waiting.project === project)
    .filter(({ service, slot, why }) => !known.has(`${service}/${slot}/${why}`))
    .map(({ service, slot, why }) => ({
      name: `${service}-${slot}`,
      machine: machineName(after, after.self),
      text: `waits: ${why}`,
      tone: 'plain' as const,
    }));
}

function containersOf(snapshot: Snapshot | undefined, project: string): readonly ContainerView[] {
  return snapshot?.containers.filter((container) => container.project === project) ?? [];
}

function keyOf({ machine, id }: ContainerView): string {
  return `${machine}/${id}`;
}
