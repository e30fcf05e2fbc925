/**
 * `npm test`: check, build, then unit, property, conformance and simulation tests, then the
 * end-to-end tests on real engines. Goes on after a failure, so that one run shows everything, and
 * ends with the line "N passed, N failed, N skipped" that CI reads.
 *   npm test [-- --only check|build|unit|e2e] [--built] [FILE...] [-- OPTION OF VITEST...]
 * `--built` takes dist/ as it is; FILEs and options choose among the end-to-end tests.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { runFolderPrefix, testFolderVariable } from '../test/e2e/test-folder.ts';
import { Lab } from '../test/lab/lab.ts';
import { compileCache } from '../test/lab/paths.ts';
import { processIdentity } from '../test/lab/processes.ts';
import { exitCode, step } from './lib/steps.ts';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
process.env.NODE_COMPILE_CACHE ??= compileCache();
/** Everything that the tests write, so that nothing of it stays when they are ended half-way. */
const results = ownFolder();
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, built: { type: 'boolean', default: false } },
});
const { only } = values;
const wants = (part: string): boolean =>
  interruptedBy === undefined && (only === undefined || only === part);

/** A folder with our pid in its name; those of runs that were killed are removed. */
function ownFolder(): string {
  const prefix = runFolderPrefix;
  for (const name of readdirSync(tmpdir()).filter((one) => one.startsWith(prefix))) {
    const pid = Number(/^(\d+)-/u.exec(name.slice(prefix.length))?.[1]);
    if (!Number.isInteger(pid) || processIdentity(pid) !== undefined) continue;
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
  return mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
}

/** A part that passes or fails as a whole. */
async function whole(name: string, command: string, args: readonly string[]): Promise<void> {
  await step(name, async () => {
    if ((await exitCode(command, args)) === 0) total.passed += 1;
    else total.failed += 1;
  });
}

/** A vitest run; a run that dies before it reports counts as one failure. */
async function vitest(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const file = join(results, `${name.replaceAll(' ', '-')}.json`);
  await step(name, async () => {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
    const code = await exitCode('vitest', ['run', ...args, ...reporters], { CI: 'true', ...env });
    try {
      const report = JSON.parse(readFileSync(file, 'utf8')) as Record<string, number>;
      const failed = report.numFailedTests ?? 0;
      total.passed += report.numPassedTests ?? 0;
      total.skipped += (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0);
      total.failed += failed === 0 && code !== 0 ? 1 : failed;
    } catch (cause) {
      process.stderr.write(`${name}: no report (${String(cause)})\n`);
      total.failed += 1;
    }
  });
}

/** After an interruption, 12 looks of 250 ms for labs whose maker has ended. */
const interruptedRoundCount = 12;
const roundMs = 250;

/** Set by Ctrl-C or a service manager: what runs is ended, nothing more is begun. */
let interruptedBy: NodeJS.Signals | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interruptedBy = signal;
  });
}

const startMs = performance.now();
if (wants('check')) await whole('check', 'node', ['scripts/check.ts']);
if (!values.built && (wants('build') || wants('e2e')))
  await whole('build', 'node', ['scripts/build.ts']);
if (wants('unit')) {
  await vitest('unit, property, conformance and simulation tests', [], { TMPDIR: results });
}
if (wants('e2e')) {
  // Labs have their place in the temporary folder of the machine, where any process finds them.
  await vitest('end-to-end tests', ['--config', 'test/e2e/vitest.config.ts', ...positionals], {
    [testFolderVariable]: results,
  });
}
// A worker that a signal ends gets no chance to take its lab along, and may end after its parent.
for (let round = 0; round < (interruptedBy === undefined ? 1 : interruptedRoundCount); round++) {
  if (round > 0) await sleep(roundMs);
  for (const lab of Lab.cleanLeftovers()) {
    process.stdout.write(`removed what was left of ${lab}\n`);
    // After a whole run nothing may be left: some test does not clean up after itself.
    if (interruptedBy === undefined) total.failed += 1;
  }
}
rmSync(results, { recursive: true, force: true });
if (interruptedBy !== undefined) {
  process.stderr.write(`interrupted by ${interruptedBy}\n`);
  process.exit(130);
}
process.stdout.write(`took ${((performance.now() - startMs) / 60_000).toFixed(1)} min\n`);
process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
