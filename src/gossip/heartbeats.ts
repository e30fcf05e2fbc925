/**
 * A heartbeat on every link: it carries the content hash (repair.ts) and the sender's clock. The
 * dialler sends one and the other end answers at once: the answer carries TCP's acknowledgement, so
 * an exchange costs three packets and not four, and both timers start anew. A link that has been in
 * time for a while and whose ends are equal is asked half as often; anything late or different
 * brings the second back. Older agents, which do not answer, send once a second by themselves and
 * are answered. After the first repair of a link an extra one comes early, because a joiner is ready
 * when it is equal to a peer and should not wait a second to learn that. Must never judge a link:
 * that is the time-out's business (neighbours.ts).
 */
import type { MachineId } from '../model/ids.ts';
import { isEqualBytes } from './content-hash.ts';
import type { Frame } from './frame.ts';
import {
  heartbeatAnswerMs,
  heartbeatJitter,
  heartbeatMs,
  lateHeartbeatMs,
  maxAheadMs,
  steadyAfterMs,
  steadyHeartbeatJitter,
  steadyHeartbeatMs,
} from './limits.ts';
import type { Cancel, LinkId, Runtime } from './runtime.ts';

/** Until the extra heartbeat after a first repair: records that follow are counted in. */
const soonMs = 50;

/** What a peer's clock showed beyond which an operator is told. */
const skewWarningMs = 5000;

/** The accepting end waits 10 % longer, so that it answers and seldom asks. */
const acceptorPatience = 1.1;

interface Beat {
  readonly isDialler: boolean;
  cancel: Cancel | undefined;
  sentMs: number;
  /** When the last one came; undefined before the first. */
  heardMs: number | undefined;
  /** When the link came up, or something was last late or different. */
  unsteadyMs: number;
  /** An extra one is under way. */
  isSoon: boolean;
}

export interface HeartbeatsComponents {
  readonly runtime: Pick<Runtime, 'now' | 'monotonic' | 'random' | 'schedule' | 'report'>;
  /** Content hash of the map. */
  readonly hash: () => Uint8Array;
  readonly isBooting: () => boolean;
  readonly send: (link: LinkId, frame: Frame) => void;
}

export class Heartbeats {
  readonly #components: HeartbeatsComponents;
  readonly #beats = new Map<LinkId, Beat>();
  /** How far the clock at the other end is ahead of ours. */
  readonly #skewMs = new Map<LinkId, number>();
  /** Of all skews; undefined after one has changed. Every frame with records asks for it. */
  #medianSkewMs: number | undefined;
  /** Machines whose clock was reported. */
  readonly #skewed = new Set<MachineId>();

  constructor(components: HeartbeatsComponents) {
    this.#components = components;
  }

  /** Sends the first one at once. */
  open(link: LinkId, isDialler: boolean): void {
    const nowMs = this.#components.runtime.monotonic();
    const beat = { isDialler, sentMs: nowMs, heardMs: undefined, unsteadyMs: nowMs, isSoon: false };
    this.#beats.set(link, { ...beat, cancel: undefined });
    this.#beat(link);
  }

  close(link: LinkId): void {
    this.#beats.get(link)?.cancel?.();
    this.#beats.delete(link);
    if (this.#skewMs.delete(link)) this.#medianSkewMs = undefined;
  }

  /** One came: answers it, unless ours left a moment ago. */
  heard(link: LinkId, theirHash: Uint8Array): void {
    const beat = this.#beats.get(link);
    if (beat === undefined) return;
    const { runtime, hash } = this.#components;
    const nowMs = runtime.monotonic();
    const wasSteady = isSteady(beat, nowMs);
    const [intervalMs, jitter] = intervalOf(beat, nowMs);
    const gapMs = nowMs - (beat.heardMs ?? nowMs);
    const isLate = gapMs > intervalMs * (1 + jitter) * acceptorPatience + lateHeartbeatMs;
    beat.heardMs = nowMs;
    if (isLate || !isEqualBytes(theirHash, hash())) beat.unsteadyMs = nowMs;
    if (nowMs - beat.sentMs >= heartbeatAnswerMs) this.#beat(link);
    else if (wasSteady && !isSteady(beat, nowMs)) this.#beatLater(link, beat);
  }

  /** An extra one, soon. */
  soon(link: LinkId): void {
    const beat = this.#beats.get(link);
    if (beat === undefined || beat.isSoon) return;
    beat.isSoon = true;
    this.#beatIn(link, beat, soonMs);
  }

  /** Compares a peer's clock with ours; reports once when they are far apart. */
  noteClock(link: LinkId, machine: MachineId, theirMs: number): void {
    const { runtime } = this.#components;
    const skewMs = Math.round(theirMs - runtime.now());
    if (this.#skewMs.get(link) !== skewMs) this.#medianSkewMs = undefined;
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
    this.#medianSkewMs ??= medianOf([...this.#skewMs.values()]);
    const aheadMs = Math.min(Math.max(this.#medianSkewMs, 0), 2 * maxAheadMs);
    return this.#components.runtime.now() + aheadMs;
  }

  #beat(link: LinkId): void {
    const beat = this.#beats.get(link);
    if (beat === undefined) return;
    const { runtime, hash, isBooting, send } = this.#components;
    beat.isSoon = false;
    beat.sentMs = runtime.monotonic();
    this.#beatLater(link, beat);
    // Last, because a link that is too slow to take it is closed in this call.
    const nowMs = Math.floor(runtime.now());
    send(link, { type: 'heartbeat', hash: hash(), nowMs, isBooting: isBooting() });
  }

  #beatLater(link: LinkId, beat: Beat): void {
    const { runtime } = this.#components;
    const [intervalMs, jitter] = intervalOf(beat, runtime.monotonic());
    const factor = 1 + (runtime.random() * 2 - 1) * jitter;
    // The dialler asks; two that ask at the same moment would both send twice.
    const patience = beat.isDialler ? 1 : acceptorPatience;
    this.#beatIn(link, beat, intervalMs * factor * patience);
  }

  #beatIn(link: LinkId, beat: Beat, delayMs: number): void {
    beat.cancel?.();
    beat.cancel = this.#components.runtime.schedule(delayMs, () => this.#beat(link));
  }
}

/** The lower one of two in the middle; 0 of none. */
function medianOf(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.floor((values.length - 1) / 2)] ?? 0;
}

function isSteady({ unsteadyMs }: Beat, nowMs: number): boolean {
  return nowMs - unsteadyMs >= steadyAfterMs;
}

function intervalOf(beat: Beat, nowMs: number): readonly [intervalMs: number, jitter: number] {
  return isSteady(beat, nowMs)
    ? [steadyHeartbeatMs, steadyHeartbeatJitter]
    : [heartbeatMs, heartbeatJitter];
}
