/**
 * Starts a run and keeps what came out of it: results of single tests, figures, or an exit code with
 * the last lines. A run that dies before it reports has failed; it never counts as nothing.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { exitCode } from '../../scripts/lib/steps.ts';
import type { Figure } from '../bench/figure.ts';
import type { Run } from './shown-by.ts';

export interface TestResult {
  readonly title: string;
  readonly status: 'passed' | 'failed' | 'skipped';
}

/** What is kept of a run, as JSON between two calls of `npm run test:full`. */
export interface Outcome {
  readonly isOk: boolean;
  readonly tookS: number;
  readonly tests: readonly TestResult[];
  readonly figures: readonly Figure[];
  /** The last lines of a command. */
  readonly said: readonly string[];
}

/** How many of a command's last lines go into the results. */
const saidCount = 3;

/** Runs it to its end; its output goes to this terminal as well. */
export async function start(run: Run): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'tsc-compose-full-'));
  const startMs = performance.now();
  try {
    const report = join(folder, 'report.json');
    const { code, stdout } = await runLoud(words(run, report));
    const tookS = (performance.now() - startMs) / 1000;
    const tests = run.kind === 'tests' ? readTests(report) : [];
    const figures = run.kind === 'bench' ? readFigures(stdout) : [];
    const isEmpty =
      (run.kind === 'tests' && !tests.some((test) => test.status === 'passed')) ||
      (run.kind === 'bench' && figures.length === 0);
    const said = run.kind === 'command' ? lastLines(stdout) : [];
    return { isOk: code === 0 && !isEmpty, tookS, tests, figures, said };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function words(run: Run, report: string): readonly string[] {
  if (run.kind === 'command') return run.what.split(' ');
  if (run.kind === 'bench') return ['node', 'scripts/bench.ts', run.what, '--json'];
  const folder = /^test\/(e2e|full)\//.exec(run.what)?.[1];
  const config = folder === undefined ? [] : ['--config', `test/${folder}/vitest.config.ts`];
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  return ['vitest', 'run', ...config, ...reporters, run.what];
}

/** Its output is kept, and shown while it comes. */
async function runLoud(argv: readonly string[]): Promise<{ code: number; stdout: string }> {
  const [program = '', ...args] = argv;
  const chunks: Buffer[] = [];
  const code = await exitCode(program, args, { CI: 'true' }, (chunk) => {
    chunks.push(chunk);
    process.stdout.write(chunk);
  });
  return { code, stdout: Buffer.concat(chunks).toString() };
}

/** The part of vitest's JSON report that is read. */
interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

function readTests(file: string): readonly TestResult[] {
  let report: Report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as Report;
  } catch {
    return [];
  }
  return report.testResults.flatMap((result) =>
    result.assertionResults.map(({ title, status }) => ({
      title,
      status: status === 'passed' || status === 'failed' ? status : 'skipped',
    })),
  );
}

function readFigures(stdout: string): readonly Figure[] {
  const line = stdout.split('\n').findLast((text) => text.startsWith('{"name":'));
  return line === undefined ? [] : (JSON.parse(line) as { figures: readonly Figure[] }).figures;
}

function lastLines(stdout: string): readonly string[] {
  // Colours belong to a terminal.
  const plain = stripVTControlCharacters(stdout).split(/[\r\n]+/);
  return plain.filter((line) => line.trim() !== '').slice(-saidCount);
}
