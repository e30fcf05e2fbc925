/** A thread that runs seeds for run-seeds.ts: one message in, one message out, until it is ended. */
import { parentPort } from 'node:worker_threads';
import type { SeedOrder, SeedReport } from './run-seeds.ts';
import { runScenario } from './scenario.ts';

/** Longer messages only repeat themselves machine by machine. */
const maxMessageLength = 2000;

const port = parentPort;
if (port === null) throw new Error('this file runs as a worker thread only');
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
