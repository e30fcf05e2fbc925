/**
 * A heartbeat on every link, once a second with jitter: it carries the content hash (repair.ts) and
 * the sender's clock. After the first repair of a link an extra one comes early, because a joiner is
 * ready when it is equal to a peer and should not wait a second to learn that.
 */
import type { MachineId } from '../model/ids.ts';
import type { Frame } from './frame.ts';
import { heartbeatJitter, heartbeatMs, maxAheadMs } from './limits.ts';
import type { Cancel, LinkId, Runtime } from './runtime.ts';

/** Until the extra heartbeat after a first repair: records that follow are counted in. */
const soonMs = 50;

/** What a peer's clock showed beyond which an operator is told. */
const skewWarningMs = 5000;

export interface HeartbeatsComponents {
  readonly runtime: Runtime;
  /** Content hash of the map. */
  readonly hash: () => Uint8Array;
  readonly send: (link: LinkId, frame: Frame) => void;
}

export class Heartbeats {
  readonly #components: HeartbeatsComponents;
  readonly #next = new Map<LinkId, Cancel>();
  /** Links on which an extra heartbeat is under way. */
  readonly #soon = new Set<LinkId>();
  /** How far the clock at the other end is ahead of ours. */
  readonly #skewMs = new Map<LinkId, number>();
  /** Machines whose clock was reported. */
  readonly #skewed = new Set<MachineId>();

  constructor(components: HeartbeatsComponents) {
    this.#components = components;
  }

  /** Sends the first one at once. */
  open(link: LinkId): void {
    this.#beat(link);
  }

  close(link: LinkId): void {
    this.#next.get(link)?.();
    this.#next.delete(link);
    this.#skewMs.delete(link);
    this.#soon.delete(link);
  }

  /** An extra one, soon. */
  soon(link: LinkId): void {
    if (this.#soon.has(link)) return;
    this.#soon.add(link);
    this.#beatIn(link, soonMs);
  }

  /** Compares a peer's clock with ours; reports once when they are far apart. */
  noteClock(link: LinkId, machine: MachineId, theirMs: number): void {
    const { runtime } = this.#components;
    const skewMs = Math.round(theirMs - runtime.now());
    this.#skewMs.set(link, skewMs);
    const isSkewed = Math.abs(skewMs) > skewWarningMs;
    if (isSkewed && !this.#skewed.has(machine)) {
      runtime.report(`the clock of ${machine} differs from ours by ${skewMs} ms`);
    }
    if (isSkewed) this.#skewed.add(machine);
    else this.#skewed.delete(machine);
  }

  /**
   * Now, by our clock or by those of most linked peers if ours is behind: a machine whose clock is a
   * year behind must not take what the others write for nonsense from the future. No single peer can
   * move this; with only one peer, it cannot by more than twice what a record may be ahead.
   */
  latestMs(): number {
    const skews = [...this.#skewMs.values()].sort((a, b) => a - b);
    const median = skews[Math.floor((skews.length - 1) / 2)] ?? 0;
    return this.#components.runtime.now() + Math.min(Math.max(median, 0), 2 * maxAheadMs);
  }

  #beat(link: LinkId): void {
    const { runtime, hash, send } = this.#components;
    this.#soon.delete(link);
    send(link, { type: 'heartbeat', hash: hash(), nowMs: Math.floor(runtime.now()) });
    const jitter = 1 + (runtime.random() * 2 - 1) * heartbeatJitter;
    this.#beatIn(link, heartbeatMs * jitter);
  }

  #beatIn(link: LinkId, delayMs: number): void {
    this.#next.get(link)?.();
    this.#next.set(
      link,
      this.#components.runtime.schedule(delayMs, () => this.#beat(link)),
    );
  }
}
