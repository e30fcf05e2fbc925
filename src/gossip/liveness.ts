/**
 * What a machine's list of links says (`links/<machine>`), and which machines live: connectivity
 * (link-graph.ts) with time added. Reachable and headless come from the graph as they are; a machine
 * that is neither is unreachable, and lost after a while. What may follow from a loss, and that a
 * smaller side does less, is decided by the plan.
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
import type { Connectivity } from './link-graph.ts';

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
  const { up, able, unableSinceMs, headless, leaving } = value as Readonly<Record<string, unknown>>;
  if (!Array.isArray(up) || !Array.isArray(headless)) return undefined;
  const links: { machine: MachineId; sinceMs: number }[] = [];
  for (const raw of up) {
    const { machine, sinceMs } = (raw ?? {}) as Readonly<Record<string, unknown>>;
    if (typeof machine !== 'string' || typeof sinceMs !== 'number') return undefined;
    links.push({ machine: machine as MachineId, sinceMs });
  }
  if (!headless.every((id): id is MachineId => typeof id === 'string')) return undefined;
  const body: LinksBody = {
    up: links,
    able: able !== false,
    headless,
    ...(typeof unableSinceMs === 'number' ? { unableSinceMs } : {}),
  };
  const goodbye = readLeaving(leaving);
  return goodbye === undefined ? body : { ...body, leaving: goodbye };
}

function readLeaving(value: unknown): Leaving | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { reason, expectBackMs } = value as Readonly<Record<string, unknown>>;
  if (typeof reason !== 'string' || typeof expectBackMs !== 'number') return undefined;
  return { reason, expectBackMs: Math.min(Math.max(expectBackMs, 0), maxExpectBackMs) };
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
  /** The same array until the members change. */
  readonly members: readonly MachineId[];
  /** False when the sets are as they were at the last call: then only time can change a state. */
  readonly hasGraphChanged: boolean;
  readonly monotonicMs: number;
  /** Monotonic time of the last frame from a machine with which we had a link. */
  readonly lastFrameMs: (machine: MachineId) => number | undefined;
}

/**
 * Adds time to connectivity: headless and unreachable machines become lost. Looks at all machines
 * only when the graph or the members changed, otherwise at those that are away.
 */
export class LivenessTracker {
  readonly #watched = new Map<MachineId, Watched>();
  #members: readonly MachineId[] = [];
  /** Members that are not reachable. */
  #away: readonly MachineId[] = [];
  /** Said good-bye since they were looked at. */
  readonly #leaving = new Set<MachineId>();
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
    this.#leaving.add(machine);
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
    const { members, reachable } = input;
    const haveMembersChanged = members !== this.#members;
    let hasChanged = haveMembersChanged && this.#setMembers(members);
    const isDue = haveMembersChanged || input.hasGraphChanged;
    if (isDue) this.#away = members.filter((id) => !reachable.has(id));
    const headless = this.#withBelieved(input);
    const looked = isDue ? members : [...this.#leaving, ...this.#away];
    this.#leaving.clear();
    for (const machine of looked) {
      const watched = machine === this.#self ? undefined : this.#watched.get(machine);
      if (watched === undefined) continue;
      const next = this.#next(watched, machine, { ...input, headless });
      if (next === watched.state) continue;
      watched.state = next;
      hasChanged = true;
    }
    return hasChanged;
  }

  /** @returns whether a machine is no member any more */
  #setMembers(members: readonly MachineId[]): boolean {
    this.#members = members;
    const present = new Set(members);
    let hasChanged = false;
    for (const machine of this.#watched.keys()) {
      if (present.has(machine)) continue;
      this.#watched.delete(machine);
      hasChanged = true;
    }
    for (const machine of members) this.#of(machine);
    return hasChanged;
  }

  /** Headless by the graph, or by the machine's own word that only its agent restarts. */
  #withBelieved({ headless, monotonicMs }: LivenessInput): ReadonlySet<MachineId> {
    const believed = this.#away.filter((machine) => {
      const { expectedMs, believedUntilMs } = this.#of(machine);
      return monotonicMs < Math.min(expectedMs, believedUntilMs);
    });
    return believed.length === 0 ? headless : new Set([...headless, ...believed]);
  }

  #next(watched: Watched, machine: MachineId, input: LivenessInput): Liveness {
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
      return now >= lostMs ? 'lost' : 'headless';
    }
    watched.headlessSinceMs = undefined;
    const patience = watched.downCount > 1 ? 2 * lostAfterMs : lostAfterMs;
    const silentLostMs =
      watched.aliveMs === undefined ? this.#startMs + lostAfterBootMs : watched.aliveMs + patience;
    return now >= Math.max(silentLostMs, watched.expectedMs) ? 'lost' : 'unreachable';
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
