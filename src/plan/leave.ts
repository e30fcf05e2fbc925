/**
 * Taking a container away, always in the same order: out of traffic, a moment for connections that
 * are on their way, then the end. A container that serves nobody is not made to wait.
 */
import type { ContainerView } from '../model/view.ts';
import { type Steps, subject } from './steps.ts';

export function isAlive(container: ContainerView): boolean {
  return (
    container.state === 'running' ||
    container.state === 'paused' ||
    container.state === 'restarting'
  );
}

/** One step towards the container's removal. */
export function removeStep(
  steps: Steps,
  container: ContainerView,
  graceMs: number,
  reason: string,
  keepsVolumes = false,
): void {
  if (container.state === 'removing' || !isOutOfTraffic(steps, container, reason)) return;
  steps.add('remove', subject.container(container.id), reason, {
    containerId: container.id,
    graceMs,
    ...(keepsVolumes ? { keepsVolumes } : {}),
  });
}

/** One step towards a stopped container that stays. */
export function stopStep(
  steps: Steps,
  container: ContainerView,
  graceMs: number,
  reason: string,
): void {
  if (!isAlive(container) || !isOutOfTraffic(steps, container, reason)) return;
  steps.add('stop', subject.container(container.id), reason, {
    containerId: container.id,
    graceMs,
  });
}

function isOutOfTraffic(steps: Steps, container: ContainerView, reason: string): boolean {
  if (!isAlive(container)) return true;
  if (container.draining) return steps.hasSettled(container);
  if (!container.ready) return true;
  steps.add('drain', subject.container(container.id), reason, { containerId: container.id });
  return false;
}
