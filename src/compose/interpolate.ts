/**
 * Replaces variables in every text value of a file, never in keys, and converts the result where
 * the place wants a number or a boolean. Runs on one document, before anything is merged.
 */
import { CastError, casts } from './casts.ts';
import type { LoadContext } from './context.ts';
import { showPath } from './path-table.ts';
import { InvalidTemplate, type Lookup, MissingVariable, substitute } from './template.ts';
import { type Dict, entriesOf, isDict, type KeyPath, newDict, type Value } from './value.ts';

/** @returns a new dictionary */
export function interpolate(dict: Dict, lookup: Lookup, context: LoadContext): Dict {
  const result = newDict();
  for (const [key, value] of entriesOf(dict)) {
    result[key] = interpolateValue(value, [key], lookup, context);
  }
  return result;
}

function interpolateValue(
  value: Value,
  path: KeyPath,
  lookup: Lookup,
  context: LoadContext,
): Value {
  if (typeof value === 'string') return interpolateText(value, path, lookup, context);
  if (Array.isArray(value)) {
    return value.map((item, index) => interpolateValue(item, [...path, index], lookup, context));
  }
  if (!isDict(value)) return value;
  const result = newDict();
  for (const [key, item] of entriesOf(value)) {
    result[key] = interpolateValue(item, [...path, key], lookup, context);
  }
  return result;
}

function interpolateText(text: string, path: KeyPath, lookup: Lookup, context: LoadContext): Value {
  const replaced = replaceVariables(text, path, lookup, context);
  const cast = casts.get(path);
  if (cast === undefined) return replaced;
  try {
    return cast(replaced, (message) => context.warn(message));
  } catch (error) {
    if (!(error instanceof CastError)) throw error;
    throw context.error(
      'E_COMPOSE_INTERPOLATION',
      `error while interpolating ${showPath(path)}: failed to cast to expected type: ${error.message}`,
      path,
    );
  }
}

/** Replaces the variables of one text; `path` is where it stands, for messages. */
export function replaceVariables(
  text: string,
  path: KeyPath,
  lookup: Lookup,
  context: LoadContext,
): string {
  try {
    return substitute(text, {
      lookup,
      onUnset: (name) =>
        context.warn(`The "${name}" variable is not set. Defaulting to a blank string.`),
    });
  } catch (error) {
    if (error instanceof InvalidTemplate) {
      const where = showPath(path);
      throw context.error(
        'E_COMPOSE_INTERPOLATION',
        `invalid interpolation format for ${where}: ${error.template}`,
        path,
        'a dollar that starts no variable is written $$',
      );
    }
    if (error instanceof MissingVariable) {
      throw context.error(
        'E_COMPOSE_REQUIRED_VARIABLE',
        `error while interpolating ${showPath(path)}: ${error.message}`,
        path,
      );
    }
    throw error;
  }
}
