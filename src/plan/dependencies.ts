/**
 * `depends_on`, read from the view, so that it holds across machines. Conditions gate only the
 * first start of a rollout: once any container of it exists, healing, scaling and re-placement go
 * on without asking, as a database that restarts must not keep its clients down.
 */
import type { Slot } from '../model/ids.ts';
import type { Dependency } from '../model/project.ts';
import type { ContainerView, ProjectView, ServiceView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { compareText, sortedEntries } from '../view/order.ts';
import { hasHealthcheck } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import { type ContainerIndex, isDone } from './owner.ts';
import { standingFailures } from './turn.ts';

export interface DependencyInput {
  readonly view: View;
  readonly project: ProjectView;
  readonly owners: Owners;
  readonly index: ContainerIndex;
}

/** What a service still waits for; undefined when it may start. */
export function dependencyWait(input: DependencyInput, service: ServiceView): string | undefined {
  const own = containersOf(input, service);
  if (own.some((container) => container.rollout === service.rollout)) return undefined;
  return unmetDependency(input, service);
}

/** The same for a service that is started again as a whole: it has containers, and still waits. */
export function unmetDependency(input: DependencyInput, service: ServiceView): string | undefined {
  for (const [name, dependency] of sortedEntries(service.spec.depends_on ?? {})) {
    const wait = waitFor(input, name, dependency);
    if (wait !== undefined) return wait;
  }
  return undefined;
}

function containersOf(input: DependencyInput, service: ServiceView): readonly ContainerView[] {
  return input.index.get(serviceKey(service.project, service.name)) ?? [];
}

function waitFor(
  input: DependencyInput,
  name: string,
  { condition, required }: Dependency,
): string | undefined {
  const service = input.project.services.get(name);
  const isOptional = required === false;
  if (service === undefined) return isOptional ? undefined : `waits for service ${name} to exist`;
  const slots = [...(input.owners.get(serviceKey(service.project, name))?.keys() ?? [])];
  if (service.replicaCount === 0 && service.mode === 'replicated') return undefined;
  if (isOptional && standingFailures(input.view, service).length > 0) return undefined;
  const current = containersOf(input, service).filter(
    (container) => container.hash === service.hash,
  );
  // What is known to be done may have no container any more.
  const has = (slot: Slot, isMet: (container: ContainerView) => boolean): boolean =>
    service.done?.has(slot) === true ||
    current.some((container) => container.slot === slot && isMet(container));
  switch (condition) {
    case 'service_started':
      return current.some((container) => container.startedMs > 0) || service.done !== undefined
        ? undefined
        : `waits for ${name} to start`;
    case 'service_healthy': {
      const missing = slots
        .filter((slot) => !has(slot, isHealthy(input.view, service)))
        .sort(compareText);
      if (slots.length > 0 && missing.length === 0) return undefined;
      return `waits for ${name} to be healthy (${slots.length - missing.length}/${slots.length})`;
    }
    case 'service_completed_successfully': {
      const missing = slots.filter((slot) => !has(slot, (found) => hasSucceeded(service, found)));
      if (slots.length > 0 && missing.length === 0) return undefined;
      const broken = current.find((found) => found.state === 'exited' && found.exitCode !== 0);
      return broken === undefined
        ? `waits for ${name} to complete`
        : `service "${name}" didn't complete successfully: exit ${broken.exitCode}`;
    }
    default:
      return `waits for ${name}: unknown condition`;
  }
}

/** A one-shot without a health check that has succeeded is as healthy as it will ever be. */
function isHealthy(view: View, service: ServiceView): (container: ContainerView) => boolean {
  return (container) =>
    (container.ready && !container.draining && isInTraffic(view, container.machine)) ||
    (!hasHealthcheck(service.spec) && isDone(service, container));
}

function hasSucceeded(service: ServiceView, container: ContainerView): boolean {
  return (
    container.state === 'exited' &&
    container.exitCode === 0 &&
    container.startedMs > 0 &&
    !container.draining &&
    container.hash === service.hash
  );
}
