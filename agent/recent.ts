/**
 * Answers that hold for a moment. Containers of one service start side by side, and each would ask
 * the engine the same about its image and its network; who asks while an answer is on its way, or a
 * moment after it came, gets that one. Failures are never kept.
 */

/** 1 s: what changes meanwhile is met as the failure of the call that relied on it. */
const keptMs = 1_000;

export class Recent<T> {
  readonly #answers = new Map<string, { readonly answer: Promise<T>; untilMs: number }>();

  /** @param ask called when nobody has asked for `key` a moment ago */
  get(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#answers.get(key);
    if (known !== undefined && performance.now() < known.untilMs) return known.answer;
    const answer = ask();
    const kept = { answer, untilMs: Number.POSITIVE_INFINITY };
    this.#answers.set(key, kept);
    answer.then(
      () => {
        kept.untilMs = performance.now() + keptMs;
        this.#forgetOld();
      },
      () => {
        if (this.#answers.get(key) === kept) this.#answers.delete(key);
      },
    );
    return answer;
  }

  #forgetOld(): void {
    const nowMs = performance.now();
    for (const [key, { untilMs }] of this.#answers) {
      if (untilMs < nowMs) this.#answers.delete(key);
    }
  }
}
