/**
 * Runs an asynchronous `apply` for the newest value only: while one run is under way, later values
 * replace each other, and the last of them is applied next. This keeps a slow driver (Caddy) from
 * holding up a quick one (DNS), and bounds the work however fast the view changes. A run that
 * fails is reported once per message and tried again with back-off, because no new event may come.
 */
import type { Log } from './log.ts';

/** A failed apply is tried again after 0.5 s, doubling up to this. */
const retryLimitMs = 15_000;
const retryFirstMs = 500;

/**
 * A driver whose rests may grow rests for 20 times as long as its runs took lately: a machine on
 * which they take long is not made busier by more of them. A few come at once: the first 500 ms of
 * such debt are free. A run is begun at once, too, when somebody waits for it.
 */
const restFactor = 20;
const freeDebtMs = 500;

/** How a driver wants its values. */
export interface LatestWinsOptions {
  /** The least time between the end of a run and the next one, in milliseconds; 0 unless given. */
  readonly restMs?: number;
  /** Rests grow with what the runs take, up to this; as `restMs` unless given. */
  readonly longestRestMs?: number;
}

export class LatestWins<T> {
  readonly #name: string;
  readonly #apply: (value: T) => Promise<void> | void;
  readonly #log: Log;
  #next: { readonly value: T } | undefined;
  /** Values set so far; what a run takes is the last of them. */
  #setCount = 0;
  #waiting: { readonly count: number; readonly resolve: (isApplied: boolean) => void }[] = [];
  /** The last value whose run ended, and whether it ended well. */
  #ended = { count: 0, isApplied: true };
  #running: Promise<void> | undefined;
  /** Ends the rest that is under way. */
  #endRest: (() => void) | undefined;
  #retry: NodeJS.Timeout | undefined;
  readonly #restMs: number;
  readonly #longestRestMs: number;
  #debtMs = 0;
  #debtAtMs = 0;
  #failures = 0;
  #stopped = false;
  #lastMessage: string | undefined;

  constructor(
    name: string,
    apply: (value: T) => Promise<void> | void,
    log: Log,
    { restMs = 0, longestRestMs = restMs }: LatestWinsOptions = {},
  ) {
    this.#restMs = restMs;
    this.#longestRestMs = longestRestMs;
    this.#name = name;
    this.#apply = apply;
    this.#log = log;
  }

  /** The last failure's text; undefined while the newest value has been applied. */
  get problem(): string | undefined {
    return this.#lastMessage;
  }

  set(value: T): void {
    if (this.#stopped) return;
    this.#next = { value };
    this.#setCount++;
    if (this.#running === undefined && this.#retry === undefined) this.#running = this.#run();
  }

  /**
   * Waits until what was set last, or something newer, has been tried; no pause is kept before that.
   * @returns whether that went well
   */
  whenApplied(): Promise<boolean> {
    const count = this.#setCount;
    if (this.#ended.count >= count) return Promise.resolve(this.#ended.isApplied);
    if (this.#stopped) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#waiting.push({ count, resolve });
      this.#endRest?.();
      this.#retryNow();
    });
  }

  #tried(count: number, isApplied: boolean): void {
    this.#ended = { count, isApplied };
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => one.count > count);
    for (const one of waiting) if (one.count <= count) one.resolve(isApplied);
  }

  /** Takes no further values and waits for the run under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#next = undefined;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#endRest?.();
    await this.#running;
    this.#tried(this.#setCount, false);
  }

  async #run(): Promise<void> {
    while (this.#next !== undefined) {
      const { value } = this.#next;
      const count = this.#setCount;
      this.#next = undefined;
      try {
        const startMs = performance.now();
        await this.#apply(value);
        this.#tried(count, true);
        const restMs = this.#restAfter(startMs);
        if (this.#lastMessage !== undefined) this.#log.info('works again', { driver: this.#name });
        this.#lastMessage = undefined;
        this.#failures = 0;
        if (restMs > 0 && this.#waiting.length === 0) await this.#rest(restMs);
      } catch (error) {
        this.#report(error);
        this.#tried(count, false);
        if (!this.#stopped) {
          this.#next ??= { value };
          this.#retryLater();
        }
        break;
      }
    }
    this.#running = undefined;
  }

  /** How long to rest now, after a run that began then. */
  #restAfter(startMs: number): number {
    const nowMs = performance.now();
    const paidMs = startMs - this.#debtAtMs;
    const debtMs = Math.max(0, this.#debtMs - paidMs) + restFactor * (nowMs - startMs);
    // One run that took seconds is paid for by a few rests.
    this.#debtMs = Math.min(debtMs, freeDebtMs + 3 * this.#longestRestMs);
    this.#debtAtMs = nowMs;
    return Math.min(Math.max(this.#restMs, this.#debtMs - freeDebtMs), this.#longestRestMs);
  }

  async #rest(restMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, restMs);
      this.#endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endRest = undefined;
  }

  #report(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (message !== this.#lastMessage) {
      this.#log.error('cannot apply', { driver: this.#name, error: message });
      if (error instanceof Error && error.stack) this.#log.debug(error.stack);
    }
    this.#lastMessage = message;
  }

  #retryLater(): void {
    const delayMs = Math.min(retryLimitMs, retryFirstMs * 2 ** this.#failures);
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#retryNow(), delayMs);
  }

  #retryNow(): void {
    if (this.#retry === undefined) return;
    clearTimeout(this.#retry);
    this.#retry = undefined;
    if (this.#next !== undefined && !this.#stopped) this.#running = this.#run();
  }
}
