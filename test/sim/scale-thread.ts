/** Measures in a thread of its own: a thousand machines take gigabytes, which end with the thread. */
import { Worker } from 'node:worker_threads';
import type { ScaleOrder, ScaleReport } from './scale-worker.ts';

const heapLimitMb = 12_000;

/**
 * @returns what test/sim/scale.ts measured
 * @throws what the thread threw
 */
export async function measureApart(order: ScaleOrder): Promise<ScaleReport> {
  const worker = new Worker(new URL('./scale-worker.ts', import.meta.url), {
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: heapLimitMb },
  });
  try {
    return await new Promise<ScaleReport>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  } finally {
    await worker.terminate();
  }
}
