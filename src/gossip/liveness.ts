/**
 * Which machines live, as a function of the link lists that all machines publish. An edge exists
 * when both ends list it, so a sick machine can only cut its own edges, one sick neighbour cannot
 * kill a healthy machine, and a machine that died long ago does not rise in a joiner's view.
 * Reachable is who the search from here finds. The idea is OSPF's. Time enters only for `lost`.
 */
import type { MachineId } from '../model/ids.ts';
import type { LinksRecord } from '../model/record.ts';
import type { Liveness } from '../model/view.ts';
import {
  believeRestartMs,
  confirmMs,
  flapMemoryMs,
  headlessLostMs,
  linkTimeoutMs,
  lostAfterBootMs,
  lostAfterMs,
  maxExpectBackMs,
} from './limits.ts';

/** `links/<machine>` as gossip writes it: a planned stop says so to everybody at once. */
export interface LinksBody extends LinksRecord {
  readonly leaving?: Leaving;
}

export interface Leaving {
  /** "restart": the agent only, its kernel goes on; anything else takes the machine away. */
  readonly reason: string;
  readonly expectBackMs: number;
}

/** A parsed `links/` body with every part checked; undefined when it is not one. */
export function readLinks(value: unknown): LinksBody | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { up, able, headless, leaving } = value as Readonly<Record<string, unknown>>;
  if (!Array.isArray(up) || !Array.isArray(headless)) return undefined;
  const links: { machine: MachineId; sinceMs: number }[] = [];
  for (const raw of up) {
    const { machine, sinceMs } = (raw ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof machine !== 'string' || typeof sinceMs !== 'number') return undefined;
    links.push({ machine: machine as MachineId, sinceMs });
  }
  if (!headless.every((id): id is MachineId => typeof id === 'string')) return undefined;
  const body: LinksBody = { up: links, able: able !== false, headless };
  const goodbye = readLeaving(leaving);
  return goodbye === undefined ? body : { ...body, leaving: goodbye };
}

function readLeaving(value: unknown): Leaving | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { reason, expectBackMs } = value as Readonly<Record<string, unknown>>;
  if (typeof reason !== 'string' || typeof expectBackMs !== 'number') return undefined;
  return { reason, expectBackMs: Math.min(Math.max(expectBackMs, 0), maxExpectBackMs) };
}

export interface Connectivity {
  readonly reachable: ReadonlySet<MachineId>;
  /** Not reachable, but a reachable machine gets answers from its kernel. */
  readonly headless: ReadonlySet<MachineId>;
}

/**
 * Searches from `self` over edges that both ends list.
 * @param links what each member lists; only members are asked for
 */
export function connectivity(
  self: MachineId,
  members: ReadonlySet<MachineId>,
  links: ReadonlyMap<MachineId, LinksBody>,
): Connectivity {
  const listed = new Map<MachineId, Set<MachineId>>();
  for (const [machine, { up }] of links) listed.set(machine, new Set(up.map((x) => x.machine)));
  const reachable = new Set<MachineId>([self]);
  // A Set grows while it is iterated, which makes it the queue of the search.
  for (const machine of reachable) {
    for (const peer of listed.get(machine) ?? []) {
      if (members.has(peer) && listed.get(peer)?.has(machine)) reachable.add(peer);
    }
  }
  const headless = new Set<MachineId>();
  for (const machine of reachable) {
    for (const peer of links.get(machine)?.headless ?? []) {
      if (members.has(peer) && !reachable.has(peer)) headless.add(peer);
    }
  }
  return { reachable, headless };
}

interface Watched {
  state: Liveness;
  /** Monotonic time of the last sign of life; undefined before the first one. */
  aliveMs: number | undefined;
  headlessSinceMs: number | undefined;
  /** Not lost before this time, because it said good-bye. */
  expectedMs: number;
  /** It said that only its agent restarts: believed until its neighbours have asked its kernel. */
  believedUntilMs: number;
  downCount: number;
  lastDownMs: number;
}

export interface LivenessInput extends Connectivity {
  readonly members: readonly MachineId[];
  readonly monotonicMs: number;
  /** Monotonic time of the last frame from a machine with which we had a link. */
  readonly lastFrameMs: (machine: MachineId) => number | undefined;
}

/** Adds time to connectivity: headless and unreachable machines become lost. */
export class LivenessTracker {
  readonly #watched = new Map<MachineId, Watched>();
  readonly #self: MachineId;
  readonly #startMs: number;

  constructor(self: MachineId, startMs: number) {
    this.#self = self;
    this.#startMs = startMs;
  }

  /** A machine announced that it stops, and when it wants to be back. */
  sayGoodbye(machine: MachineId, { reason, expectBackMs }: Leaving, monotonicMs: number): void {
    const watched = this.#of(machine);
    watched.expectedMs = monotonicMs + expectBackMs;
    watched.believedUntilMs = reason === 'restart' ? monotonicMs + believeRestartMs : 0;
  }

  /** Time in which this process did not run: nobody may be judged by it. */
  shift(lagMs: number): void {
    for (const watched of this.#watched.values()) {
      if (watched.aliveMs !== undefined) watched.aliveMs += lagMs;
      if (watched.headlessSinceMs !== undefined) watched.headlessSinceMs += lagMs;
    }
  }

  state(machine: MachineId): Liveness {
    if (machine === this.#self) return 'reachable';
    return this.#watched.get(machine)?.state ?? 'unreachable';
  }

  /**
   * Brings all states up to date.
   * @returns whether any state changed
   */
  update(input: LivenessInput): boolean {
    const { members, reachable, monotonicMs } = input;
    const present = new Set(members);
    let hasChanged = false;
    for (const machine of this.#watched.keys()) {
      if (present.has(machine)) continue;
      this.#watched.delete(machine);
      hasChanged = true;
    }
    const headless = new Set(input.headless);
    for (const machine of members) {
      const watched = this.#of(machine);
      const untilMs = Math.min(watched.expectedMs, watched.believedUntilMs);
      if (monotonicMs < untilMs && !reachable.has(machine)) headless.add(machine);
    }
    const heardCount = members.filter((id) => reachable.has(id) || headless.has(id)).length;
    const hasHalf = heardCount * 2 >= members.length;
    for (const machine of members) {
      if (machine === this.#self) continue;
      const watched = this.#of(machine);
      const next = this.#next(watched, machine, { ...input, headless }, hasHalf);
      if (next === watched.state) continue;
      watched.state = next;
      hasChanged = true;
    }
    return hasChanged;
  }

  #next(watched: Watched, machine: MachineId, input: LivenessInput, hasHalf: boolean): Liveness {
    const { monotonicMs: now, reachable, headless } = input;
    if (reachable.has(machine)) {
      watched.aliveMs = now;
      watched.headlessSinceMs = undefined;
      watched.believedUntilMs = 0;
      watched.expectedMs = 0;
      return 'reachable';
    }
    if (watched.state === 'reachable') {
      // Announced after time-out and confirmation, so the last frame is older by both.
      const lastFrame = input.lastFrameMs(machine) ?? now - linkTimeoutMs - confirmMs;
      watched.aliveMs = Math.min(now, lastFrame);
      watched.downCount = now - watched.lastDownMs < flapMemoryMs ? watched.downCount + 1 : 1;
      watched.lastDownMs = now;
    }
    // Latched: replicas have been placed anew; only the machine itself can undo that.
    if (watched.state === 'lost') return 'lost';
    if (headless.has(machine)) {
      watched.aliveMs = now;
      watched.headlessSinceMs ??= now;
      const lostMs = Math.max(watched.headlessSinceMs + headlessLostMs, watched.expectedMs);
      return hasHalf && now >= lostMs ? 'lost' : 'headless';
    }
    watched.headlessSinceMs = undefined;
    const patience = watched.downCount > 1 ? 2 * lostAfterMs : lostAfterMs;
    const silentLostMs =
      watched.aliveMs === undefined ? this.#startMs + lostAfterBootMs : watched.aliveMs + patience;
    return hasHalf && now >= Math.max(silentLostMs, watched.expectedMs) ? 'lost' : 'unreachable';
  }

  #of(machine: MachineId): Watched {
    let watched = this.#watched.get(machine);
    if (watched === undefined) {
      watched = {
        state: 'unreachable',
        aliveMs: undefined,
        headlessSinceMs: undefined,
        expectedMs: 0,
        believedUntilMs: 0,
        downCount: 0,
        lastDownMs: Number.NEGATIVE_INFINITY,
      };
      this.#watched.set(machine, watched);
    }
    return watched;
  }
}
