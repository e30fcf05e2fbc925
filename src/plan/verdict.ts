/**
 * The end of a rollout: good, paused, or rolled back. One machine judges, the first of the
 * reachable ones in rendezvous order, and writes it down once; everybody then reads the same. A
 * part of the cluster that may be the smaller one does not judge what the other part is carrying
 * out as well, so that two verdicts of one rollout never meet: it waits, and the update with it.
 * Who was cut off a moment ago and does not know it yet is found out before the verdict is written
 * (agent/witnesses.ts).
 *
 * What must never happen: a verdict is written over another; a rollout is taken back after `good`;
 * one is judged from a view that may be old.
 */
import type { MachineId } from '../model/ids.ts';
import { recordKey, type VerdictRecord } from '../model/record.ts';
import type { ContainerView, FailureView, MachineView, ServiceView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { isJob } from '../view/service-spec.ts';
import { serviceKey } from '../view/snapshot.ts';
import { planVersion, restartingGraceMs, stableMs, verdictMonitorMs } from './limits.ts';
import { isDone } from './owner.ts';
import { firstRanked } from './rank.ts';
import { policyOf } from './rollout-policy.ts';
import { type Steps, subject } from './steps.ts';
import { actingSlots, isOverRatio, type Rollout, standingFailures } from './turn.ts';

/** Writes the verdict of a service's running rollout when it is due and this machine's to write. */
export function planVerdict(rollout: Rollout, steps: Steps): void {
  const { view, service } = rollout;
  if (service.verdict !== undefined || service.isStopped || !isJudge(view, service)) return;
  const verdict = failedVerdict(rollout, steps) ?? goodVerdict(rollout, steps);
  if (verdict === undefined) return;
  const { project, name, rollout: id } = service;
  const reason = verdict.failure?.why ?? 'every replica is ready';
  steps.add('writeVerdict', subject.verdict(project, name), reason, {
    project,
    service: name,
    rollout: id,
    verdict,
  });
}

/** Whether it is this machine that writes the verdict. */
function isJudge(view: View, service: ServiceView): boolean {
  if (view.guards.includes('stale') || view.guards.includes('booting')) return false;
  const key = recordKey.verdict(service.project, service.name, service.rollout);
  const members = membersOf(view);
  return (
    isEnoughToJudge(view, service, { key, absent: members.absent }) &&
    firstRanked(key, members.judges) === view.self
  );
}

/**
 * Whether those who are not absent may judge a rollout: more than half of the members, or all who
 * know of the change; of two halves one.
 * @param key of the verdict
 */
export function isEnoughToJudge(
  view: View,
  service: ServiceView,
  { key, absent }: { readonly key: string; readonly absent: readonly MachineId[] },
): boolean {
  const memberCount = view.machines.size;
  // What the acceptor could not reach knows nothing of this rollout.
  if (absent.every((id) => service.away.includes(id))) return true;
  if (absent.length * 2 !== memberCount) return absent.length * 2 < memberCount;
  const first = firstRanked(key, view.machines.keys());
  return first !== undefined && !absent.includes(first);
}

/** What is the same for the rollouts of all services. */
interface Members {
  /** Who may write verdicts. */
  readonly judges: readonly MachineId[];
  /** Whose agents cannot be asked: one that is headless serves, and knows of no verdict. */
  readonly absent: readonly MachineId[];
}

/** A view never changes, and is asked once for each service. */
const knownMembers = new WeakMap<View, Members>();

function membersOf(view: View): Members {
  const known = knownMembers.get(view);
  if (known !== undefined) return known;
  const machines = [...view.machines.values()];
  const members = {
    judges: machines.filter(isAbleToJudge).map(({ id }) => id),
    absent: machines.filter(({ liveness }) => liveness !== 'reachable').map(({ id }) => id),
  };
  knownMembers.set(view, members);
  return members;
}

/** They all rank in the same way: no version before this one writes verdicts beside it. */
function isAbleToJudge({ liveness, isAble, versions }: MachineView): boolean {
  return liveness === 'reachable' && isAble && versions.plan >= planVersion;
}

function failedVerdict(rollout: Rollout, steps: Steps): VerdictRecord | undefined {
  const { view, service } = rollout;
  const { failureAction } = policyOf(view, service);
  const failures = standingFailures(view, service).filter((failure) =>
    isFinal(rollout, failure, steps),
  );
  const failedCount = new Set(failures.map(({ slot }) => slot)).size;
  // A hook that failed is no matter of how many: without it nothing may be replaced.
  const hookFailure = failures.find(({ hook }) => hook !== undefined);
  const first = hookFailure ?? failures[0];
  if (first === undefined) return undefined;
  if (hookFailure === undefined && !isOverRatio(rollout, failedCount)) return undefined;
  const { machine, slot, why, exitCode, lastLines, atMs } = first;
  const failure = { machine, slot, why, exitCode, lastLines, atMs };
  const { lastGood } = service;
  return failureAction === 'rollback' && lastGood !== undefined
    ? { result: 'rolled-back', atMs: view.nowMs, ...lastGood, failure }
    : { result: 'paused', atMs: view.nowMs, failure };
}

/** On a first deploy everything starts at once, and a service may only wait for a slow neighbour. */
function isFinal({ service, index }: Rollout, failure: FailureView, steps: Steps): boolean {
  if (service.lastGood !== undefined) return true;
  const isRestarting = (index.get(serviceKey(service.project, service.name)) ?? []).some(
    (container) =>
      container.slot === failure.slot &&
      container.machine === failure.machine &&
      container.rollout === failure.rollout &&
      container.restarts > 0,
  );
  return !isRestarting || steps.isPast(failure.atMs + restartingGraceMs);
}

/**
 * Every slot that can be brought up to date is, and has been for the time that was asked for; those
 * that broke are as many as the policy lets pass.
 */
function goodVerdict(rollout: Rollout, steps: Steps): VerdictRecord | undefined {
  const { view, service, index } = rollout;
  const slots = actingSlots(rollout);
  if (slots.length === 0) return undefined;
  const copies = (index.get(serviceKey(service.project, service.name)) ?? []).filter((container) =>
    isInTraffic(view, container.machine),
  );
  const failed = new Set(standingFailures(view, service).map(({ slot }) => slot));
  if (slots.every((slot) => failed.has(slot)) || isOverRatio(rollout, failed.size)) {
    return undefined;
  }
  const isOld = ({ hash, slot }: ContainerView): boolean =>
    hash !== service.hash && !failed.has(slot);
  if (copies.some(isOld)) return undefined;
  let settledMs = 0;
  for (const slot of slots) {
    if (failed.has(slot) || service.done?.has(slot) === true) continue;
    const serving = copies.find(
      (copy) => copy.slot === slot && copy.hash === service.hash && isServing(service, copy),
    );
    if (serving === undefined) return undefined;
    if (!isDone(service, serving)) settledMs = Math.max(settledMs, settlesAtMs(rollout, serving));
  }
  return steps.isPast(settledMs) ? { result: 'good', atMs: view.nowMs } : undefined;
}

function isServing(service: ServiceView, copy: ContainerView): boolean {
  if (isDone(service, copy)) return true;
  return copy.ready && !copy.draining && !isJob(service.spec);
}

/** What has ended before must show that it stays. */
function settlesAtMs({ view, service }: Rollout, copy: ContainerView): number {
  const monitorMs = policyOf(view, service).monitorMs ?? verdictMonitorMs;
  return copy.startedMs + (copy.restarts > 0 ? Math.max(monitorMs, stableMs) : monitorMs);
}
