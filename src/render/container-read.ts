/**
 * Reads keys of a canonical service that `Service` does not name. The loader has validated the
 * shapes, so a value of another type is a fault of ours and counts as absent only when it is
 * undefined or null; these readers never guess and never convert what the loader did not promise.
 */
import { assert } from '../lib/assert.ts';
import { parseDuration } from '../lib/duration.ts';

/** A text value; undefined when the key is absent. */
export function textAt(from: object, key: string): string | undefined {
  const value = valueAt(from, key);
  if (value === undefined) return undefined;
  assert(typeof value === 'string', `${key} of a canonical service is a text`);
  return value;
}

/** A number, or a number that canonical form writes as a decimal string ("67108864"). */
export function numberAt(from: object, key: string): number | undefined {
  const value = valueAt(from, key);
  if (value === undefined) return undefined;
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  assert(
    typeof number === 'number' && !Number.isNaN(number),
    `${key} of a canonical service is a number`,
  );
  return number;
}

/** A yes or no; undefined when the key is absent. */
export function flagAt(from: object, key: string): boolean | undefined {
  const value = valueAt(from, key);
  if (value === undefined) return undefined;
  assert(typeof value === 'boolean', `${key} of a canonical service is true or false`);
  return value;
}

/** A list of texts; an empty list counts as absent. */
export function textsAt(from: object, key: string): string[] | undefined {
  const value = valueAt(from, key);
  if (value === undefined) return undefined;
  assert(Array.isArray(value), `${key} of a canonical service is a list`);
  return value.length === 0 ? undefined : value.map(String);
}

/** A list of objects; empty when the key is absent. */
export function objectsAt(from: object, key: string): readonly object[] {
  const value = valueAt(from, key);
  if (value === undefined) return [];
  assert(Array.isArray(value), `${key} of a canonical service is a list`);
  return value.filter((item): item is object => typeof item === 'object' && item !== null);
}

/** A mapping of texts, in its own order; an empty one counts as absent. */
export function mapAt(from: object, key: string): Record<string, string> | undefined {
  const value = objectAt(from, key);
  if (value === undefined) return undefined;
  const entries = Object.entries(value).map(([name, item]) => [name, String(item)] as const);
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** A nested mapping; undefined when the key is absent. */
export function objectAt(from: object, key: string): object | undefined {
  const value = valueAt(from, key);
  if (value === undefined) return undefined;
  assert(
    typeof value === 'object' && value !== null && !Array.isArray(value),
    `${key} of a canonical service is a mapping`,
  );
  return value;
}

/** A Go duration ("1m30s") in nanoseconds, as the engine wants it. */
export function nanosecondsAt(from: object, key: string): number | undefined {
  const text = textAt(from, key);
  if (text === undefined) return undefined;
  const nanoseconds = parseDuration(text);
  assert(typeof nanoseconds === 'bigint', `${key} of a canonical service is a duration`);
  return Number(nanoseconds);
}

/** An object without the keys whose value is undefined: what goes over the wire. */
export function compact<T extends object>(value: { [Key in keyof T]: T[Key] | undefined }): T {
  const kept = Object.entries(value).filter(([, item]) => item !== undefined);
  // Removing undefined is exactly the difference between the two types.
  return Object.fromEntries(kept) as T;
}

function valueAt(from: object, key: string): unknown {
  const value: unknown = Reflect.get(from, key);
  return value === null ? undefined : value;
}
