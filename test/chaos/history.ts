/** When what was broken: tells which answers had to be good. */
import type { Answer } from './watchers.ts';
import type { World } from './world.ts';

/**
 * 20 s after a change before answers are judged: a machine that flapped counts as lost after 14 s,
 * and then its replicas start elsewhere.
 */
const graceMs = 20_000;

interface Era {
  readonly fromMs: number;
  readonly whole: ReadonlySet<string>;
  readonly isLineBad: boolean;
}

export class History {
  readonly #eras: Era[] = [];

  /** Notes how things are from now on. */
  note(world: World): void {
    world.noteChange();
    const whole = world.conditions.filter((one) => world.isWhole(one));
    this.#eras.push({
      fromMs: Date.now(),
      whole: new Set(whole.map(({ machine }) => machine.name)),
      isLineBad: world.isLineBad,
    });
  }

  /** Whether nothing changed around an answer, and its machine was whole. */
  isJudged({ machine, startedMs, endedMs }: Answer): boolean {
    const era = this.#eras.findLast(({ fromMs }) => fromMs <= endedMs);
    if (era === undefined || era.isLineBad || !era.whole.has(machine)) return false;
    return startedMs >= era.fromMs + graceMs;
  }
}
