/**
 * Whatever a Compose file holds, loading ends: with a project or with a coded error, within 2 s of
 * the processor and 200 MB. The largest projects that are accepted may take half as much again.
 */
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadProject, type ProjectReader } from '../../../src/compose/index.ts';
import { TscError } from '../../../src/lib/errors.ts';
import { casesDirectory, readCases } from '../../conformance/compose-cases.ts';
import { makeScenario } from '../../fuzz/compose/scenario.ts';
import { type Files, hostileProjects, loadHostile, type Outcome } from './hostile.ts';

const program = new URL('hostile.ts', import.meta.url).pathname;
const refusedLimits = { tookMs: 2000, peakMiB: 200 };
const loadedLimits = { tookMs: 3000, peakMiB: 300 };

/**
 * Small ones share a process in fours, as starting one takes longer than loading most of them;
 * those that come near the limits have one of their own.
 */
const names = Object.keys(hostileProjects);
const isLarge = (name: string): boolean => /^a bomb| of 2 MB$|limits allow$/.test(name);
const small = names.filter((name) => !isLarge(name));
const batchCount = Math.ceil(small.length / 4);
const batches = [
  ...Array.from({ length: batchCount }, (_, batch) =>
    small.filter((_name, index) => index % batchCount === batch),
  ),
  ...names.filter(isLarge).map((name) => [name]),
];

describe('a hostile project ends soon and small', () => {
  test.each(batches.map((batch) => [batch.join(', '), batch] as const))('%s', (_title, batch) => {
    const outcomes: readonly Outcome[] = JSON.parse(
      execFileSync(process.execPath, [program, ...batch], { encoding: 'utf8' }),
    );
    expect(outcomes.map(({ name }) => name)).toEqual(batch);
    for (const { name, code, tookMs, peakMiB } of outcomes) {
      const limits = code === 'loaded' ? loadedLimits : refusedLimits;
      expect(code, name).toMatch(/^(loaded|E_COMPOSE_[A-Z_]+)$/);
      expect(tookMs, name).toBeLessThan(limits.tookMs);
      expect(peakMiB, name).toBeLessThan(limits.peakMiB);
    }
  });
});

/** Texts that are valid nearly everywhere, or nearly nowhere. */
const fragments: readonly string[] = `
&a |*a|<<: *a|!reset |!override |!!binary |!!int |? |: |- |"|'|>|[|]|{|}|%YAML 1.1|#|$|$$|$A|~|null
0x|1e999|-0|9223372036854775808|.nan|__proto__: 1|constructor: {}|extends: a|services:|:-|include: a
include: [compose.yaml]|x-a: &a {b: *a}|env_file: compose.yaml`
  .split(/[|\n]/)
  .concat('|', '\t', '\n  ', '---\n', '...\n', '\0', '\r\n', '\ufeff', '\u2028', '💥', '\ud800')
  .concat(['', 'A', 'A:-', 'A:?'].map((start) => `\${${start}`));

interface Edit {
  readonly at: number;
  readonly length: number;
  readonly text: string;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 })),
  text: fc.oneof(
    fc.constantFrom(...fragments),
    fc.string({ maxLength: 10, unit: 'binary' }),
    fc.array(fc.constantFrom(...fragments), { maxLength: 6 }).map((parts) => parts.join('')),
  ),
});

function apply(text: string, edits: readonly Edit[]): string {
  return edits.reduce((before, { at, length, text: added }) => {
    const from = Math.floor(at * before.length);
    return before.slice(0, from) + added + before.slice(from + length);
  }, text);
}

/** A project whose Compose file, or another of its files, has faults. */
function faulty(files: Files, edits: readonly Edit[], choice: number): Files {
  const paths = Object.keys(files);
  const path = choice % 3 === 0 ? (paths[0] ?? '') : (paths[choice % paths.length] ?? '');
  return { ...files, [path]: apply(String(files[path] ?? ''), edits) };
}

function checkMutations(projectOf: (choice: number) => Files, runCount: number): void {
  const codes = new Map<string, number>();
  fc.assert(
    fc.property(
      fc.nat(),
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      fc.nat(),
      (project, edits, choice) => {
        const code = loadHostile(faulty(projectOf(project), edits, choice));
        codes.set(code, (codes.get(code) ?? 0) + 1);
        expect(code).toMatch(/^(loaded|E_COMPOSE_[A-Z_]+)$/);
      },
    ),
    { numRuns: runCount },
  );
  // Else the faults are no faults, or nothing is left of the files.
  expect(codes.size).toBeGreaterThan(5);
  expect(codes.get('loaded') ?? 0).toBeGreaterThan(20);
}

const directory = casesDirectory();
if (directory === undefined) {
  console.log(
    'skipped: mutations of real files, as the golden cases are not here (TSC_COMPOSE_CASES)',
  );
}

describe('a file with faults at random places', () => {
  test('made up: loads, or is refused with a coded error', () => {
    checkMutations((choice) => makeScenario(1 + (choice % 5000)).files, 600);
  });

  test.skipIf(directory === undefined)(
    'of the golden cases: loads, or is refused with a coded error',
    () => {
      const cases = readCases(directory ?? '', 7)
        .filter(({ args, cwd }) => !args?.length && !cwd)
        .map(({ files }) => files);
      expect(cases.length).toBeGreaterThan(500);
      checkMutations((choice) => cases[choice % cases.length] ?? {}, 1000);
    },
  );

  test('bytes that are no text are refused with a coded error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(loadHostile({ 'compose.yaml': bytes })).toMatch(/^(loaded|E_COMPOSE_[A-Z_]+)$/);
      }),
      { numRuns: 500 },
    );
  });
});

test('a file that cannot be read is refused with its name', () => {
  const refusing = (secret: string): ProjectReader => ({
    readFile: (path) => {
      if (path === secret) throw new Error(`EACCES: permission denied, open '${path}'`);
      const texts: Readonly<Record<string, string>> = {
        '/p/compose.yaml': 'include: [b.yaml]\nservices:\n  a:\n    image: i\n    env_file: e\n',
        '/p/b.yaml': 'services:\n  b:\n    extends: {file: c.yaml, service: c}\n',
        '/p/c.yaml': 'services:\n  c:\n    image: i\n',
        '/p/e': 'A=1\n',
        '/p/.env': 'B=1\n',
      };
      const text = texts[path];
      return text === undefined ? undefined : Buffer.from(text);
    },
    isDirectory: (path) => path === '/p',
  });
  const load = (secret: string): unknown => {
    try {
      return loadProject({ cwd: '/p', environment: {} }, refusing(secret)).project.name;
    } catch (error) {
      return error instanceof TscError ? [error.code, error.message.includes(secret)] : error;
    }
  };
  expect(load('/nothing')).toBe('p');
  for (const name of ['compose.yaml', 'b.yaml', 'c.yaml', 'e', '.env']) {
    expect(load(`/p/${name}`), name).toEqual(['E_COMPOSE_FILE_UNREADABLE', true]);
  }
});
