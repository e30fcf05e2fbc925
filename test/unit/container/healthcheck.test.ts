import { describe, expect, test } from 'vitest';
import type { Healthcheck } from '../../../src/model/project.ts';
import { healthcheck } from '../../../src/render/healthcheck.ts';

const ask = ['CMD', 'x'];

function start(check: Healthcheck, apiVersion = '1.51') {
  const body = healthcheck({ healthcheck: check }, apiVersion);
  return { period: body?.StartPeriod, interval: body?.StartInterval };
}

describe('a replica is asked early, and fails no earlier than the file says', () => {
  test.each<[string, Healthcheck, ReturnType<typeof start>]>([
    [
      'without times the engine waits 30 s for its first question',
      { test: ask },
      { period: 31e9, interval: 1e9 },
    ],
    [
      'two fifths of the interval',
      { test: ask, interval: '1500ms' },
      { period: 2.5e9, interval: 0.6e9 },
    ],
    [
      'never more often than every 0.4 s',
      { test: ask, interval: '800ms' },
      { period: 1.6e9, interval: 0.4e9 },
    ],
    [
      'an interval that is short enough stays alone',
      { test: ask, interval: '400ms' },
      { period: undefined, interval: undefined },
    ],
    [
      'a start period of the file stays, with the engine’s five seconds in it',
      { test: ask, interval: '30s', start_period: '60s' },
      { period: 60e9, interval: 5e9 },
    ],
    [
      'in a start period the engine asks no less often than after it',
      { test: ask, interval: '1s', start_period: '60s' },
      { period: 60e9, interval: 1e9 },
    ],
    [
      'a start interval of the file stays',
      { test: ask, interval: '1s', start_period: '3s', start_interval: '700ms' },
      { period: 3e9, interval: 0.7e9 },
    ],
    [
      'a check of the image whose times are unknown is left alone',
      { retries: 5 },
      { period: undefined, interval: undefined },
    ],
    [
      'a check of the image with an interval of the file is asked early too',
      { interval: '8s' },
      { period: 9e9, interval: 1e9 },
    ],
  ])('%s', (_title, check, expected) => {
    expect(start(check)).toEqual(expected);
  });

  test('an engine that cannot ask at another pace gets what the file says', () => {
    expect(start({ test: ask, interval: '2s' }, '1.43')).toEqual({
      period: undefined,
      interval: undefined,
    });
  });
});
