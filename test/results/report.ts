/** docs/results.md: every promise with what the runs gave, good or bad, and every figure. */
import type { Figure } from '../bench/figure.ts';
import type { Outcome } from './runner.ts';
import type { Chapter, Evidence, Run } from './shown-by.ts';

export interface ReportInput {
  readonly chapters: readonly Chapter[];
  readonly runs: readonly Run[];
  readonly outcomes: ReadonlyMap<string, Outcome>;
  /** "2026-11-21" */
  readonly date: string;
  readonly commit: string;
  /** Cores, memory, kernel, Node. */
  readonly machine: string;
}

type Verdict = 'shown' | 'not shown' | 'not run';

/** The whole file. */
export function formatReport(input: ReportInput): string {
  const { chapters, runs, outcomes } = input;
  const parts = [
    '# Results',
    `\`npm run test:full\` on ${input.date}, commit ${input.commit}; ${input.machine}. The file is written by that command; figures vary with the machine.`,
  ];
  for (const { title, lines } of chapters) {
    const rows = lines.map(
      ({ says, by }, index) =>
        `| ${index + 1} | ${says} | ${lineVerdict(by, outcomes)} | ${by.map((part) => evidenceText(part, outcomes)).join('; ')} |`,
    );
    parts.push(`## ${title}`, ['| | | | by |', '|---|---|---|---|', ...rows].join('\n'));
  }
  for (const run of runs) {
    const figures = outcomes.get(run.name)?.figures ?? [];
    if (figures.length > 0) {
      parts.push(`## ${run.name}`, figureTable(figures));
    }
  }
  const rows = runs.map((run) => runRow(run, outcomes.get(run.name)));
  parts.push('## Runs', ['| run | | took | |', '|---|---|---|---|', ...rows].join('\n'));
  return `${parts.join('\n\n')}\n`;
}

/** Whether all that speaks for a line does so. */
export function lineVerdict(
  by: readonly Evidence[],
  outcomes: ReadonlyMap<string, Outcome>,
): Verdict {
  const verdicts = by.map((evidence) => verdict(evidence, outcomes));
  if (verdicts.includes('not shown')) return 'not shown';
  return verdicts.includes('not run') ? 'not run' : 'shown';
}

function verdict({ run, tests }: Evidence, outcomes: ReadonlyMap<string, Outcome>): Verdict {
  const outcome = outcomes.get(run);
  if (outcome === undefined) return 'not run';
  if (tests === undefined) return outcome.isOk ? 'shown' : 'not shown';
  const results = tests.map((title) => outcome.tests.filter((test) => test.title === title));
  const areAllGood = results.every(
    (same) =>
      same.some((test) => test.status === 'passed') &&
      same.every((test) => test.status !== 'failed'),
  );
  return areAllGood ? 'shown' : 'not shown';
}

function evidenceText({ run, tests }: Evidence, outcomes: ReadonlyMap<string, Outcome>): string {
  const outcome = outcomes.get(run);
  if (outcome === undefined) return run;
  if (tests !== undefined) return `${run}: ${tests.length} of its tests`;
  if (outcome.tests.length > 0) return `${run}: ${countText(outcome)}`;
  const missed = outcome.figures.filter((figure) => !figure.ok).map(({ name }) => name);
  return missed.length > 0 ? `${run}: missed ${missed.join(', ')}` : run;
}

function countText({ tests }: Outcome): string {
  const count = (status: string) => tests.filter((test) => test.status === status).length;
  const skipped = count('skipped');
  const failed = count('failed');
  return [
    `${count('passed')} passed`,
    ...(failed > 0 ? [`${failed} failed`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ].join(', ');
}

function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, peer, ratio, goal, ok }) => {
    const beside = peer === null ? '' : `${peer.name}: ${shown(peer.value)}`;
    const end = goal === null ? '' : `at most ${goal}${ok ? '' : ', **missed**'}`;
    return `| ${name} | ${shown(value)} ${unit} | ${beside} | ${ratio === null ? '' : ratio.toFixed(2)} | ${end} |`;
  });
  return ['| figure | | beside | ratio | goal |', '|---|---|---|---|---|', ...rows].join('\n');
}

function shown(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function runRow(run: Run, outcome: Outcome | undefined): string {
  if (outcome === undefined) return `| ${run.name} | not run | | |`;
  const said = outcome.tests.length > 0 ? countText(outcome) : (outcome.said.at(-1) ?? '');
  return `| ${run.name} | ${outcome.isOk ? 'ok' : 'failed'} | ${outcome.tookS.toFixed(0)} s | ${said.replaceAll('|', '/')} |`;
}
