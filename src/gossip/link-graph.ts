/**
 * The graph of links, from the lists that all machines publish: an edge exists when both ends list
 * it, so a sick machine can only cut its own edges, one sick neighbour cannot kill a healthy
 * machine, and a machine that died long ago does not rise in a joiner's view. Reachable is who the
 * search from here finds. The idea is OSPF's.
 *
 * Kept up to date change by change, because a list changes somewhere many times a second in a large
 * lossy cluster and a whole search costs N times the degree: a new edge matters only when it leads
 * out of what is reachable, and a lost one is searched for from both ends at once until the two
 * searches meet or the smaller side is exhausted (it is cut off then). `searchAll` is the definition.
 */
import type { MachineId } from '../model/ids.ts';
import type { LinksBody } from './liveness.ts';

export interface Connectivity {
  readonly reachable: ReadonlySet<MachineId>;
  /** Not reachable, but a reachable machine gets answers from its kernel. */
  readonly headless: ReadonlySet<MachineId>;
}

const nobody: ReadonlySet<MachineId> = new Set();

export class LinkGraph implements Connectivity {
  readonly #self: MachineId;
  #members: ReadonlySet<MachineId> = new Set();
  /** Whom each machine lists. */
  readonly #listed = new Map<MachineId, ReadonlySet<MachineId>>();
  /** Whom each machine calls headless; only those that call anybody so. */
  readonly #callsHeadless = new Map<MachineId, readonly MachineId[]>();
  #reachable: Set<MachineId>;
  #headless: ReadonlySet<MachineId> = nobody;
  #hasChanged = true;
  #isHeadlessDue = false;

  constructor(self: MachineId) {
    this.#self = self;
    this.#reachable = new Set([self]);
  }

  get reachable(): ReadonlySet<MachineId> {
    return this.#reachable;
  }

  get headless(): ReadonlySet<MachineId> {
    if (this.#isHeadlessDue) this.#findHeadless();
    return this.#headless;
  }

  /** Whether anything may have changed since this was asked last. */
  takeChanged(): boolean {
    const hasChanged = this.#hasChanged;
    this.#hasChanged = false;
    return hasChanged;
  }

  /** Only members count, whoever lists them. */
  setMembers(members: readonly MachineId[]): void {
    this.#members = new Set(members);
    this.#reachable = this.#searchAll();
    this.#changed();
  }

  /** A machine's list; undefined when it has none any more. */
  setLinks(machine: MachineId, body: LinksBody | undefined): void {
    const before = this.#listed.get(machine) ?? nobody;
    const after = new Set(body?.up.map((link) => link.machine));
    if (body === undefined) this.#listed.delete(machine);
    else this.#listed.set(machine, after);
    if (body !== undefined && body.headless.length > 0) {
      this.#callsHeadless.set(machine, body.headless);
      this.#changed();
    } else if (this.#callsHeadless.delete(machine)) {
      this.#changed();
    }
    // Edges that came first: a search for what was lost may go over them.
    for (const peer of after) if (!before.has(peer)) this.#edgeCame(machine, peer);
    const lost = [...before].filter((peer) => !after.has(peer) && this.#wasEdge(machine, peer));
    if (lost.length > 0) for (const end of [machine, ...lost]) this.#cutOff(end);
  }

  #changed(): void {
    this.#hasChanged = true;
    this.#isHeadlessDue = true;
  }

  #isEdge(a: MachineId, b: MachineId): boolean {
    return (
      (this.#listed.get(a)?.has(b) ?? false) &&
      (this.#listed.get(b)?.has(a) ?? false) &&
      this.#isNode(a) &&
      this.#isNode(b)
    );
  }

  #isNode(machine: MachineId): boolean {
    return machine === this.#self || this.#members.has(machine);
  }

  #peersOf(machine: MachineId): readonly MachineId[] {
    const peers: MachineId[] = [];
    for (const peer of this.#listed.get(machine) ?? nobody) {
      if (this.#members.has(peer) || peer === this.#self) {
        if (this.#listed.get(peer)?.has(machine)) peers.push(peer);
      }
    }
    return peers;
  }

  #edgeCame(a: MachineId, b: MachineId): void {
    const reachable = this.#reachable;
    if (reachable.has(a) === reachable.has(b) || !this.#isEdge(a, b)) return;
    // Only what is found anew is searched on: going through all that was known before, for each of
    // N machines that come, would make a start of N machines cost N times N steps on each of them.
    const found = new Set([reachable.has(a) ? b : a]);
    for (const machine of found) {
      reachable.add(machine);
      for (const peer of this.#peersOf(machine)) if (!reachable.has(peer)) found.add(peer);
    }
    this.#changed();
  }

  /** Whether both were found, and the other end lists the first still. */
  #wasEdge(a: MachineId, b: MachineId): boolean {
    const reachable = this.#reachable;
    return reachable.has(a) && reachable.has(b) && (this.#listed.get(b)?.has(a) ?? false);
  }

  /**
   * Takes a machine out, with all that hangs on it, if this machine does not find it any more. Both
   * search in turn: connected, they meet soon; cut off, the smaller part is exhausted soon.
   */
  #cutOff(machine: MachineId): void {
    const reachable = this.#reachable;
    if (machine === this.#self || !reachable.has(machine)) return;
    const theirs = new Set([machine]);
    const ours = new Set([this.#self]);
    // A Set grows while it is iterated, which makes it the queue of the search.
    const [theirQueue, ourQueue] = [theirs.values(), ours.values()];
    for (;;) {
      const next = theirQueue.next();
      if (next.done === true) {
        for (const each of theirs) reachable.delete(each);
        return this.#changed();
      }
      if (this.#advance(next.value, theirs, ours)) return;
      const own = ourQueue.next();
      if (own.done === true) {
        this.#reachable = ours;
        return this.#changed();
      }
      if (this.#advance(own.value, ours, theirs)) return;
    }
  }

  /** One step of a search. @returns whether it met the other one */
  #advance(machine: MachineId, mine: Set<MachineId>, others: ReadonlySet<MachineId>): boolean {
    for (const peer of this.#peersOf(machine)) {
      if (others.has(peer)) return true;
      mine.add(peer);
    }
    return false;
  }

  #searchAll(): Set<MachineId> {
    const found = new Set([this.#self]);
    for (const machine of found) for (const peer of this.#peersOf(machine)) found.add(peer);
    return found;
  }

  #findHeadless(): void {
    this.#isHeadlessDue = false;
    const headless = new Set<MachineId>();
    for (const [machine, called] of this.#callsHeadless) {
      if (!this.#reachable.has(machine)) continue;
      for (const peer of called) {
        if (this.#members.has(peer) && !this.#reachable.has(peer)) headless.add(peer);
      }
    }
    this.#headless = headless;
  }
}
