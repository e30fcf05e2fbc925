/**
 * The replica's memory on disk. The gossip thread never waits for a disk: it hands batches to a
 * worker thread and learns later that they are safe. Order is kept; whatever piles up while the
 * disk is busy becomes one commit.
 */
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { TscError } from '../src/lib/errors.ts';
import type { Hlc } from '../src/model/ids.ts';
import type { ReplicatedRecord } from '../src/model/record.ts';

export interface StoreBatch {
  readonly records: readonly ReplicatedRecord[];
  readonly forgotten: readonly string[];
  readonly lastHlc: Hlc;
  /** Flushed to the disk before the commit counts. */
  readonly isDurable: boolean;
}

export interface StoreCommand extends StoreBatch {
  readonly id: number;
  /** Closes the file afterwards. */
  readonly isLast: boolean;
}

export interface StoreOpened {
  readonly type: 'opened';
  readonly records: readonly ReplicatedRecord[];
  readonly lastHlc: Hlc;
  /** Set when the file was damaged: what happened, and where it is now. */
  readonly problem: string | undefined;
}

export interface StoreReply {
  readonly type: 'done';
  readonly id: number;
  readonly failure: string | undefined;
}

export interface StoreOptions {
  /** The SQLite file; its folder is made when missing. */
  readonly path: string;
  /** Where the worker's code is, when the agent runs as a bundle. */
  readonly workerUrl?: URL;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class Store {
  /** What the file held. */
  readonly opened: StoreOpened;
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiter>();
  #lastId = 0;
  #end: Error | undefined;
  /** The command that closes the file, once it has been sent. */
  #closeId: number | undefined;

  private constructor(worker: Worker, opened: StoreOpened) {
    this.#worker = worker;
    this.opened = opened;
    worker.on('message', (reply: StoreReply) => this.#done(reply));
    worker.on('error', (error) => this.#fail(error));
    worker.on('exit', (code) => {
      // The worker ends by itself only after it has closed the file: its last words may be lost.
      if (code === 0 && this.#closeId !== undefined)
        this.#done({ type: 'done', id: this.#closeId, failure: undefined });
      this.#fail(new Error('the store has ended'));
    });
  }

  /**
   * Opens or makes the file.
   * @throws TscError E_STORE_OPEN
   */
  static async open({ path, workerUrl }: StoreOptions): Promise<Store> {
    const refuse = (cause: unknown): never => {
      throw new TscError('E_STORE_OPEN', `${path} cannot be opened`, { cause });
    };
    await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch(refuse);
    const url = workerUrl ?? new URL('./store-worker.ts', import.meta.url);
    const worker = new Worker(url, { workerData: { path } });
    const opened = await new Promise<StoreOpened>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    }).catch(refuse);
    worker.removeAllListeners('error');
    return new Store(worker, opened);
  }

  /**
   * Hands a batch to the disk.
   * @returns resolved when committed
   * @throws TscError E_STORE_FULL when the disk refuses
   */
  async put(batch: StoreBatch): Promise<void> {
    await this.#send({ ...batch, isLast: false });
  }

  /** Commits what is under way and closes the file. */
  async close(lastHlc: Hlc): Promise<void> {
    if (this.#end !== undefined || this.#closeId !== undefined) return;
    const closed = this.#send({
      records: [],
      forgotten: [],
      lastHlc,
      isDurable: true,
      isLast: true,
    });
    this.#closeId = this.#lastId;
    await closed;
  }

  #send(command: Omit<StoreCommand, 'id'>): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined || this.#closeId !== undefined) {
        reject(refused(this.#end?.message ?? 'the store is closing'));
        return;
      }
      const id = ++this.#lastId;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...command, id } satisfies StoreCommand);
    });
  }

  #done({ id, failure }: StoreReply): void {
    const waiter = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (failure === undefined) waiter?.resolve();
    else waiter?.reject(refused(failure));
  }

  #fail(error: Error): void {
    this.#end ??= error;
    for (const { reject } of this.#waiting.values()) reject(refused(error.message));
    this.#waiting.clear();
  }
}

function refused(why: string): TscError {
  return new TscError('E_STORE_FULL', `the disk did not take the change: ${why}`, {
    hint: 'free space in the data directory of the agent',
  });
}
