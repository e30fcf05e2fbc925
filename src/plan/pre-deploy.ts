/**
 * When the command before a rollout runs, and what it holds up. It belongs to the machine that the
 * pointer names and to one run: while that has not ended well no container of the new definition is
 * started and nothing is replaced. It is never run twice and never taken over: a machine that was
 * lost after the start may have done half of it, and only the user knows whether it may be repeated
 * (`up --retry-hook`).
 */
import { hlcToMs } from '../lib/hlc.ts';
import type { ContainerView, ProjectView, ServiceView, View } from '../model/view.ts';
import { removeStep } from './leave.ts';
import { type Steps, subject } from './steps.ts';

/** 10 min: how long the container of an earlier run stays while a later one is not over. */
export const hookTraceMs = 600_000;

/** Why the rollout waits for its hook; undefined when it has none, or the hook has ended well. */
export function hookWait(view: View, service: ServiceView): string | undefined {
  const { hook } = service;
  // It has ended well, even where the record of another run has replaced its own since.
  if (service.verdict?.result === 'good') return undefined;
  // After a rollback it is of another rollout: what is in force again had its hook when it was new.
  if (hook === undefined || hook.run !== service.rollout) return undefined;
  const name = view.machines.get(hook.machine)?.name ?? hook.machine;
  const retry = '`up --retry-hook` runs it again';
  const state = hook.state?.state;
  if (state === 'done') return undefined;
  if (state === 'failed') {
    return `its pre-deploy hook failed on ${name}: ${hook.state?.why ?? ''} (${retry})`;
  }
  const liveness = view.machines.get(hook.machine)?.liveness;
  if (liveness === 'reachable') return `waits for its pre-deploy hook on ${name}`;
  const began = state === undefined ? 'belongs to' : 'was started on';
  return `held: its pre-deploy hook ${began} ${name}, which is ${liveness ?? 'removed'} (${retry})`;
}

/** Runs the hook when it is this machine's, or goes on waiting for one that was started. */
export function planHook(
  steps: Steps,
  service: ServiceView,
  dependencyWait: string | undefined,
): void {
  const { hook } = service;
  if (hook === undefined || hook.run !== service.rollout || hook.machine !== steps.self) return;
  // The rollout is over: what follows is a new one.
  if (service.verdict !== undefined) return;
  if (service.isStopped || (service.mode === 'replicated' && service.replicaCount === 0)) return;
  const state = hook.state?.state;
  if (state === 'done' || state === 'failed') return;
  if (state === undefined && dependencyWait !== undefined) return;
  const reason = state === undefined ? 'runs before the rollout' : 'was started before';
  steps.add('runHook', subject.hook(service.project, service.name), reason, {
    project: service.project,
    service: service.name,
    run: hook.run,
  });
}

/**
 * Containers of hooks that are over: of earlier runs, of services and projects that are gone, and of
 * rollouts that were judged. Until then one that has done its work stays, and one of an earlier run
 * for ten minutes at most: the record of a run that was under way on the other side of a partition
 * may replace its own, a machine may lose its records and be told of an earlier change first, and a
 * hook that left no trace would be run again. One that failed stays for its log. A change that is
 * older than a container says nothing about it: a machine that got an old disk back does not know
 * for what it was made.
 */
export function removeOldHooks(
  steps: Steps,
  view: View,
  project: ProjectView,
  hookContainers: readonly ContainerView[],
): void {
  for (const container of hookContainers) {
    if (container.project !== project.name || container.machine !== view.self) continue;
    const service = project.services.get(container.service);
    if (service !== undefined && service.hook?.run === container.hook) {
      if (isHookOver(service)) removeStep(steps, container, 0, 'its hook is over');
      continue;
    }
    const isEarlier = container.createdMs < hlcToMs(project.pointerHlc);
    const hasFollower = service?.hook !== undefined && !isHookOver(service);
    if (!isEarlier || (hasFollower && !steps.isPast(container.createdMs + hookTraceMs))) continue;
    removeStep(steps, container, 0, 'its hook is over');
  }
}

/** Nothing will ask again whether it has run. */
export function isHookOver({ hook, verdict }: ServiceView): boolean {
  return verdict?.result === 'good' && hook?.state?.state !== 'failed';
}
