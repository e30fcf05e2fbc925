/**
 * Are machines that live and run ever taken for dead on a network that loses a fifth of all packets?
 * The shipping gossip on a virtual clock (test/sim/scale.ts) for 1,000 hours of machines in clusters
 * of ten and of thirty, each hour of a cluster with a seed of its own. Every change of mind of every
 * machine counts, however short. Threads share the hours; what is done is kept in the cache until
 * gossip or simulation change, so an interrupted run goes on where it was.
 * `TSC_COMPOSE_BENCH_THREADS=1` takes one core only.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cacheDir, projectDir } from '../lab/paths.ts';
import { measureApart } from '../sim/scale-thread.ts';
import type { ScaleOrder, ScaleReport } from '../sim/scale-worker.ts';
import { type Bench, figure } from './figure.ts';

const loss = 0.2;
const machineHours = 1_000;
const machineCounts = [10, 30] as const;
/** Used nowhere else; one for each hour of a cluster. */
const firstSeed = 940_000;

/** One hour of one cluster. */
type Order = Extract<ScaleOrder, { readonly what: 'falseLosses' }>;

export const bench: Bench = async (progress) => {
  const state = readState();
  const orders = machineCounts.flatMap(ordersOf);
  const open = orders.filter((order) => state.found[nameOf(order)] === undefined);
  if (open.length < orders.length) {
    progress(`${orders.length - open.length} of ${orders.length} hours are known already`);
  }
  const startMs = performance.now();
  let doneCount = 0;
  const work = async (): Promise<void> => {
    for (let order = open.shift(); order !== undefined; order = open.shift()) {
      state.found[nameOf(order)] = await measureApart(order);
      writeState(state);
      doneCount++;
      const seconds = (performance.now() - startMs) / 1000;
      const leftS = (seconds / doneCount) * open.length;
      progress(`${nameOf(order)}: ${open.length} hours left, about ${leftS.toFixed(0)} s`);
    }
  };
  const wanted = Number(process.env['TSC_COMPOSE_BENCH_THREADS'] ?? 2);
  const threadCount = Math.max(1, Math.min(wanted, availableParallelism()));
  await Promise.all(Array.from({ length: threadCount }, work));
  return machineCounts.flatMap((machineCount) => {
    const mine = orders.filter((order) => order.machineCount === machineCount);
    const sum = (name: string): number =>
      mine.reduce((total, order) => total + (state.found[nameOf(order)]?.[name] ?? Number.NaN), 0);
    const where = `${machineCount} machines, ${mine.length * machineCount} hours of one, ${loss * 100} % loss`;
    return [
      figure(`${where}: live ones taken for dead`, sum('count'), 'times', { goal: 0 }),
      figure(`${where}: until replicas would move`, sum('lostCount'), 'times', { goal: 0 }),
      figure(`${where}: links lost and made again`, sum('linkCount'), 'links'),
    ];
  });
};

function ordersOf(machineCount: number): readonly Order[] {
  return Array.from({ length: Math.ceil(machineHours / machineCount) }, (_, index) => ({
    what: 'falseLosses',
    machineCount,
    seed: firstSeed + machineCount * 1_000 + index,
    loss,
    hours: 1,
  }));
}

function nameOf({ machineCount, seed }: Order): string {
  return `${machineCount} machines, seed ${seed}`;
}

// What is known already

interface State {
  readonly file: string;
  readonly found: Record<string, ScaleReport>;
}

/** Of this very gossip in this very simulation: another one has to be measured anew. */
function readState(): State {
  const dir = cacheDir('losses');
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${sourcesHash()}.json`);
  try {
    // Written by `writeState` below, and only there.
    return { file, found: JSON.parse(readFileSync(file, 'utf8')) as Record<string, ScaleReport> };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { file, found: {} };
    throw error;
  }
}

/** Whole or not at all: the run may be interrupted at any time. */
function writeState({ file, found }: State): void {
  writeFileSync(`${file}.new`, JSON.stringify(found));
  renameSync(`${file}.new`, file);
}

function sourcesHash(): string {
  const hash = createHash('sha256').update(process.version);
  for (const folder of ['src/lib', 'src/model', 'src/gossip', 'test/sim']) {
    const names = readdirSync(join(projectDir, folder)).filter((name) =>
      /(?<!\.test)\.ts$/u.test(name),
    );
    for (const name of names.sort()) hash.update(readFileSync(join(projectDir, folder, name)));
  }
  return hash.digest('hex').slice(0, 16);
}
