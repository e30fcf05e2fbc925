/**
 * What a rollout replaced stays for a day, stopped, so that its log can still be read: the last one
 * of each slot, under its name with `-old`. It serves nobody, holds no slot and no port, and goes
 * with its slot, its service or its project. A container that broke is kept in the same way.
 */
import type { ContainerView, ServiceView, View } from '../model/view.ts';
import { containersOfService } from '../view/endpoints.ts';
import { compareText } from '../view/order.ts';
import { graceMsOf, lastingName } from '../view/service-spec.ts';
import { isAlive, removeStep, stopStep } from './leave.ts';
import { planVersion, retiredKeepMs } from './limits.ts';
import { commonPlanVersion } from './rollout-policy.ts';
import { type Steps, subject } from './steps.ts';

/** Ended, and of a definition that is no longer in force. */
export function isRetired(service: ServiceView | undefined, container: ContainerView): boolean {
  return service !== undefined && container.state === 'exited' && container.hash !== service.hash;
}

/** One step towards a container that was replaced: it leaves traffic, ends, and is kept. */
export function retireStep(
  steps: Steps,
  service: ServiceView,
  container: ContainerView,
  reason: string,
): void {
  const graceMs = graceMsOf(service.spec);
  // What never ran has no log.
  if (isAlive(container)) stopStep(steps, container, graceMs, reason);
  else if (!isRetired(service, container)) removeStep(steps, container, graceMs, reason);
}

/** Keeps the last retired container of each slot; the others on this machine go. */
export function planRetired(
  view: View,
  service: ServiceView,
  { isWanted, steps }: { readonly isWanted: (slot: string) => boolean; readonly steps: Steps },
): void {
  const retired = containersOfService(view, service.project, service.name).filter((container) =>
    isRetired(service, container),
  );
  const isKept = commonPlanVersion(view) >= planVersion;
  for (const container of retired) {
    if (container.machine !== view.self) continue;
    const last = retired.filter(({ slot }) => slot === container.slot).sort(lastFirst)[0];
    const isAskedFor = (service.operation?.removeAtMs ?? 0) > container.finishedMs;
    const mayStay = isKept && !isAskedFor && last?.id === container.id && isWanted(container.slot);
    if (mayStay && !steps.isPast(container.finishedMs + retiredKeepMs)) {
      giveOldName(view, service, { container, steps });
    } else {
      const reason = 'only the last container of a slot is kept for its log';
      removeStep(steps, container, graceMsOf(service.spec), reason);
    }
  }
}

function lastFirst(left: ContainerView, right: ContainerView): number {
  return (
    right.finishedMs - left.finishedMs ||
    right.createdMs - left.createdMs ||
    compareText(left.id, right.id)
  );
}

/** The lasting name belongs to the successor. */
function giveOldName(
  view: View,
  service: ServiceView,
  { container, steps }: { readonly container: ContainerView; readonly steps: Steps },
): void {
  const machineName = view.machines.get(view.self)?.name ?? view.self;
  const lasting = lastingName(service, container.slot, machineName);
  const isFree = (wanted: string): boolean =>
    !view.containers.some((other) => other.machine === view.self && other.name === wanted);
  // After a rollback the two have to change names, so one takes a third for a moment.
  const passing = container.name === lasting ? [`${lasting}-old-${container.id.slice(0, 8)}`] : [];
  const name = [`${lasting}-old`, ...passing].find(isFree);
  if (container.name === `${lasting}-old` || name === undefined) return;
  steps.add('rename', subject.container(container.id), 'its successor takes the name', {
    containerId: container.id,
    name,
  });
}
