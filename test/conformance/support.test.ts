/**
 * How many real Compose files the cluster carries out whole. The files are those of the golden
 * cases that the reference accepts; a file counts as refused when `check` would exit with 1.
 */
import { describe, expect, test } from 'vitest';
import { checkSupport, loadProject } from '../../src/compose/index.ts';
import { CaseReader, loadOptionsOf } from './case-project.ts';
import { type Case, casesDirectory, readCases } from './compose-cases.ts';

/** The part of the real files that may hold a key which is not carried out. */
const refusedShare = 0.05;

const directory = casesDirectory();
if (directory === undefined) {
  console.log('golden Compose cases are not here: set TSC_COMPOSE_CASES to their folder');
}

describe.skipIf(directory === undefined)('keys of real Compose files', () => {
  const cases = (directory === undefined ? [] : readCases(directory, 1)).filter(
    ({ group, expect: { exit } }) => group === 'a-real' && exit === 0,
  );
  const refused = new Map(cases.map((real) => [real.id, refusedKeys(real)]));

  test('few files have a key that the cluster refuses', () => {
    const files = [...refused.values()];
    const withAny = files.filter((keys) => keys.size > 0).length;
    console.log(
      [
        `real files: ${files.length}; with a refused key: ${share(withAny, files.length)}:`,
        ...countsByKey(files).map(([key, count]) => `  ${String(count).padStart(4)} ${key}`),
      ].join('\n'),
    );
    expect(files.length).toBeGreaterThan(1000);
    expect(withAny / files.length).toBeLessThanOrEqual(refusedShare);
  });
});

function share(count: number, total: number): string {
  return `${count} (${((count / total) * 100).toFixed(1)} %)`;
}

/** Keys by the number of files that hold them. */
function countsByKey(
  files: readonly ReadonlySet<string>[],
): readonly (readonly [string, number])[] {
  const counts = new Map<string, number>();
  for (const key of files.flatMap((keys) => [...keys])) counts.set(key, (counts.get(key) ?? 0) + 1);
  return [...counts].sort(([, left], [, right]) => right - left);
}

/** The patterns of the keys that stop `up`: names that the file chooses become a star. */
function refusedKeys(real: Case): ReadonlySet<string> {
  const { project, positions } = loadProject(loadOptionsOf(real), new CaseReader(real));
  return new Set(
    checkSupport(project, positions)
      .filter(({ verdict }) => verdict === 'refused')
      .map(({ keyPath }) =>
        keyPath
          .map((part, index) => (index === 1 || typeof part === 'number' ? '*' : part))
          .join('.'),
      ),
  );
}
