/**
 * How fast news and losses are known to all, and what it costs while nothing happens: the gossip of
 * real agents beside real serf agents, on the loopback of a network namespace, by turns in one run.
 * `TSC_COMPOSE_BENCH_MACHINES=5,10` measures these sizes only.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Bench, type Figure, figure } from './figure.ts';
import type { Cluster } from './gossip/cluster.ts';
import { type Measured, type MeasuredLossy, measure, measureLossy } from './gossip/measure.ts';
import { Namespace } from './gossip/namespace.ts';
import { OurCluster } from './gossip/ours.ts';
import { SerfCluster } from './gossip/serf.ts';

const sizes = [5, 10, 30];
const lossPercents = [5, 20];
/** Up to here all machines are linked with all, and a machine sends less. */
const smallCount = 5;

interface Result {
  readonly steady: Measured;
  readonly lossy: readonly MeasuredLossy[];
}

/** Times, bytes, CPU and memory for each size, ours beside serf's. */
export const bench: Bench = async (progress) => {
  const wanted = process.env['TSC_COMPOSE_BENCH_MACHINES']?.split(',').map(Number) ?? sizes;
  const found: Figure[] = [];
  for (const size of wanted) {
    const ours = await run(size, progress, (namespace) => {
      const dir = mkdtempSync(join(tmpdir(), 'tsc-compose-bench-'));
      return OurCluster.form(namespace, dir, size);
    });
    const serf = await run(size, progress, (namespace) => SerfCluster.form(namespace, size));
    found.push(...figuresOf(size, ours, serf));
  }
  return found;
};

async function run(
  size: number,
  progress: (line: string) => void,
  form: (namespace: Namespace) => Promise<Cluster>,
): Promise<Result> {
  const namespace = await Namespace.create();
  try {
    const cluster = await form(namespace);
    try {
      const say = (what: string, result: unknown): void => {
        progress(`${cluster.name}, ${size} machines, ${what}: ${JSON.stringify(result)}`);
      };
      const steady = await measure(namespace, cluster);
      say('no loss', steady);
      const lossy: MeasuredLossy[] = [];
      for (const percent of lossPercents) {
        const result = await measureLossy(namespace, cluster, percent);
        say(`${percent} % loss`, result);
        lossy.push(result);
      }
      return { steady, lossy };
    } finally {
      await cluster.end();
    }
  } finally {
    await namespace.destroy();
  }
}

function figuresOf(size: number, ours: Result, serf: Result): readonly Figure[] {
  const peer = (value: number) => ({ peer: { name: 'serf', value } });
  const { steady: own } = ours;
  const { steady: other } = serf;
  const of = `of ${size}`;
  const isLarge = size === Math.max(...sizes);
  return [
    figure(`update to all ${of}, p50`, own.update.p50Ms, 'ms', {
      ...peer(other.update.p50Ms),
      goal: 0.1,
    }),
    figure(`update to all ${of}, max`, own.update.maxMs, 'ms', isLarge ? { goal: 100 } : {}),
    figure(`update to all ${of}, max`, own.update.maxMs, 'ms', peer(other.update.maxMs)),
    figure(`SIGKILL known by all ${of}, p50`, own.killed.p50Ms, 'ms', {
      ...peer(other.killed.p50Ms),
      goal: 0.1,
    }),
    figure(`SIGKILL known by all ${of}, max`, own.killed.maxMs, 'ms', peer(other.killed.maxMs)),
    figure(`SIGSTOP known by all ${of}, max`, own.stopped.maxMs, 'ms', { goal: 4000 }),
    figure(`SIGSTOP known by all ${of}, max`, own.stopped.maxMs, 'ms', peer(other.stopped.maxMs)),
    ...lossPercents.flatMap((percent, index) =>
      lossyFigures(`${percent} % loss, ${of}`, ours.lossy[index], serf.lossy[index]),
    ),
    figure(`idle, sent by one ${of}`, own.idle.bytesPerS, 'B/s', {
      goal: size <= smallCount ? 300 : 1100,
    }),
    figure(`idle, sent by one ${of}`, own.idle.bytesPerS, 'B/s', peer(other.idle.bytesPerS)),
    figure(`idle, CPU of one ${of}`, own.idle.cpuPercent, '% of a core', { goal: 1 }),
    figure(`idle, CPU of one ${of}`, own.idle.cpuPercent, '%', peer(other.idle.cpuPercent)),
    figure(`idle, written by one ${of}`, own.idle.writtenBytesPerHour / 1e6, 'MB/h', { goal: 1 }),
    figure(`RSS ${of}, largest`, own.idle.residentMb, 'MB', { goal: 80 }),
    figure(`RSS ${of}, largest`, own.idle.residentMb, 'MB', peer(other.idle.residentMb)),
    figure(`false losses ${of}`, own.falseLossCount, '', { goal: 0 }),
  ];
}

function lossyFigures(
  name: string,
  ours: MeasuredLossy | undefined,
  serf: MeasuredLossy | undefined,
): readonly Figure[] {
  if (ours === undefined || serf === undefined) return [];
  const peer = (value: number) => ({ peer: { name: 'serf', value } });
  return [
    figure(`update to all, ${name}, p50`, ours.update.p50Ms, 'ms', peer(serf.update.p50Ms)),
    figure(`update to all, ${name}, max`, ours.update.maxMs, 'ms', peer(serf.update.maxMs)),
    figure(`SIGKILL known, ${name}, p50`, ours.killed.p50Ms, 'ms', peer(serf.killed.p50Ms)),
    figure(`false losses, ${name}`, ours.falseLossCount, '', { goal: 0 }),
    figure(`false losses, ${name}, serf's`, serf.falseLossCount, ''),
  ];
}
