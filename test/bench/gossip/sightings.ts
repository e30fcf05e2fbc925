/**
 * Who has seen what, and when: filled by the processes that are measured, asked by the measurement.
 * All times are of the monotonic clock, in milliseconds, which all processes of a machine share.
 */

/** Monotonic time, ms; comparable between processes. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** 60 s: ten times what the slowest of the contenders takes for anything. */
const patienceMs = 60_000;

export class Sightings {
  readonly #count: number;
  readonly #updates = new Map<string, Map<number, number>>();
  /** Observer to subject to whether it counts as alive, and since when. */
  readonly #alive: Map<number, { readonly isAlive: boolean; readonly atMs: number }>[];
  readonly #waiting = new Set<() => void>();
  /** Subjects that are stopped or killed: no loss of theirs is false. */
  readonly #away = new Set<number>();
  falseLossCount = 0;

  constructor(count: number) {
    this.#count = count;
    this.#alive = Array.from({ length: count }, () => new Map());
  }

  sawUpdate(observer: number, update: string, atMs: number): void {
    const seen = this.#updates.get(update) ?? new Map<number, number>();
    this.#updates.set(update, seen);
    if (!seen.has(observer)) seen.set(observer, atMs);
    this.#changed();
  }

  sawState(observer: number, subject: number, isAlive: boolean, atMs: number): void {
    const before = this.#alive[observer]?.get(subject);
    if (before?.isAlive === isAlive) return;
    this.#alive[observer]?.set(subject, { isAlive, atMs });
    const isLoss = before !== undefined && !isAlive;
    if (isLoss && !this.#away.has(subject) && !this.#away.has(observer)) this.falseLossCount++;
    this.#changed();
  }

  /** From now on it is right to count it as gone, or, with `isAway` false, wrong again. */
  setAway(subject: number, isAway: boolean): void {
    if (isAway) this.#away.add(subject);
    else this.#away.delete(subject);
  }

  /** A process that starts anew knows nobody. */
  forgetObserver(observer: number): void {
    this.#alive[observer]?.clear();
  }

  /** @returns when the last of all but the writer saw it */
  async everyoneSaw(update: string, writer: number): Promise<number> {
    const times = (): readonly number[] =>
      [...(this.#updates.get(update) ?? [])].filter(([who]) => who !== writer).map(([, at]) => at);
    await this.#until(`update ${update} at all`, () => times().length >= this.#count - 1);
    return Math.max(...times());
  }

  /** When the writer itself saw it. */
  firstSight(update: string, writer: number): number {
    return this.#updates.get(update)?.get(writer) ?? Number.NaN;
  }

  /** @returns when the last of the others saw that a machine is gone, or back */
  async everyoneKnows(subject: number, isAlive: boolean): Promise<number> {
    const others = this.#alive.filter((_, observer) => observer !== subject);
    const what = `machine ${subject} ${isAlive ? 'back' : 'gone'} for all`;
    await this.#until(what, () => others.every((at) => at.get(subject)?.isAlive === isAlive));
    return Math.max(...others.map((at) => at.get(subject)?.atMs ?? Number.NaN));
  }

  /** Everybody counts everybody else as alive. */
  async everyoneAlive(): Promise<void> {
    await this.#until('all alive for all', () =>
      this.#alive.every((subjects, observer) =>
        Array.from({ length: this.#count }, (_, subject) => subject).every(
          (subject) => subject === observer || subjects.get(subject)?.isAlive === true,
        ),
      ),
    );
  }

  #until(what: string, holds: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!holds()) return;
        clearTimeout(timer);
        this.#waiting.delete(check);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(check);
        reject(new Error(`not within ${patienceMs / 1000} s: ${what}`));
      }, patienceMs);
      this.#waiting.add(check);
      check();
    });
  }

  #changed(): void {
    for (const check of this.#waiting) check();
  }
}
