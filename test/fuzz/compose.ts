/**
 * `config` of the loader against `config` of Docker Compose on random projects. A case passes when
 * both refuse it, or both accept it with the same answer. Where the reference contradicts itself
 * from run to run (it walks over unordered maps) or breaks down, there is nothing to agree with:
 * such cases are counted, and not as passed.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { parse } from 'yaml';
import { config } from '../conformance/score-module.ts';
import { ensurePackages, toolPath } from '../lab/packages.ts';
import { makeScenario, type Scenario } from './compose/scenario.ts';
import type { Fuzz } from './fuzz.ts';

interface Answer {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

type Verdict = 'agreed' | 'both refuse' | 'unstable' | 'reference broke' | { readonly why: string };

/** How often the reference is asked again before it counts as different. */
const askAgainCount = 6;
const workerCount = 3;
const referenceTimeoutMs = 30_000;

export const fuzz: Fuzz = async ({ seconds, caseCount, seed, progress }) => {
  const reference = new Reference(toolPath(await ensurePackages('compose'), 'docker-compose'));
  const base = mkdtempSync(join(tmpdir(), 'tsc-compose-fuzz-'));
  const endMs = performance.now() + seconds * 1000;
  const counts = new Map<string, number>();
  const failedSeeds: number[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < caseCount && performance.now() < endMs) {
      const caseSeed = seed + next++;
      const scenario = makeScenario(caseSeed);
      const root = join(base, String(caseSeed));
      const verdict = await judge(scenario, root, reference);
      const kind = typeof verdict === 'string' ? verdict : 'different';
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      if (typeof verdict !== 'string') {
        failedSeeds.push(caseSeed);
        const { small, why } = await shrink(scenario, verdict.why, root, reference);
        progress(`seed ${caseSeed}: ${why}\n${show(small)}`);
      }
      rmSync(root, { recursive: true, force: true });
      const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
      if (total % 250 === 0) progress(`${total} cases: ${summary(counts)}`);
    }
  };
  try {
    await Promise.all(Array.from({ length: workerCount }, work));
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return { caseCount: total, failedSeeds, notes: [summary(counts)] };
};

function summary(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([kind, count]) => `${kind} ${count}`).join(', ');
}

class Reference {
  readonly #program: string;

  constructor(program: string) {
    this.#program = program;
  }

  ask(scenario: Scenario, project: string, env: Readonly<Record<string, string>>): Promise<Answer> {
    const args = [...scenario.args, 'config', ...scenario.cmd];
    const options = {
      cwd: project,
      env: { ...env },
      timeout: referenceTimeoutMs,
      maxBuffer: 2 ** 26,
    };
    return new Promise((done) => {
      execFile(this.#program, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        done({ exit: code, stdout, stderr });
      });
    });
  }
}

async function judge(scenario: Scenario, root: string, reference: Reference): Promise<Verdict> {
  const project = join(root, 'work/project');
  rmSync(root, { recursive: true, force: true });
  for (const [path, text] of Object.entries(scenario.files)) {
    const file = join(project, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  const env = { PATH: '/usr/bin:/bin', HOME: join(root, 'home'), ...scenario.env };
  const own = answerOf(scenario, project, env);
  const answers: Answer[] = [];
  for (let round = 0; round <= askAgainCount; round++) {
    const theirs = await reference.ask(scenario, project, env);
    const broke = theirs.exit < 0 || theirs.stderr.includes('goroutine ');
    if (broke) return own.exit === 70 ? { why: own.stderr } : 'reference broke';
    answers.push(theirs);
    if (difference(own, theirs, scenario) === undefined) {
      return round > 0 ? 'unstable' : own.exit === 0 ? 'agreed' : 'both refuse';
    }
  }
  const [first, ...others] = answers;
  if (first === undefined) return 'reference broke';
  const isStable = others.every((other) => difference(first, other, scenario) === undefined);
  if (!isStable) return 'unstable';
  return { why: difference(own, first, scenario) ?? '' };
}

/** What the loader answers; a crash is an answer as well, with an exit code of its own. */
function answerOf(scenario: Scenario, cwd: string, env: Readonly<Record<string, string>>): Answer {
  try {
    return config({ cwd, args: scenario.args, cmd: scenario.cmd, env });
  } catch (error) {
    return { exit: 70, stdout: '', stderr: error instanceof Error ? String(error.stack) : '' };
  }
}

function difference(own: Answer, theirs: Answer, { cmd }: Scenario): string | undefined {
  if (own.exit === 70) return `crashed: ${own.stderr}`;
  if (own.exit !== 0 && theirs.exit !== 0) return undefined;
  if (own.exit !== 0) return `refused only here: ${own.stderr}`;
  if (theirs.exit !== 0) return `refused only there: ${theirs.stderr}`;
  // The names of services and so on come in no order; of YAML only the meaning counts.
  const read = (text: string): unknown => {
    if (cmd.includes('json')) return JSON.parse(text);
    return cmd.length === 0 ? parse(text) : text.split('\n').sort();
  };
  const [left, right] = [read(own.stdout), read(theirs.stdout)];
  return isDeepStrictEqual(left, right) ? undefined : paths(left, right, '').slice(0, 5).join('\n');
}

/** The places where two answers differ. */
function paths(left: unknown, right: unknown, path: string): readonly string[] {
  if (isDeepStrictEqual(left, right)) return [];
  if (isObject(left) && isObject(right) && Array.isArray(left) === Array.isArray(right)) {
    return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((key) =>
      paths(left[key], right[key], `${path}.${key}`),
    );
  }
  const shown = (value: unknown): string => JSON.stringify(value) ?? 'nothing';
  return [`${path}: ${shown(left)} instead of ${shown(right)}`];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

/** Takes out what the difference does not need: whole files, then ever fewer lines at a time. */
async function shrink(
  scenario: Scenario,
  why: string,
  root: string,
  reference: Reference,
): Promise<{ readonly small: Scenario; readonly why: string }> {
  const kind = why.slice(0, 15);
  let best = { small: scenario, why };
  const attempt = async (small: Scenario): Promise<boolean> => {
    const verdict = await judge(small, root, reference);
    if (typeof verdict === 'string' || verdict.why.slice(0, 15) !== kind) return false;
    best = { small, why: verdict.why };
    return true;
  };
  for (const path of Object.keys(scenario.files)) {
    const { [path]: _left, ...files } = best.small.files;
    await attempt({ ...best.small, files });
  }
  for (const path of Object.keys(best.small.files)) {
    for (let size = 16; size >= 1; size /= 2) {
      for (let at = 0; ; ) {
        const texts = (best.small.files[path] ?? '').split('\n');
        if (at >= texts.length) break;
        const text = texts.toSpliced(at, size).join('\n');
        const files = { ...best.small.files, [path]: text };
        if (!(await attempt({ ...best.small, files }))) at += size;
      }
    }
  }
  return best;
}

function show({ files, args, cmd, env }: Scenario): string {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${JSON.stringify(value)} `);
  return [
    `$ ${variables.join('')}config ${[...args, ...cmd].join(' ')}`,
    ...Object.entries(files).map(([path, text]) => `--- ${path}\n${text}`),
  ].join('\n');
}
