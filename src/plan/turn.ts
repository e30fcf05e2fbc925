/**
 * A rolling update without a leader: every machine sees in the same records which slots are done,
 * and the first `parallelism` of the others, in slot order, may move. Slots whose owner cannot act
 * are left out; they are updated when it returns. A slot that breaks is never done; how many may
 * break before everybody stops is the policy's ratio. The end of a rollout is judged in verdict.ts.
 */
import type { Slot } from '../model/ids.ts';
import type { ContainerView, FailureView, ServiceView, View } from '../model/view.ts';
import { containersOfService, failuresOfService, isInTraffic } from '../view/endpoints.ts';
import { slotNumber } from '../view/order.ts';
import type { Owners } from '../view/snapshot.ts';
import { serviceKey } from '../view/snapshot.ts';
import { type ContainerIndex, isDone } from './owner.ts';
import { isStartFirst, policyOf } from './rollout-policy.ts';

export interface Rollout {
  readonly view: View;
  readonly service: ServiceView;
  readonly owners: Owners;
  readonly index: ContainerIndex;
}

/** Failures of the running rollout that its own slot has not overcome since. */
export function standingFailures(view: View, service: ServiceView): readonly FailureView[] {
  const failures = failuresOfService(view, service.project, service.name).filter(
    (failure) => failure.rollout === service.rollout && isWanted(service, failure.slot),
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

/** The failure for which the update goes no further; undefined while it may go on. */
export function stoppingFailure(
  rollout: Rollout,
): Pick<FailureView, 'why' | 'slot' | 'machine'> | undefined {
  const { view, service } = rollout;
  const { verdict } = service;
  if (verdict?.result === 'paused') return verdict.failure;
  // After `good` a failure is an accident of its slot: the others are brought up to date.
  if (verdict !== undefined) return undefined;
  const failures = standingFailures(view, service);
  const failedCount = new Set(failures.map(({ slot }) => slot)).size;
  return isOverRatio(rollout, failedCount) ? failures[0] : undefined;
}

/** Whether so many slots have failed that the policy lets no more be changed. */
export function isOverRatio({ view, service, owners }: Rollout, failedCount: number): boolean {
  const { failureAction, maxFailureRatio } = policyOf(view, service);
  const slotCount = owners.get(serviceKey(service.project, service.name))?.size ?? 0;
  return failureAction !== 'continue' && failedCount > maxFailureRatio * slotCount;
}

/** Whether it is this slot's turn to be replaced, and if not, why and until when. */
export function turnWait(
  rollout: Rollout,
  slot: Slot,
): { readonly why: string; readonly untilMs: number | undefined } | undefined {
  const { view, service } = rollout;
  const { parallelism, delayMs } = policyOf(view, service);
  const givenUp = givenUpSlots(rollout);
  const pending = actingSlots(rollout).filter(
    (other) => !isSlotDone(rollout, other) && !givenUp.has(other),
  );
  const position = pending.indexOf(slot);
  if (position < 0 || position >= parallelism) {
    return { why: 'waits for its turn in the update', untilMs: monitoredUntilMs(rollout) };
  }
  const untilMs = lastStartMs(rollout) + delayMs;
  if (delayMs > 0 && view.nowMs < untilMs) {
    return { why: 'waits for the delay of the update', untilMs };
  }
  return undefined;
}

/** Slots that broke, where the policy lets the others go on. */
function givenUpSlots({ view, service }: Rollout): ReadonlySet<Slot> {
  return new Set(standingFailures(view, service).map(({ slot }) => slot));
}

/**
 * Whether one ready replica may be taken out now. start-first: its successor serves, so as many as
 * wanted stay; stop-first: with it gone, no more than `parallelism` are missing. Slots that the
 * policy has given up are not waited for.
 */
export function hasSpareReplica(rollout: Rollout): boolean {
  const { view, service, owners } = rollout;
  const slots = owners.get(serviceKey(service.project, service.name)) ?? [];
  const givenUp = givenUpSlots(rollout);
  const servedCount = [...slots].filter(
    ([slot, machine]) => machine !== undefined && isInTraffic(view, machine) && !givenUp.has(slot),
  ).length;
  const wanted = new Set([...slots].map(([slot]) => slot));
  // What has completed is missed by nobody, so it counts like what is ready; what is too many is
  // about to go, and counts for nothing.
  const ready = containersOf(rollout).filter(
    (container) =>
      wanted.has(container.slot) &&
      (isDone(service, container) ||
        (container.ready && !container.draining && isInTraffic(view, container.machine))),
  );
  if (isStartFirst(service)) return ready.length >= servedCount;
  // A second copy of a slot, as after a return, is too many as well.
  const readySlots = new Set(ready.map(({ slot }) => slot));
  return readySlots.size > servedCount - policyOf(view, service).parallelism;
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

/** Slots whose owner can do something about them now. */
export function actingSlots({ view, service, owners }: Rollout): readonly Slot[] {
  const slots = owners.get(serviceKey(service.project, service.name)) ?? [];
  return [...slots].flatMap(([slot, id]) => {
    const machine = id === undefined ? undefined : view.machines.get(id);
    return machine?.liveness === 'reachable' && machine.isAble ? [slot] : [];
  });
}

function isSlotDone(rollout: Rollout, slot: Slot): boolean {
  const { view, service } = rollout;
  if (service.done?.has(slot) === true) return true;
  const copies = containersOf(rollout).filter(
    (container) => container.slot === slot && isInTraffic(view, container.machine),
  );
  return (
    // What is out of traffic needs nobody's turn any more: it only ends.
    copies.every((container) => container.hash === service.hash || container.draining) &&
    copies.some(
      (container) =>
        isDone(service, container) ||
        (container.ready && view.nowMs >= monitorEndMs(rollout, container)),
    )
  );
}

/** A batch counts as done only after the time that the file asks for. */
function monitorEndMs({ view, service }: Rollout, container: ContainerView): number {
  return container.startedMs + (policyOf(view, service).monitorMs ?? 0);
}

/** When the next replica that is ready has been monitored for long enough. */
function monitoredUntilMs(rollout: Rollout): number | undefined {
  const { view, service } = rollout;
  const ends = containersOf(rollout)
    .filter((container) => container.hash === service.hash && container.ready)
    .map((container) => monitorEndMs(rollout, container))
    .filter((endMs) => endMs > view.nowMs);
  return ends.length === 0 ? undefined : Math.min(...ends);
}

function containersOf({ service, index }: Rollout): readonly ContainerView[] {
  return index.get(serviceKey(service.project, service.name)) ?? [];
}
