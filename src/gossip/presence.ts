/**
 * Who is there, as this machine knows it: keeps the link lists of all machines, searches them when
 * they or the members changed (liveness.ts), and adds time and the guards (guards.ts). Says what is
 * so and never acts on it. One turn of the event loop searches at most once, because a burst of
 * lists is one change.
 */
import type { MachineId } from '../model/ids.ts';
import type { Guard, Liveness } from '../model/view.ts';
import { Guards } from './guards.ts';
import {
  type Connectivity,
  connectivity,
  type Leaving,
  type LinksBody,
  LivenessTracker,
} from './liveness.ts';

/** What the links of this machine tell (neighbours.ts). */
export interface LinkFacts {
  readonly linkCount: number;
  readonly wantedCount: number;
  heardCountSince(monotonicMs: number): number;
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
  readonly #links = new Map<MachineId, LinksBody>();
  /** Result of the last search. */
  #found: Connectivity;
  #haveListsChanged = true;
  #activeGuards: readonly Guard[] = [];

  constructor({ self, monotonicMs, wallMs }: PresenceOptions) {
    this.#self = self;
    this.#found = { reachable: new Set([self]), headless: new Set() };
    this.#tracker = new LivenessTracker(self, monotonicMs);
    this.#guards = new Guards(monotonicMs, wallMs);
  }

  get guards(): readonly Guard[] {
    return this.#activeGuards;
  }

  isReachable(machine: MachineId): boolean {
    return this.#found.reachable.has(machine);
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

  /** A peer's content was equal to ours. */
  compared(): void {
    this.#guards.compared();
  }

  /** A machine's list of links, or that it has none any more. */
  setLinks(machine: MachineId, body: LinksBody | undefined, monotonicMs: number): void {
    this.#haveListsChanged = true;
    if (body === undefined) {
      this.#links.delete(machine);
      return;
    }
    this.#links.set(machine, body);
    if (body.leaving !== undefined && machine !== this.#self) {
      this.#tracker.sayGoodbye(machine, body.leaving, monotonicMs);
    }
  }

  membersChanged(): void {
    this.#haveListsChanged = true;
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
  update(members: readonly MachineId[], facts: LinkFacts, monotonicMs: number): boolean {
    if (this.#haveListsChanged) {
      this.#haveListsChanged = false;
      this.#found = connectivity(this.#self, new Set(members), this.#links);
    }
    const haveStatesChanged = this.#tracker.update({
      ...this.#found,
      members,
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
