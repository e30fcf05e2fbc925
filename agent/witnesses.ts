/**
 * Nobody judges a rollout who may have been cut off just now. It takes some seconds until a machine
 * knows that it lost the others; what it judged meanwhile could be another verdict than theirs. So a
 * judge asks all that it is linked with whether they know of the change, and judges when they have
 * answered, from what it knows then. Who has not answered when `witnessMs` are over has lost its link,
 * and counts as absent by then: an agent that hangs holds up no verdict.
 *
 * The executor's part, used by the simulation's as well: it only remembers who was heard when.
 */

/** 4 s: a link that is silent is closed after 2.5 s, and unlisted by the other end 1 s later. */
export const witnessMs = 4000;
/** 5 s: far longer than from the answers to the next plan, also where the machine is busy. */
const answerLifeMs = 5000;

export class Witnesses {
  readonly #now: () => number;
  readonly #answeredMs = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** The machines that are linked with this one have answered, or their time is over. */
  answered(verdictKey: string): void {
    this.#answeredMs.set(verdictKey, this.#now());
  }

  /** Whether they have answered a moment ago; an answer is good for one verdict. */
  take(verdictKey: string): boolean {
    const answeredMs = this.#answeredMs.get(verdictKey);
    this.#answeredMs.delete(verdictKey);
    return answeredMs !== undefined && Math.abs(this.#now() - answeredMs) < answerLifeMs;
  }
}
