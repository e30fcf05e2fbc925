import { describe, expect, test } from 'vitest';
import { parseBytes, parseFloatStrictly } from '../../../src/lib/bytes.ts';
import { durationMs, formatDuration, parseDuration } from '../../../src/lib/duration.ts';
import { splitWords } from '../../../src/lib/shell-words.ts';

describe('durations', () => {
  test.each([
    ['1m30s', '1m30s'],
    ['90s', '1m30s'],
    ['1.5h', '1h30m0s'],
    ['24h', '24h0m0s'],
    ['1d', '24h0m0s'],
    ['1w2d', '216h0m0s'],
    ['300ms', '300ms'],
    ['1.5ms', '1.5ms'],
    ['100us', '100µs'],
    ['100µs', '100µs'],
    ['7ns', '7ns'],
    ['-1s', '-1s'],
    ['+2s', '2s'],
    ['0', '0s'],
    ['.5s', '500ms'],
    ['1h0.000000001s', '1h0m0.000000001s'],
  ])('%s prints as %s', (text, printed) => {
    const nanoseconds = parseDuration(text);
    expect(typeof nanoseconds === 'bigint' ? formatDuration(nanoseconds) : nanoseconds).toBe(
      printed,
    );
  });

  test.each(['', '10', '-', 's', '1x', '1 s', '.s', '300000000h'])('%j is no duration', (text) => {
    expect(typeof parseDuration(text)).toBe('string');
  });

  test('a duration becomes milliseconds for timers, or nothing if it is none', () => {
    expect(durationMs('1m0.5s')).toBe(60_500);
    expect(durationMs('soon')).toBeUndefined();
  });
});

describe('sizes', () => {
  test.each([
    ['64m', 67_108_864n],
    ['64MB', 67_108_864n],
    ['64MiB', 67_108_864n],
    ['1.5g', 1_610_612_736n],
    ['1 kb', 1024n],
    ['10b', 10n],
    ['10', 10n],
    ['1_000', 1000n],
    ['8p', 9_007_199_254_740_992n],
    ['99999p', -9_223_372_036_854_775_808n],
  ])('%s is %s bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  test.each(['', 'm', '-1', '64Mi', '64x', '1bb', '1.2.3m', '1  m'])('%j is no size', (text) => {
    expect(typeof parseBytes(text)).toBe('string');
  });

  test('floats are read as strictly as the reference reads them', () => {
    expect(parseFloatStrictly('1e3')).toBe(1000);
    expect(parseFloatStrictly('-inf')).toBe(Number.NEGATIVE_INFINITY);
    expect(parseFloatStrictly('NaN')).toBeNaN();
    for (const text of ['', ' 1', '1e999', '0x10', '_1', '1_']) {
      expect(parseFloatStrictly(text), text).toBeUndefined();
    }
  });
});

describe('command lines', () => {
  test.each([
    ['echo hi', ['echo', 'hi']],
    ['', []],
    [`a "b c" 'd "e'`, ['a', 'b c', 'd "e']],
    ['a\\ b \\n', ['a b', 'n']],
    [`''`, ['']],
    ['a; rm -rf /', ['a']],
    ['a >b', ['a']],
    ['a 2>b', ['a']],
    ['echo $(date +%s) x', ['echo', '$(date +%s)', 'x']],
    ['echo `a b`', ['echo', '`a b`']],
  ])('%j splits into %j', (line, words) => {
    expect(splitWords(line)).toEqual(words);
  });

  test.each([`a "b`, `a 'b`, 'a \\', 'a (b)', 'a `b', 'a $(b'])('%j is left open', (line) => {
    expect(splitWords(line)).toBeUndefined();
  });
});
