/**
 * The schema and what checks files against it. The validator made ahead of time must say what ajv
 * says of the published schema, and the schema must accept and refuse what Docker Compose's does:
 * the golden cases that it accepts, and those that it refuses for the schema, are the evidence.
 */
import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { loadProject } from '../../src/compose/index.ts';
import { validate as validateAhead } from '../../src/compose/schema-validator.gen.js';
import { TscError } from '../../src/lib/errors.ts';
import { CaseReader, loadOptionsOf } from './case-project.ts';
import { casesDirectory, readCases } from './compose-cases.ts';

const schema: Readonly<Record<string, unknown>> = JSON.parse(
  readFileSync(new URL('../../schemas/compose.json', import.meta.url), 'utf8'),
);

const directory = casesDirectory();
if (directory === undefined) {
  console.log('golden Compose cases are not here: set TSC_COMPOSE_CASES to their folder');
}

/** The extensions' forms are for editors: Compose leaves them alone. */
function withoutExtensions(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutExtensions);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !key.startsWith('x-'))
      .map(([key, member]) => [key, withoutExtensions(member)]),
  );
}

test('every extension, and every key in it, has a description', () => {
  const bare: string[] = [];
  let extensionCount = 0;
  const look = (value: unknown, path: string, isExtension: boolean): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, member] of Object.entries(value)) {
      const place = `${path}.${key}`;
      const isOwn = isExtension || key.startsWith('x-');
      const isProperty = path.endsWith('.properties');
      if (isProperty && isOwn) {
        extensionCount++;
        if (!('description' in member) || member.description.length < 20) bare.push(place);
      }
      look(member, place, isOwn);
    }
  };
  look(schema, '', false);
  expect(extensionCount).toBeGreaterThanOrEqual(12);
  expect(bare).toEqual([]);
});

test('editors complete the extensions', () => {
  const ajv = new Ajv({ strict: false });
  const accepts = (service: object): boolean =>
    ajv.validate(schema, { services: { web: { image: 'i', ...service } } });
  expect(accepts({ 'x-machines': ['a', '!b'], 'x-ports': ['app.example.com:80/http'] })).toBe(true);
  expect(accepts({ 'x-machines': { labels: { zone: 'a', spare: true } } })).toBe(true);
  expect(accepts({ 'x-machines': { label: {} } })).toBe(false);
  expect(accepts({ 'x-ports': '80' })).toBe(false);
  expect(accepts({ 'x-on-lost': 'wait' })).toBe(false);
  expect(accepts({ 'x-anything': [{ else: 1 }] })).toBe(true);
});

describe.skipIf(directory === undefined)('the schema in the golden cases', () => {
  const cases = directory === undefined ? [] : readCases(directory, 1);
  /** Every fourth is enough to compare two programs. */
  const some = cases.filter((_, index) => index % 4 === 0);

  test('the validator made ahead of time says what ajv says of the published schema', () => {
    const validate = new Ajv({ strict: false, allErrors: false }).compile(schema);
    const different: string[] = [];
    let validCount = 0;
    let invalidCount = 0;
    for (const { id, files } of some) {
      for (const [path, text] of Object.entries(files)) {
        if (!/\.ya?ml$/.test(path)) continue;
        // Plain values only, so that both see the same.
        const document = parseDocument(text, { logLevel: 'silent', merge: true });
        if (document.errors.length > 0) continue;
        let value: unknown;
        try {
          value = withoutExtensions(JSON.parse(JSON.stringify(document.toJS() ?? null)));
        } catch {
          // Aliases of aliases without end: nothing that either of the two would see.
          continue;
        }
        const isValid = validate(value);
        if (isValid) validCount++;
        else invalidCount++;
        if (validateAhead(value) !== isValid) different.push(id);
      }
    }
    expect(different).toEqual([]);
    expect([validCount > 1500, invalidCount > 300]).toEqual([true, true]);
  });

  test('what Docker Compose refuses for its schema is refused, for the schema as well', () => {
    const wanted = cases.filter(({ expect: { class: kind } }) => kind === 'schema');
    const others: string[] = [];
    let accepted = 0;
    for (const member of wanted) {
      try {
        loadProject(loadOptionsOf(member), new CaseReader(member));
        accepted++;
      } catch (error) {
        if (!(error instanceof TscError)) throw error;
        const isSchema = ['E_COMPOSE_SCHEMA', 'E_COMPOSE_UNKNOWN_KEY'].includes(error.code);
        if (!isSchema) others.push(`${member.id}: ${error.code}`);
      }
    }
    console.log(
      `refused for the schema: ${wanted.length - others.length} of ${wanted.length}; otherwise:\n${others.join('\n')}`,
    );
    expect(wanted.length).toBeGreaterThan(1000);
    expect(accepted).toBe(0);
    expect(others.length / wanted.length).toBeLessThan(0.02);
  });
});
