/**
 * Operations (`stop`, `start`, `restart`, `kill`, `rm`) as each machine carries them out: they stand
 * in a record, so a machine that was away does its part when it is back. Orders go through the
 * project as `docker compose` does it: what others need is stopped last and restarted first.
 *
 * What must never happen: an order is carried out twice (a signal is marked in the container's
 * record), or a container that was not asked for is stopped or removed.
 */
import type { Slot } from '../model/ids.ts';
import type { ContainerView, MachineView, ProjectView, ServiceView, View } from '../model/view.ts';
import { containersOfService } from '../view/endpoints.ts';
import { graceMsOf } from '../view/service-spec.ts';
import { isAlive, removeStep, stopStep } from './leave.ts';
import { isDone } from './owner.ts';
import { type Steps, subject } from './steps.ts';

/** What the steps of an operation read. */
export interface OperationInput {
  readonly view: View;
  readonly project: ProjectView;
  readonly service: ServiceView;
  readonly steps: Steps;
}

/** Containers of the slot that were started before this moment are restarted; 0: none. */
export function restartAtMsOf({ operation }: ServiceView, slot: Slot): number {
  return Math.max(operation?.restartAtMs ?? 0, operation?.restarts?.[slot] ?? 0);
}

/** Ended containers of the slot that were started before this moment are started; 0: none. */
export function startAtMsOf(service: ServiceView, slot: Slot): number {
  return Math.max(restartAtMsOf(service, slot), service.operation?.startAtMs ?? 0);
}

/** How long a container may take to end when an operation stops or restarts it. */
export function operationGraceMs({ operation, spec }: ServiceView): number {
  return operation?.graceMs ?? graceMsOf(spec);
}

/** A container of a service that is stopped: it ends, and with `rm` it goes. */
export function restStep(input: OperationInput, copy: ContainerView): void {
  const { service, steps } = input;
  if (clearStep(input, copy) || !isAlive(copy)) return;
  if (service.operation?.kill !== undefined) {
    signalStep(input, copy);
    return;
  }
  const dependent = runningDependent(input);
  if (dependent !== undefined) {
    steps.wait(copy, `is stopped after ${dependent}, which depends on it`);
    return;
  }
  stopStep(steps, copy, operationGraceMs(service), 'the service is stopped');
}

/**
 * Removes a container that `rm` asked for.
 * @returns whether it is to go
 */
export function clearStep({ service, steps }: OperationInput, copy: ContainerView): boolean {
  const { operation } = service;
  const removeAtMs = operation?.removeAtMs ?? 0;
  if (removeAtMs === 0 || isAlive(copy)) return false;
  // Of a service that goes on, what ends later is not meant; nor is a job that is done, which
  // would only be run again.
  const isMeant = service.isStopped || (copy.finishedMs < removeAtMs && !isDone(service, copy));
  if (!isMeant) return false;
  const keepsVolumes = operation?.removeVolumes !== true;
  removeStep(steps, copy, graceMsOf(service.spec), 'its removal was asked for', keepsVolumes);
  return true;
}

/** Sends the signal of `kill`, unless the container has had it. */
export function signalStep({ service, steps }: OperationInput, copy: ContainerView): void {
  const order = service.operation?.kill;
  if (order === undefined || copy.state !== 'running') return;
  if (order.slots !== undefined && !order.slots.includes(copy.slot)) return;
  if ((copy.signalMs ?? 0) >= order.atMs) return;
  // Of a service that goes on, what was started since is not meant.
  if (!service.isStopped && copy.startedMs >= order.atMs) return;
  steps.add('kill', subject.container(copy.id), `${order.signal} was asked for`, {
    containerId: copy.id,
    signal: order.signal,
    atMs: order.atMs,
  });
}

/** A service that is being stopped as well, needs this one, and still runs where it can be stopped. */
function runningDependent({ view, project, service }: OperationInput): string | undefined {
  for (const other of project.services.values()) {
    if (other.spec.depends_on?.[service.name] === undefined) continue;
    if (!other.isStopped || other.operation?.kill !== undefined) continue;
    const isRunning = containersOfService(view, project.name, other.name).some(
      (container) => isAlive(container) && canAct(view.machines.get(container.machine)),
    );
    if (isRunning) return other.name;
  }
  return undefined;
}

/**
 * A service that this one needs and that comes first: the same command restarts it, or a change
 * replaces it and this one is restarted with it.
 */
export function restartsAfter({ view, project, service }: OperationInput): string | undefined {
  const restartAtMs = service.operation?.restartAtMs ?? 0;
  if (restartAtMs === 0) return undefined;
  for (const [name, dependency] of Object.entries(service.spec.depends_on ?? {})) {
    const needed = project.services.get(name);
    if (needed === undefined) continue;
    if (dependency.restart === true && isBeingReplaced(view, needed)) return name;
    if (needed.operation?.restartAtMs !== restartAtMs) continue;
    const isWaiting = containersOfService(view, project.name, name).some(
      (container) =>
        container.startedMs < restartAtMs &&
        container.hash === needed.hash &&
        canAct(view.machines.get(container.machine)),
    );
    if (isWaiting) return name;
  }
  return undefined;
}

function isBeingReplaced(view: View, service: ServiceView): boolean {
  if (service.isStopped) return false;
  const containers = containersOfService(view, service.project, service.name).filter((container) =>
    canAct(view.machines.get(container.machine)),
  );
  const isCurrent = (container: ContainerView): boolean => container.hash === service.hash;
  // One of an older definition may be kept for its log after it has ended.
  return (
    containers.some((container) => isAlive(container) && !isCurrent(container)) ||
    (service.replicaCount > 0 &&
      containers.length > 0 &&
      !containers.some((container) => isCurrent(container) && container.startedMs > 0))
  );
}

function canAct(machine: MachineView | undefined): boolean {
  return machine?.liveness === 'reachable' && machine.isAble;
}
