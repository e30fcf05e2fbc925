/**
 * Gossip in large clusters, simulated (test/sim/scale.ts): the table of docs/scale.md. Each row runs
 * in a thread of its own, because a thousand machines take some gigabytes of memory. CPU and memory
 * are those of the simulator with the protocol in it: an upper bound for the protocol.
 * `TSC_COMPOSE_BENCH_MACHINES=100,1000` measures these sizes only.
 */
import { measureApart } from '../sim/scale-thread.ts';
import type { ScaleOrder, ScaleReport } from '../sim/scale-worker.ts';
import { type Bench, type Figure, figure, median } from './figure.ts';

export const bench: Bench = async (progress) => {
  const figures: Figure[] = [];
  const sizes = process.env['TSC_COMPOSE_BENCH_MACHINES']?.split(',').map(Number);
  for (const row of rows) {
    const isWanted = 'machineCount' in row.order && sizes?.includes(row.order.machineCount);
    if (sizes !== undefined && isWanted !== true) continue;
    const startMs = performance.now();
    const values = await measureApart(row.order);
    const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
    progress(`${row.name} (${seconds} s)`);
    for (const [name, ...rest] of row.figures(values)) {
      figures.push(make(`${row.name}: ${name}`, rest));
      // The large rows take minutes: whoever does not wait for them still has the others.
      progress(`  ${name}: ${rest[0].toPrecision(4)} ${rest[1]}`);
    }
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
  readonly order: ScaleOrder;
  readonly figures: (values: ScaleReport) => readonly FigureParts[];
}

const idleSeconds = 20;

function idle(machineCount: number, loss: number, bytesGoal?: number): Row {
  return {
    name: `${machineCount} machines at ${loss * 100} % loss`,
    order: { what: 'idle', machineCount, loss, seconds: idleSeconds },
    figures: (values) => [
      ['traffic per machine', values['bytesPerSecond'] ?? Number.NaN, 'B/s', bytesGoal],
      ['frames per machine', values['framesPerSecond'] ?? Number.NaN, '1/s'],
      ['live machines taken for dead', values['falseLosses'] ?? Number.NaN, 'pairs', 0],
      ['CPU per machine', (values['cpuShare'] ?? Number.NaN) * 100, '% of a core'],
      ['memory per machine', (values['heapBytes'] ?? Number.NaN) / 1e6, 'MB'],
    ],
  };
}

function update(machineCount: number, network: 'lan' | 'wan', goalMs?: number): Row {
  return {
    name: `${machineCount} machines, ${network === 'lan' ? 'LAN' : '20 to 80 ms'}`,
    order: { what: 'updates', machineCount, network, count: 10 },
    figures: (values) => [
      ['update to all, median', median(listOf(values, 'toAllMs')), 'ms'],
      ['update to all, longest', Math.max(...listOf(values, 'toAllMs')), 'ms', goalMs],
      ['bytes of an update per machine', median(listOf(values, 'bytes')), 'B'],
    ],
  };
}

function healing(machineCount: number, goalSeconds?: number): Row {
  return {
    name: `${machineCount} machines, halves for 30 s`,
    order: { what: 'partition', machineCount },
    figures: (values) => [
      ['healed until the first link', (values['toFirstLinkMs'] ?? Number.NaN) / 1000, 's'],
      ['first link until all equal', (values['toEqualMs'] ?? Number.NaN) / 1000, 's', goalSeconds],
      ['bytes per machine', (values['bytes'] ?? Number.NaN) / 1000, 'kB'],
    ],
  };
}

function listOf(values: ScaleReport, name: string): number[] {
  return Object.entries(values)
    .filter(([key]) => key.startsWith(`${name}.`))
    .map(([, value]) => value);
}

/** Small ones first. */
const rows: readonly Row[] = [
  idle(3, 0),
  idle(10, 0),
  idle(30, 0),
  idle(100, 0),
  idle(100, 0.2),
  update(10, 'lan'),
  update(30, 'lan'),
  update(100, 'lan', 50),
  update(100, 'wan', 300),
  healing(100, 5),
  {
    name: 'one lost record among 20,000',
    order: { what: 'repair', recordCount: 20_000 },
    figures: (values) => [['cost of its repair', (values['bytes'] ?? Number.NaN) / 1000, 'kB']],
  },
  idle(300, 0),
  idle(1000, 0, 30_000),
  update(1000, 'lan'),
  update(1000, 'wan'),
  idle(1000, 0.05, 30_000),
  idle(1000, 0.2, 30_000),
  healing(1000, 5),
];
