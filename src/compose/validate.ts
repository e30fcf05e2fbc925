/**
 * Checks a merged project against the Compose schema (compiled ahead of time from
 * schemas/compose.json) and explains the fault that says most: the one deepest in the file, an
 * unknown key before a wrong type. Says "did you mean" when an unknown key is nearly a known one.
 */
import { TscError } from '../lib/errors.ts';
import type { LoadContext } from './context.ts';
import { throwAll } from './fault.ts';
import { PathTable } from './path-table.ts';
import { knownKeysText } from './schema-keys.gen.ts';
import { type SchemaError, validate } from './schema-validator.gen.js';
import {
  type Dict,
  entriesOf,
  GoFloat,
  GoTime,
  isDict,
  type KeyPath,
  type Value,
} from './value.ts';

/** 500: with more, a file is no Compose file, and every fault is compared with every other. */
const maxCompared = 500;

/**
 * @param file the file merged last, named in the message
 * @throws E_COMPOSE_UNKNOWN_KEY or E_COMPOSE_SCHEMA, with the faults at other places
 */
export function validateSchema(dict: Dict, file: string, context: LoadContext): void {
  if (validate(toPlain(dict))) return;
  const errors = validate.errors ?? [];
  const first = mostSpecific(errors);
  const others = independent(errors.slice(0, maxCompared))
    .filter((group) => !group.some((error) => first.includes(error)))
    .map(mostSpecific);
  throwAll(
    [first, ...others].flatMap(([fault, ...more]) =>
      fault === undefined ? [] : [inFile(explain(fault, [fault, ...more], dict, context), file)],
    ),
  );
}

/**
 * Errors that have nothing to do with each other: what is said of one value that may have several
 * forms is one fault, whatever each of the forms misses.
 */
function independent(errors: readonly SchemaError[]): readonly (readonly SchemaError[])[] {
  const choices = errors
    .filter(({ keyword }) => keyword === 'oneOf')
    .map(({ instancePath }) => instancePath);
  const groups = new Map<string | SchemaError, SchemaError[]>();
  for (const error of errors) {
    const outermost = choices
      .filter((path) => `${error.instancePath}/`.startsWith(`${path}/`))
      .sort((left, right) => left.length - right.length)[0];
    const group = groups.get(outermost ?? error);
    if (group === undefined) groups.set(outermost ?? error, [error]);
    else group.push(error);
  }
  return [...groups.values()];
}

function explain(
  fault: SchemaError,
  faults: readonly SchemaError[],
  dict: Dict,
  context: LoadContext,
): TscError {
  const path = pathOf(fault.instancePath, dict);
  if (fault.keyword === 'additionalProperties') {
    const key = String(fault.params.additionalProperty);
    const message = `unknown key ${JSON.stringify(key)} in ${showPlace(path)}`;
    return context.error('E_COMPOSE_UNKNOWN_KEY', message, [...path, key], suggest(key, path));
  }
  const message = `${showPlace(path)} ${describe(fault, faults)}`;
  return context.error('E_COMPOSE_SCHEMA', message, path);
}

/** What cannot be traced to a line is at least traced to a file. */
function inFile(error: TscError, file: string): TscError {
  if (error.where !== undefined) return error;
  const { code, message, hint } = error;
  return new TscError(code, message, { where: { file }, ...(hint === undefined ? {} : { hint }) });
}

/** services.web.ports[0], or the file as a whole. */
function showPlace(path: KeyPath): string {
  if (path.length === 0) return 'the file';
  return path.reduce<string>((shown, part) => {
    if (typeof part === 'number') return `${shown}[${part}]`;
    return shown === '' ? part : `${shown}.${part}`;
  }, '');
}

/** Plain JSON for the validator. A date becomes a symbol, which no schema accepts. */
function toPlain(value: Value): unknown {
  if (typeof value === 'bigint') return Number(value);
  // Infinity is a number but no integer, which the validator would think it is.
  if (value instanceof GoFloat) return Number.isFinite(value.value) ? value.value : 0.5;
  if (value instanceof GoTime) return Symbol('date');
  if (Array.isArray(value)) return value.map(toPlain);
  if (!isDict(value)) return value;
  // The validator compares objects by methods of their prototype, so these need one.
  const plain: Record<string, unknown> = {};
  for (const [key, item] of entriesOf(value)) {
    if (key === '__proto__') Object.defineProperty(plain, key, { value: item, enumerable: true });
    else plain[key] = toPlain(item);
  }
  return plain;
}

/**
 * The faults deepest in the file, all at one place. Of several alternatives for a value, the one
 * that it has the type of says what is wrong; if it has none of their types, all of them do.
 */
function mostSpecific(errors: readonly SchemaError[]): readonly SchemaError[] {
  let deepest: SchemaError[] = [];
  let bestDepth = -1;
  for (const error of errors) {
    if (error.keyword === 'oneOf') continue;
    const depth =
      error.instancePath.split('/').length + (error.keyword === 'additionalProperties' ? 1 : 0);
    if (depth > bestDepth) {
      deepest = [error];
      bestDepth = depth;
    } else if (depth === bestDepth && error.instancePath === deepest[0]?.instancePath) {
      deepest.push(error);
    }
  }
  const specific = deepest.find(({ keyword }) => keyword !== 'type');
  if (specific !== undefined) return [specific];
  return deepest.length > 0 ? deepest : errors.slice(0, 1);
}

function pathOf(pointer: string, root: Dict): KeyPath {
  const path: (string | number)[] = [];
  let value: Value | undefined = root;
  for (const part of pointer.split('/').slice(1)) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (Array.isArray(value)) {
      path.push(Number(key));
      value = value[Number(key)];
    } else {
      path.push(key);
      value = isDict(value) ? value[key] : undefined;
    }
  }
  return path;
}

/** @param others faults at the same place, whose types would have been right as well */
function describe(error: SchemaError, others: readonly SchemaError[]): string {
  const { params } = error;
  switch (error.keyword) {
    case 'type':
      return `must be ${withArticle(typeNames(others))}`;
    case 'required':
      return `missing property '${String(params.missingProperty)}'`;
    case 'enum':
      return `value must be one of ${quoteAll(params.allowedValues)}`;
    case 'uniqueItems':
      return `items at ${String(params.i)} and ${String(params.j)} are equal`;
    case 'minimum':
      return `must be greater than or equal to ${String(params.limit)}`;
    case 'maximum':
      return `must be less than or equal to ${String(params.limit)}`;
    case 'pattern':
      return `does not match pattern '${String(params.pattern)}'`;
    default:
      return `fails ${error.keyword}`;
  }
}

function typeNames(errors: readonly SchemaError[]): string {
  const types = errors.flatMap(({ params }) => {
    const { type } = params;
    return Array.isArray(type) ? type.map(String) : String(type).split(',');
  });
  const names = [...new Set(types)].map((name) => typeWords.get(name) ?? name).sort();
  const last = names.pop() ?? '';
  return names.length === 0 ? last : `${names.join(', ')} or ${last}`;
}

function withArticle(words: string): string {
  return `${/^[aeiou]/.test(words) ? 'an' : 'a'} ${words}`;
}

const typeWords: ReadonlyMap<string, string> = new Map([
  ['object', 'mapping'],
  ['array', 'list'],
]);

function quoteAll(values: unknown): string {
  return Array.isArray(values) ? values.map((value) => `'${String(value)}'`).join(', ') : '';
}

/** @param path of the mapping that holds the key */
function suggest(key: string, path: KeyPath): string | undefined {
  const keys: Readonly<Record<string, readonly string[]>> = JSON.parse(knownKeysText);
  // The top of the file has no path that a table could hold.
  const here = path.length === 0 ? keys[''] : new PathTable(keys).get(path);
  let best: string | undefined;
  let bestDistance = 3;
  for (const known of here ?? []) {
    const distance = editDistance(key, known);
    if (distance < bestDistance && distance < known.length) {
      best = known;
      bestDistance = distance;
    }
  }
  return best === undefined ? undefined : `did you mean "${best}"?`;
}

/** Levenshtein: the least number of letters to insert, delete or change. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(change, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
