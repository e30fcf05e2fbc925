import { expect, test } from 'vitest';
import { Gathered } from '../../../agent/gathered.ts';

test('those who ask in one turn get one answer, asked for after all of them', async () => {
  const gathered = new Gathered<number>();
  const asked: boolean[] = [];
  const ask = async (isShared: boolean) => asked.push(isShared);
  const answers = [gathered.get('a', ask), gathered.get('a', ask), gathered.get('b', ask)];
  expect(asked).toEqual([]);
  expect(await Promise.all(answers)).toEqual([1, 1, 2]);
  expect(asked).toEqual([true, false]);
});

test('who asks while an answer is on its way gets a newer one', async () => {
  const gathered = new Gathered<number>();
  let asked = 0;
  const answers: ((answer: number) => void)[] = [];
  const ask = () => {
    asked += 1;
    return new Promise<number>((resolve) => answers.push(resolve));
  };
  const first = gathered.get('a', ask);
  await Promise.resolve();
  const second = gathered.get('a', ask);
  await Promise.resolve();
  expect(asked).toBe(2);
  for (const [index, answer] of answers.entries()) answer(index);
  expect(await Promise.all([first, second])).toEqual([0, 1]);
});

test('a failure is for those who waited for it', async () => {
  const gathered = new Gathered<number>();
  const fail = () => Promise.reject(new Error('no'));
  await expect(Promise.all([gathered.get('a', fail), gathered.get('a', fail)])).rejects.toThrow(
    'no',
  );
  expect(await gathered.get('a', () => Promise.resolve(1))).toBe(1);
});
