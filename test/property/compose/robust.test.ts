/**
 * Whatever a Compose file holds, loading ends: with a project or with a coded error, within 2 s of
 * the processor and 200 MB. The largest projects that are accepted may take half as much again.
 */
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadProject, type ProjectReader } from '../../../src/compose/index.ts';
import { TscError } from '../../../src/lib/errors.ts';
import { makeScenario } from '../../fuzz/compose/scenario.ts';
import { type Files, hostileProjects, loadHostile, type Outcome } from './hostile.ts';

const program = new URL('hostile.ts', import.meta.url).pathname;
const refusedLimits = { tookMs: 2000, peakMiB: 200 };
const loadedLimits = { tookMs: 3000, peakMiB: 300 };

describe('a hostile project', () => {
  test.each(Object.keys(hostileProjects))('%s ends soon and small', (name) => {
    const outcome: Outcome = JSON.parse(
      execFileSync(process.execPath, [program, name], { encoding: 'utf8' }),
    );
    const limits = outcome.code === 'loaded' ? loadedLimits : refusedLimits;
    expect(outcome.code).toMatch(/^(loaded|E_COMPOSE_[A-Z_]+)$/);
    expect(outcome.tookMs).toBeLessThan(limits.tookMs);
    expect(outcome.peakMiB).toBeLessThan(limits.peakMiB);
  });
});

/** Texts that are valid nearly everywhere, or nearly nowhere. */
const fragments = [
  ...[
    '&a ',
    '*a',
    '<<: *a',
    '!reset ',
    '!override ',
    '!!binary ',
    '!!int ',
    '? ',
    ': ',
    '- ',
    '\t',
  ],
  ...['"', "'", '|', '>', '[', ']', '{', '}', '---\n', '...\n', '%YAML 1.1\n', '#', '\0', '\r\n'],
  ...[
    '${',
    '${A',
    '${A:-',
    '}',
    '$$',
    '$A',
    '\ufeff',
    '\u2028',
    '💥',
    '\ud800',
    '~',
    'null',
    '.nan',
  ],
  ...['0x', '1e999', '-0', '9223372036854775808', '__proto__: 1\n', 'constructor: {}\n', '\n  '],
  ...['extends: a\n', 'include: [compose.yaml]\n', 'services:\n', 'x-a: &a {b: *a}\n'],
];

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

describe('a file with faults at random places', () => {
  test('loads, or is refused with a coded error', () => {
    const codes = new Map<string, number>();
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.array(edit, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        (seed, edits, choice) => {
          const { files } = makeScenario(seed);
          const paths = Object.keys(files);
          const path = choice % 3 === 0 ? 'compose.yaml' : (paths[choice % paths.length] ?? '');
          const changed: Files = { ...files, [path]: apply(files[path] ?? '', edits) };
          const code = loadHostile(changed);
          codes.set(code, (codes.get(code) ?? 0) + 1);
          expect(code).toMatch(/^(loaded|E_COMPOSE_[A-Z_]+)$/);
        },
      ),
      { numRuns: 1500 },
    );
    // Else the faults are no faults, or nothing is left of the files.
    expect(codes.size).toBeGreaterThan(5);
    expect(codes.get('loaded') ?? 0).toBeGreaterThan(50);
  });

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
