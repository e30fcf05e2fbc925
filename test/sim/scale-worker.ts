/**
 * A thread that measures rows of `npm run bench -- scale` or `losses`, and tells each as plain
 * numbers. The rows of one order are measured one after the other in one cluster: a thousand machines
 * take minutes to start.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { SimCluster } from './cluster.ts';
import {
  booted,
  falseLosses,
  idleTraffic,
  lan,
  partition,
  repairBytes,
  updates,
  wan,
} from './scale.ts';

/** One row of a cluster that is formed already. */
export type ScaleStage =
  | { readonly what: 'idle'; readonly loss: number; readonly seconds: number }
  | { readonly what: 'updates'; readonly network: 'lan' | 'wan'; readonly count: number }
  | { readonly what: 'partition' };

export type ScaleOrder =
  | {
      readonly what: 'cluster';
      readonly machineCount: number;
      readonly stages: readonly ScaleStage[];
    }
  | { readonly what: 'repair'; readonly recordCount: number }
  | {
      readonly what: 'falseLosses';
      readonly machineCount: number;
      readonly seed: number;
      readonly loss: number;
      readonly hours: number;
    };

export type ScaleReport = Readonly<Record<string, number>>;

/** A report for each stage; one where there are no stages. */
function* measure(order: ScaleOrder): Generator<ScaleReport> {
  switch (order.what) {
    case 'cluster': {
      // Where CPU and memory are measured, they are a machine's own.
      const sharesRecords = order.stages.every(({ what }) => what !== 'idle');
      const cluster = booted(order, { sharesRecords });
      for (const stage of order.stages) yield measureStage(cluster, stage);
      break;
    }
    case 'repair':
      yield { bytes: repairBytes(order.recordCount) };
      break;
    case 'falseLosses':
      yield { ...falseLosses(order) };
  }
}

function measureStage(cluster: SimCluster, stage: ScaleStage): ScaleReport {
  switch (stage.what) {
    case 'idle':
      return { ...idleTraffic(cluster, stage.loss, stage.seconds) };
    case 'updates':
      return Object.fromEntries(
        updates(cluster, stage.network === 'lan' ? lan : wan, stage.count).flatMap(
          ({ toAllMs, bytes }, index) => [
            [`toAllMs.${index}`, toAllMs],
            [`bytes.${index}`, bytes],
          ],
        ),
      );
    case 'partition':
      return { ...partition(cluster) };
  }
}

// test/sim/scale-thread.ts gives it.
for (const report of measure(workerData as ScaleOrder)) parentPort?.postMessage(report);
