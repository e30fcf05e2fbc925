/**
 * `npm run chaos -- [--minutes N] [--machines N] [--seed K]`: random power cuts, partitions, deaths
 * of agents and engines, full disks and changes on lab machines with real engines, with checks all
 * the time. Ends with a table; exit code 1 when something was wrong, and then the agents' logs are
 * in a file. Without a seed each run is another one.
 */
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runChaos } from '../test/chaos/chaos.ts';
import { labUnavailable } from '../test/lab/lab.ts';
import { buildIfStale } from './lib/build-if-stale.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    machines: { type: 'string', default: '5' },
    seed: { type: 'string', default: `${Math.floor(Date.now() / 1000) % 1_000_000}` },
  },
});
const minutes = Number(values.minutes);
const machines = Number(values.machines);
const seed = Number(values.seed);
if (!(minutes > 0) || !(machines >= 2) || !Number.isInteger(seed)) {
  process.stderr.write('usage: npm run chaos -- [--minutes N] [--machines N] [--seed K]\n');
  process.exit(2);
}
const reason = await labUnavailable('28.5');
if (reason !== undefined) {
  process.stderr.write(`${reason}\n`);
  process.exit(2);
}
await buildIfStale();
/** 30 s: as promised; on a machine that is busy with other things it may take longer. */
const settleLimitMs = 30_000;
const report = await runChaos({
  minutes,
  machines,
  seed,
  settleLimitMs,
  progress: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`${report.table()}\n`);
if (report.violations.length > 0 || report.isStuck) {
  const file = join(tmpdir(), `tsc-compose-chaos-${seed}.log`);
  writeFileSync(file, report.logs);
  process.stdout.write(
    `logs of the agents: ${file}\nagain: npm run chaos -- --minutes ${minutes} --machines ${machines} --seed ${seed}\n`,
  );
  process.exit(1);
}
