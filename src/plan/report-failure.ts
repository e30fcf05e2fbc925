/**
 * When a machine says that a rollout has failed here: a container that ended for good, that ends
 * again and again, that is unhealthy, or that did not become ready in the time it may take. Said
 * once for a slot and a rollout; what follows from it is decided in verdict.ts.
 */
import type { RolloutId, Slot } from '../model/ids.ts';
import type { FailureRecord, SlotFailure } from '../model/record.ts';
import type { ContainerView, FailureView, ServiceView, View } from '../model/view.ts';
import { failuresOfService } from '../view/endpoints.ts';
import { restartPolicyOf } from '../view/service-spec.ts';
import { failedRestartAgeMs, failedRestartCount } from './limits.ts';
import { readyDeadlineMs } from './readiness.ts';
import { type Steps, subject } from './steps.ts';

export interface ReportInput {
  readonly view: View;
  readonly service: ServiceView;
  readonly steps: Steps;
}

/** The failure of a slot in the running rollout that this machine has written already. */
export function ownFailure(
  view: View,
  service: ServiceView,
  slot: string,
): FailureView | undefined {
  return failuresOfService(view, service.project, service.name).find(
    (failure) =>
      failure.machine === view.self && failure.rollout === service.rollout && failure.slot === slot,
  );
}

/** Says so when a container that should serve does not come to it. */
export function reportTrouble(input: ReportInput, container: ContainerView): void {
  const { service, steps } = input;
  if (container.ready) return;
  const isUnhealthy = container.health === 'unhealthy';
  // Nobody is going to restart it.
  if (isUnhealthy && restartPolicyOf(service.spec).condition === 'no') {
    reportFailure(input, container, 'is unhealthy');
    return;
  }
  if (container.restarts >= failedRestartCount) {
    if (!steps.isPast(container.createdMs + failedRestartAgeMs)) return;
    // Between two restarts its check has only begun.
    const what = container.health === 'none' ? 'ends again and again' : 'is unhealthy';
    reportFailure(input, container, `${what} after ${container.restarts} restarts`);
    return;
  }
  if (container.state !== 'running' || container.draining) return;
  const deadlineMs = readyDeadlineMs(service.spec);
  // Only a container that was made for this rollout: an older one has been ready before.
  if (container.rollout !== service.rollout || service.verdict !== undefined) return;
  if (!steps.isPast(container.startedMs + deadlineMs)) return;
  reportFailure(input, container, `is not ready after ${Math.round(deadlineMs / 1_000)} s`);
}

/** Said once: the record stays until a newer rollout replaces it. */
export function reportFailure(
  { view, service, steps }: ReportInput,
  container: ContainerView,
  why: string,
): void {
  if (ownFailure(view, service, container.slot) !== undefined) return;
  steps.add('reportFailure', subject.failure(service.project, service.name), why, {
    project: service.project,
    service: service.name,
    slot: container.slot,
    rollout: service.rollout,
    containerId: container.id,
    why,
    exitCode: container.state === 'exited' ? container.exitCode : null,
  });
}

/** The machine's record of a rollout's failures with one more; the newest of a slot replaces it. */
export function withFailure(
  before: FailureRecord | undefined,
  rollout: RolloutId,
  failure: SlotFailure,
): FailureRecord {
  const others = failuresOf(before, rollout).filter(({ slot }) => slot !== failure.slot);
  return asRecord(rollout, [...others, failure]) ?? { ...failure, rollout };
}

/**
 * The record without the failure of a slot that could not even be started and now is; undefined
 * when nothing is left to say. A container that ended has said something, and is not forgotten.
 */
export function withoutFailure(
  before: FailureRecord | undefined,
  { rollout, slot }: { readonly rollout: RolloutId; readonly slot: Slot },
): FailureRecord | undefined {
  if (before === undefined || before.rollout !== rollout) return before;
  return asRecord(
    rollout,
    failuresOf(before, rollout).filter(
      (failure) =>
        failure.slot !== slot || failure.exitCode !== null || failure.lastLines.length > 0,
    ),
  );
}

function failuresOf(record: FailureRecord | undefined, rollout: RolloutId): readonly SlotFailure[] {
  if (record === undefined || record.rollout !== rollout) return [];
  const { more, rollout: _, ...first } = record;
  return [first, ...(more ?? [])];
}

function asRecord(rollout: RolloutId, failures: readonly SlotFailure[]): FailureRecord | undefined {
  const [first, ...more] = failures;
  if (first === undefined) return undefined;
  return { ...first, rollout, ...(more.length === 0 ? {} : { more }) };
}
