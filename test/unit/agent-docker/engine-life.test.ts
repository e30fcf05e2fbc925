import { expect, test } from 'vitest';
import { type Ended, EngineLife } from '../../../agent/engine-life.ts';

/** An engine that started at 100 s, and a container that it started at 200 s. */
const ended = (change: Partial<Ended> = {}): Ended => ({
  exitCode: 0,
  startedMs: 200_000,
  finishedMs: 305_000,
  ...change,
});

function life(leftMs?: number) {
  const clock = { nowMs: 150_000, engineStartMs: 100_000 };
  const watched = new EngineLife({
    now: () => clock.nowMs,
    leftMs,
    engineStartMs: () => clock.engineStartMs,
  });
  const at = (nowMs: number, isUp: boolean, engineStartMs = clock.engineStartMs): void => {
    Object.assign(clock, { nowMs, engineStartMs });
    watched.note(isUp);
  };
  at(150_000, true);
  return { watched, at };
}

test('what ends while its engine runs has ended by itself', () => {
  const { watched, at } = life();
  expect(watched.hasEnded(ended({ exitCode: 143 }))).toBe(false);
  at(300_000, false);
  at(310_000, true);
  // It only hung: it is the same process.
  expect(watched.hasEnded(ended())).toBe(false);
});

test('what ends while the engine is being restarted was ended by it, whatever the exit code', () => {
  const { watched, at } = life();
  at(300_000, false);
  at(310_000, true, 308_000);
  expect(watched.hasEnded(ended())).toBe(true);
  expect(watched.hasEnded(ended({ exitCode: 3 }))).toBe(true);
  expect(watched.hasEnded(ended({ finishedMs: 297_999 }))).toBe(false);
  expect(watched.hasEnded(ended({ finishedMs: 310_001 }))).toBe(false);
  expect(watched.hasEnded(ended({ startedMs: 309_000, finishedMs: 309_500 }))).toBe(false);
});

test('what ended soon after the agent was told to stop went down with its machine', () => {
  const { watched } = life(40_000);
  const before = { startedMs: 10_000 };
  expect(watched.hasEnded(ended({ ...before, finishedMs: 45_000 }))).toBe(true);
  expect(watched.hasEnded(ended({ ...before, finishedMs: 37_000 }))).toBe(false);
  expect(watched.hasEnded(ended({ ...before, finishedMs: 161_000 }))).toBe(false);
  expect(life().watched.hasEnded(ended({ ...before, finishedMs: 45_000 }))).toBe(false);
});

test('what was killed shortly before the engine started was killed by it', () => {
  const { watched } = life();
  const killed = { startedMs: 10_000, exitCode: 143, finishedMs: 99_000 };
  expect(watched.hasEnded(ended(killed))).toBe(true);
  expect(watched.hasEnded(ended({ ...killed, exitCode: 137 }))).toBe(true);
  expect(watched.hasEnded(ended({ ...killed, exitCode: 1 }))).toBe(false);
  expect(watched.hasEnded(ended({ ...killed, finishedMs: 39_000 }))).toBe(false);
});
