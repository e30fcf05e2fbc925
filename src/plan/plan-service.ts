/**
 * One service on this machine. Copies whose slot is no longer wanted leave; slots that this machine
 * owns are brought up, kept up, or replaced when the definition changed; copies of slots that
 * another machine owns leave once the other copy has served for a while. What a change replaced is
 * kept, stopped (retired.ts); how the change ends is judged by one machine (verdict.ts).
 *
 * Guards: while the view may be out of date (stale, booting) only restarts happen. An isolated
 * machine still carries out explicit changes, but re-places nothing and removes no surplus.
 */
import type { Slot } from '../model/ids.ts';
import type { ContainerView, ProjectView, ServiceView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { companionOf, graceMsOf, isRunOnce } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import type { Claims } from './claims.ts';
import { dependencyWait, unmetDependency } from './dependencies.ts';
import { canArrive, elsewhereWait, mustLeaveFirst } from './hand-over.ts';
import { companionContainer, keepUp } from './keep-up.ts';
import { isAlive, removeStep } from './leave.ts';
import { engineLeavesMs, failureRetryMs } from './limits.ts';
import { clearStep, restartAtMsOf, restartsAfter, restStep, signalStep } from './operations.ts';
import { type ContainerIndex, isDone } from './owner.ts';
import { hookWait, planHook } from './pre-deploy.ts';
import { ownFailure } from './report-failure.ts';
import { planRetired, retireStep } from './retired.ts';
import { isStartFirst, policyOf } from './rollout-policy.ts';
import { runTurnWait } from './run-once.ts';
import { type Steps, subject } from './steps.ts';
import { hasSpareReplica, standingFailures, stoppingFailure, turnWait } from './turn.ts';
import { planVerdict } from './verdict.ts';

export interface ServiceInput {
  readonly view: View;
  readonly project: ProjectView;
  readonly service: ServiceView;
  readonly owners: Owners;
  readonly index: ContainerIndex;
  readonly steps: Steps;
  readonly claims: Claims;
}

/** True while nothing explicit may be carried out: the records here may be old. */
export function isOutdated(view: View): boolean {
  return view.guards.includes('stale') || view.guards.includes('booting');
}

/** All steps of one service on this machine. */
export function planService(input: ServiceInput): void {
  const { view, service, owners, index, steps } = input;
  const key = serviceKey(service.project, service.name);
  const slots = owners.get(key) ?? new Map<Slot, undefined>();
  const all = index.get(key) ?? [];
  for (const copy of all) {
    if (copy.machine !== view.self || slots.has(copy.slot) || isOutdated(view)) continue;
    removeStep(steps, copy, graceMsOf(service.spec), 'the slot is no longer wanted here');
  }
  if (!isOutdated(view)) planHook(steps, service, dependencyWait(input, service));
  for (const [slot, owner] of slots) {
    const copies = all.filter((copy) => copy.machine === view.self && copy.slot === slot);
    const place = { project: service.project, service: service.name, slot };
    if (service.isStopped) {
      for (const copy of copies) restStep(input, copy);
    } else if (isOver(service, slot) && !all.some((copy) => copy.slot === slot)) {
      // It ran to its end and its container was removed: there is nothing to bring back.
    } else if (owner === view.self) {
      for (const copy of copies) signalStep(input, copy);
      const isCleared = copies.filter((copy) => clearStep(input, copy)).length > 0;
      if (!isCleared) planSlot(input, slot, copies);
    } else if (owner === undefined) {
      steps.wait(place, 'no machine can run it');
    } else {
      for (const copy of copies) removeSurplus(input, copy, all);
    }
  }
  if (isOutdated(view)) return;
  planRetired(view, service, { isWanted: (slot) => slots.has(slot), steps });
  planVerdict(input, steps);
}

/** The slot has run to its end, and nobody asked for another run since. */
function isOver({ done, operation }: ServiceView, slot: Slot): boolean {
  const doneMs = done?.get(slot);
  return doneMs !== undefined && doneMs >= (operation?.restartAtMs ?? 0);
}

/** The copy that the owner keeps must have served for some seconds before this one goes. */
function removeSurplus(
  { view, service, steps, owners, index }: ServiceInput,
  copy: ContainerView,
  all: readonly ContainerView[],
): void {
  if (view.guards.length > 0) return;
  const owner = owners.get(serviceKey(service.project, service.name))?.get(copy.slot);
  const kept = all.find(
    (other) =>
      other.slot === copy.slot &&
      other.machine === owner &&
      isInTraffic(view, other.machine) &&
      // While an update has stopped, nobody may have the new definition: of two older copies one goes.
      (other.hash === service.hash || copy.hash !== service.hash) &&
      isServing(service, other),
  );
  if (kept === undefined) {
    const isAwaited = mustLeaveFirst(service) && canArrive(view, owner);
    if (isAwaited && (!copy.ready || hasSpareReplica({ view, service, owners, index }))) {
      removeStep(steps, copy, graceMsOf(service.spec), 'another machine takes the slot over');
    } else {
      steps.wait(copy, 'runs on until its other copy is ready');
    }
    return;
  }
  if (!isDone(service, kept) && !steps.hasServed(kept)) return;
  const reason = 'another machine has this slot';
  if (copy.hash === service.hash) removeStep(steps, copy, graceMsOf(service.spec), reason);
  else retireStep(steps, service, copy, reason);
}

function planSlot(input: ServiceInput, slot: Slot, copies: readonly ContainerView[]): void {
  const { view, service, steps } = input;
  if (steps.isBusy(subject.slot(service.project, service.name, slot))) return;
  for (const copy of copies) {
    if (copy.hash !== service.hash || isCurrent(input, copy) || isOutdated(view)) continue;
    removeStep(steps, copy, graceMsOf(service.spec), 'the container it stands beside was replaced');
  }
  const current = copies.filter((copy) => isCurrent(input, copy)).sort(compareCopies);
  const old = copies.filter((copy) => !isCurrent(input, copy));
  const [kept, ...doubled] = current;
  if (kept === undefined) {
    if (old.length === 0) bringUp(input, slot, emptyReason(input, slot));
    else if (old.some((copy) => copy.hash !== service.hash)) replace(input, slot, old);
    return;
  }
  if (isResting(kept) && old.some(isAlive)) {
    replace(input, slot, old, kept);
    return;
  }
  if (isDone(service, kept)) recordDone(steps, service, kept);
  const isRestartTurn = hasRestartTurn(input, slot, kept);
  const startWait = (): string | undefined => unmetDependency(input, service);
  keepUp({ view, service, steps, isRestartTurn, startWait }, kept);
  if (isOutdated(view)) return;
  const grace = graceMsOf(service.spec);
  for (const copy of doubled) removeStep(steps, copy, grace, 'is a second copy of the slot');
  for (const copy of old) {
    const isSpare =
      !copy.ready || copy.draining || (isServing(service, kept) && hasSpareReplica(input));
    if (isSpare) retireStep(steps, service, copy, 'was replaced');
    else steps.wait(copy, 'runs on until its successor is ready');
  }
}

function isServing(service: ServiceView, copy: ContainerView): boolean {
  return (copy.ready && !copy.draining) || isDone(service, copy);
}

/** Was replaced once, and its definition is in force again: it is started instead of a new one. */
function isResting(copy: ContainerView): boolean {
  return copy.state === 'exited' && copy.draining;
}

/** The container may be pruned away; that it has run must stay known. */
function recordDone(steps: Steps, service: ServiceView, copy: ContainerView): void {
  const { project, name, rollout, done } = service;
  const atMs = Math.max(copy.finishedMs, copy.startedMs);
  if ((done?.get(copy.slot) ?? -1) >= atMs) return;
  // A server that ends with code 0 may have been told to by an engine that is about to go.
  if (!isRunOnce(service) && !steps.isPast(atMs + engineLeavesMs)) return;
  steps.add('recordDone', subject.done(project, name, copy.slot), 'ran to its end', {
    project,
    service: name,
    slot: copy.slot,
    rollout,
    atMs,
  });
}

/** Of the current definition, and not left behind by the container whose namespace it shares. */
function isCurrent({ view, service }: ServiceInput, copy: ContainerView): boolean {
  if (copy.hash !== service.hash) return false;
  const companion = companionContainer(view, service, copy.slot);
  return companion === undefined || companion.createdMs <= copy.createdMs;
}

/** The one that serves first, then the newest: it was made to replace the others. */
function compareCopies(left: ContainerView, right: ContainerView): number {
  return (
    Number(right.ready) - Number(left.ready) ||
    Number(isAlive(right)) - Number(isAlive(left)) ||
    right.createdMs - left.createdMs
  );
}

/** Why the slot has no container here, as far as it can be seen: said in the container's record. */
function emptyReason({ view, service, index }: ServiceInput, slot: Slot): string {
  const others = (index.get(serviceKey(service.project, service.name)) ?? []).filter(
    (copy) => copy.slot === slot && copy.machine !== view.self,
  );
  for (const { machine: id } of others) {
    const machine = view.machines.get(id);
    if (machine === undefined) continue;
    if (!isInTraffic(view, id)) return `${machine.name}, which had it, is ${machine.liveness}`;
    if (machine.isDrained) return `${machine.name}, which has it, is drained`;
    if (!machine.isAble) return `${machine.name}, which has it, cannot act`;
  }
  return 'the slot is empty';
}

/** Creates a container for a slot that has none of the current definition. */
function bringUp(input: ServiceInput, slot: Slot, reason: string): void {
  const { service, steps } = input;
  const place = { project: service.project, service: service.name, slot };
  const wait = startWait(input, slot) ?? arrivalWait(input, slot);
  if (wait !== undefined) {
    steps.wait(place, wait);
    return;
  }
  const on = subject.slot(service.project, service.name, slot);
  steps.add('run', on, reason, { ...place, hash: service.hash, rollout: service.rollout });
}

/** Why a slot that comes to this machine may not be filled yet. */
function arrivalWait(
  { view, service, index, claims }: ServiceInput,
  slot: Slot,
): string | undefined {
  const copies = index.get(serviceKey(service.project, service.name)) ?? [];
  const isHere = (copy: ContainerView): boolean => copy.machine === view.self;
  if (copies.some((copy) => copy.slot === slot && isHere(copy))) return undefined;
  return elsewhereWait(view, service, slot, copies) ?? claims.waitFor(service, slot);
}

/** Why no container of the current definition may be started now. */
function startWait(input: ServiceInput, slot: Slot): string | undefined {
  const { view, service, steps } = input;
  if (isOutdated(view)) return `waits until the view is sure (${view.guards.join(', ')})`;
  const companion = companionOf(service.spec);
  if (companion !== undefined && companionContainer(view, service, slot) === undefined) {
    return `waits for ${companion} to run on this machine`;
  }
  const failure = ownFailure(view, service, slot);
  const isStanding = failure !== undefined && standingFailures(view, service).includes(failure);
  if (isStanding && !steps.isPast(failure.atMs + failureRetryMs)) return `failed: ${failure.why}`;
  return dependencyWait(input, service) ?? hookWait(view, service) ?? runTurnWait(input, slot);
}

/** The slot has only containers of an older definition. */
function replace(
  input: ServiceInput,
  slot: Slot,
  old: readonly ContainerView[],
  resting?: ContainerView,
): void {
  const { view, service, steps } = input;
  const place = { project: service.project, service: service.name, slot };
  const serving = old.filter((copy) => copy.ready && !copy.draining).sort(compareCopies);
  const isServed = serving.length > 0;
  // Several changes that came quickly may have left one each, and what broke beside it; the slot
  // needs only one. The others go whatever the change itself waits for: its hook may take minutes,
  // or fail, and a change that stops the old one first promises that no two run.
  if (isServed && !isOutdated(view)) {
    for (const copy of serving.slice(1)) {
      retireStep(steps, service, copy, 'is a second copy of the slot');
    }
    for (const copy of old) {
      if (!copy.ready && !copy.draining) retireStep(steps, service, copy, 'never became ready');
    }
  }
  const wait = startWait(input, slot);
  if (wait !== undefined) {
    steps.wait(place, wait);
    return;
  }
  // What serves nobody costs nothing to replace, so it needs no turn: it may be what is broken.
  if (isServed) {
    const failure = stoppingFailure(input);
    if (failure !== undefined) {
      steps.wait(place, `the update has stopped: ${failure.why}`);
      return;
    }
    const turn = turnWait(input, slot);
    if (turn !== undefined) {
      if (turn.untilMs !== undefined) steps.isPast(turn.untilMs);
      steps.wait(place, turn.why);
      return;
    }
  }
  if (isStartFirst(service) && old.some(isAlive)) {
    // One that got ready while its successor is made would be one replica more than there may be.
    if (!isServed) {
      for (const copy of old) retireStep(steps, service, copy, 'serves nobody and is replaced');
    }
    if (resting === undefined) bringUp(input, slot, 'the definition has changed');
    else startResting(steps, resting);
    return;
  }
  if (isServed && !hasSpareReplica(input)) {
    steps.wait(place, 'waits until enough replicas are ready');
    return;
  }
  for (const copy of old) retireStep(steps, service, copy, 'the definition has changed');
}

function startResting(steps: Steps, { id: containerId }: ContainerView): void {
  const reason = 'its definition is in force again';
  steps.add('start', subject.container(containerId), reason, { containerId, restarts: 0 });
}

/**
 * `restart` goes through the slots as an update does, `parallelism` at a time: fewer than that of
 * those before this one are still to do, and of those after it are missing, as when an earlier
 * restart has not come to its end. Of the latter, what the policy has given up is not waited for.
 * A copy that serves nobody is missed by nobody, and others wait for it: it goes unless one before
 * it is missing as well. Services that are needed come first.
 */
function hasRestartTurn(input: ServiceInput, slot: Slot, kept: ContainerView): boolean {
  const { view, service, owners, index } = input;
  if (restartAtMsOf(service, slot) === 0) return true;
  if (restartsAfter(input) !== undefined) return false;
  const key = serviceKey(service.project, service.name);
  const isServed = isServing(service, kept);
  const givenUp = new Set(standingFailures(view, service).map((failure) => failure.slot));
  let isLater = false;
  let downCount = 0;
  for (const [other, owner] of owners.get(key) ?? []) {
    if (other === slot) {
      isLater = true;
      continue;
    }
    if (isLater && (!isServed || givenUp.has(other))) continue;
    const machine = owner === undefined ? undefined : view.machines.get(owner);
    if (machine?.liveness !== 'reachable' || !machine.isAble || isOver(service, other)) continue;
    const serving = (index.get(key) ?? []).filter(
      (copy) => copy.slot === other && isServing(service, copy) && isInTraffic(view, copy.machine),
    );
    const restartAtMs = isLater || !isServed ? 0 : restartAtMsOf(service, other);
    if (!serving.some((copy) => copy.startedMs >= restartAtMs)) downCount += 1;
  }
  return downCount < policyOf(view, service).parallelism;
}
