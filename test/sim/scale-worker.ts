/** A thread that measures one row of `npm run bench -- scale` or `losses`, and tells it as plain numbers. */
import { parentPort, workerData } from 'node:worker_threads';
import {
  falseLosses,
  idleTraffic,
  lan,
  partition,
  repairBytes,
  type ScaleOptions,
  updates,
  wan,
} from './scale.ts';

export type ScaleOrder =
  | {
      readonly what: 'idle';
      readonly machineCount: number;
      readonly loss: number;
      readonly seconds: number;
    }
  | {
      readonly what: 'updates';
      readonly machineCount: number;
      readonly network: 'lan' | 'wan';
      readonly count: number;
    }
  | { readonly what: 'partition'; readonly machineCount: number }
  | { readonly what: 'repair'; readonly recordCount: number }
  | {
      readonly what: 'falseLosses';
      readonly machineCount: number;
      readonly seed: number;
      readonly loss: number;
      readonly hours: number;
    };

export type ScaleReport = Readonly<Record<string, number>>;

function measure(order: ScaleOrder): ScaleReport {
  switch (order.what) {
    case 'idle':
      return { ...idleTraffic(order, order.seconds) };
    case 'updates': {
      const { machineCount, network, count } = order;
      const options: ScaleOptions = { machineCount, latencyMs: network === 'lan' ? lan : wan };
      return Object.fromEntries(
        updates(options, count).flatMap(({ toAllMs, bytes }, index) => [
          [`toAllMs.${index}`, toAllMs],
          [`bytes.${index}`, bytes],
        ]),
      );
    }
    case 'partition':
      return { ...partition(order) };
    case 'repair':
      return { bytes: repairBytes(order.recordCount) };
    case 'falseLosses':
      return { ...falseLosses(order) };
  }
}

// test/sim/scale-thread.ts gives it.
parentPort?.postMessage(measure(workerData as ScaleOrder));
