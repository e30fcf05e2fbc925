/**
 * Fifty seeds that nobody has chosen: other ones every day. What fails prints the command that runs
 * it again; the code of the same day gives the same outcome anywhere.
 */
import { expect, test } from 'vitest';
import { machineCountOf, replayCommand } from './run-seeds.ts';
import { runScenario } from './scenario.ts';

const seedCount = 50;
const minutes = 1;
const machines = [3, 8] as const;
const dayMs = 24 * 3_600_000;
const day = Math.floor(Date.now() / dayMs);
const firstSeed = 1_000_000 + (day % 100_000) * seedCount;

test(`seeds ${firstSeed} to ${firstSeed + seedCount - 1}: nothing that must hold is broken`, () => {
  const failures: string[] = [];
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const order = { seed, machineCount: machineCountOf(seed, machines), minutes };
    try {
      runScenario(order);
    } catch (error) {
      failures.push(`seed ${seed}: ${String(error)}\nrepeat: ${replayCommand(order)}`);
    }
  }
  expect(failures).toEqual([]);
}, 600_000);
