import { expect, test } from 'vitest';
import { figure, formatFigures, median } from '../../bench/figure.ts';

test('a figure beside a peer is judged by its ratio, one without by its value', () => {
  expect(figure('up', 2, 's', { peer: { name: 'swarm', value: 4 }, goal: 0.7 })).toMatchObject({
    ratio: 0.5,
    ok: true,
  });
  expect(figure('up', 3, 's', { peer: { name: 'swarm', value: 4 }, goal: 0.7 }).ok).toBe(false);
  expect(figure('memory', 90, 'MB', { goal: 80 })).toMatchObject({ ratio: null, ok: false });
  expect(figure('free', 90, 'MB').ok).toBe(true);
});

test('the median of an even number is the mean of the middle two', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

test('the table is aligned and says what was missed', () => {
  const table = formatFigures('demo', [
    figure('a', 1, 's', { goal: 2 }),
    figure('bbb', 300, 'ms', { goal: 2 }),
  ]);
  expect(table.split('\n').slice(0, 3)).toEqual([
    'demo  value  unit  peer  ratio  goal',
    'a     1.00   s                  <= 2  ok',
    'bbb   300    ms                 <= 2  MISSED',
  ]);
});
