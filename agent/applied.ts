/**
 * Answers "do you act on these records yet?": this machine's DNS, firewall and ingress have been given
 * a view that has them, and are done with it. It only waits and looks; evaluation and drivers go their
 * own way. Records are counted as they come, so that an answer needs no evaluation of its own.
 */
import type { Hlc } from '../src/model/ids.ts';
import type { Entry } from '../src/model/record.ts';

/** A record, or any later one of its key. */
export interface RecordVersion {
  readonly key: string;
  readonly hlc: Hlc;
}

export interface AppliedComponents {
  readonly replica: {
    get(key: string): Entry | undefined;
    /** Calls back when records change. @returns the function that ends it */
    subscribe(listener: () => void): () => void;
  };
  /** What acts on views; each tells when it is done with all that it was given. */
  readonly drivers: readonly { whenApplied(): Promise<boolean> }[];
}

export class Applied {
  readonly #components: AppliedComponents;
  readonly #unsubscribe: () => void;
  /** Changes of records so far, and how many of them the drivers have been given. */
  #changeCount = 0;
  #viewCount = 0;
  #givenCount = 0;
  readonly #waiting = new Set<() => void>();
  #isStopped = false;

  constructor(components: AppliedComponents) {
    this.#components = components;
    this.#unsubscribe = components.replica.subscribe(() => {
      this.#changeCount++;
      this.#wake();
    });
  }

  /** No view comes any more: whoever waits for one is told no. */
  stop(): void {
    this.#isStopped = true;
    this.#unsubscribe();
    this.#wake();
  }

  /** A view is being built from the records as they are now. */
  building(): void {
    this.#viewCount = this.#changeCount;
  }

  /** The view that was built last has been given to all drivers. */
  given(): void {
    this.#givenCount = this.#viewCount;
    this.#wake();
  }

  /**
   * Waits until all of the records are acted on here.
   * @returns false when the time was over before, or a driver failed
   */
  async wait(records: readonly RecordVersion[], timeoutMs: number): Promise<boolean> {
    const signal = AbortSignal.timeout(timeoutMs);
    const { replica, drivers } = this.#components;
    const isHere = ({ key, hlc }: RecordVersion): boolean => (replica.get(key)?.hlc ?? 0) >= hlc;
    if (!(await this.#until(() => records.every(isHere), signal))) return false;
    const wanted = this.#changeCount;
    if (!(await this.#until(() => this.#givenCount >= wanted, signal))) return false;
    const isOver = new Promise<boolean>((resolve) => {
      signal.addEventListener('abort', () => resolve(false), { once: true });
    });
    const all = Promise.all(drivers.map((driver) => driver.whenApplied()));
    return Promise.race([all.then((each) => each.every(Boolean)), isOver]);
  }

  #until(holds: () => boolean, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const look = (): void => {
        const isSo = holds();
        if (!isSo && !signal.aborted && !this.#isStopped) return;
        this.#waiting.delete(look);
        signal.removeEventListener('abort', look);
        resolve(isSo);
      };
      this.#waiting.add(look);
      signal.addEventListener('abort', look);
      look();
    });
  }

  #wake(): void {
    for (const look of this.#waiting) look();
  }
}
