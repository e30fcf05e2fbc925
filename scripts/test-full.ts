/**
 * `npm run test:full [-- --only RUN] [-- --again]`: all that shows what the project promises, also
 * what takes longer than `npm test` may, and docs/results.md from it. Resumable: what has passed on
 * this very commit is not run again, unless `--again` is given; what failed is.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { formatReport, lineVerdict } from '../test/results/report.ts';
import { type Outcome, start } from '../test/results/runner.ts';
import { chapters, runs } from '../test/results/shown-by.ts';
import { root } from './lib/steps.ts';

const { values } = parseArgs({
  options: { only: { type: 'string', multiple: true }, again: { type: 'boolean', default: false } },
});
const unknown = values.only?.find((name) => !runs.some((run) => run.name === name));
if (unknown !== undefined) {
  const names = runs.map(({ name }) => name).join(', ');
  process.stderr.write(`there is no run "${unknown}"; runs: ${names}\n`);
  process.exit(2);
}

const git = (...args: readonly string[]): string =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
// The results themselves may differ: they are what is being written.
const isChanged = git('status', '--porcelain', '--', '.', ':!docs/results.md') !== '';
const commit = `${git('rev-parse', '--short=12', 'HEAD')}${isChanged ? ' with changes' : ''}`;

const folder = join(root, '.cache/full');
const stateFile = join(folder, `${commit.replaceAll(' ', '-')}.json`);
const outcomes = new Map<string, Outcome>(readState());

for (const run of runs) {
  const isWanted = values.only === undefined || values.only.includes(run.name);
  const isDone = outcomes.get(run.name)?.isOk === true && !values.again;
  if (!isWanted || isDone) continue;
  process.stdout.write(`=== ${run.name}\n`);
  const outcome = await start(run);
  process.stdout.write(
    `=== ${run.name}: ${outcome.isOk ? 'ok' : 'FAILED'} in ${outcome.tookS.toFixed(0)} s\n`,
  );
  outcomes.set(run.name, outcome);
  mkdirSync(folder, { recursive: true });
  writeFileSync(stateFile, JSON.stringify([...outcomes]));
  writeReport();
}
writeReport();
const verdicts = chapters.flatMap(({ lines }) => lines.map(({ by }) => lineVerdict(by, outcomes)));
const count = (verdict: string) => verdicts.filter((found) => found === verdict).length;
process.stdout.write(
  `${count('shown')} shown, ${count('not shown')} not shown, ${count('not run')} not run: docs/results.md\n`,
);
process.exit(count('not shown') === 0 ? 0 : 1);

function readState(): Iterable<readonly [string, Outcome]> {
  try {
    return JSON.parse(readFileSync(stateFile, 'utf8')) as [string, Outcome][];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function writeReport(): void {
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  const text = formatReport({
    chapters,
    runs,
    outcomes,
    date: new Date().toISOString().slice(0, 10),
    commit,
    machine: `${availableParallelism()} cores, ${memoryGib} GiB, Linux ${release()}, Node ${process.versions.node}`,
  });
  writeFileSync(join(root, 'docs/results.md'), text);
}
