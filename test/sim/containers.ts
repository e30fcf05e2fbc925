/**
 * What must run in a healed cluster, from what the engines have: every slot of what is in force
 * once, nothing that nobody wants, and of what a rollout replaced one stopped copy for its log. What
 * is in force may be bad, or its rollout may have stopped half-way: then nothing is promised but
 * that nobody has more copies than a rollout may have.
 */
import { hlcToMs } from '../../src/lib/hlc.ts';
import type { Slot } from '../../src/model/ids.ts';
import { recordKey } from '../../src/model/record.ts';
import type { ServiceView, View } from '../../src/model/view.ts';
import { indexContainers, ownersOf } from '../../src/plan/owner.ts';
import { hookTraceMs, hookWait, isHookOver } from '../../src/plan/pre-deploy.ts';
import { standingFailures } from '../../src/plan/turn.ts';
import { isContainer } from '../../src/view/record-checks.ts';
import { isJob, restartPolicyOf } from '../../src/view/service-spec.ts';
import { serviceKey } from '../../src/view/snapshot.ts';
import { isBadImage } from './behaviour.ts';
import type { SimCluster } from './cluster.ts';
import type { SimContainer } from './engine.ts';
import type { SimMachine } from './machine.ts';

export interface Copy {
  readonly machine: SimMachine;
  readonly container: SimContainer;
}

/** All containers of members, pre-deploy hooks among them. */
export function allCopies(machines: readonly SimMachine[]): readonly Copy[] {
  return machines.flatMap((machine) => {
    machine.engine.settle();
    return [...machine.engine.containers.values()].map((container) => ({ machine, container }));
  });
}

/** Whether every slot should come to serve, as far as the definition in force goes. */
export function canServe(view: View, service: ServiceView): boolean {
  const hasStopped = service.verdict?.result === 'paused';
  return !isBadImage(service.spec.image) && !hasStopped && hookWait(view, service) === undefined;
}

/** Slots that do not run exactly once, and containers that nobody wants, in a healed cluster. */
export function wrongContainers(cluster: SimCluster): string[] {
  const members = cluster.members();
  const view = members[0]?.agent?.view();
  if (view === undefined) return [];
  const found: string[] = [];
  const owners = ownersOf(view, indexContainers(view));
  const byService = Map.groupBy(allCopies(members), ({ container }) =>
    container.hook === undefined ? `${container.project}/${container.service}` : 'hooks',
  );
  for (const [key, slots] of owners) {
    const [project = '', name = ''] = key.split('/');
    const service = view.projects.get(project)?.services.get(name);
    const copies = byService.get(key) ?? [];
    byService.delete(key);
    if (service === undefined) continue;
    for (const [slot, owner] of slots) {
      // A volume stays with a machine that was removed until somebody decides.
      if (owner !== undefined && !view.machines.has(owner)) continue;
      const ofSlot = copies.filter(({ container }) => container.slot === slot);
      found.push(...wrongSlot(view, { service, slot, copies: ofSlot }));
    }
    for (const copy of copies) {
      if (!slots.has(copy.container.slot)) found.push(`${textOf(copy)}, which nobody wants`);
    }
  }
  for (const copy of byService.get('hooks') ?? []) {
    const { project, service, hook, createdMs } = copy.container;
    const known = view.projects.get(project);
    // Of a change that was overruled by an earlier one: it stays until the next.
    if (known?.pointer !== undefined && createdMs >= hlcToMs(known.pointerHlc)) continue;
    const wanted = known?.services.get(service);
    // A trace of an earlier run stays while a later one is not over, ten minutes at most.
    const hasFollower = wanted?.hook !== undefined && !isHookOver(wanted);
    if (hasFollower && view.nowMs < createdMs + hookTraceMs) continue;
    if (known !== undefined && wanted?.hook?.run !== hook)
      found.push(`${textOf(copy)} of an old hook`);
  }
  byService.delete('hooks');
  for (const copy of [...byService.values()].flat()) {
    // When every disk with a project's records is lost, its containers are kept: nothing says that
    // they are to go. Whether the records may be gone is looked at elsewhere.
    if (view.projects.has(copy.container.project)) found.push(`${textOf(copy)}, of nothing`);
  }
  return found;
}

/** Wanted slots that nothing serves, in a healed cluster: of services that can be served at all. */
export function missingReplicas(cluster: SimCluster): string[] {
  const members = cluster.members();
  const view = members[0]?.agent?.view();
  if (view === undefined) return [];
  const found: string[] = [];
  const copies = Map.groupBy(allCopies(members), ({ container }) =>
    serviceKey(container.project, container.service),
  );
  for (const [key, slots] of ownersOf(view, indexContainers(view))) {
    const [project = '', name = ''] = key.split('/');
    const service = view.projects.get(project)?.services.get(name);
    if (service === undefined || !canServe(view, service)) continue;
    for (const [slot, owner] of slots) {
      const isHeld = owner !== undefined && !view.machines.has(owner);
      const ofSlot = (copies.get(key) ?? []).filter(({ container }) => container.slot === slot);
      const isServed = ofSlot.some((copy) => serves(service, copy));
      if (isHeld || isServed || service.done?.has(slot) === true) continue;
      found.push(`nothing serves ${key}/${slot}: ${ofSlot.map(textOf).join('; ')}`);
    }
  }
  return found;
}

/** Is in traffic, or has run to its end, or is a job that runs. */
function serves(service: ServiceView, { machine, container }: Copy): boolean {
  if (container.hook !== undefined) return false;
  if (container.state === 'exited')
    return container.hash === service.hash && isOver(service, container);
  const key = recordKey.container(machine.machine, container.id);
  const value = machine.node?.map.get(key)?.value ?? null;
  return isJob(service.spec) || (isContainer(value) && value.ready && !value.draining);
}

/** Nobody starts it again, however it ended. */
function isOver({ spec }: ServiceView, { state, exitCode }: SimContainer): boolean {
  return state === 'exited' && (restartPolicyOf(spec).condition === 'no' || exitCode === 0);
}

interface SlotCopies {
  readonly service: ServiceView;
  readonly slot: Slot;
  readonly copies: readonly Copy[];
}

function wrongSlot(view: View, { service, slot, copies }: SlotCopies): readonly string[] {
  const place = `${service.project}/${service.name}/${slot}`;
  const current = copies.filter(({ container }) => container.hash === service.hash);
  const others = copies.filter((copy) => !current.includes(copy));
  const running = copies.filter(({ container }) => container.state === 'running');
  const what = `${place} of ${service.hash}: ${copies.map(textOf).join('; ')}`;
  if (!canServe(view, service)) return running.length > 2 ? [`too many of ${what}`] : [];
  if (others.length > 1) return [`more than one is kept of ${what}`];
  if (others.some(({ container }) => container.state === 'running')) return [`old ${what}`];
  if (service.done?.has(slot) === true && current.length === 0) return [];
  const [only] = current;
  if (only === undefined || current.length > 1) return [`not once: ${what}`];
  const isRight = only.container.state === 'running' || isOver(service, only.container);
  return isRight ? [] : [`does not run: ${what}`];
}

function textOf({ machine, container }: Copy): string {
  const { id, hash, state, exitCode, project, service, slot } = container;
  return `${machine.name} has ${id} (${project}/${service}/${slot} ${hash} ${state} ${exitCode})`;
}

/**
 * How long the plan itself rests before it tries again what failed while things were wrong.
 * @returns ms from now; 0 when nothing has failed
 */
export function retryMs(cluster: SimCluster, pauseMs: number): number {
  const [first] = cluster.members();
  const view = first?.agent?.view();
  let restMs = 0;
  for (const project of view?.projects.values() ?? []) {
    for (const service of project.services.values()) {
      if (view === undefined || !canServe(view, service)) continue;
      for (const { atMs } of standingFailures(view, service)) {
        restMs = Math.max(restMs, atMs + pauseMs - view.nowMs);
      }
    }
  }
  return restMs;
}
