/** Measures in a thread of its own: a thousand machines take gigabytes, which end with the thread. */
import { Worker } from 'node:worker_threads';
import type { ScaleOrder, ScaleReport } from './scale-worker.ts';

const heapLimitMb = 14_000;

/**
 * @param onReport is called with the number of the stage and what test/sim/scale.ts measured
 * @throws what the thread threw
 */
export async function measureStages(
  order: ScaleOrder,
  onReport: (stage: number, report: ScaleReport) => void,
): Promise<void> {
  const worker = new Worker(new URL('./scale-worker.ts', import.meta.url), {
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: heapLimitMb },
  });
  let count = 0;
  worker.on('message', (report: ScaleReport) => onReport(count++, report));
  await new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => resolve());
  });
}

/**
 * The same for what has one stage only.
 * @throws what the thread threw
 */
export async function measureApart(order: ScaleOrder): Promise<ScaleReport> {
  const reports: ScaleReport[] = [];
  await measureStages(order, (_, report) => reports.push(report));
  const [report] = reports;
  if (report === undefined) throw new Error('the thread ended without a report');
  return report;
}
