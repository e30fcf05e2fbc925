import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Recent } from '../../../agent/recent.ts';

test('those who ask at the same time get one answer, and so do those who ask just after', async () => {
  const recent = new Recent<number>();
  let asked = 0;
  const ask = async () => {
    asked += 1;
    await sleep(5);
    return asked;
  };
  expect(await Promise.all([recent.get('a', ask), recent.get('a', ask)])).toEqual([1, 1]);
  expect(await recent.get('a', ask)).toBe(1);
  expect(await recent.get('b', ask)).toBe(2);
});

test('an answer is asked for anew after a second', async () => {
  const recent = new Recent<number>();
  let asked = 0;
  const ask = () => Promise.resolve(++asked);
  await recent.get('a', ask);
  await sleep(1_100);
  expect(await recent.get('a', ask)).toBe(2);
});

test('a failure is for those who waited for it, and not kept', async () => {
  const recent = new Recent<number>();
  const fail = () => Promise.reject(new Error('no'));
  await expect(Promise.all([recent.get('a', fail), recent.get('a', fail)])).rejects.toThrow('no');
  expect(await recent.get('a', () => Promise.resolve(1))).toBe(1);
});
