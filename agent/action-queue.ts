/**
 * Which of the planned actions may begin now: never two with one subject, never more than
 * `parallelCount`, none that failed a moment ago. It only counts and times; the executor carries
 * out, and the simulation's does so by the same rules. A plan that has changed replaces whatever had
 * not begun.
 */
import type { Action } from '../src/model/action.ts';

/** 8 at once: starting containers is mostly waiting for the kernel and for pulls. */
const parallelCount = 8;
/** 1 s, doubling to 30 s: how long a failed action rests. */
const firstBackOffMs = 1_000;
const lastBackOffMs = 30_000;

interface BackOff {
  readonly delayMs: number;
  readonly untilMs: number;
}

export class ActionQueue {
  readonly #now: () => number;
  readonly #running = new Map<string, Action>();
  readonly #backOffs = new Map<string, BackOff>();
  #waiting: readonly Action[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes a plan: what waited from an earlier one is forgotten. */
  set(actions: readonly Action[]): void {
    this.#waiting = actions;
  }

  /** Subjects of the actions that run now. */
  inFlight(): ReadonlySet<string> {
    return new Set(this.#running.keys());
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** The actions that may begin now; from now on they run. */
  begin(): readonly Action[] {
    const begun: Action[] = [];
    const later: Action[] = [];
    for (const action of this.#waiting) {
      const mayStart =
        this.#running.size < parallelCount &&
        !this.#running.has(action.subject) &&
        // Order within a subject is kept: the second waits for the first.
        !later.some((earlier) => earlier.subject === action.subject) &&
        !this.#rests(action);
      if (!mayStart) {
        later.push(action);
        continue;
      }
      this.#running.set(action.subject, action);
      begun.push(action);
    }
    this.#waiting = later;
    return begun;
  }

  /** An action is over. One that failed is not tried again before its back-off is over. */
  ended(action: Action, hasFailed: boolean): void {
    this.#running.delete(action.subject);
    if (hasFailed) this.#backOff(action);
    else this.#backOffs.delete(backOffKey(action));
  }

  /** When the first resting action may be tried again; undefined when none rests. */
  wakeAtMs(): number | undefined {
    const nowMs = this.#now();
    const ends = this.#waiting
      .map((action) => this.#backOffs.get(backOffKey(action))?.untilMs ?? 0)
      .filter((untilMs) => untilMs > nowMs);
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  #rests(action: Action): boolean {
    if (this.#backOffs.size === 0) return false;
    const backOff = this.#backOffs.get(backOffKey(action));
    return backOff !== undefined && backOff.untilMs > this.#now();
  }

  #backOff(action: Action): void {
    const key = backOffKey(action);
    const before = this.#backOffs.get(key);
    const delayMs = Math.min((before?.delayMs ?? firstBackOffMs / 2) * 2, lastBackOffMs);
    this.#backOffs.set(key, { delayMs, untilMs: this.#now() + delayMs });
    this.#forgetOldBackOffs();
  }

  /** Keeps the map small: an action that has not failed for long starts afresh. */
  #forgetOldBackOffs(): void {
    const oldMs = this.#now() - 2 * lastBackOffMs;
    for (const [key, { untilMs }] of this.#backOffs) {
      if (untilMs < oldMs) this.#backOffs.delete(key);
    }
  }
}

function backOffKey({ name, subject, arguments: given }: Action): string {
  return JSON.stringify([name, subject, given]);
}
