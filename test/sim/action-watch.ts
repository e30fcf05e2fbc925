/**
 * What no single action may do, whatever else goes on:
 *
 * 1. A container is removed only where a record of its project says so.
 * 2. A machine does not carry out a change that is older than one it has carried out already while
 *    a machine within its reach knows better: that is also how a project that was taken down would
 *    come back.
 * 3. What has its data on one machine is run on no other.
 */
import { bootAloneMs } from '../../src/gossip/limits.ts';
import type { Action } from '../../src/model/action.ts';
import { recordKey } from '../../src/model/record.ts';
import type { View } from '../../src/model/view.ts';
import { isSound, readsAtOnce } from './calm.ts';
import type { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';
import { Violation } from './violation.ts';

/**
 * 5 s after a cut between two machines ended they have linked, if nothing else is wrong: 2 s for a dial
 * that was under way and lost, 2.5 s until the next one.
 */
const meetMs = 5000;

export class ActionWatch {
  readonly #cluster: SimCluster;
  /** Per machine and project, the newest change that it carried out. */
  readonly #applied = new Map<SimMachine, Map<string, number>>();

  /** Per machine, since when it has known the pointer that it has of each project. */
  readonly #pointerMs = new Map<SimMachine, Map<string, number>>();

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /** A machine has learnt of a change of a project. */
  learnt(machine: SimMachine, key: string): void {
    const known = this.#pointerMs.get(machine) ?? new Map<string, number>();
    this.#pointerMs.set(machine, known.set(key, this.#cluster.world.nowMs));
  }

  acted(machine: SimMachine, view: View, action: Action): void {
    if (action.name === 'remove') this.#checkRemoval(machine, action.arguments.containerId);
    if (action.name === 'run') checkHome(machine, view, action.arguments);
    if (action.name !== 'run' && action.name !== 'remove') return;
    const project = projectOf(machine, action);
    const known = project === undefined ? undefined : view.projects.get(project);
    if (known === undefined) return;
    let applied = this.#applied.get(machine);
    if (applied === undefined) {
      applied = new Map();
      this.#applied.set(machine, applied);
    }
    const before = applied.get(known.name) ?? 0;
    applied.set(known.name, Math.max(before, known.pointerHlc));
    if (known.pointerHlc < before) this.#checkStepBack(machine, known.name, known.pointerHlc);
  }

  #checkRemoval(machine: SimMachine, containerId: string): void {
    const container = machine.engine.containers.get(containerId);
    if (container === undefined || machine.node === undefined) return;
    const pointer = machine.node.map.get(recordKey.pointer(container.project))?.value;
    if (pointer === undefined || pointer === null) {
      throw new Violation(`${machine.name} removes ${containerId}, of which it has no record`);
    }
  }

  /** Another one that runs undisturbed, to which nothing leads but a sound network, knew better. */
  #checkStepBack(machine: SimMachine, project: string, pointerHlc: number): void {
    const { world, network } = this.#cluster;
    if (network.cutCount > 0 || network.loss > 0.05) return;
    const key = recordKey.pointer(project);
    for (const other of this.#cluster.members()) {
      // With who reads slowly a handshake takes longer than the others' answers.
      if (other === machine || !isSound(this.#cluster, other) || !readsAtOnce(other)) continue;
      if (this.#isShutOut(machine, other)) continue;
      // Before this machine started, so that it could have asked.
      if (other.disturbedMs > machine.disturbedMs - 1000) continue;
      const known = other.node?.map.record(key);
      if (known === undefined || known.hlc <= pointerHlc) continue;
      // Of a change that is on its way nobody can know: a repair takes a few ways there and back.
      const sinceMs = Math.max(
        this.#pointerMs.get(other)?.get(key) ?? Number.NEGATIVE_INFINITY,
        this.#metMs(machine, other),
      );
      if (world.nowMs - sinceMs < 500 + 6 * network.latencyMs[1]) continue;
      throw new Violation(
        `${machine.name} carries out an old change of ${project} ${Math.round(machine.ageMs)} ms after its start; ${other.name} knows better`,
      );
    }
  }

  /**
   * Who knows that a machine was removed lets it in no more. One that was cut off at that time is told
   * by nobody, is within reach of nobody who knows, and goes on with what it knew.
   */
  #isShutOut({ machine }: SimMachine, { node }: SimMachine): boolean {
    return this.#cluster.removed.has(machine) && node?.isMember(machine) === false;
  }

  /**
   * Since when the two must have met. A machine that starts from an old disk in a partition of its own
   * believes it after 10 s alone, because nobody may ever come; when the cut ends, it carries out what
   * it believes until its next dial. Before these 10 s the boot guard holds, and a cut excuses nothing.
   * `disturbedMs` does not tell this: it is when the cut began, and of this machine whatever happened
   * last, such as a cut from a third one.
   */
  #metMs(machine: SimMachine, other: SimMachine): number {
    if (machine.ageMs < bootAloneMs) return Number.NEGATIVE_INFINITY;
    return this.#cluster.network.openedMs(machine, other) + meetMs;
  }
}

function checkHome(
  machine: SimMachine,
  view: View,
  { project, service, slot }: Extract<Action, { name: 'run' }>['arguments'],
): void {
  const home = view.projects.get(project)?.services.get(service)?.volumeHome;
  if (home === undefined || home === machine.machine) return;
  throw new Violation(
    `${machine.name} runs ${project}/${service}/${slot}, whose data is on ${home}`,
  );
}

function projectOf(machine: SimMachine, action: Action): string | undefined {
  if (action.name === 'run') return action.arguments.project;
  if (action.name !== 'remove') return undefined;
  return machine.engine.containers.get(action.arguments.containerId)?.project;
}
