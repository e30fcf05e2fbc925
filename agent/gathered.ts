/**
 * Answers for those who ask in one turn. Containers of one service start side by side, and each must
 * know what the engine has of its slot; one list tells it to all. Unlike `Recent` it keeps nothing:
 * the engine is asked after everybody who gets the answer has asked for it.
 */

interface Asking<T> {
  readonly answer: Promise<T>;
  isShared: boolean;
}

export class Gathered<T> {
  readonly #asking = new Map<string, Asking<T>>();

  /**
   * @param ask called once at the end of the turn, with that of the first who asked for `key`;
   *   `isShared` when others did too
   */
  get(key: string, ask: (isShared: boolean) => Promise<T>): Promise<T> {
    const known = this.#asking.get(key);
    if (known !== undefined) {
      known.isShared = true;
      return known.answer;
    }
    const answer = new Promise<T>((resolve, reject) => {
      queueMicrotask(() => {
        this.#asking.delete(key);
        ask(asking.isShared).then(resolve, reject);
      });
    });
    const asking: Asking<T> = { answer, isShared: false };
    this.#asking.set(key, asking);
    return answer;
  }
}
