import { describe, expect, test } from 'vitest';
import {
  InvalidTemplate,
  MissingVariable,
  substitute,
  variablesOf,
} from '../../../src/compose/template.ts';
import { faultOf, load, service } from './memory-project.ts';

const values: Readonly<Record<string, string>> = { FOO: 'foo', EMPTY: '' };
const render = (template: string): string =>
  substitute(template, { lookup: (name) => values[name] });

describe('variables in text', () => {
  test.each([
    ['$FOO-${FOO}', 'foo-foo'],
    ['$$FOO', '$FOO'],
    ['$', '$'],
    ['a$', 'a$'],
    ['$1 $(date) $2b$', '$1 $(date) $2b$'],
    ['${NONE}', ''],
    ['${NONE:-d}${EMPTY:-d}', 'dd'],
    ['${NONE-d}${EMPTY-d}', 'd'],
    ['${FOO:+y}${EMPTY:+y}${EMPTY+y}${NONE+y}', 'yy'],
    ['${FOO:?no}${EMPTY?no}', 'foo'],
    ['${NONE:-${FOO}}', 'foo'],
    ['${NONE:-${NO:-x}y}z', 'xyz'],
    ['${FOO:-a}b}', 'foob}'],
    ['${NONE:-}}', '}'],
    ['${NONE:-a:?b}', 'a:?b'],
    ['${foo:-x}', 'x'],
  ])('%s becomes %s', (template, text) => {
    expect(render(template)).toBe(text);
  });

  test.each(['${', '${}', '${ FOO}', '${FOO!}', 'x ${1}', '${NONE:-${}}'])(
    '%s is invalid',
    (template) => {
      expect(() => render(template)).toThrow(InvalidTemplate);
    },
  );

  test('a required variable says what is missing', () => {
    expect(() => render('${EMPTY:?set $FOO}')).toThrow(
      'required variable EMPTY is missing a value: set foo',
    );
    expect(() => render('${NONE?}')).toThrow(MissingVariable);
  });

  test('only variables that are used and not set are reported', () => {
    const unset: string[] = [];
    substitute('$A ${B} ${C:-$D} ${E-x}', {
      lookup: () => undefined,
      onUnset: (name) => unset.push(name),
    });
    expect(unset).toEqual(['A', 'B', 'D']);
  });

  test('variables are listed with what they fall back to', () => {
    const names = variablesOf('$A ${B:-${C}} ${D:?x} ${E:+y} $$F').map((v) => v.Name);
    expect(names.sort()).toEqual(['A', 'B', 'C', 'D', 'E']);
    expect(variablesOf('${B:-b}')).toEqual([
      { Name: 'B', DefaultValue: 'b', PresenceValue: '', Required: false },
    ]);
    expect(variablesOf('${D?x}')).toEqual([
      { Name: 'D', DefaultValue: '', PresenceValue: '', Required: true },
    ]);
    expect(variablesOf('${E+y}')).toEqual([
      { Name: 'E', DefaultValue: '', PresenceValue: 'y', Required: false },
    ]);
  });
});

describe('variables in files', () => {
  const environment = { HOME: '/home/me', N: '3', BAD: 'x', ON: 'yes' };

  test('values become the type of their place, keys stay', () => {
    expect(
      service('scale: ${N}\ntty: "${ON}"\ncpus: "0.1"\nlabels: {$N: $N}', { environment }),
    ).toEqual({ scale: 3, tty: true, cpus: 0.1, labels: { $N: '3' } });
  });

  test('a word for a boolean is accepted with a warning', () => {
    const { warnings } = load('services: {a: {image: i, init: "on"}}');
    expect(warnings).toEqual(['"on" for boolean is not supported by YAML 1.2, please use `true`']);
  });

  test.each([
    ['scale: ${BAD}', 'E_COMPOSE_INTERPOLATION'],
    ['tty: "t"', 'E_COMPOSE_INTERPOLATION'],
    ['user: "${"', 'E_COMPOSE_INTERPOLATION'],
    ['user: "${X:?tell me}"', 'E_COMPOSE_REQUIRED_VARIABLE'],
  ])('%s is refused where it stands', (line, code) => {
    const fault = faultOf(() => service(line, { environment }));
    expect(fault.code).toBe(code);
    expect(fault.where).toMatchObject({ line: 4, column: 5 });
  });

  test('a variable that is not set is warned about once', () => {
    const { warnings } = load('services: {a: {image: "i:$TAG", user: "$TAG"}}');
    expect(warnings).toEqual(['The "TAG" variable is not set. Defaulting to a blank string.']);
  });
});
