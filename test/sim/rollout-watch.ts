/**
 * What must hold while services are changed, whatever goes wrong:
 *
 * 1. A rollout takes no more ready replicas out at a time than it promised: none with start-first,
 *    `parallelism` with stop-first, and so does `restart`. What a fault took is not counted.
 * 2. Machines within each other's reach run no more replicas than are wanted and a rollout may have
 *    beside them; what is draining is none any more (docs/decisions.md, 29).
 * 3. The container of a pre-deploy hook is started once in all machines together.
 * 4. A volume is initialised once: on a second machine only by a change that did not know of the
 *    first one.
 */
import type { Action } from '../../src/model/action.ts';
import type { Slot } from '../../src/model/ids.ts';
import { recordKey } from '../../src/model/record.ts';
import type { ContainerView, ServiceView, View } from '../../src/model/view.ts';
import { restartAtMsOf } from '../../src/plan/operations.ts';
import { isDone } from '../../src/plan/owner.ts';
import { isStartFirst, policyOf } from '../../src/plan/rollout-policy.ts';
import { containersOfService, isInTraffic } from '../../src/view/endpoints.ts';
import { slotNumber } from '../../src/view/order.ts';
import { serviceKey } from '../../src/view/snapshot.ts';
import { isCalm } from './calm.ts';
import type { SimCluster } from './cluster.ts';
import { allCopies, type Copy } from './containers.ts';
import type { SimMachine } from './machine.ts';
import { Violation } from './violation.ts';

/** 20 s after a cut, or anything else, what was doubled by it has gone. */
const quietMs = 20_000;
/** 4 s apart at least, two looks see too many: what is on its way out has gone by then. */
const surplusMs = 4_000;

/** A replica that a rollout took out, until its slot is served again. */
interface Taken {
  readonly by: SimMachine;
  readonly atMs: number;
  /** As it was then. */
  readonly own: ContainerView;
}

export class RolloutWatch {
  readonly #cluster: SimCluster;
  /** By service and slot. */
  readonly #taken = new Map<string, Map<Slot, Taken>>();
  /** By service: since when too many run. */
  readonly #surplusSinceMs = new Map<string, number>();
  /** By service: how many a definition of the last time let run beside those wanted, and until when that counts. */
  readonly #surge = new Map<string, { readonly count: number; readonly untilMs: number }>();
  #cutMs = Number.NEGATIVE_INFINITY;

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  // Replicas that are taken out

  acted(machine: SimMachine, view: View, action: Action): void {
    const isRestart = action.name === 'restart';
    const takesOut = action.name === 'drain' || action.name === 'stop' || action.name === 'remove';
    if ((!takesOut && !isRestart) || this.#hasTwins()) return;
    const { containerId } = action.arguments;
    const own = view.containers.find(
      ({ id, machine: of }) => id === containerId && of === view.self,
    );
    // What serves nobody is missed by nobody.
    if (own === undefined || !own.ready || own.draining) return;
    const service = view.projects.get(own.project)?.services.get(own.service);
    if (service === undefined || service.isStopped || !isWanted(service, own.slot)) return;
    const isAskedFor = own.startedMs < restartAtMsOf(service, own.slot);
    if (isRestart && isAskedFor) this.#checkCount(machine, view, service, { own, isRestart });
    if (!isRestart && service.hash !== own.hash) this.#checkTaken(machine, view, service, own);
  }

  #checkTaken(machine: SimMachine, view: View, service: ServiceView, own: ContainerView): void {
    if (isServed(view, service, own, own.slot)) return;
    if (isStartFirst(service)) {
      const what = `${own.project}/${own.service}/${own.slot}`;
      throw new Violation(`${machine.name} takes ${what} out, and nothing serves in its place`);
    }
    this.#checkCount(machine, view, service, { own, isRestart: false });
  }

  /** A further replica is missing: how many are, of those that were taken in this way? */
  #checkCount(
    machine: SimMachine,
    view: View,
    service: ServiceView,
    { own, isRestart }: { readonly own: ContainerView; readonly isRestart: boolean },
  ): void {
    const key = `${serviceKey(own.project, own.service)}${isRestart ? ' restart' : ''}`;
    const taken = this.#taken.get(key) ?? new Map<Slot, Taken>();
    this.#taken.set(key, taken);
    for (const [slot, { by, atMs }] of taken) {
      const isBack = !isWanted(service, slot) || isServed(view, service, own, slot);
      // What a fault keeps away is not the rollout's doing: its machine's, or that of its engine.
      const isAway = by.disturbedMs > atMs || !isInTraffic(view, by.machine);
      const isUnable = view.machines.get(by.machine)?.isAble === false;
      if (isBack || isAway || isUnable) taken.delete(slot);
    }
    taken.set(own.slot, { by: machine, atMs: this.#cluster.world.nowMs, own });
    if (taken.size <= policyOf(view, service).parallelism) return;
    const what = `${own.project}/${own.service}/${own.slot}`;
    throw new Violation(
      `${machine.name} takes ${what} out while slots ${[...taken.keys()].join()} are not back`,
    );
  }

  /** Each of two live machines of one identity denies the other's containers: nobody can know what runs. */
  #hasTwins(): boolean {
    const hasTwins = this.#cluster.clones().some(({ isRunning }) => isRunning);
    if (hasTwins) this.#taken.clear();
    return hasTwins;
  }

  // From time to time

  look(): void {
    this.#noteReturns();
    this.#checkHooks();
    this.#checkVolumes();
    this.#checkSurplus();
  }

  /** A slot that was served again is no longer missing because of the rollout, whatever takes it later. */
  #noteReturns(): void {
    for (const taken of this.#taken.values()) {
      for (const [slot, { by, own }] of taken) {
        const view = by.agent?.view();
        const service = view?.projects.get(own.project)?.services.get(own.service);
        if (view === undefined || service === undefined) continue;
        if (isServed(view, service, own, slot)) taken.delete(slot);
      }
    }
  }

  #checkHooks(): void {
    const counts = new Map<string, number>();
    for (const { engine } of this.#cluster.machines) {
      for (const [run, count] of engine.hookStarts) {
        const total = (counts.get(run) ?? 0) + count;
        if (total > 1) throw new Violation(`the hook of rollout ${run} was started twice`);
        counts.set(run, total);
      }
    }
  }

  #checkVolumes(): void {
    const { deletions } = this.#cluster;
    const holders = new Map<string, SimMachine[]>();
    for (const machine of this.#cluster.members()) {
      for (const name of machine.engine.volumes.keys()) {
        const others = holders.get(name) ?? [];
        for (const other of others) checkPair(name, machine, other, deletions);
        holders.set(name, [...others, machine]);
      }
    }
  }

  #checkSurplus(): void {
    const { world, network } = this.#cluster;
    if (network.cutCount > 0 || this.#hasTwins()) this.#cutMs = world.nowMs;
    const isQuiet = world.nowMs - this.#cutMs > quietMs && network.loss <= 0.05;
    const members = isQuiet ? this.#cluster.members() : [];
    const calm = members.filter(
      (machine) =>
        isCalm(this.#cluster, machine, quietMs) &&
        world.nowMs - machine.engine.troubledMs > quietMs &&
        !machine.engine.isTroubled,
    );
    const view = calm[0]?.agent?.view();
    if (view === undefined) {
      this.#surplusSinceMs.clear();
      return;
    }
    const copies = Map.groupBy(allCopies(calm).filter(isServing), ({ container }) =>
      serviceKey(container.project, container.service),
    );
    for (const project of view.projects.values()) {
      for (const service of project.services.values()) {
        const own = copies.get(serviceKey(project.name, service.name)) ?? [];
        this.#checkService(view, service, own);
      }
    }
  }

  #checkService(view: View, service: ServiceView, copies: readonly Copy[]): void {
    const { nowMs } = this.#cluster.world;
    const key = serviceKey(service.project, service.name);
    const wanted = copies.filter(({ container }) => isWanted(service, container.slot));
    const mostCount = service.replicaCount + this.#surgeOf(view, service);
    if (wanted.length <= mostCount) {
      this.#surplusSinceMs.delete(key);
      return;
    }
    const sinceMs = this.#surplusSinceMs.get(key) ?? nowMs;
    this.#surplusSinceMs.set(key, sinceMs);
    if (nowMs - sinceMs < surplusMs) return;
    const where = wanted.map(({ machine, container }) => `${machine.name} ${container.slot}`);
    throw new Violation(
      `${key} runs ${wanted.length} times, ${mostCount} are the most: ${where.join()}`,
    );
  }

  /** A later change may be stricter; what an earlier one has brought takes a moment to go. */
  #surgeOf(view: View, service: ServiceView): number {
    const { nowMs } = this.#cluster.world;
    const key = serviceKey(service.project, service.name);
    const count = isStartFirst(service) ? policyOf(view, service).parallelism : 0;
    const before = this.#surge.get(key);
    if (before !== undefined && before.count > count && before.untilMs > nowMs) {
      return before.count;
    }
    this.#surge.set(key, { count, untilMs: nowMs + quietMs });
    return count;
  }
}

/** By another container than the one that is taken out, or by that one after its restart. */
function isServed(view: View, service: ServiceView, own: ContainerView, slot: Slot): boolean {
  if (service.done?.has(slot) === true) return true;
  return containersOfService(view, service.project, service.name).some(
    (copy) => copy.slot === slot && !isSameRun(copy, own) && serves(view, service, copy),
  );
}

function isSameRun(copy: ContainerView, own: ContainerView): boolean {
  return copy.id === own.id && copy.startedMs === own.startedMs;
}

function serves(view: View, service: ServiceView, copy: ContainerView): boolean {
  if (isDone(service, copy)) return true;
  return copy.ready && !copy.draining && isInTraffic(view, copy.machine);
}

function isWanted({ mode, replicaCount }: ServiceView, slot: Slot): boolean {
  return mode === 'replicated' && (slotNumber(slot) ?? 0) <= replicaCount;
}

/** Runs, and is not on its way out. */
function isServing({ machine, container }: Copy): boolean {
  if (container.state !== 'running' || container.hook !== undefined) return false;
  const key = recordKey.container(machine.machine, container.id);
  const value = machine.node?.map.get(key)?.value;
  return typeof value !== 'object' || value === null || Reflect.get(value, 'draining') !== true;
}

/** Two machines have a volume of this name; none of the two may have known of the other. */
function checkPair(
  name: string,
  left: SimMachine,
  right: SimMachine,
  deletions: ReadonlyMap<string, readonly string[]>,
): void {
  const [one, other] = [left.engine.volumes.get(name), right.engine.volumes.get(name)];
  if (one === undefined || other === undefined) return;
  for (const [older, newer] of [
    [one, other],
    [other, one],
  ] as const) {
    if (!newer.ancestors.includes(older.change)) continue;
    const wasDeleted = newer.ancestors.some(
      (change) => deletions.get(change)?.includes(older.change) === true,
    );
    if (wasDeleted) continue;
    throw new Violation(`volume ${name} was made on ${left.name} and on ${right.name}`);
  }
}
