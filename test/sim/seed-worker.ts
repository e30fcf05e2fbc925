/**
 * A thread that runs seeds for run-seeds.ts: one message in, one message out, until it is ended.
 * The simulation is imported only after a mutation was applied, because that happens on loading.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { applyMutation } from './mutations.ts';
import type { SeedOrder, SeedReport, SeedWorkerData } from './run-seeds.ts';

/** Longer messages only repeat themselves machine by machine. */
const maxMessageLength = 2000;

const port = parentPort;
if (port === null) throw new Error('this file runs as a worker thread only');
// run-seeds.ts gives it.
const { mutation } = workerData as SeedWorkerData;
if (mutation !== undefined) applyMutation(mutation);
const { runScenario } = await import('./scenario.ts');
port.on('message', ({ seed, machineCount, minutes }: SeedOrder) => {
  const startMs = performance.now();
  let failure: string | undefined;
  try {
    runScenario({ seed, machineCount, minutes });
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    failure = text.slice(0, maxMessageLength);
  }
  const tookMs = performance.now() - startMs;
  port.postMessage({ seed, machineCount, failure, tookMs } satisfies SeedReport);
});
