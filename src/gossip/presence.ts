/**
 * Who is there, as this machine knows it: the graph of links (link-graph.ts), time (liveness.ts) and
 * the guards (guards.ts) in one. Says what is so and never acts on it.
 */
import type { MachineId } from '../model/ids.ts';
import type { Guard, Liveness } from '../model/view.ts';
import { Guards } from './guards.ts';
import { linkTimeoutMs } from './limits.ts';
import { LinkGraph } from './link-graph.ts';
import { type Leaving, type LinksBody, LivenessTracker } from './liveness.ts';

/** What the links of this machine tell (neighbours.ts). */
export interface LinkFacts {
  readonly linkCount: number;
  readonly wantedCount: number;
  heardCountSince(monotonicMs: number): number;
  /** With whom there is a link, or one that is being redialled, heard since a moment. */
  linkedSince(monotonicMs: number): readonly MachineId[];
  lastFrameMs(machine: MachineId): number | undefined;
}

export interface PresenceOptions {
  readonly self: MachineId;
  readonly monotonicMs: number;
  readonly wallMs: number;
}

export class Presence {
  readonly #self: MachineId;
  readonly #tracker: LivenessTracker;
  readonly #guards: Guards;
  readonly #graph: LinkGraph;
  #members: readonly MachineId[] = [];
  #activeGuards: readonly Guard[] = [];
  #hasUnlistedWays = false;

  constructor({ self, monotonicMs, wallMs }: PresenceOptions) {
    this.#self = self;
    this.#graph = new LinkGraph(self);
    this.#tracker = new LivenessTracker(self, monotonicMs);
    this.#guards = new Guards(monotonicMs, wallMs);
  }

  get guards(): readonly Guard[] {
    return this.#activeGuards;
  }

  /** Whether the lists lead to a machine, without what only this machine knows of its own links. */
  isFoundByLists(machine: MachineId): boolean {
    return this.#graph.isFoundByLists(machine);
  }

  /** Some are reachable only over links that are not in both lists yet. */
  get hasUnlistedWays(): boolean {
    return this.#hasUnlistedWays;
  }

  state(machine: MachineId): Liveness {
    return this.#tracker.state(machine);
  }

  /** The machine entered a cluster. */
  entered(monotonicMs: number): void {
    this.#guards.entered(monotonicMs);
  }

  /** The timer of `tick` starts now. */
  started(monotonicMs: number, wallMs: number): void {
    this.#guards.started(monotonicMs, wallMs);
  }

  /** Another live machine has our identity. @returns whether that is news */
  setDuplicate(): boolean {
    return this.#guards.setDuplicate();
  }

  /** A peer's content was equal to ours. */
  compared(peer: MachineId, isPeerBooting: boolean): void {
    this.#guards.compared(peer, isPeerBooting);
  }

  /** A machine's list of links, or that it has none any more. */
  setLinks(machine: MachineId, body: LinksBody | undefined, monotonicMs: number): void {
    this.#graph.setLinks(machine, body);
    if (body?.leaving !== undefined && machine !== this.#self) {
      this.#tracker.sayGoodbye(machine, body.leaving, monotonicMs);
    }
  }

  setMembers(members: readonly MachineId[]): void {
    this.#members = members;
    this.#graph.setMembers(members);
  }

  /** A peer said on its link that it stops. */
  goodbye(machine: MachineId, leaving: Leaving, monotonicMs: number): void {
    this.#tracker.sayGoodbye(machine, leaving, monotonicMs);
  }

  /**
   * Called by the timer that should run every `tickMs`.
   * @returns milliseconds in which this process did not run; nobody is judged by them
   */
  tick(monotonicMs: number, wallMs: number): number {
    const lagMs = this.#guards.tick(monotonicMs, wallMs);
    if (lagMs > 0) this.#tracker.shift(lagMs);
    return lagMs;
  }

  /**
   * Brings states and guards up to date.
   * @returns whether any changed
   */
  update(facts: LinkFacts, monotonicMs: number): boolean {
    const members = this.#members;
    const graph = this.#graph;
    // The shortest time-out, also for a link that flaps and is given longer: no list stands for it.
    this.#hasUnlistedWays = graph.setLinked(facts.linkedSince(monotonicMs - linkTimeoutMs));
    const haveStatesChanged = this.#tracker.update({
      members,
      reachable: graph.reachable,
      headless: graph.headless,
      hasGraphChanged: graph.takeChanged(),
      monotonicMs,
      lastFrameMs: (machine) => facts.lastFrameMs(machine),
    });
    const guards = this.#guards.active({
      monotonicMs,
      memberCount: members.length,
      linkCount: facts.linkCount,
      heardCount: facts.heardCountSince(this.#guards.believeSinceMs),
      wantedCount: facts.wantedCount,
    });
    const haveGuardsChanged = guards.join() !== this.#activeGuards.join();
    this.#activeGuards = guards;
    return haveStatesChanged || haveGuardsChanged;
  }
}
