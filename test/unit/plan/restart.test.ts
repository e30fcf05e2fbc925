import { describe, expect, test } from 'vitest';
import { decideRestart, restartDelayMs } from '../../../src/plan/restart.ts';
import { restartPolicyOf } from '../../../src/view/service-spec.ts';

const bootedAtMs = 500_000;
/** Started and ended after the boot, after a short run. */
const ended = { exitCode: 1, startedMs: 600_000, finishedMs: 600_500, restarts: 0 };

describe('the table', () => {
  test.each<
    [string | undefined, 'done' | 'failed' | 'start', 'failed' | 'start', 'start' | 'failed']
  >([
    [undefined, 'done', 'failed', 'start'],
    ['no', 'done', 'failed', 'failed'],
    ['on-failure', 'done', 'start', 'start'],
    ['on-failure:3', 'done', 'start', 'start'],
    ['always', 'start', 'start', 'start'],
    ['unless-stopped', 'start', 'start', 'start'],
  ])(
    'restart %s: exit 0 is %s, exit 1 is %s, an end by the machine is %s',
    (restart, zero, one, machine) => {
      const policy = restartPolicyOf(restart === undefined ? {} : { restart });
      const decide = (change: Partial<typeof ended>): string =>
        decideRestart(policy, { ...ended, ...change }, bootedAtMs).type;
      expect(decide({ exitCode: 0 })).toBe(zero);
      expect(decide({ exitCode: 1 })).toBe(one);
      expect(decide({ exitCode: 255 })).toBe(machine);
      expect(decide({ exitCode: 137, startedMs: 400_000 })).toBe(machine);
      expect(decide({ exitCode: 143, startedMs: 400_000 })).toBe(machine);
    },
  );

  test('a kill after the boot is an ordinary failure', () => {
    const policy = restartPolicyOf({});
    expect(decideRestart(policy, { ...ended, exitCode: 137 }, bootedAtMs).type).toBe('failed');
    expect(decideRestart(policy, { ...ended, exitCode: 137 }, 0).type).toBe('failed');
  });
});

describe('the pause before a restart', () => {
  const policy = restartPolicyOf({ restart: 'always' });

  test('doubles from a tenth of a second to a minute', () => {
    expect([0, 1, 2, 3, 9, 10, 1_000].map(restartDelayMs)).toEqual([
      100, 200, 400, 800, 51_200, 60_000, 60_000,
    ]);
  });

  test('counts from the end of the container, and the restart is counted', () => {
    expect(decideRestart(policy, { ...ended, restarts: 2 }, 0)).toEqual({
      type: 'start',
      atMs: 600_900,
      restarts: 3,
      why: 'exited (1)',
      isAfterBoot: false,
    });
  });

  test('begins anew after a run of ten seconds', () => {
    const stable = { ...ended, finishedMs: 610_000, restarts: 7 };
    expect(decideRestart(policy, stable, 0)).toMatchObject({ atMs: 610_100, restarts: 1 });
    const short = { ...ended, finishedMs: 609_999, restarts: 7 };
    expect(decideRestart(policy, short, 0)).toMatchObject({ restarts: 8 });
  });

  test('is at least the delay of the file, and its window says what a stable run is', () => {
    const own = restartPolicyOf({
      deploy: { restart_policy: { condition: 'any', delay: '5s', window: '1m' } },
    });
    const decision = decideRestart(own, { ...ended, finishedMs: 659_999, restarts: 1 }, 0);
    expect(decision).toMatchObject({ atMs: 664_999, restarts: 2 });
  });

  test('an end by the machine is no attempt', () => {
    const decision = decideRestart(policy, { ...ended, exitCode: 255, restarts: 4 }, 0);
    expect(decision).toMatchObject({ type: 'start', atMs: 0, restarts: 0 });
  });
});

test('on-failure:n gives up after n restarts', () => {
  const policy = restartPolicyOf({ restart: 'on-failure:3' });
  expect(decideRestart(policy, { ...ended, restarts: 2 }, 0).type).toBe('start');
  expect(decideRestart(policy, { ...ended, restarts: 3 }, 0)).toEqual({
    type: 'failed',
    why: 'exited (1) after 3 restarts',
  });
});
