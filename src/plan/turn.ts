/**
 * A rolling update without a leader: every machine sees in the same records which slots are done,
 * and the first `parallelism` of the others, in slot order, may move. Slots whose owner cannot act
 * are left out; they are updated when it returns. A slot that breaks is never done, so those behind
 * it stay as they are: an update that fails stops by itself.
 */
import type { Slot } from '../model/ids.ts';
import type { ContainerView, FailureView, ServiceView, View } from '../model/view.ts';
import { containersOfService, isInTraffic } from '../view/endpoints.ts';
import { slotNumber } from '../view/order.ts';
import { isNamedVolume, optionalDurationMs } from '../view/service-spec.ts';
import type { Owners } from '../view/snapshot.ts';
import { serviceKey } from '../view/snapshot.ts';
import { type ContainerIndex, isDone } from './owner.ts';
import { hostPortsOf } from './published.ts';

export interface Rollout {
  readonly view: View;
  readonly service: ServiceView;
  readonly owners: Owners;
  readonly index: ContainerIndex;
}

/** Failures of the running rollout that its own slot has not overcome since. */
export function standingFailures(view: View, service: ServiceView): readonly FailureView[] {
  const failures = view.failures.filter(
    (failure) =>
      failure.project === service.project &&
      failure.service === service.name &&
      failure.rollout === service.rollout &&
      isWanted(service, failure.slot),
  );
  if (failures.length === 0) return failures;
  const containers = containersOfService(view, service.project, service.name);
  return failures.filter(
    (failure) =>
      !containers.some(
        (container) =>
          container.slot === failure.slot &&
          container.hash === service.hash &&
          (container.ready || isDone(service, container)),
      ),
  );
}

/** What failed in a slot that was scaled away holds nothing up. */
function isWanted(service: ServiceView, slot: Slot): boolean {
  return service.mode === 'global' || (slotNumber(slot) ?? 0) <= service.replicaCount;
}

/** How many slots may move at a time; `parallelism: 0` means all. */
export function parallelismOf(service: ServiceView): number {
  const parallelism = service.spec.deploy?.update_config?.parallelism ?? 1;
  return parallelism === 0 ? Number.MAX_SAFE_INTEGER : parallelism;
}

/**
 * start-first keeps the capacity, and is the default where two copies can live side by side. Two
 * copies on one volume may corrupt it, and two on one host port cannot start at all.
 */
export function isStartFirst(service: ServiceView): boolean {
  const { spec } = service;
  if (hostPortsOf(spec).length > 0 || spec.network_mode === 'host') return false;
  const order = spec.deploy?.update_config?.order;
  if (order === 'start-first' || order === 'stop-first') return order === 'start-first';
  const hasVolume = (spec.volumes ?? []).some(
    (mount) => isNamedVolume(mount) || mount.type === 'volume' || isWritableBind(mount),
  );
  return !hasVolume && spec.container_name === undefined;
}

function isWritableBind(mount: { readonly type: string; readonly read_only?: boolean }): boolean {
  return mount.type === 'bind' && mount.read_only !== true;
}

/** `failure_action: continue`: a slot that broke is given up, and the others go on. */
export function goesOnAfterFailure(service: ServiceView): boolean {
  return service.spec.deploy?.update_config?.failure_action === 'continue';
}

/** Whether it is this slot's turn to be replaced, and if not, why and until when. */
export function turnWait(
  rollout: Rollout,
  slot: Slot,
): { readonly why: string; readonly untilMs: number | undefined } | undefined {
  const { view, service } = rollout;
  const parallelism = parallelismOf(service);
  const givenUp = goesOnAfterFailure(service)
    ? standingFailures(view, service).map((failure) => failure.slot)
    : [];
  const pending = actingSlots(rollout).filter(
    (other) => !isSlotDone(rollout, other) && !givenUp.includes(other),
  );
  const position = pending.indexOf(slot);
  if (position < 0 || position >= parallelism) {
    return { why: 'waits for its turn in the update', untilMs: undefined };
  }
  const delayMs = optionalDurationMs(service.spec.deploy?.update_config?.delay) ?? 0;
  const untilMs = lastStartMs(rollout) + delayMs;
  if (delayMs > 0 && view.nowMs < untilMs) {
    return { why: 'waits for the delay of the update', untilMs };
  }
  return undefined;
}

/** Whether the service can spare one ready replica now. */
export function hasSpareReplica(rollout: Rollout): boolean {
  const { view, service, owners } = rollout;
  const slots = owners.get(serviceKey(service.project, service.name)) ?? [];
  const servedCount = [...slots].filter(
    ([, machine]) => machine !== undefined && isInTraffic(view, machine),
  ).length;
  // What has completed is missed by nobody, so it counts like what is ready.
  const readyCount = containersOf(rollout).filter(
    (container) =>
      isDone(service, container) ||
      (container.ready && !container.draining && isInTraffic(view, container.machine)),
  ).length;
  const spare = isStartFirst(service) ? 0 : parallelismOf(service);
  return readyCount >= servedCount - spare;
}

/** When the last slot that is done was started; 0 when none is. */
function lastStartMs(rollout: Rollout): number {
  const started = containersOf(rollout)
    .filter(
      (container) => container.hash === rollout.service.hash && isSlotDone(rollout, container.slot),
    )
    .map((container) => container.startedMs);
  return Math.max(0, ...started);
}

function actingSlots({ view, service, owners }: Rollout): readonly Slot[] {
  const slots = owners.get(serviceKey(service.project, service.name)) ?? [];
  return [...slots].flatMap(([slot, id]) => {
    const machine = id === undefined ? undefined : view.machines.get(id);
    return machine?.liveness === 'reachable' && machine.isAble ? [slot] : [];
  });
}

function isSlotDone(rollout: Rollout, slot: Slot): boolean {
  const { view, service } = rollout;
  const copies = containersOf(rollout).filter(
    (container) => container.slot === slot && isInTraffic(view, container.machine),
  );
  return (
    // What is out of traffic needs nobody's turn any more: it only ends.
    copies.every((container) => container.hash === service.hash || container.draining) &&
    copies.some((container) => container.ready || isDone(service, container))
  );
}

function containersOf({ service, index }: Rollout): readonly ContainerView[] {
  return index.get(serviceKey(service.project, service.name)) ?? [];
}
