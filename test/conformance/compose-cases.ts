/**
 * The golden cases: which there are, how one is laid out on disk, and what counts as passing.
 * Their format is described beside them; a case that must fail passes when loading fails.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { type ConfigAnswer, type ConfigCall, config } from './score-module.ts';

export interface Case {
  readonly id: string;
  readonly group: string;
  readonly dir?: string;
  readonly cwd?: string;
  readonly files: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly expect: {
    readonly exit: number;
    /** The kind of a must-fail case. */
    readonly class?: string;
    readonly json?: unknown;
    readonly text?: string;
    readonly unordered?: boolean;
  };
}

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** Where the cases lie; undefined where there are none. */
export function casesDirectory(): string | undefined {
  const directory = process.env.TSC_COMPOSE_CASES ?? resolve(root, '../shared/compose-cases');
  return existsSync(directory) ? directory : undefined;
}

/** Every `step`-th case of each pack, so that all kinds are met. */
export function readCases(directory: string, step: number): readonly Case[] {
  const packs = readdirSync(directory).filter((file) => file.endsWith('.jsonl'));
  return packs.sort().flatMap((pack) =>
    readFileSync(join(directory, pack), 'utf8')
      .split('\n')
      .filter((line, index) => line !== '' && index % step === 0)
      .map((line): Case => JSON.parse(line)),
  );
}

/**
 * @param run answers one call of `config`; left out: the function itself, in this process
 * @returns why the case fails, or undefined when it passes
 */
export function judge(
  wanted: Case,
  base: string,
  run: (call: ConfigCall) => ConfigAnswer = config,
): string | undefined {
  const caseRoot = join(base, wanted.id.replace(/[^A-Za-z0-9._-]/g, '_'));
  const project = join(caseRoot, 'a/b/c/d', wanted.dir ?? 'project');
  mkdirSync(project, { recursive: true });
  for (const [path, text] of Object.entries(wanted.files)) {
    const file = join(project, path);
    if (!file.startsWith(caseRoot + sep)) return `${path} leaves the folder of the case`;
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
  try {
    const home = join(caseRoot, 'home');
    const { exit, stdout, stderr } = run({
      cwd: join(project, wanted.cwd ?? '.'),
      args: wanted.args ?? [],
      cmd: wanted.cmd ?? ['--format', 'json'],
      env: { PATH: '/usr/bin:/bin', HOME: home, ...wanted.env },
    });
    const place = (text: string): string =>
      text
        .replaceAll(home, '${HOME}')
        .replaceAll(project, '${DIR}')
        .replaceAll(caseRoot, '${ROOT}');
    return compare(wanted.expect, exit, place(stdout), place(stderr));
  } finally {
    rmSync(caseRoot, { recursive: true, force: true });
  }
}

function compare(
  expected: Case['expect'],
  exit: number,
  stdout: string,
  stderr: string,
): string | undefined {
  if (expected.exit !== 0) return exit === 0 ? 'accepted, must fail' : undefined;
  if (exit !== 0) return `refused: ${stderr.slice(0, 200)}`;
  if ('json' in expected) {
    return isDeepStrictEqual(JSON.parse(stdout), expected.json) ? undefined : 'JSON differs';
  }
  const lines = (text: string): string[] => text.split('\n').filter(Boolean).sort();
  const isSame =
    expected.unordered === true
      ? isDeepStrictEqual(lines(stdout), lines(expected.text ?? ''))
      : stdout === expected.text;
  return isSame ? undefined : 'text differs';
}
