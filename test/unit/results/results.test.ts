import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from '../../../scripts/lib/steps.ts';
import { figure } from '../../bench/figure.ts';
import { formatReport, lineVerdict } from '../../results/report.ts';
import type { Outcome } from '../../results/runner.ts';
import { chapters, runs } from '../../results/shown-by.ts';

const evidence = chapters.flatMap(({ lines }) => lines.flatMap(({ by }) => by));

describe('what shows the promises', () => {
  test('every line refers to runs that there are, each under one name', () => {
    const names = new Set(runs.map(({ name }) => name));
    for (const { run } of evidence) expect(names).toContain(run);
    expect(names.size).toBe(runs.length);
  });

  test.each(evidence.filter(({ tests }) => tests !== undefined))(
    'the tests that are named are in the file of $run',
    ({ run, tests }) => {
      const file = runs.find(({ name }) => name === run)?.what ?? '';
      const source = readFileSync(join(root, file), 'utf8');
      for (const title of tests ?? []) expect(source).toContain(`test('${title}'`);
    },
  );
});

const nothing = { tookS: 1, tests: [], figures: [], said: [] };
const outcomes = (entries: Readonly<Record<string, Partial<Outcome>>>) =>
  new Map(
    Object.entries(entries).map(([name, part]) => [name, { isOk: true, ...nothing, ...part }]),
  );

describe('the verdict on a line', () => {
  const by = [{ run: 'a', tests: ['one'] }, { run: 'b' }];

  test('is "not run" until all that it needs has run', () => {
    const some = outcomes({ a: { tests: [{ title: 'one', status: 'passed' }] } });
    expect(lineVerdict(by, some)).toBe('not run');
  });

  test('needs the named tests only, but each of them', () => {
    const tests = [
      { title: 'one', status: 'passed' },
      { title: 'two', status: 'failed' },
    ] as const;
    expect(lineVerdict(by, outcomes({ a: { isOk: false, tests }, b: {} }))).toBe('shown');
    expect(lineVerdict([{ run: 'a', tests: ['two'] }], outcomes({ a: { tests } }))).toBe(
      'not shown',
    );
  });

  test('a test that did not run shows nothing, nor does one that failed on one of two engines', () => {
    const line = [{ run: 'a', tests: ['one'] }];
    for (const other of ['skipped', 'failed'] as const) {
      const tests = [{ title: 'one', status: other }];
      expect(lineVerdict(line, outcomes({ a: { tests } }))).toBe('not shown');
    }
    const tests = [
      { title: 'one', status: 'passed' },
      { title: 'one', status: 'failed' },
    ] as const;
    expect(lineVerdict(line, outcomes({ a: { tests } }))).toBe('not shown');
  });

  test('a run that failed as a whole is "not shown"', () => {
    expect(lineVerdict([{ run: 'a' }], outcomes({ a: { isOk: false } }))).toBe('not shown');
  });
});

test('the report has every line, every figure, and says what was missed', () => {
  const text = formatReport({
    chapters: [{ title: 'Speed', lines: [{ says: 'It is fast', by: [{ run: 'bench up' }] }] }],
    runs: [
      { name: 'bench up', kind: 'bench', what: 'up' },
      { name: 'later', kind: 'command', what: 'true' },
    ],
    outcomes: outcomes({
      'bench up': {
        isOk: false,
        figures: [figure('up', 3, 's', { peer: { name: 'Swarm', value: 4 }, goal: 0.7 })],
      },
    }),
    date: '2026-01-02',
    commit: 'abc',
    machine: '2 cores',
  });
  expect(text).toContain('on 2026-01-02, commit abc; 2 cores.');
  expect(text).toContain('| 1 | It is fast | not shown | bench up: missed up |');
  expect(text).toContain('| up | 3.00 s | Swarm: 4.00 | 0.75 | at most 0.7, **missed** |');
  expect(text).toContain('| later | not run | | |');
});
