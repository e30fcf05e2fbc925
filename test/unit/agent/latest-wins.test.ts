import { expect, test } from 'vitest';
import { LatestWins, type LatestWinsOptions } from '../../../agent/latest-wins.ts';
import { createLog } from '../../../agent/log.ts';

function collectLog(): { lines: string[]; log: ReturnType<typeof createLog> } {
  const lines: string[] = [];
  return { lines, log: createLog((line) => lines.push(line)) };
}

/** One that only notes what it applies. */
function noting(options?: LatestWinsOptions) {
  const applied: number[] = [];
  const apply = (value: number): void => void applied.push(value);
  const runner = new LatestWins<number>('test', apply, collectLog().log, options);
  return { applied, runner };
}

/** A promise that the test settles. */
function gate(): { readonly wait: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const wait = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { wait, open: () => open() };
}

test('values that come during a run replace each other, and the last is applied', async () => {
  const applied: number[] = [];
  const first = gate();
  const runner = new LatestWins<number>(
    'test',
    async (value) => {
      applied.push(value);
      if (value === 1) await first.wait;
    },
    collectLog().log,
  );
  for (const value of [1, 2, 3, 4]) runner.set(value);
  first.open();
  await expect.poll(() => applied).toEqual([1, 4]);
});

test('a failure is reported once and the newest value is tried again', async () => {
  const { lines, log } = collectLog();
  let broken = true;
  const applied: number[] = [];
  const runner = new LatestWins<number>(
    'caddy',
    (value) => {
      if (broken) throw new Error('no socket');
      applied.push(value);
    },
    log,
  );
  runner.set(1);
  await expect.poll(() => runner.problem).toBe('no socket');
  runner.set(2);
  broken = false;
  await expect.poll(() => applied, { timeout: 3000 }).toEqual([2]);
  expect(runner.problem).toBeUndefined();
  expect(lines.filter((line) => line.includes('cannot apply'))).toHaveLength(1);
  expect(lines.some((line) => line.includes('works again'))).toBe(true);
});

test('after stop nothing is applied', async () => {
  const { applied, runner } = noting();
  await runner.stop();
  runner.set(1);
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(applied).toEqual([]);
});

test('values that come while it rests are one run', async () => {
  const { applied, runner } = noting({ restMs: 20 });
  runner.set(1);
  await expect.poll(() => applied).toEqual([1]);
  for (const value of [2, 3, 4]) runner.set(value);
  expect(applied).toEqual([1]);
  await expect.poll(() => applied).toEqual([1, 4]);
});

test('runs that take long are followed by longer rests, after the first few', async () => {
  let runCount = 0;
  const runner = new LatestWins<number>(
    'test',
    async () => {
      runCount += 1;
      await new Promise((resolve) => setTimeout(resolve, 90));
    },
    collectLog().log,
    { restMs: 1, longestRestMs: 1_000 },
  );
  const endMs = performance.now() + 1_500;
  for (let value = 0; performance.now() < endMs; value++) {
    runner.set(value);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await runner.stop();
  // Without rests it would be 16; a busy machine makes them fewer, never more.
  expect(runCount).toBeLessThanOrEqual(8);
});

test('rests do not grow where nobody allows it', async () => {
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const runner = new LatestWins<number>('test', () => sleep(200), collectLog().log, { restMs: 1 });
  const startMs = performance.now();
  for (const value of [1, 2, 3, 4]) {
    runner.set(value);
    expect(await runner.whenApplied()).toBe(true);
  }
  // 800 ms of runs; rests of three times as much would make it 3 s and more.
  expect(performance.now() - startMs).toBeLessThan(2_500);
  await runner.stop();
});

test('whoever waits is told when what was set last, or something newer, has been tried', async () => {
  const gates = [gate(), gate()];
  let count = 0;
  const runner = new LatestWins<number>(
    'test',
    async () => {
      await gates[count++]?.wait;
    },
    collectLog().log,
  );
  expect(await runner.whenApplied()).toBe(true);
  const told: string[] = [];
  runner.set(1);
  void runner.whenApplied().then(() => told.push('first'));
  runner.set(2);
  void runner.whenApplied().then(() => told.push('second'));
  gates[0]?.open();
  await expect.poll(() => told).toEqual(['first']);
  gates[1]?.open();
  await expect.poll(() => told).toEqual(['first', 'second']);
  expect(await runner.whenApplied()).toBe(true);
});

test('whoever waits is told of a failure, and of the end', async () => {
  const runner = new LatestWins<number>(
    'test',
    () => Promise.reject(new Error('no')),
    collectLog().log,
  );
  runner.set(1);
  expect(await runner.whenApplied()).toBe(false);
  await runner.stop();
  expect(await runner.whenApplied()).toBe(false);
});

test('no rest is kept before what somebody waits for', async () => {
  const { applied, runner } = noting({ restMs: 60_000 });
  runner.set(1);
  await expect.poll(() => applied).toEqual([1]);
  runner.set(2);
  // A minute's rest would be longer than this test may take.
  expect(await runner.whenApplied()).toBe(true);
  expect(applied).toEqual([1, 2]);
  await runner.stop();
});

test('whoever waits for what failed is told by another try, not by the next in turn', async () => {
  let runCount = 0;
  const runner = new LatestWins<number>(
    'test',
    () => {
      runCount += 1;
      throw new Error('refused');
    },
    collectLog().log,
  );
  // By the seventh try the pauses between them would be 30 s in sum.
  for (const value of [1, 2, 3, 4, 5, 6, 7]) {
    runner.set(value);
    expect(await runner.whenApplied()).toBe(false);
  }
  expect(runCount).toBe(7);
  await runner.stop();
});

test('a stop does not wait for the end of a rest', async () => {
  const { applied, runner } = noting({ restMs: 60_000 });
  runner.set(1);
  await expect.poll(() => applied).toEqual([1]);
  await runner.stop();
});
