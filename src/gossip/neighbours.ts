/**
 * The links of this machine: which there should be, dialling, what is lost, and when that is said
 * to the others (`links/<self>`). A loss is confirmed by redialling before it is announced, except
 * when the kernel refuses at once: then the agent is gone and its machine lives (headless).
 * Announcements pass a token bucket. Must never decide on liveness: that is a function of all
 * machines' lists (liveness.ts).
 */
import type { MachineId } from '../model/ids.ts';
import {
  announceBurst,
  announceDelayMs,
  announceDelayPerMemberMs,
  announcePerMemberMs,
  announceRefillMs,
  confirmRedialMs,
  extraLinkMs,
  fullMeshCount,
  hostileBanMs,
  linkTimeoutMs,
  maxAnnounceDelayMs,
  maxRedialMs,
  maxRivalCount,
  redialMs,
  refusedRedialMs,
  rejectedRedialMs,
  repairDialCount,
  repairDialMs,
  rivalMemoryMs,
  rivalSilenceMs,
  soleLinkMs,
  stillbornMs,
} from './limits.ts';
import {
  confirmWindowOf,
  countLoss,
  holdDownOf,
  isBetterLink,
  type Link,
  linkTimeoutOf,
  newPeer,
  type Peer,
} from './link.ts';
import type { Leaving, LinksBody } from './liveness.ts';
import { neighboursOf } from './overlay.ts';
import type { CloseReason, DialFailure, LinkId, Runtime } from './runtime.ts';

/** How deep the bucket may go into debt when an announcement restores reachability. */
const announceDebt = 8;

/** Whom our last list named. */
interface Published {
  readonly isAble: boolean;
  readonly up: ReadonlySet<MachineId>;
  readonly headless: ReadonlySet<MachineId>;
}

export interface NeighboursComponents {
  readonly runtime: Runtime;
  readonly self: MachineId;
  /** Whether the lists of all lead to a machine. */
  readonly isFoundByLists: (machine: MachineId) => boolean;
  /** Writes `links/<self>`. */
  readonly publish: (body: LinksBody) => void;
  readonly onLinkUp: (link: Link) => void;
  readonly onLinkGone: (link: Link) => void;
  /** Another live machine has our identity. */
  readonly onDuplicate: () => void;
}

export class Neighbours {
  readonly #components: NeighboursComponents;
  readonly #peers = new Map<MachineId, Peer>();
  readonly #links = new Map<LinkId, Link>();
  #members: readonly MachineId[] = [];
  #memberSet: ReadonlySet<MachineId> = new Set();
  #wanted: ReadonlySet<MachineId> = new Set();
  #isStopped = false;
  #isAble = true;
  #unableSinceMs: number | undefined;
  #published: Published | undefined;
  #tokens: number = announceBurst;
  #tokensAtMs: number;
  #isAnnouncing = false;
  #nextRepairDialMs = 0;

  constructor(components: NeighboursComponents) {
    this.#components = components;
    this.#tokensAtMs = components.runtime.monotonic();
  }

  links(): Iterable<Link> {
    return this.#links.values();
  }

  get linkCount(): number {
    return this.#links.size;
  }

  get wantedCount(): number {
    return this.#wanted.size;
  }

  link(id: LinkId): Link | undefined {
    return this.#links.get(id);
  }

  /** Monotonic time of the last frame from a machine. */
  lastFrameMs(machine: MachineId): number | undefined {
    return this.#peers.get(machine)?.heardMs;
  }

  /** How many of the wanted neighbours were heard since a moment. */
  heardCountSince(monotonicMs: number): number {
    let count = 0;
    for (const id of this.#wanted) {
      if ((this.#peers.get(id)?.heardMs ?? Number.NEGATIVE_INFINITY) >= monotonicMs) count++;
    }
    return count;
  }

  /**
   * With whom there is a link over which something came since a moment. One that is being redialled
   * counts as it does in our list: it is lost when that is confirmed.
   */
  linkedSince(monotonicMs: number): readonly MachineId[] {
    const linked: MachineId[] = [];
    for (const peer of this.#peers.values()) {
      const { machine, link, confirmUntilMs } = peer;
      if (link === undefined && confirmUntilMs === undefined) continue;
      const heardMs = link?.heardMs ?? peer.heardMs;
      if (heardMs !== undefined && heardMs >= monotonicMs) linked.push(machine);
    }
    return linked;
  }

  /** Members changed: dials new neighbours, drops machines that are none any more. */
  setMembers(members: readonly MachineId[]): void {
    const { self } = this.#components;
    this.#members = members;
    this.#memberSet = new Set(members);
    this.#wanted = neighboursOf(self, members);
    for (const peer of this.#peers.values()) {
      if (this.#memberSet.has(peer.machine)) continue;
      if (peer.link !== undefined) this.#closeLink(peer.link, 'stranger');
      this.#drop(peer);
    }
    for (const machine of this.#wanted) this.#dial(this.#peer(machine));
    this.announceSoon();
  }

  setAble(isAble: boolean): void {
    if (isAble !== this.#isAble) {
      this.#unableSinceMs = isAble ? undefined : this.#components.runtime.now();
    }
    this.#isAble = isAble;
    this.announceSoon();
  }

  /** A handshake succeeded. */
  linkUp(id: LinkId, machine: MachineId, isDialler: boolean): void {
    const { runtime, self, onLinkUp } = this.#components;
    const nowMs = runtime.monotonic();
    const known = this.#peers.get(machine);
    if (isDialler && known !== undefined) known.isDialling = false;
    if (this.#isStopped || machine === self || !this.#memberSet.has(machine)) {
      return runtime.close(id, 'stranger');
    }
    const peer = this.#peer(machine);
    if (nowMs < peer.bannedUntilMs) return runtime.close(id, 'hostile');
    const link: Link = { id, peer: machine, isDialler, upMs: nowMs, heardMs: nowMs };
    if (peer.link !== undefined) {
      this.#noteRival(peer, nowMs);
      if (!isBetterLink(link, peer.link, self)) return runtime.close(id, 'duplicate');
      this.#closeLink(peer.link, 'duplicate');
    }
    peer.link = link;
    peer.heardMs = nowMs;
    peer.isHeadless = false;
    peer.dialFailureCount = 0;
    this.#endConfirm(peer);
    peer.cancelDial?.();
    this.#links.set(id, link);
    onLinkUp(link);
    this.announceSoon();
  }

  /** Marks a frame. */
  heard(link: Link): void {
    const nowMs = this.#components.runtime.monotonic();
    link.heardMs = nowMs;
    const peer = this.#peers.get(link.peer);
    if (peer !== undefined) peer.heardMs = nowMs;
  }

  /**
   * The connection ended; unknown ids (closed by us) are ignored.
   * @param reason what the other end said, if it closed in order
   */
  linkDown(id: LinkId, reason?: CloseReason): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    this.#forget(link);
    const peer = this.#peer(link.peer);
    const nowMs = this.#components.runtime.monotonic();
    if (!this.#wanted.has(link.peer)) {
      this.#drop(peer);
      return this.announceSoon();
    }
    // The other end has the better of two links already; ours is about to come up.
    if (reason === 'duplicate') this.#noteRefused(peer, nowMs);
    // Ended as soon as it was there: refused by who has banned us, and would be again at once.
    const isStillborn = nowMs - link.upMs < stillbornMs;
    if (reason !== 'duplicate' && !isStillborn) countLoss(peer, nowMs);
    const isRefused = reason === 'duplicate' || isStillborn;
    this.#confirm(peer, nowMs, isRefused ? refusedRedialMs : 0);
  }

  /**
   * Again and again, without one that stays: the better ones are not ours. For some seconds they may
   * be: the other end keeps a link that has ended here until it is silent for too long.
   */
  #noteRefused(peer: Peer, nowMs: number): void {
    if (peer.refusedCount === 0) peer.refusedSinceMs = nowMs;
    peer.refusedCount += 1;
    const isLong = nowMs - peer.refusedSinceMs >= rivalSilenceMs;
    if (peer.refusedCount >= maxRivalCount && isLong) this.#components.onDuplicate();
  }

  #noteRival(peer: Peer, nowMs: number): void {
    peer.rivalsMs = [...peer.rivalsMs.filter((at) => nowMs - at < rivalMemoryMs), nowMs];
    if (peer.rivalsMs.length < maxRivalCount) return;
    peer.rivalsMs = [];
    this.#components.runtime.report(
      `two live machines seem to have the identity of ${peer.machine} (a cloned disk?); ` +
        'the log of its agent says what to do',
    );
  }

  #confirm(peer: Peer, nowMs: number, redialInMs: number): void {
    const { runtime } = this.#components;
    const windowMs = confirmWindowOf(peer, nowMs);
    this.#endConfirm(peer);
    peer.confirmUntilMs = nowMs + windowMs;
    peer.kernelSeenMs = undefined;
    peer.cancelConfirm = runtime.schedule(windowMs, () => {
      this.#lost(peer, peer.kernelSeenMs !== undefined);
    });
    if (redialInMs > 0) this.#dialLater(peer, redialInMs);
    else this.#dial(peer);
  }

  #endConfirm(peer: Peer): void {
    peer.cancelConfirm?.();
    peer.cancelConfirm = undefined;
    peer.confirmUntilMs = undefined;
  }

  #lost(peer: Peer, isHeadless: boolean): void {
    this.#endConfirm(peer);
    if (peer.link !== undefined) return;
    peer.isHeadless = isHeadless;
    this.announceSoon();
  }

  /** The peer said that it stops: nothing to confirm, and no flap. */
  goodbye(link: Link, { reason }: Leaving): void {
    this.#closeLink(link, 'stopping');
    const peer = this.#peer(link.peer);
    this.#lost(peer, reason === 'restart');
    this.#dialLater(peer, redialMs);
  }

  /** A peer sent what no agent sends. */
  ban(link: Link): void {
    const peer = this.#peer(link.peer);
    peer.bannedUntilMs = this.#components.runtime.monotonic() + hostileBanMs;
    this.#closeLink(link, 'hostile');
    this.#lost(peer, false);
    this.#dialLater(peer, hostileBanMs);
  }

  /** Closes a link that this end gives up; it is redialled as after any loss. */
  cut(link: Link, reason: CloseReason): void {
    this.#components.runtime.close(link.id, reason);
    this.linkDown(link.id);
  }

  /** TCP reached the machine's kernel; whether its agent answers is open. */
  dialReached(machine: MachineId): void {
    const peer = this.#peers.get(machine);
    if (peer !== undefined) peer.kernelSeenMs = this.#components.runtime.monotonic();
  }

  dialFailed(machine: MachineId, failure: DialFailure): void {
    const { runtime } = this.#components;
    const peer = this.#peers.get(machine);
    if (peer === undefined) return;
    peer.isDialling = false;
    if (peer.link !== undefined || this.#isStopped) return;
    if (!this.#wanted.has(machine)) {
      this.#drop(peer);
      return;
    }
    const isConfirming = peer.confirmUntilMs !== undefined;
    if (isConfirming && failure === 'silent') return this.#dialLater(peer, confirmRedialMs);
    const isHeadless = failure === 'answered';
    if (isConfirming || peer.isHeadless !== isHeadless) this.#lost(peer, isHeadless);
    peer.dialFailureCount++;
    const backOffMs = Math.min(maxRedialMs, redialMs * 2 ** (peer.dialFailureCount - 1));
    const delayMs = failure === 'rejected' ? rejectedRedialMs : backOffMs;
    this.#dialLater(peer, delayMs * (0.75 + runtime.random() / 2));
  }

  /** Periodic work: time-outs, repair dials, surplus links, held announcements. */
  tick(): void {
    const { runtime } = this.#components;
    const nowMs = runtime.monotonic();
    for (const link of this.#links.values()) {
      const silentMs = nowMs - link.heardMs;
      const peer = this.#peer(link.peer);
      if (nowMs - link.upMs > soleLinkMs) peer.refusedCount = 0;
      if (silentMs > linkTimeoutOf(peer, nowMs)) this.cut(link, 'timeout');
    }
    this.#repairDials(nowMs);
    this.#announce();
  }

  /** Time in which this process could not hear anybody. */
  shift(lagMs: number): void {
    for (const link of this.#links.values()) link.heardMs += lagMs;
  }

  /** Says good-bye to all: no link is left. */
  stop(): void {
    this.#isStopped = true;
    for (const link of this.#links.values()) this.#closeLink(link, 'stopping');
    for (const peer of this.#peers.values()) this.#drop(peer);
  }

  #repairDials(nowMs: number): void {
    if (this.#members.length <= fullMeshCount || nowMs < this.#nextRepairDialMs) return;
    this.#nextRepairDialMs = nowMs + repairDialMs;
    const { runtime, self, isFoundByLists } = this.#components;
    const liveWanted = [...this.#wanted].filter((id) => this.#peers.get(id)?.link).length;
    if (liveWanted * 2 < this.#wanted.size) {
      for (let index = 0; index < repairDialCount; index++) {
        const machine = this.#members[Math.floor(runtime.random() * this.#members.length)];
        if (machine === undefined || machine === self) continue;
        // With enough links on this side of a cut, only the other side is still looked for: each
        // further link would carry everything that is flooded once more, and be announced to all.
        if (this.#links.size >= this.#wanted.size && isFoundByLists(machine)) continue;
        this.#dial(this.#peer(machine));
      }
      return;
    }
    for (const link of this.#links.values()) {
      if (this.#wanted.has(link.peer) || nowMs - link.upMs < extraLinkMs) continue;
      this.cut(link, 'surplus');
    }
  }

  #peer(machine: MachineId): Peer {
    let peer = this.#peers.get(machine);
    if (peer === undefined) {
      peer = newPeer(machine);
      this.#peers.set(machine, peer);
    }
    return peer;
  }

  #drop(peer: Peer): void {
    this.#endConfirm(peer);
    peer.cancelDial?.();
    this.#peers.delete(peer.machine);
  }

  #closeLink(link: Link, reason: CloseReason): void {
    this.#forget(link);
    this.#components.runtime.close(link.id, reason);
  }

  #forget(link: Link): void {
    this.#links.delete(link.id);
    const peer = this.#peers.get(link.peer);
    if (peer?.link === link) peer.link = undefined;
    this.#components.onLinkGone(link);
  }

  #dial(peer: Peer): void {
    const { runtime } = this.#components;
    peer.cancelDial?.();
    peer.cancelDial = undefined;
    if (this.#isStopped || peer.isDialling || peer.link !== undefined) return;
    if (this.#peers.get(peer.machine) !== peer) return;
    if (runtime.monotonic() < peer.bannedUntilMs) return;
    peer.isDialling = true;
    runtime.dial(peer.machine);
  }

  #dialLater(peer: Peer, delayMs: number): void {
    peer.cancelDial?.();
    peer.cancelDial = this.#components.runtime.schedule(delayMs, () => this.#dial(peer));
  }

  /** Our list is looked at soon; changes within a short time become one announcement. */
  announceSoon(): void {
    if (this.#isAnnouncing || this.#isStopped) return;
    this.#isAnnouncing = true;
    const spreadMs = this.#members.length * announceDelayPerMemberMs;
    const delayMs = Math.min(maxAnnounceDelayMs, Math.max(announceDelayMs, spreadMs));
    this.#components.runtime.schedule(delayMs, () => {
      this.#isAnnouncing = false;
      this.#announce();
    });
  }

  #announce(): void {
    const { runtime, self, isFoundByLists, publish } = this.#components;
    if (this.#isStopped || !this.#memberSet.has(self)) return;
    const nowMs = runtime.monotonic();
    if (!this.#isNews(nowMs)) return;
    const peers = [...this.#peers.values()].sort((a, b) => (a.machine < b.machine ? -1 : 1));
    const up = peers.filter((peer) => this.#isListed(peer, nowMs));
    const restores = up.some((peer) => !peer.isAnnounced && !isFoundByLists(peer.machine));
    const headless = peers.filter((peer) => peer.isHeadless && peer.link === undefined);
    if (!this.#takeToken(nowMs, restores)) return;
    this.#published = {
      isAble: this.#isAble,
      up: new Set(up.map(({ machine }) => machine)),
      headless: new Set(headless.map(({ machine }) => machine)),
    };
    for (const peer of peers) {
      const isUp = up.includes(peer);
      if (isUp && !peer.isAnnounced) peer.sinceMs = runtime.now();
      peer.isAnnounced = isUp;
    }
    publish({
      up: up.map(({ machine, sinceMs }) => ({ machine, sinceMs })),
      able: this.#isAble,
      ...(this.#unableSinceMs === undefined ? {} : { unableSinceMs: this.#unableSinceMs }),
      headless: headless.map(({ machine }) => machine),
    });
  }

  /** Whether our list would differ from the one that we published last. */
  #isNews(nowMs: number): boolean {
    const published = this.#published;
    if (published === undefined || published.isAble !== this.#isAble) return true;
    let upCount = 0;
    let headlessCount = 0;
    for (const peer of this.#peers.values()) {
      const isUp = this.#isListed(peer, nowMs);
      const isHeadless = peer.isHeadless && peer.link === undefined;
      if (isUp !== published.up.has(peer.machine)) return true;
      if (isHeadless !== published.headless.has(peer.machine)) return true;
      if (isUp) upCount++;
      if (isHeadless) headlessCount++;
    }
    // Peers that were dropped.
    return upCount !== published.up.size || headlessCount !== published.headless.size;
  }

  #isListed(peer: Peer, nowMs: number): boolean {
    if (peer.link === undefined) return peer.isAnnounced && peer.confirmUntilMs !== undefined;
    if (peer.isAnnounced) return true;
    // A link that flaps may be silent for longer before it is given up, but not begin so.
    if (nowMs - peer.link.heardMs > linkTimeoutMs) return false;
    if (!this.#components.isFoundByLists(peer.machine)) return true;
    return nowMs - peer.link.upMs >= holdDownOf(peer, nowMs);
  }

  #takeToken(nowMs: number, isUrgent: boolean): boolean {
    const refillMs = Math.max(announceRefillMs, this.#members.length * announcePerMemberMs);
    const gained = (nowMs - this.#tokensAtMs) / refillMs;
    this.#tokens = Math.min(announceBurst, this.#tokens + gained);
    this.#tokensAtMs = nowMs;
    if (this.#tokens < (isUrgent ? 1 - announceDebt : 1)) return false;
    this.#tokens -= 1;
    return true;
  }
}
