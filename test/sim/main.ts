/**
 * Runs many seeds: `node test/sim/main.ts --seeds 200 --first-seed 1 --machines 3..12 --minutes 3`.
 * A failing seed prints the command that repeats it alone, with a log of what happened.
 */
import { parseArgs } from 'node:util';
import { Violation } from './cluster.ts';
import { runScenario } from './scenario.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '50' },
    'first-seed': { type: 'string', default: '1' },
    machines: { type: 'string', default: '3..12' },
    minutes: { type: 'string', default: '2' },
    verbose: { type: 'boolean', default: false },
  },
});
const seedCount = Number(values.seeds);
const firstSeed = Number(values['first-seed']);
const minutes = Number(values.minutes);
const [least = 3, most = least] = values.machines.split('..').map(Number);
let failedCount = 0;
for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
  const machineCount = least + (seed % (most - least + 1));
  const log = values.verbose ? (line: string): void => console.log(line) : undefined;
  try {
    const options = { seed, machineCount, minutes };
    runScenario(log === undefined ? options : { ...options, log });
  } catch (error) {
    failedCount++;
    const isViolation = error instanceof Violation;
    const text = isViolation ? error.message : String((error as Error).stack ?? error);
    console.error(`seed ${seed} failed: ${text.slice(0, 2000)}`);
    console.error(
      `repeat: node test/sim/main.ts --seeds 1 --first-seed ${seed} --machines ${machineCount}..${machineCount} --minutes ${minutes} --verbose`,
    );
  }
}
console.log(`${seedCount - failedCount} passed, ${failedCount} failed`);
process.exitCode = failedCount === 0 ? 0 : 1;
