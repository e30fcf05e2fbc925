/**
 * How far a change has come, from what the API shows: used by `up`, which waits, and by anyone who
 * asks later. A rollout is ready when every wanted replica of the current definition is ready (or
 * has completed) and those of older ones, and those too many, are gone. It has failed when a machine says so and nothing
 * is going to change that by itself soon.
 */
import type { MachineId } from '../model/ids.ts';
import type { ProjectSnapshot, ServiceSnapshot, Snapshot } from '../model/snapshot.ts';
import type { ContainerView, FailureView } from '../model/view.ts';
import { slotNumber } from '../view/order.ts';
import { restartingGraceMs } from './limits.ts';

export type RolloutState = 'progressing' | 'ready' | 'failed';

export interface ServiceStatus {
  readonly service: string;
  readonly state: RolloutState;
  readonly ready: number;
  readonly wanted: number;
  /** Containers of older definitions, or too many, that are still there. */
  readonly old: number;
  /** What is going on, for one line; "" when it is ready and nothing is held. */
  readonly why: string;
}

export interface RolloutStatus {
  readonly state: RolloutState;
  readonly lines: readonly ServiceStatus[];
  readonly failures: readonly FailureView[];
}

/**
 * @param pointerHlc the change that is waited for; an older pointer in the snapshot is not it yet
 * @param services names to look at; empty: all that are not orphans
 */
export function rolloutStatus(
  snapshot: Snapshot,
  project: string,
  pointerHlc: number,
  services: readonly string[],
): RolloutStatus {
  const found = snapshot.projects.find((candidate) => candidate.name === project);
  if (found === undefined || found.pointerHlc < pointerHlc || !found.isComplete) {
    return { state: 'progressing', lines: [], failures: [] };
  }
  if (found.isRemoved) return removalStatus(snapshot, found);
  const watched = found.services.filter((service) =>
    services.length === 0 ? !service.isOrphan : services.includes(service.name),
  );
  const isAwaited = pointerHlc > 0;
  const lines = [
    ...watched.map((service) => {
      const status = serviceStatus(snapshot, found, service);
      // Who asks about a later state of the project does not wait for what was taken back.
      return isAwaited ? withTakenBack(service, status) : status;
    }),
    ...removalLines(
      containersWithin(snapshot, found).filter(
        ({ service }) => !found.services.some(({ name }) => name === service),
      ),
    ),
  ];
  const broken = watched.flatMap((service) => [
    ...(isAwaited ? causeOf(found, service) : []),
    ...standingFailures(snapshot, found, service),
  ]);
  const state = overallState(found, lines);
  return { state, lines, failures: state === 'ready' ? [] : broken };
}

/** Failed only when nothing goes on any more: services are independent of each other. */
function overallState(project: ProjectSnapshot, lines: readonly ServiceStatus[]): RolloutState {
  if (lines.every((line) => line.state === 'ready')) return 'ready';
  const failed = new Set(
    lines.filter((line) => line.state === 'failed').map(({ service }) => service),
  );
  if (failed.size === 0) return 'progressing';
  // What waits for a service that failed waits in vain.
  for (let size = 0; size < failed.size; ) {
    size = failed.size;
    for (const { name, dependsOn } of project.services) {
      if (dependsOn?.some((needed) => failed.has(needed)) === true) failed.add(name);
    }
  }
  const goesOn = lines.some(
    ({ state, service }) => state === 'progressing' && !failed.has(service),
  );
  return goesOn ? 'progressing' : 'failed';
}

/** An update that was taken back has failed, however well the earlier definition runs. */
function withTakenBack({ takenBack }: ServiceSnapshot, status: ServiceStatus): ServiceStatus {
  if (takenBack === undefined) return status;
  const cause = takenBack.verdict.failure?.why ?? 'it failed';
  if (status.state === 'ready') {
    const to = takenBack.verdict.revision ?? '';
    return { ...status, state: 'failed', why: `${cause}; rolled back to revision ${to}` };
  }
  const what = status.state === 'failed' ? 'its rollback failed as well' : 'is being rolled back';
  return { ...status, why: `${cause}; ${what}${status.why === '' ? '' : `: ${status.why}`}` };
}

/** What a rollout was taken back for; its own failures are no longer of the running rollout. */
function causeOf(
  project: ProjectSnapshot,
  { name, takenBack }: ServiceSnapshot,
): readonly FailureView[] {
  const failure = takenBack?.verdict.failure;
  if (takenBack === undefined || failure === undefined) return [];
  return [{ ...failure, project: project.name, service: name, rollout: takenBack.rollout }];
}

/** `down` is over when no machine that can be reached has a container of the project. */
function removalStatus(snapshot: Snapshot, project: ProjectSnapshot): RolloutStatus {
  const lines = removalLines(containersWithin(snapshot, project));
  return { state: lines.length === 0 ? 'ready' : 'progressing', lines, failures: [] };
}

function containersWithin(snapshot: Snapshot, project: ProjectSnapshot): readonly ContainerView[] {
  return snapshot.containers.filter(
    (container) => container.project === project.name && isReachable(snapshot, container),
  );
}

/** Services that are no longer part of the project, or of any. */
function removalLines(left: readonly ContainerView[]): readonly ServiceStatus[] {
  return [...new Set(left.map((container) => container.service))].map((service) => {
    const old = left.filter((container) => container.service === service).length;
    return { service, state: 'progressing', ready: 0, wanted: 0, old, why: 'is being removed' };
  });
}

function serviceStatus(
  snapshot: Snapshot,
  project: ProjectSnapshot,
  service: ServiceSnapshot,
): ServiceStatus {
  const containers = containersOf(snapshot, project, service);
  const old = containers.filter(
    (container) =>
      (container.hash !== service.hash || isSurplus(service, container)) &&
      // What a rollout replaced stays, stopped, for its log.
      !(container.hash !== service.hash && container.state === 'exited') &&
      isReachable(snapshot, container),
  ).length;
  const base = { service: service.name, wanted: service.wantedCount, old };
  if (service.isStopped) {
    const running = containers.filter((container) => container.state === 'running').length;
    const isOver = running === 0;
    return {
      ...base,
      ready: 0,
      state: isOver ? 'ready' : 'progressing',
      why: isOver ? '' : 'is being stopped',
    };
  }
  const readySlots = new Set(
    containers
      .filter((container) => !isSurplus(service, container))
      .filter((container) => isUp(snapshot, service, container))
      .map((container) => container.slot),
  );
  for (const slot of service.doneSlots ?? []) readySlots.add(slot);
  const ready = Math.min(readySlots.size, service.wantedCount);
  const heldCount = heldSlotCount(snapshot, service, readySlots);
  const isWatched = containers.some((container) => isMonitored(snapshot, service, container));
  if (ready >= service.wantedCount - heldCount && old === 0 && !isWatched) {
    const why = heldCount === 0 ? '' : progressText(snapshot, project, service, false);
    return { ...base, ready, state: 'ready', why };
  }
  if (service.verdict?.result === 'paused') {
    const why = `the update has stopped: ${service.verdict.failure?.why ?? 'a replica failed'}`;
    return { ...base, ready, state: 'failed', why };
  }
  const fatal = standingFailures(snapshot, project, service).find((failure) =>
    isFinal(snapshot, containers, failure),
  );
  if (fatal !== undefined) return { ...base, ready, state: 'failed', why: fatal.why };
  const isFull = ready >= service.wantedCount;
  if (isFull && old === 0) {
    return { ...base, ready, state: 'progressing', why: 'is monitored for a while' };
  }
  const why = progressText(snapshot, project, service, isFull);
  return { ...base, ready, state: 'progressing', why };
}

/** The file asks for it to be watched for longer. */
function isMonitored(
  snapshot: Snapshot,
  { hash, monitorMs, verdict }: ServiceSnapshot,
  container: ContainerView,
): boolean {
  if (monitorMs === undefined || verdict !== undefined || container.hash !== hash) return false;
  return container.state === 'running' && snapshot.nowMs < container.startedMs + monitorMs;
}

/** Of a slot that was scaled away, or on a machine that a global service has left. */
function isSurplus(service: ServiceSnapshot, { slot }: ContainerView): boolean {
  if (service.mode === 'global') return service.owners[slot] === undefined;
  const number = slotNumber(slot);
  return number === undefined || number > service.wantedCount;
}

/** Slots that come up when their machine is back: nobody can wait for that. */
function heldSlotCount(
  snapshot: Snapshot,
  service: ServiceSnapshot,
  readySlots: ReadonlySet<string>,
): number {
  if (service.mode === 'global') return 0;
  return Object.entries(service.owners).filter(
    ([slot, machine]) => !readySlots.has(slot) && isAway(snapshot, machine),
  ).length;
}

function containersOf(
  snapshot: Snapshot,
  project: ProjectSnapshot,
  service: ServiceSnapshot,
): readonly ContainerView[] {
  return snapshot.containers.filter(
    (container) => container.project === project.name && container.service === service.name,
  );
}

function isUp(snapshot: Snapshot, service: ServiceSnapshot, container: ContainerView): boolean {
  if (container.hash !== service.hash || mustStart(service, container)) return false;
  if (isCompleted(service, container)) return true;
  return (
    service.isJob !== true &&
    container.ready &&
    !container.draining &&
    isReachable(snapshot, container)
  );
}

/** A restart or a start was asked for, and this container has not been started since. */
function mustStart(service: ServiceSnapshot, container: ContainerView): boolean {
  const restartAtMs = Math.max(
    service.restartAtMs ?? 0,
    service.restarts?.[container.slot] ?? 0,
    container.state === 'exited' ? (service.startAtMs ?? 0) : 0,
  );
  return container.startedMs < restartAtMs;
}

function isCompleted(service: ServiceSnapshot, container: ContainerView): boolean {
  return (
    service.mayComplete &&
    container.state === 'exited' &&
    container.exitCode === 0 &&
    !container.draining &&
    container.startedMs > 0
  );
}

function isReachable(snapshot: Snapshot, container: ContainerView): boolean {
  return !isAway(snapshot, container.machine);
}

function isAway(snapshot: Snapshot, id: MachineId): boolean {
  const liveness = snapshot.machines.find((machine) => machine.id === id)?.liveness;
  return liveness !== 'reachable' && liveness !== 'headless';
}

/** Failures of this rollout whose slot is still not up. */
function standingFailures(
  snapshot: Snapshot,
  project: ProjectSnapshot,
  service: ServiceSnapshot,
): readonly FailureView[] {
  const containers = containersOf(snapshot, project, service);
  return snapshot.failures.filter(
    (failure) =>
      failure.project === project.name &&
      failure.service === service.name &&
      failure.rollout === service.rollout &&
      !containers.some(
        (container) => container.slot === failure.slot && isUp(snapshot, service, container),
      ),
  );
}

/** A container that is being restarted gets some time: it may only be waiting for a neighbour. */
function isFinal(
  snapshot: Snapshot,
  containers: readonly ContainerView[],
  failure: FailureView,
): boolean {
  const isRestarting = containers.some(
    (container) =>
      container.slot === failure.slot &&
      container.machine === failure.machine &&
      container.rollout === failure.rollout &&
      container.restarts > 0,
  );
  return !isRestarting || snapshot.nowMs >= failure.atMs + restartingGraceMs;
}

function progressText(
  snapshot: Snapshot,
  project: ProjectSnapshot,
  service: ServiceSnapshot,
  isFull: boolean,
): string {
  const waiting = snapshot.waiting.find(
    (wait) => wait.project === project.name && wait.service === service.name,
  );
  if (waiting !== undefined) return waiting.why;
  const away = Object.values(service.owners).find((machine) =>
    snapshot.machines.some((found) => found.id === machine && found.liveness !== 'reachable'),
  );
  const name = snapshot.machines.find((machine) => machine.id === away)?.name;
  if (name !== undefined) return `waits for machine ${name}`;
  return isFull ? 'older and surplus replicas are being removed' : 'is being started';
}
