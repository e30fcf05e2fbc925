/**
 * The graph of links, from the lists that all machines publish: an edge exists when both ends list
 * it, so a sick machine can only cut its own edges, one sick neighbour cannot kill a healthy
 * machine, and a machine that died long ago does not rise in a joiner's view. Reachable is who the
 * search from here finds. The idea is OSPF's.
 *
 * Lists are late: a link that flapped is held back from them for up to a minute, and when the only
 * other way goes, both ends have to publish before it is an edge. So the search begins a second time
 * at those with whom this machine itself is linked and whom no list leads to: who answers here lives.
 * `isFoundByLists` leaves that out, because it says whether such a link has to be listed at once.
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
  /** By the lists alone. */
  #reachable: Set<MachineId>;
  /** Linked with this machine, and found by no list. */
  #unlisted: readonly MachineId[] = [];
  /** Those, and whom the lists lead to from there. */
  #beyond = new Set<MachineId>();
  #isBeyondDue = false;
  #headless: ReadonlySet<MachineId> = nobody;
  #hasChanged = true;
  #isHeadlessDue = false;

  constructor(self: MachineId) {
    this.#self = self;
    this.#reachable = new Set([self]);
  }

  get reachable(): ReadonlySet<MachineId> {
    const beyond = this.#beyond;
    return beyond.size === 0 ? this.#reachable : new Set([...this.#reachable, ...beyond]);
  }

  isFoundByLists(machine: MachineId): boolean {
    return this.#reachable.has(machine);
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
    this.#isBeyondDue = true;
    this.#changed();
  }

  /**
   * With whom this machine has links itself, over which something came a moment ago. To be said
   * again before each look at `reachable`: it is only then that the second search is complete.
   * @returns whether there are some to whom no list leads
   */
  setLinked(linked: readonly MachineId[]): boolean {
    const unlisted = linked.filter((id) => !this.#reachable.has(id) && this.#members.has(id));
    const isOver = (machine: MachineId): boolean =>
      !unlisted.includes(machine) && this.#beyond.has(machine);
    if (this.#isBeyondDue || this.#unlisted.some(isOver)) {
      this.#beyond = new Set();
      this.#isBeyondDue = false;
      this.#changed();
    }
    this.#unlisted = unlisted;
    for (const machine of unlisted) {
      if (!this.#beyond.has(machine)) this.#spread(machine, this.#beyond);
    }
    return unlisted.length > 0;
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
    if (this.#beyond.size > 0 && [...before].some((peer) => !after.has(peer))) {
      this.#isBeyondDue = true;
    }
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
    const isNear = this.#reachable.has(a) || this.#reachable.has(b);
    const part = isNear ? this.#reachable : this.#beyond;
    if (part.has(a) === part.has(b) || !this.#isEdge(a, b)) return;
    this.#spread(part.has(a) ? b : a, part);
  }

  /**
   * Takes a machine into a part, with all that the lists lead to from there. Only what is found anew
   * is searched on: going through all that was known before, for each of N machines that come,
   * would make a start of N machines cost N times N steps on each of them.
   */
  #spread(from: MachineId, part: Set<MachineId>): void {
    const found = new Set([from]);
    for (const machine of found) {
      part.add(machine);
      for (const peer of this.#peersOf(machine)) if (!part.has(peer)) found.add(peer);
    }
    if (part === this.#reachable) for (const machine of found) this.#beyond.delete(machine);
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
    const { reachable } = this;
    for (const [machine, called] of this.#callsHeadless) {
      if (!reachable.has(machine)) continue;
      for (const peer of called) {
        if (this.#members.has(peer) && !reachable.has(peer)) headless.add(peer);
      }
    }
    this.#headless = headless;
  }
}
