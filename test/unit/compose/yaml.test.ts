import { describe, expect, test } from 'vitest';
import { resolvePlain, resolveTagged } from '../../../src/compose/go-scalar.ts';
import { maxNodes } from '../../../src/compose/limits.ts';
import { GoFloat, GoTime, printValue, sameValue, type Value } from '../../../src/compose/value.ts';
import { parseSource } from '../../../src/compose/yaml-source.ts';
import { faultOf } from './memory-project.ts';

function parse(text: string): Value {
  const [document] = parseSource('a.yaml', text).documents;
  return document?.value ?? null;
}

function plain(value: Value): unknown {
  return JSON.parse(JSON.stringify(value));
}

describe('scalars', () => {
  test.each<[string, Value]>([
    ['true', true],
    ['FALSE', false],
    ['yes', 'yes'],
    ['y', 'y'],
    ['~', null],
    ['Null', null],
    ['12', 12],
    ['-7', -7],
    ['0440', 288],
    ['0o17', 15],
    ['0x1F', 31],
    ['-0b11', -3],
    ['1_000', 1000],
    ['22:22', '22:22'],
    ['18446744073709551615', 18_446_744_073_709_551_615n],
    ['-9223372036854775808', -9_223_372_036_854_775_808n],
    ['1.10', new GoFloat(1.1)],
    ['.5', new GoFloat(0.5)],
    ['1e3', new GoFloat(1000)],
    ['08', new GoFloat(8)],
    ['-.INF', new GoFloat(Number.NEGATIVE_INFINITY)],
    ['18446744073709551616', new GoFloat(2 ** 64)],
    ['-18446744073709551615', new GoFloat(-(2 ** 64))],
    ['2001-12-14', new GoTime('2001-12-14T00:00:00Z')],
    ['2001-12-14t21:59:43.10-05:00', new GoTime('2001-12-14T21:59:43.1-05:00')],
    ['2001-12-14 21:59:43.5', new GoTime('2001-12-14T21:59:43.5Z')],
    ['2001-13-14', '2001-13-14'],
    ['2001-02-30', '2001-02-30'],
    ['2024-01', '2024-01'],
    ['1.2.3', '1.2.3'],
    ['.', '.'],
    ['-', '-'],
    ['0x', '0x'],
  ])('%s', (text, value) => {
    const found = resolvePlain(text).value;
    expect(sameValue(found, value), printValue(found)).toBe(true);
  });

  test('a tag decides over the spelling, and must fit it', () => {
    expect(resolveTagged('!!float', '3')).toEqual(new GoFloat(3));
    expect(resolveTagged('!!int', '3')).toBe(3);
    expect(resolveTagged('!!bool', 'yes')).toBeUndefined();
    expect(resolveTagged('!mine', '3')).toBe('3');
  });

  test('numbers print as Go prints them', () => {
    const printed = [1.1, 1e6, 123_456_789, 1e21, 1e-5, 0.0001, -0, 100_000.5].map((n) =>
      printValue(new GoFloat(n)),
    );
    expect(printed).toEqual([
      '1.1',
      '1e+06',
      '1.23456789e+08',
      '1e+21',
      '1e-05',
      '0.0001',
      '-0',
      '100000.5',
    ]);
    expect(printValue(new GoFloat(1 / 3, 32))).toBe('0.33333334');
    expect(printValue({ b: [1, null], a: 'x' })).toBe('map[a:x b:[1 <nil>]]');
  });
});

describe('documents', () => {
  test('quotes, block scalars and tags make text', () => {
    expect(plain(parse('a: "1"\nb: !!str 2\nc: |\n  3\nd: \'true\'\ne: !!binary aGk=\n'))).toEqual({
      a: '1',
      b: '2',
      c: '3\n',
      d: 'true',
      e: 'hi',
    });
  });

  test('merge keys: written keys win wherever they stand, then the first source', () => {
    const value = parse('x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {a: 0, <<: [*x, *y]}\n');
    expect(plain(value)).toMatchObject({ z: { a: 0, b: 1, c: 2 } });
    expect(plain(parse('l: &l [{a: 1}, {a: 2, b: 2}]\nz: {<<: *l}\n'))).toMatchObject({
      z: { a: 1, b: 2 },
    });
    expect(plain(parse('z: {<<: []}\n'))).toEqual({ z: {} });
  });

  test.each([
    ['a: 1\na: 2\n', 'E_COMPOSE_DUPLICATE_KEY', 2],
    ['x: &x {}\nz: {<<: *x, <<: *x}\n', 'E_COMPOSE_DUPLICATE_KEY', 2],
    ['a:\n  1: x\n', 'E_COMPOSE_SYNTAX', 2],
    ['? [a]\n: b\n', 'E_COMPOSE_SYNTAX', 1],
    ['a: {<<: text}\n', 'E_COMPOSE_SYNTAX', 1],
    ['a: *nowhere\n', 'E_COMPOSE_SYNTAX', 1],
    ['a: [1\n', 'E_COMPOSE_SYNTAX', 2],
    ['a: !!int x\n', 'E_COMPOSE_SYNTAX', 1],
    ['a: &a [*a]\n', 'E_COMPOSE_CYCLE', 1],
    ['a: [:b]\n', 'E_COMPOSE_SYNTAX', 1],
    ['a: 1\n...\nb: 2\n', 'E_COMPOSE_SYNTAX', 3],
  ])('%j is refused with its line', (text, code, line) => {
    const fault = faultOf(() => parse(text));
    expect(fault.code).toBe(code);
    expect(fault.where?.line).toBe(line);
  });

  test('a colon without a space after it belongs to the text, also in brackets', () => {
    expect(plain(parse('a: [b:, c: d]\ne: {f:, g: }\nh: x:y\n'))).toEqual({
      a: ['b:', { c: 'd' }],
      e: { 'f:': null, g: null },
      h: 'x:y',
    });
  });

  test('nested aliases end at the limit of nodes', () => {
    const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]'];
    for (let i = 1; i < 9; i++) {
      lines.push(`a${i}: &a${i} [${`*a${i - 1}, `.repeat(9)}]`);
    }
    expect(9 ** 9).toBeGreaterThan(maxNodes);
    expect(faultOf(() => parse(lines.join('\n'))).message).toContain('maximum node visit limit');
  });

  test('an anchor stays known in the next document', () => {
    const { documents } = parseSource('a.yaml', 'a: &a 1\n---\nb: *a\n');
    expect(documents.map(({ value }) => plain(value))).toEqual([{ a: 1 }, { b: 1 }]);
  });

  test('reset and override are recorded with their path, also through aliases and merges', () => {
    const [document] = parseSource(
      'a.yaml',
      's: {a: !reset 1, b: !override {c: 1}}\nt: &t {x: !reset null}\nu: {<<: *t, y: [1, !reset 2]}\n',
    ).documents;
    expect(plain(document?.value ?? null)).toEqual({ s: { b: { c: 1 } }, t: {}, u: { y: [1] } });
    expect(document?.resets).toEqual([
      ['s', 'a'],
      ['s', 'b'],
      ['t', 'x'],
      ['u', 'x'],
      ['u', 'y', 1],
    ]);
  });

  test('places are found through aliases and merge keys', () => {
    const source = parseSource('a.yaml', 'x: &x\n  a: {b: 1}\ny:\n  <<: *x\n  l: [p, q]\n');
    expect(source.locate(['y', 'a', 'b'])).toEqual({
      depth: 3,
      place: { file: 'a.yaml', line: 2, column: 7, text: '  a: {b: 1}', length: 1 },
    });
    expect(source.locate(['y', 'l', 1])?.place).toMatchObject({ line: 5, column: 10 });
    expect(source.locate(['y', 'nothing'])).toMatchObject({ depth: 1, place: { line: 3 } });
    expect(source.locate(['nothing'])).toBeUndefined();
  });
});
