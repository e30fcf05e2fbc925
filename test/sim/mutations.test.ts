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
  { mutation: 'noConfirmWindow', seeds: [2, 3], minutes: 1, word: /announces the loss of a link/ },
  { mutation: 'noBootGuard', seeds: [5, 12], minutes: 1, word: /carries out an old change/ },
  { mutation: 'removalOnAbsence', seeds: [1, 27], minutes: 1, word: /it has no record/ },
  { mutation: 'repairByVersion', seeds: [3, 6], minutes: 1, word: /has other content/ },
  { mutation: 'edgeByOneEnd', seeds: [9, 33], minutes: 2, word: /which has no power/ },
];

test.each(known)(
  'without it ($mutation) the simulation fails, with it it passes',
  async (one) => {
    const failuresOf = async (mutation?: MutationName): Promise<string[]> => {
      const failures: string[] = [];
      for (const seed of one.seeds) {
        await runSeeds({
          seedCount: 1,
          firstSeed: seed,
          machines: [machineCountOf(seed, machines), machineCountOf(seed, machines)],
          minutes: one.minutes,
          threadCount: 1,
          onReport: ({ failure }) => failures.push(failure ?? 'passed'),
          ...(mutation === undefined ? {} : { mutation }),
        });
        // One is enough: the others are there for the day when the simulation has changed a little.
        if (mutation !== undefined && one.word.test(failures.join())) break;
      }
      return failures;
    };
    expect((await failuresOf(one.mutation)).join()).toMatch(one.word);
    expect(new Set(await failuresOf())).toEqual(new Set(['passed']));
  },
  300_000,
);
