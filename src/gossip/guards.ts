/**
 * When this agent must not trust its own picture. stale: the process or the machine slept, so the
 * others may have moved on; isolated: no link while there are others; booting: nothing compared
 * with a peer yet; duplicate: somebody else acts under our name. The agent neither re-places nor
 * removes while any of them holds.
 */
import type { MachineId } from '../model/ids.ts';
import type { Guard } from '../model/view.ts';
import {
  bootAloneMs,
  clockJumpMs,
  maxBootMs,
  maxStaleMs,
  staleAfterMs,
  stallMs,
  tickMs,
} from './limits.ts';

export interface GuardInput {
  readonly monotonicMs: number;
  readonly memberCount: number;
  readonly linkCount: number;
  /** Links that were heard since the last stall, and how many there should be. */
  readonly heardCount: number;
  readonly wantedCount: number;
}

export class Guards {
  #startMs: number;
  #lastTickMs: number;
  /** Wall clock minus monotonic clock at the last tick. */
  #offsetMs: number;
  #staleSinceMs: number | undefined;
  #hasCompared = false;
  /** When there was a link last. */
  #linkedMs = Number.NEGATIVE_INFINITY;
  #isDuplicate = false;
  /** Peers with the same content that had just booted themselves. */
  readonly #equalBooting = new Set<MachineId>();

  constructor(monotonicMs: number, wallMs: number) {
    this.#startMs = monotonicMs;
    this.#lastTickMs = monotonicMs;
    this.#offsetMs = wallMs - monotonicMs;
  }

  /**
   * Only what is heard after this moment confirms a stale view: frames that waited in the kernel
   * during the stall are read first, and are as old as the view.
   */
  get believeSinceMs(): number {
    return (this.#staleSinceMs ?? this.#startMs) + tickMs;
  }

  /**
   * Called by the timer that should run every `tickMs`.
   * @returns milliseconds in which this process did not run; 0 when it was in time
   */
  tick(monotonicMs: number, wallMs: number): number {
    const lagMs = monotonicMs - this.#lastTickMs - tickMs;
    this.#lastTickMs = monotonicMs;
    const offsetMs = wallMs - monotonicMs;
    const jumpMs = Math.abs(offsetMs - this.#offsetMs);
    this.#offsetMs = offsetMs;
    if (lagMs > staleAfterMs || jumpMs > clockJumpMs) this.#staleSinceMs = monotonicMs;
    if (lagMs <= stallMs) return 0;
    if (!this.#hasCompared) {
      // Who slept has waited for nobody: that time counts neither as alone nor as patience.
      this.#startMs += lagMs;
      this.#linkedMs += lagMs;
    }
    return lagMs;
  }

  /** The timer starts now: the time since the construction was no stall. */
  started(monotonicMs: number, wallMs: number): void {
    this.#lastTickMs = monotonicMs;
    this.#offsetMs = wallMs - monotonicMs;
  }

  /** The machine entered a cluster: it knows as little of it as after a boot. */
  entered(monotonicMs: number): void {
    this.#startMs = monotonicMs;
  }

  /**
   * Another live machine has our identity: nothing clears this but a new start.
   * @returns whether that is news
   */
  setDuplicate(): boolean {
    const isNews = !this.#isDuplicate;
    this.#isDuplicate = true;
    return isNews;
  }

  /**
   * A peer's content hash was equal to ours: what we have is what the others have. Not so if that
   * peer has just booted as well: two machines that lost the same change agree on the old one.
   */
  compared(peer: MachineId, isPeerBooting: boolean): void {
    if (isPeerBooting) this.#equalBooting.add(peer);
    else this.#hasCompared = true;
  }

  /** The guards that hold now, in a fixed order. */
  active(input: GuardInput): Guard[] {
    const guards: Guard[] = [];
    if (this.#isStale(input)) guards.push('stale');
    if (input.memberCount >= 3 && input.linkCount === 0) guards.push('isolated');
    if (this.#isBooting(input)) guards.push('booting');
    if (this.#isDuplicate) guards.push('duplicate');
    return guards;
  }

  #isStale({ monotonicMs, heardCount, wantedCount }: GuardInput): boolean {
    if (this.#staleSinceMs === undefined) return false;
    const isConfirmed = heardCount * 2 >= wantedCount && (heardCount > 0 || wantedCount === 0);
    if (isConfirmed || monotonicMs - this.#staleSinceMs >= maxStaleMs) {
      this.#staleSinceMs = undefined;
      return false;
    }
    return true;
  }

  #isBooting({ monotonicMs, memberCount, linkCount, wantedCount }: GuardInput): boolean {
    if (this.#hasCompared) return false;
    const ageMs = monotonicMs - this.#startMs;
    const equalCount = this.#equalBooting.size;
    if (linkCount > 0) this.#linkedMs = monotonicMs;
    // Alone without a break: who has just lost its links has peers, and they know more.
    const aloneMs = monotonicMs - Math.max(this.#startMs, this.#linkedMs);
    // All that there are have booted, as after a power cut: then there is nobody to wait for.
    const isWhole = equalCount > 0 && equalCount >= wantedCount;
    const patienceMs = equalCount > 0 ? bootAloneMs : maxBootMs;
    const isOver = memberCount <= 1 || isWhole || ageMs >= patienceMs || aloneMs >= bootAloneMs;
    // Latched: a link that comes later must not bring the boot guard back.
    if (isOver && memberCount > 0) this.#hasCompared = true;
    return !isOver;
  }
}
