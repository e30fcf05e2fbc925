/**
 * `npm run sim -- [--seeds N] [--first-seed K] [--machines A..B] [--minutes T] [--threads C]
 * [--mutate NAME] [--verbose]`: runs the simulation (test/sim). A failing seed prints the command
 * that runs it again; an interrupted run prints the command that goes on. `--mutate` takes something
 * out of the shipping code (test/sim/mutations.ts), and then seeds should fail. Exit code 1 when a
 * seed failed.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { applyMutation, isMutation, mutations } from '../test/sim/mutations.ts';
import { replayCommand, runSeeds } from '../test/sim/run-seeds.ts';

/** 10 s between lines of progress. */
const progressMs = 10_000;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '50' },
    'first-seed': { type: 'string', default: '1' },
    machines: { type: 'string', default: '3..12' },
    minutes: { type: 'string', default: '2' },
    threads: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    mutate: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
});
const seedCount = Number(values.seeds);
const firstSeed = Number(values['first-seed']);
const minutes = Number(values.minutes);
const threadCount = Number(values.threads);
const [least = Number.NaN, most = least] = values.machines.split('..').map(Number);
const isUsable =
  [seedCount, firstSeed, least, most, threadCount].every(Number.isSafeInteger) &&
  Math.min(seedCount, least, threadCount) >= 1 &&
  firstSeed >= 0 &&
  most >= least &&
  minutes > 0;
const { mutate } = values;
if (!isUsable || (mutate !== undefined && !isMutation(mutate))) {
  process.stderr.write(
    'usage: npm run sim -- [--seeds N] [--first-seed K] [--machines A..B] [--minutes T] [--threads C] [--mutate NAME] [--verbose]\n',
  );
  process.stderr.write(`mutations: ${Object.keys(mutations).join(', ')}\n`);
  process.exit(2);
}

if (values.verbose) {
  if (mutate !== undefined) applyMutation(mutate);
  const { runScenario } = await import('../test/sim/scenario.ts');
  // One thread and in order, because whoever reads the log wants to know what came after what.
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const machineCount = least + (seed % (most - least + 1));
    const log = (line: string): void => void process.stdout.write(`${line}\n`);
    runScenario({ seed, machineCount, minutes, log });
  }
  process.exit(0);
}

let isInterrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    isInterrupted = true;
  });
}
let passedCount = 0;
let failedCount = 0;
let slowestMs = 0;
let totalMs = 0;
const startMs = performance.now();
let saidMs = startMs;
const nextSeed = await runSeeds({
  seedCount,
  firstSeed,
  machines: [least, most],
  minutes,
  threadCount,
  ...(mutate === undefined ? {} : { mutation: mutate }),
  isEnough: () => isInterrupted,
  onReport: ({ seed, machineCount, failure, tookMs }) => {
    slowestMs = Math.max(slowestMs, tookMs);
    totalMs += tookMs;
    if (failure === undefined) passedCount++;
    else {
      failedCount++;
      process.stdout.write(`seed ${seed} failed: ${failure}\n`);
      process.stdout.write(`repeat: ${replayCommand({ seed, machineCount, minutes })}\n`);
    }
    if (performance.now() - saidMs < progressMs) return;
    saidMs = performance.now();
    const doneCount = passedCount + failedCount;
    const minutesLeft =
      ((saidMs - startMs) / 60_000 / doneCount) * Math.max(0, seedCount - doneCount);
    process.stderr.write(
      `${doneCount} of ${seedCount} seeds, ${failedCount} failed, about ${minutesLeft.toFixed(1)} min left\n`,
    );
  },
});
const doneCount = passedCount + failedCount;
process.stdout.write(
  `seeds ${firstSeed} to ${nextSeed - 1}, ${values.machines} machines, ${minutes} min each: ` +
    `${(totalMs / 1000 / doneCount).toFixed(2)} s a seed, ${(slowestMs / 1000).toFixed(1)} s the slowest\n`,
);
process.stdout.write(`${passedCount} passed, ${failedCount} failed\n`);
if (isInterrupted && nextSeed < firstSeed + seedCount) {
  const rest = firstSeed + seedCount - nextSeed;
  process.stdout.write(
    `go on: npm run sim -- --seeds ${rest} --first-seed ${nextSeed} --machines ${values.machines} --minutes ${minutes}\n`,
  );
}
process.exit(failedCount > 0 ? 1 : isInterrupted ? 130 : 0);
