/**
 * The agent's loop. Every event (a record, a link, a Docker event, a finished action) only marks
 * the view dirty; one `evaluate()` per tick builds the view and hands it to each part. Invariants:
 *
 * 1. No part is called from within an event; evaluations never overlap.
 * 2. All parts of one tick see the same view.
 * 3. A part that throws keeps its last good output, is reported, and does not stop the others.
 * 4. While the engine's containers have not been read once, nothing is planned: what is not known
 *    to exist would be created twice.
 * 5. `wakeAtMs` of the plan brings an evaluation at that moment even if no event comes.
 */
import type { Action, Plan } from '../src/model/action.ts';
import type { View } from '../src/model/view.ts';
import type { Log } from './log.ts';

/** 5 ms: gathers the records of one gossip frame and of one burst of Docker events. */
const tickMs = 5;
/**
 * Twice as long as the last evaluation took, at most 250 ms, until the next: where hundreds of
 * containers start, every one of their records would bring one, in every agent.
 */
const restFactor = 2;
const restLimitMs = 250;
/** 30 s: an evaluation comes at least this often, so that a missed event heals. */
const idleMs = 30_000;

export interface EvaluateComponents {
  /** Builds the view from the records as they are now. */
  readonly buildView: () => View;
  /** Parts that take the view: drivers behind LatestWins, the API's watchers. */
  readonly parts: readonly { readonly name: string; set(view: View): void }[];
  /** Decides; called only when `mayPlan()`. */
  readonly plan: (view: View) => Plan;
  readonly mayPlan: () => boolean;
  readonly execute: (actions: readonly Action[]) => void;
  readonly now: () => number;
  readonly log: Log;
}

export class Evaluator {
  readonly #components: EvaluateComponents;
  readonly #reported = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #restUntilMs = 0;
  #stopped = false;
  #plan: Plan = { actions: [], wakeAtMs: undefined, waiting: [] };
  #view: View | undefined;

  constructor(components: EvaluateComponents) {
    this.#components = components;
  }

  /** The plan of the last evaluation. */
  get plan(): Plan {
    return this.#plan;
  }

  /** The view of the last evaluation; built on the spot before the first. */
  view(): View {
    this.#view ??= this.#components.buildView();
    return this.#view;
  }

  markDirty(): void {
    const nowMs = this.#components.now();
    // Never later than the limit, wherever the clock was set to meanwhile.
    const restUntilMs = Math.min(this.#restUntilMs, nowMs + restLimitMs);
    this.#wakeAt(Math.max(nowMs + tickMs, restUntilMs));
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #wakeAt(atMs: number): void {
    if (this.#stopped || atMs >= this.#timerAtMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(
      () => {
        this.#timerAtMs = Number.POSITIVE_INFINITY;
        this.#evaluate();
      },
      Math.max(0, atMs - this.#components.now()),
    );
  }

  #evaluate(): void {
    const { buildView, parts, plan, mayPlan, execute, now } = this.#components;
    const startMs = performance.now();
    this.#guarded('view', () => {
      const view = buildView();
      this.#view = view;
      for (const part of parts) this.#guarded(part.name, () => part.set(view));
      if (!mayPlan()) return;
      this.#guarded('plan', () => {
        this.#plan = plan(view);
        execute(this.#plan.actions);
        if (this.#plan.wakeAtMs !== undefined) this.#wakeAt(this.#plan.wakeAtMs);
      });
    });
    const tookMs = performance.now() - startMs;
    this.#restUntilMs = now() + Math.min(restFactor * tookMs, restLimitMs);
    this.#wakeAt(now() + idleMs);
  }

  #guarded(name: string, work: () => void): void {
    try {
      work();
      if (this.#reported.delete(name)) this.#components.log.info('works again', { part: name });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (this.#reported.get(name) === message) return;
      this.#reported.set(name, message);
      this.#components.log.error('failed; the last good output stays', {
        part: name,
        error: message,
      });
      if (error instanceof Error && error.stack) this.#components.log.error(error.stack);
    }
  }
}
