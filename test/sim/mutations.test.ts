/**
 * Would the simulation notice? Each mutation takes one idea out of the shipping code; a seed that is
 * known to meet it must fail with the right word, and the same seed must pass with the code as it
 * is. When a change of the simulation moves the seeds, `npm run sim -- --mutate NAME --machines 3..4
 * --minutes 1` finds others.
 */
import { expect, test } from 'vitest';
import type { MutationName } from './mutations.ts';
import { machineCountOf, runSeeds } from './run-seeds.ts';

const machines = [3, 4] as const;

interface Known {
  readonly mutation: MutationName;
  readonly seeds: readonly number[];
  readonly minutes: number;
  readonly word: RegExp;
}

const known: readonly Known[] = [
  {
    mutation: 'noConfirmWindow',
    seeds: [42, 51, 53, 60],
    minutes: 1,
    word: /announces the loss of a link/,
  },
  {
    mutation: 'noBootGuard',
    seeds: [18, 27, 43, 44, 48, 51],
    minutes: 2,
    word: /carries out an old change/,
  },
  { mutation: 'removalOnAbsence', seeds: [10, 13, 18, 29], minutes: 1, word: /it has no record/ },
  { mutation: 'repairByVersion', seeds: [2, 3, 9, 11], minutes: 1, word: /has other content/ },
  { mutation: 'edgeByOneEnd', seeds: [61, 121, 170, 223], minutes: 2, word: /which has no power/ },
  { mutation: 'hookByAll', seeds: [1, 4, 5, 7], minutes: 1, word: /was started twice/ },
  { mutation: 'homeAnew', seeds: [30, 48, 52], minutes: 1, word: /was made on/ },
  { mutation: 'noTurn', seeds: [13, 21, 45, 58], minutes: 1, word: /are not back/ },
];

async function failureOf(
  seed: number,
  minutes: number,
  mutation?: MutationName,
): Promise<string | undefined> {
  const failures: (string | undefined)[] = [];
  await runSeeds({
    seedCount: 1,
    firstSeed: seed,
    machines: [machineCountOf(seed, machines), machineCountOf(seed, machines)],
    minutes,
    threadCount: 1,
    onReport: ({ failure }) => failures.push(failure),
    ...(mutation === undefined ? {} : { mutation }),
  });
  return failures[0];
}

test.each(known)(
  'with $mutation the simulation fails, without it passes',
  async (one) => {
    // One is enough: the others are there for the day when the simulation has changed a little.
    for (const seed of one.seeds) {
      const failure = await failureOf(seed, one.minutes, one.mutation);
      if (failure === undefined || !one.word.test(failure)) continue;
      expect(await failureOf(seed, one.minutes)).toBeUndefined();
      return;
    }
    expect.unreachable(`no seed of ${one.seeds.join()} notices ${one.mutation}`);
  },
  300_000,
);
