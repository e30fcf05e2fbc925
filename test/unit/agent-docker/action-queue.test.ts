import { expect, test } from 'vitest';
import { ActionQueue } from '../../../agent/action-queue.ts';
import type { Action } from '../../../src/model/action.ts';

function drain(containerId: string, subject = `container:${containerId}`): Action {
  return { name: 'drain', subject, reason: '', arguments: { containerId } };
}

test('of one subject one action runs at a time, in the order of the plan', () => {
  const queue = new ActionQueue(() => 0);
  const [first, second, other] = [drain('a', 'x'), drain('b', 'x'), drain('c', 'y')];
  queue.set([first, second, other]);
  expect(queue.begin()).toEqual([first, other]);
  expect([...queue.inFlight()]).toEqual(['x', 'y']);
  expect(queue.begin()).toEqual([]);
  queue.ended(first, false);
  expect(queue.begin()).toEqual([second]);
});

test('eight actions run at a time', () => {
  const queue = new ActionQueue(() => 0);
  const actions = Array.from({ length: 10 }, (_, index) => drain(`${index}`));
  queue.set(actions);
  expect(queue.begin()).toEqual(actions.slice(0, 8));
  for (const action of actions.slice(0, 8)) queue.ended(action, false);
  expect(queue.begin()).toEqual(actions.slice(8));
});

test('a new plan replaces what has not begun', () => {
  const queue = new ActionQueue(() => 0);
  queue.set([drain('a', 'x'), drain('b', 'x')]);
  const [first] = queue.begin();
  queue.set([]);
  if (first !== undefined) queue.ended(first, false);
  expect(queue.begin()).toEqual([]);
});

test('an action that failed rests for 1 s, then for twice as long, at most 30 s', () => {
  let nowMs = 0;
  const queue = new ActionQueue(() => nowMs);
  const action = drain('a');
  const rests: number[] = [];
  for (let count = 0; count < 7; count++) {
    queue.set([action]);
    expect(queue.begin()).toEqual([action]);
    queue.ended(action, true);
    queue.set([action]);
    expect(queue.begin()).toEqual([]);
    const atMs = queue.wakeAtMs() ?? Number.NaN;
    rests.push(atMs - nowMs);
    nowMs = atMs;
  }
  expect(rests).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
});

test('after a success the next failure rests for 1 s again', () => {
  let nowMs = 0;
  const queue = new ActionQueue(() => nowMs);
  const action = drain('a');
  for (const hasFailed of [true, true, false, true]) {
    queue.set([action]);
    expect(queue.begin()).toEqual([action]);
    queue.ended(action, hasFailed);
    queue.set([action]);
    if (hasFailed) nowMs = queue.wakeAtMs() ?? Number.NaN;
  }
  expect(nowMs).toBe(1000 + 2000 + 1000);
});
