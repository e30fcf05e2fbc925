/**
 * (View, local state) -> what this machine does now. Pure and total: the same view gives the same
 * plan on any machine, except that each keeps only its own actions. Nothing is remembered between
 * two calls; a plan that was interrupted anywhere is taken up by the next one.
 *
 * What must never happen: a container or a volume is removed because a record is missing. Removal
 * needs a tombstone, or a complete pointer that excludes the container; what belongs to no known
 * project is left alone and reported.
 */
import type { Plan } from '../model/action.ts';
import type { ContainerView, ProjectView, View } from '../model/view.ts';
import { defaultGraceMs } from '../view/service-spec.ts';
import { autoRebalance } from './auto-rebalance.ts';
import { Claims } from './claims.ts';
import { removeStep } from './leave.ts';
import { indexContainers, ownersOf, placedAnewAtMs } from './owner.ts';
import { isOutdated, planService } from './plan-service.ts';
import { removeOldHooks } from './pre-deploy.ts';
import { type LocalState, Steps, subject } from './steps.ts';

/** Decides the actions of `view.self`. */
export function plan(view: View, local: LocalState): Plan {
  const steps = new Steps(view.self, view.nowMs, local);
  for (const machine of view.machines.values()) {
    // No event tells that a machine has not been able to act for too long.
    const atMs = placedAnewAtMs(machine);
    if (atMs !== undefined) steps.isPast(atMs);
  }
  const index = indexContainers(view);
  const owners = ownersOf(view, index);
  const claims = new Claims(view, steps);
  const mine = view.containers.filter((container) => container.machine === view.self);
  for (const project of view.projects.values()) {
    if (!isOutdated(view) && project.isComplete) {
      removeOldHooks(steps, view, project, view.hookContainers ?? []);
    }
    if (project.tombstone !== undefined) {
      planRemoval(steps, view, project, mine);
    } else if (!project.isComplete) {
      steps.wait(
        { project: project.name, service: '', slot: '' },
        'its definition has not arrived completely',
      );
    } else {
      for (const service of project.services.values()) {
        planService({ view, project, service, owners, index, steps, claims });
      }
      removeUnnamedServices(steps, view, project, mine);
    }
  }
  for (const container of mine) {
    if (view.projects.has(container.project)) continue;
    steps.wait(container, `no record of project ${container.project}: ${container.name} is kept`);
  }
  claims.finish();
  autoRebalance(view, { owners, index, steps });
  return steps.plan();
}

/** The project was taken down: its containers go, then the volumes that were to go with it. */
function planRemoval(
  steps: Steps,
  view: View,
  project: ProjectView,
  mine: readonly ContainerView[],
): void {
  if (isOutdated(view)) return;
  const hooks = (view.hookContainers ?? []).filter(({ machine }) => machine === view.self);
  const own = [...mine, ...hooks].filter((container) => container.project === project.name);
  for (const container of own) {
    removeStep(steps, container, defaultGraceMs, 'the project is down');
  }
  if (own.length > 0) return;
  for (const volume of project.tombstone?.deleteVolumes ?? []) {
    if (!steps.local.volumes.has(volume)) continue;
    steps.add('removeVolume', subject.volume(volume), 'down -v', {
      project: project.name,
      volume,
    });
  }
}

/** A complete pointer that does not name a service is evidence that the service is gone. */
function removeUnnamedServices(
  steps: Steps,
  view: View,
  project: ProjectView,
  mine: readonly ContainerView[],
): void {
  if (isOutdated(view)) return;
  for (const container of mine) {
    if (container.project !== project.name || project.services.has(container.service)) continue;
    removeStep(steps, container, defaultGraceMs, 'the service is no longer part of the project');
  }
}
