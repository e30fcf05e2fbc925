/**
 * Runs many seeds on several threads. Seeds are handed out in order, so whoever is interrupted at
 * seed K goes on with `--first-seed K`. The outcome of a seed depends on nothing but its number,
 * the number of machines and the minutes: not on the thread, nor on the seeds before it.
 */
import { Worker } from 'node:worker_threads';
import type { MutationName } from './mutations.ts';

export interface SeedOrder {
  readonly seed: number;
  readonly machineCount: number;
  readonly minutes: number;
}

export interface SeedReport {
  readonly seed: number;
  readonly machineCount: number;
  /** undefined when the seed passed. */
  readonly failure: string | undefined;
  readonly tookMs: number;
}

/** What a thread is given at its start. */
export interface SeedWorkerData {
  readonly mutation: MutationName | undefined;
}

export interface RunSeedsOptions {
  readonly seedCount: number;
  readonly firstSeed: number;
  /** Least and most machines; a seed takes one number of this range. */
  readonly machines: readonly [number, number];
  readonly minutes: number;
  readonly threadCount: number;
  /** Runs the shipping code with something taken out. */
  readonly mutation?: MutationName;
  /** Called after each seed. */
  readonly onReport: (report: SeedReport) => void;
  /** True ends the run after the seeds that are under way. */
  readonly isEnough?: () => boolean;
}

/** How many machines a seed has. */
export function machineCountOf(seed: number, [least, most]: readonly [number, number]): number {
  return least + (seed % (most - least + 1));
}

/** The command that runs one seed again, with a log of what happened. */
export function replayCommand({ seed, machineCount, minutes }: SeedOrder): string {
  const machines = `${machineCount}..${machineCount}`;
  return `npm run sim -- --seeds 1 --first-seed ${seed} --machines ${machines} --minutes ${minutes} --verbose`;
}

/**
 * @returns the first seed that was not run
 * @throws what a worker thread throws outside of a seed: a fault of the simulation itself
 */
export async function runSeeds(options: RunSeedsOptions): Promise<number> {
  const { seedCount, firstSeed, machines, minutes, threadCount, onReport } = options;
  const endSeed = firstSeed + seedCount;
  let next = firstSeed;
  const work = async (): Promise<void> => {
    const workerData: SeedWorkerData = { mutation: options.mutation };
    const worker = new Worker(new URL('./seed-worker.ts', import.meta.url), { workerData });
    try {
      while (next < endSeed && options.isEnough?.() !== true) {
        const seed = next++;
        const order = { seed, machineCount: machineCountOf(seed, machines), minutes };
        onReport(await ask(worker, order));
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: threadCount }, work));
  return next;
}

function ask(worker: Worker, order: SeedOrder): Promise<SeedReport> {
  return new Promise((resolve, reject) => {
    const done = (report: SeedReport): void => {
      worker.off('error', reject);
      resolve(report);
    };
    worker.once('message', done);
    worker.once('error', reject);
    worker.postMessage(order);
  });
}
