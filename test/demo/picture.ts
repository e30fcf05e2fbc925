/** The live picture: machines as columns, and what requests through each of them found. Pure. */
import type { ContainerFact, MachineFact } from './facts.ts';
import { nameOf } from './facts.ts';
import type { Paint } from './paint.ts';
import type { Outcome } from './traffic.ts';

/** 24: three columns and their gaps on 80 characters. */
const columnWidth = 24;
/** 6 rows: replicas of one machine that are shown; the rest is a number. */
const rowCount = 6;
/** 56 answers of each machine, newest last. */
const answerCount = 56;

export interface PictureInput {
  readonly machines: readonly MachineFact[];
  /** What is known to answer with which version, by container id's first 12 digits. */
  readonly versions: ReadonlyMap<string, string>;
  readonly paint: Paint;
}

/** A column a machine: its name, then its containers. */
export function machineLines({ machines, versions, paint }: PictureInput): readonly string[] {
  const columns = machines.map(({ name, address, isUp, containers }) => [
    isUp ? paint.bold(pad(`${name}  ${address}`)) : paint.bad(pad(`${name}  power is off`)),
    ...containers.slice(0, rowCount).map((one) => containerCell(one, versions, paint)),
    ...(containers.length > rowCount ? [pad(`and ${containers.length - rowCount} more`)] : []),
  ]);
  const height = Math.max(rowCount, ...columns.map((column) => column.length));
  return Array.from({ length: height }, (_, row) =>
    columns
      .map((column) => column[row] ?? pad(''))
      .join('  ')
      .trimEnd(),
  );
}

function containerCell(
  one: ContainerFact,
  versions: ReadonlyMap<string, string>,
  paint: Paint,
): string {
  const version = versions.get(one.id.slice(0, 12)) ?? '';
  const state = one.state === 'running' ? 'up' : one.state;
  const text = pad(`  ${nameOf(one).padEnd(8)} ${state.padEnd(8)} ${version}`);
  if (one.state !== 'running') return paint.dim(text);
  return one.service === 'web' ? paint.replica(Number(one.slot), text) : text;
}

function pad(text: string): string {
  return text.slice(0, columnWidth).padEnd(columnWidth);
}

export interface AnswersInput {
  readonly outcomes: readonly Outcome[];
  readonly entrances: readonly string[];
  readonly slotOf: (replica: string) => string;
  readonly paint: Paint;
}

/** A line a machine: the replicas that answered through it as numbers in their colours. */
export function answerLines({ outcomes, entrances, slotOf, paint }: AnswersInput) {
  const lines = entrances.map((entrance) => {
    const last = outcomes.filter((one) => one.entrance === entrance).slice(-answerCount);
    const marks = last.map(({ answer }) => {
      if (answer === undefined) return paint.bad('X');
      const slot = slotOf(answer.replica);
      return paint.replica(Number(slot) || 1, slot || '?');
    });
    return `  through ${entrance.padEnd(4)} ${marks.join('')}`;
  });
  const failedCount = outcomes.filter(({ answer }) => answer === undefined).length;
  const failed = `failed: ${failedCount}`;
  const tone = failedCount === 0 ? paint.good : paint.bad;
  return ['', ...lines, `  requests: ${outcomes.length}   ${tone(failed)}`];
}

/** The versions that replicas answered with, newest answer last. */
export function versionsOf(outcomes: readonly Outcome[]): ReadonlyMap<string, string> {
  return new Map(
    outcomes.flatMap(({ answer }) =>
      answer === undefined ? [] : [[answer.replica, answer.version] as const],
    ),
  );
}
