/**
 * Every figure that the demo prints goes through here with what it has to be, so that none can be
 * printed without being held to it.
 */
import type { Stage } from './stage.ts';

export class Checks {
  readonly #stage: Stage;
  readonly #failed: string[] = [];
  #count = 0;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  get count(): number {
    return this.#count;
  }

  /** Sentences whose figure was not as it has to be. */
  get failed(): readonly string[] {
    return this.#failed;
  }

  /**
   * Prints a sentence with its figure.
   * @param holds whether the figure is what it has to be
   * @param wanted what it has to be, said when it is not
   */
  figure(sentence: string, holds: boolean, wanted: string): void {
    const { paint } = this.#stage;
    this.#count += 1;
    if (holds) {
      this.#stage.say(`   ${paint.good('✔')} ${sentence}`);
      return;
    }
    this.#failed.push(sentence);
    this.#stage.say(`   ${paint.bad('✘')} ${sentence} (${paint.bad(`expected ${wanted}`)})`);
  }
}
