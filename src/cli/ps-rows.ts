/**
 * Containers of a snapshot as rows of `ps`, in the columns and words of `docker compose ps` plus
 * the machine. Pure: the caller prints.
 */
import type { MachineId } from '../model/ids.ts';
import type { VerdictRecord } from '../model/record.ts';
import type { ServiceSnapshot, Snapshot } from '../model/snapshot.ts';
import type { ContainerView } from '../model/view.ts';
import { conflictLines } from '../plan/conflict.ts';
import { humanDuration } from './human-time.ts';

export const psHeads = ['NAME', 'IMAGE', 'SERVICE', 'CREATED', 'STATUS', 'PORTS', 'MACHINE'];

export interface PsFilter {
  readonly project: string;
  /** Empty: all. */
  readonly services: readonly string[];
  /** Also those that do not run. */
  readonly all: boolean;
  /** Only these states, as docker names them; empty: as `all` says. */
  readonly states: readonly string[];
}

/** @returns the containers that `ps` lists, in the order of the snapshot */
export function psContainers(snapshot: Snapshot, filter: PsFilter): readonly ContainerView[] {
  return snapshot.containers.filter(
    ({ project, service, state }) =>
      project === filter.project &&
      (filter.services.length === 0 || filter.services.includes(service)) &&
      (filter.states.length > 0
        ? filter.states.includes(state)
        : filter.all || state === 'running' || state === 'paused' || state === 'restarting'),
  );
}

/** What no row can tell: slots without a container, and changes that were overruled. */
export function psNotes(snapshot: Snapshot, project: string): readonly string[] {
  const names = (id: MachineId): string => machineName(snapshot, id);
  const conflicts = snapshot.projects.find(({ name }) => name === project)?.conflicts ?? [];
  return [
    ...waitingNotes(snapshot, project),
    ...verdictNotes(snapshot, project),
    ...conflicts.flatMap((lost) => conflictLines(project, lost, names)),
  ];
}

/** Rollouts that did not end well, and what is in force now. */
function verdictNotes(snapshot: Snapshot, project: string): readonly string[] {
  const services = snapshot.projects.find(({ name }) => name === project)?.services ?? [];
  return services.flatMap((service) => {
    const { name, takenBack, verdict, revision = '' } = service;
    // A first deploy that came up after all has nothing left to say.
    const isPaused = verdict?.result === 'paused' && !isAllReady(snapshot, project, service);
    const now = isPaused ? [`${name}: the update has stopped: ${whyOf(verdict)}`] : [];
    if (takenBack === undefined) return now;
    const why = whyOf(takenBack.verdict);
    return [
      `${name}: the update failed (${why}) and was rolled back to revision ${revision}`,
      ...now,
    ];
  });
}

function isAllReady(
  { containers }: Snapshot,
  project: string,
  { name, hash, wantedCount }: ServiceSnapshot,
): boolean {
  const ready = containers.filter(
    (one) => one.project === project && one.service === name && one.hash === hash && one.ready,
  );
  return ready.length >= wantedCount;
}

function whyOf({ failure }: VerdictRecord): string {
  return failure?.why ?? 'a replica failed';
}

/** Slots that wait, and for what: "data-1 is held: …". */
export function waitingNotes(snapshot: Snapshot, project: string): readonly string[] {
  return snapshot.waiting
    .filter((waiting) => waiting.project === project)
    .map(({ service, slot, why }) => {
      const name = [service, slot].filter((part) => part !== '').join('-') || project;
      return `${name}: ${why}`;
    });
}

/** Slots of these services whose machine is away: they come up when it is back. */
export function heldNotes(
  snapshot: Snapshot,
  project: string,
  services: readonly string[],
): readonly string[] {
  const waiting = snapshot.waiting.filter(({ project: of, service, slot }) => {
    const found = snapshot.projects.find(({ name }) => name === of);
    const owner = found?.services.find(({ name }) => name === service)?.owners[slot];
    const machine = snapshot.machines.find(({ id }) => id === owner);
    const isAway = machine?.liveness === 'unreachable' || machine?.liveness === 'lost';
    return isAway && services.includes(service);
  });
  return waitingNotes({ ...snapshot, waiting }, project);
}

/** @returns one row of the table */
export function psRow(container: ContainerView, snapshot: Snapshot): readonly string[] {
  return [
    container.name,
    container.image,
    container.service,
    `${humanDuration(snapshot.nowMs - container.createdMs)} ago`,
    statusText(container, snapshot),
    portsText(container, snapshot),
    machineName(snapshot, container.machine),
  ];
}

/** @returns the object of `ps --format json`; keys are those of `docker compose`, and Machine */
export function psObject(container: ContainerView, snapshot: Snapshot): Record<string, unknown> {
  return {
    ID: container.id,
    Name: container.name,
    Image: container.image,
    Project: container.project,
    Service: container.service,
    Slot: container.slot,
    Machine: machineName(snapshot, container.machine),
    State: container.state,
    Status: statusText(container, snapshot),
    Health: container.health === 'none' ? '' : container.health,
    Ready: container.ready,
    ExitCode: container.exitCode,
    RunningFor: `${humanDuration(snapshot.nowMs - container.createdMs)} ago`,
    CreatedAt: new Date(container.createdMs).toISOString(),
    Ports: portsText(container, snapshot),
    Publishers: publishersOf(container, snapshot),
    Address: container.ip,
    Networks: Object.keys(container.networks).join(','),
  };
}

/** The words of docker: "Up 5 minutes (healthy)", "Exited (1) 3 seconds ago". */
export function statusText(container: ContainerView, snapshot: Snapshot): string {
  const { state, health, exitCode } = container;
  const since = (ms: number): string => humanDuration(snapshot.nowMs - ms);
  const notes = [
    ...(health === 'none' ? [] : [health === 'starting' ? 'health: starting' : health]),
    ...(state === 'paused' ? ['Paused'] : []),
    ...(container.draining ? ['draining'] : []),
    ...livenessNote(container, snapshot),
  ];
  const suffix = notes.map((note) => ` (${note})`).join('');
  switch (state) {
    case 'running':
    case 'paused':
      return `Up ${since(container.startedMs)}${suffix}`;
    case 'restarting':
      return `Restarting (${exitCode}) ${since(container.finishedMs)} ago`;
    case 'exited':
      return `Exited (${exitCode}) ${since(container.finishedMs)} ago`;
    case 'created':
      return 'Created';
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
  }
}

export interface Publisher {
  readonly URL: string;
  readonly TargetPort: number;
  readonly PublishedPort: number;
  readonly Protocol: string;
}

/**
 * Reads a port as the snapshot carries it, "127.0.0.1:8080:80/tcp" or "80/tcp"; a range has no
 * single number and counts as not published.
 */
export function publisherOf(port: string): Publisher | undefined {
  const match = /^(?:(?:(.*):)?(\d+):)?(\d+)\/(\w+)$/.exec(port);
  if (match === null) return undefined;
  const [, host, published, target, protocol = 'tcp'] = match;
  const isPublished = published !== undefined;
  return {
    URL: isPublished ? (host ?? '0.0.0.0').replace(/^\[|\]$/g, '') : '',
    TargetPort: Number(target),
    PublishedPort: Number(published ?? 0),
    Protocol: protocol,
  };
}

function publishersOf(container: ContainerView, snapshot: Snapshot): readonly Publisher[] {
  const ports = serviceOf(snapshot, container)?.ports ?? [];
  return ports.map(publisherOf).filter((publisher) => publisher !== undefined);
}

/** As docker writes it: "0.0.0.0:8080->80/tcp, 9000/tcp". */
function portsText(container: ContainerView, snapshot: Snapshot): string {
  return publishersOf(container, snapshot)
    .map(({ URL: host, TargetPort, PublishedPort, Protocol }) =>
      PublishedPort === 0
        ? `${TargetPort}/${Protocol}`
        : `${host.includes(':') ? `[${host}]` : host}:${PublishedPort}->${TargetPort}/${Protocol}`,
    )
    .join(', ');
}

export function machineName(snapshot: Snapshot, id: MachineId): string {
  return snapshot.machines.find((machine) => machine.id === id)?.name ?? id;
}

function livenessNote(container: ContainerView, snapshot: Snapshot): readonly string[] {
  const machine = snapshot.machines.find(({ id }) => id === container.machine);
  if (machine === undefined) return ['machine removed'];
  return machine.liveness === 'reachable' ? [] : [`machine ${machine.liveness}`];
}

function serviceOf(snapshot: Snapshot, container: ContainerView): ServiceSnapshot | undefined {
  return snapshot.projects
    .find(({ name }) => name === container.project)
    ?.services.find(({ name }) => name === container.service);
}
