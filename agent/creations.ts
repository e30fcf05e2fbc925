/**
 * Containers that this machine's engine is making. `docker compose up` makes all containers and then
 * starts them, and so does a machine with what it was given at one time: a container that runs
 * already asks its health question while its neighbours are being made, as often as its file says,
 * and each question is a process. Nobody is held up for long by a creation that hangs.
 */

/** 2 s: more than the creation of eight containers takes on a busy machine. */
const longestWaitMs = 2_000;

export class Creations {
  readonly #underWay = new Set<Promise<unknown>>();

  /** Makes a container. @param create rejects as it does, for the caller */
  async make<T>(create: () => Promise<T>): Promise<T> {
    const creation = create();
    this.#underWay.add(creation);
    try {
      return await creation;
    } finally {
      this.#underWay.delete(creation);
    }
  }

  /** Resolves when those have ended that are under way now, whatever became of them, or after 2 s. */
  async ended(waitMs = longestWaitMs): Promise<void> {
    if (this.#underWay.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, waitMs);
    });
    await Promise.race([Promise.allSettled(this.#underWay), limit]);
    clearTimeout(timer);
  }
}
