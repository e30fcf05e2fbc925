/**
 * One peer and the link to it: what is known about its steadiness, and what follows for patience.
 * A link that is lost and redialled within the confirm window was never announced as lost; one that
 * flaps gets longer time-outs and must stay up for a while before it is announced again. Both
 * together keep a lossy network from drowning in announcements (OSPF's and BGP's flap damping).
 */
import type { MachineId } from '../model/ids.ts';
import {
  confirmFlappingMs,
  confirmMs,
  flapMemoryMs,
  holdDownMs,
  linkTimeoutMs,
  maxHoldDownMs,
  maxTimeoutFactor,
  oldLinkMs,
} from './limits.ts';
import type { Cancel, LinkId } from './runtime.ts';

export interface Link {
  readonly id: LinkId;
  readonly peer: MachineId;
  /** Whether this end dialled. */
  readonly isDialler: boolean;
  readonly upMs: number;
  /** Monotonic time of the last frame. */
  heardMs: number;
}

export interface Peer {
  readonly machine: MachineId;
  link: Link | undefined;
  /** Listed in our `links/` record. */
  isAnnounced: boolean;
  /** Wall clock since when the announced link exists. */
  sinceMs: number;
  /** Its kernel answers while its agent does not. */
  isHeadless: boolean;
  /** Monotonic end of the confirm window; undefined outside of it. */
  confirmUntilMs: number | undefined;
  /** Monotonic time of the last frame over any link; undefined when there never was one. */
  heardMs: number | undefined;
  /** When a dial last reached the kernel. */
  kernelSeenMs: number | undefined;
  isDialling: boolean;
  dialFailureCount: number;
  cancelDial: Cancel | undefined;
  cancelConfirm: Cancel | undefined;
  /** Losses in the last minute. */
  flapCount: number;
  lastLossMs: number;
  bannedUntilMs: number;
  /** Links in a row that the peer closed because it has another one with us. */
  refusedCount: number;
  /** Monotonic, of the first of them. */
  refusedSinceMs: number;
  /** When further links came from it beside the one that lives. */
  rivalsMs: readonly number[];
}

export function newPeer(machine: MachineId): Peer {
  return {
    machine,
    link: undefined,
    isAnnounced: false,
    sinceMs: 0,
    isHeadless: false,
    confirmUntilMs: undefined,
    heardMs: undefined,
    kernelSeenMs: undefined,
    isDialling: false,
    dialFailureCount: 0,
    cancelDial: undefined,
    cancelConfirm: undefined,
    flapCount: 0,
    lastLossMs: Number.NEGATIVE_INFINITY,
    bannedUntilMs: Number.NEGATIVE_INFINITY,
    refusedCount: 0,
    refusedSinceMs: 0,
    rivalsMs: [],
  };
}

/** Losses that still count. */
function recentFlapCount(peer: Peer, monotonicMs: number): number {
  return monotonicMs - peer.lastLossMs < flapMemoryMs ? peer.flapCount : 0;
}

/** Counts an unplanned loss. */
export function countLoss(peer: Peer, monotonicMs: number): void {
  peer.flapCount = recentFlapCount(peer, monotonicMs) + 1;
  peer.lastLossMs = monotonicMs;
}

/** Silence after which the link counts as broken: grows with recent losses. */
export function linkTimeoutOf(peer: Peer, monotonicMs: number): number {
  // The first loss is no flapping yet: most links are lost once, when a machine restarts.
  const factor = Math.max(1, recentFlapCount(peer, monotonicMs));
  return linkTimeoutMs * Math.min(maxTimeoutFactor, factor);
}

/** How long a lost link is redialled before it is announced as lost. */
export function confirmWindowOf(peer: Peer, monotonicMs: number): number {
  return recentFlapCount(peer, monotonicMs) > 1 ? confirmFlappingMs : confirmMs;
}

/** How long a link must be up before it is announced, unless it restores reachability. */
export function holdDownOf(peer: Peer, monotonicMs: number): number {
  const flaps = recentFlapCount(peer, monotonicMs);
  return flaps <= 1 ? 0 : Math.min(maxHoldDownMs, holdDownMs * 2 ** (flaps - 1));
}

/**
 * Of two links between the same machines, the one to keep: the one that the lower id dialled; of
 * two by the same end the newer, because the older is broken then. Both ends decide alike. A link
 * of long ago is broken whoever dialled: nobody dials a machine that it is linked with. (A peer that
 * reads slowly may go on hearing what was sent before the other end was killed.)
 */
export function isBetterLink(candidate: Link, current: Link, self: MachineId): boolean {
  if (candidate.upMs - current.upMs >= oldLinkMs) return true;
  const isByLower = (link: Link): boolean => link.isDialler === self < link.peer;
  return isByLower(candidate) || !isByLower(current);
}
