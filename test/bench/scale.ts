/**
 * Gossip in large clusters, simulated (test/sim/scale.ts): the table of docs/scale.md. The rows of
 * one number of machines are measured one after the other in one cluster, in a thread of its own:
 * a thousand machines take minutes to start and some gigabytes of memory. CPU and memory
 * are those of the simulator with the protocol in it: an upper bound for the protocol.
 * `TSC_COMPOSE_BENCH_MACHINES=100,1000` measures these sizes only,
 * `TSC_COMPOSE_BENCH_ONLY=idle|updates|partition` only rows of this kind.
 */
import { measureStages } from '../sim/scale-thread.ts';
import type { ScaleOrder, ScaleReport, ScaleStage } from '../sim/scale-worker.ts';
import { type Bench, type Figure, figure, median } from './figure.ts';

export const bench: Bench = async (progress) => {
  const figures: Figure[] = [];
  const sizes = process.env['TSC_COMPOSE_BENCH_MACHINES']?.split(',').map(Number);
  for (const { order, rows } of parts.map(selected)) {
    const isWanted = order.what === 'cluster' && sizes?.includes(order.machineCount);
    if (rows.length === 0 || (sizes !== undefined && isWanted !== true)) continue;
    let startMs = performance.now();
    await measureStages(order, (stage, values) => {
      const row = rows[stage];
      if (row === undefined) return;
      const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
      startMs = performance.now();
      progress(`${row.name} (${seconds} s)`);
      for (const [name, ...rest] of row.figures(values)) {
        figures.push(make(`${row.name}: ${name}`, rest));
        // The large rows take minutes: whoever does not wait for them still has the others.
        progress(`  ${name}: ${rest[0].toPrecision(4)} ${rest[1]}`);
      }
    });
  }
  return figures;
};

type FigureParts = readonly [name: string, value: number, unit: string, goal?: number | undefined];

function make(
  name: string,
  [value, unit, goal]: readonly [number, string, (number | undefined)?],
): Figure {
  return figure(name, value, unit, goal === undefined ? {} : { goal });
}

interface Row {
  readonly name: string;
  readonly figures: (values: ScaleReport) => readonly FigureParts[];
}

/** What is measured in one thread, and what is made of each of its reports. */
interface Part {
  readonly order: ScaleOrder;
  readonly rows: readonly Row[];
}

/** Without the rows of other kinds, when one kind is asked for. */
function selected({ order, rows }: Part): Part {
  const only = process.env['TSC_COMPOSE_BENCH_ONLY'];
  if (only === undefined) return { order, rows };
  if (order.what !== 'cluster') return { order, rows: [] };
  const isWanted = order.stages.map(({ what }) => what === only);
  const stages = order.stages.filter((_, index) => isWanted[index]);
  return { order: { ...order, stages }, rows: rows.filter((_, index) => isWanted[index]) };
}

/** A row of a cluster: how it is measured and shown, by the number of machines. */
type ClusterRow = (machineCount: number) => Row & { readonly stage: ScaleStage };

const idleSeconds = 20;

function idle(loss: number, bytesGoal?: number): ClusterRow {
  return (machineCount) => ({
    name: `${machineCount} machines at ${loss * 100} % loss`,
    stage: { what: 'idle', loss, seconds: idleSeconds },
    figures: (values) => [
      ['traffic per machine', values['bytesPerSecond'] ?? Number.NaN, 'B/s', bytesGoal],
      ['frames per machine', values['framesPerSecond'] ?? Number.NaN, '1/s'],
      ['live machines taken for dead', values['falseLosses'] ?? Number.NaN, 'pairs', 0],
      ['CPU per machine', (values['cpuShare'] ?? Number.NaN) * 100, '% of a core'],
      ['memory per machine', (values['heapBytes'] ?? Number.NaN) / 1e6, 'MB'],
    ],
  });
}

function update(network: 'lan' | 'wan', goalMs?: number): ClusterRow {
  return (machineCount) => ({
    name: `${machineCount} machines, ${network === 'lan' ? 'LAN' : '20 to 80 ms'}`,
    stage: { what: 'updates', network, count: 10 },
    figures: (values) => [
      ['update to all, median', median(listOf(values, 'toAllMs')), 'ms'],
      ['update to all, longest', Math.max(...listOf(values, 'toAllMs')), 'ms', goalMs],
      ['bytes of an update per machine', median(listOf(values, 'bytes')), 'B'],
    ],
  });
}

function healing(goalSeconds?: number): ClusterRow {
  return (machineCount) => ({
    name: `${machineCount} machines, halves for 30 s`,
    stage: { what: 'partition' },
    figures: (values) => [
      ['healed until the first link', (values['toFirstLinkMs'] ?? Number.NaN) / 1000, 's'],
      ['first link until all equal', (values['toEqualMs'] ?? Number.NaN) / 1000, 's', goalSeconds],
      ['bytes per machine', (values['bytes'] ?? Number.NaN) / 1000, 'kB'],
    ],
  });
}

function listOf(values: ScaleReport, name: string): number[] {
  return Object.entries(values)
    .filter(([key]) => key.startsWith(`${name}.`))
    .map(([, value]) => value);
}

function cluster(machineCount: number, ...clusterRows: readonly ClusterRow[]): Part {
  const rows = clusterRows.map((row) => row(machineCount));
  const stages = rows.map(({ stage }) => stage);
  return { order: { what: 'cluster', machineCount, stages }, rows };
}

/** Small ones first. */
const parts: readonly Part[] = [
  cluster(3, idle(0)),
  cluster(10, idle(0), update('lan')),
  cluster(30, idle(0), update('lan')),
  cluster(100, idle(0), update('lan', 50), update('wan', 300), idle(0.2), healing(5)),
  {
    order: { what: 'repair', recordCount: 20_000 },
    rows: [
      {
        name: 'one lost record among 20,000',
        figures: (values) => [['cost of its repair', (values['bytes'] ?? Number.NaN) / 1000, 'kB']],
      },
    ],
  },
  cluster(300, idle(0)),
  cluster(
    1000,
    idle(0, 30_000),
    update('lan'),
    update('wan'),
    idle(0.05, 30_000),
    idle(0.2, 30_000),
  ),
  // In a cluster of its own: without figures of memory its machines share what they hold.
  cluster(1000, healing(5)),
];
