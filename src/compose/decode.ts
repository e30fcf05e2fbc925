/**
 * Turns the merged dictionary into the typed project: numbers of the right kind, durations and
 * sizes in printed form, empty things left out. A decoder gets a value that is present and not
 * null. What a field does with an empty result is the field's business (`Presence`), because
 * Compose prints `init: false` but not `tty: false`.
 * Values with a notation of their own are in decode-forms.ts; shapes.ts puts all together.
 */
import { parseBytes } from '../lib/bytes.ts';
import { formatDuration, parseDuration } from '../lib/duration.ts';
import type { Json, JsonObject } from '../model/project.ts';
import { CastError, toBoolean, toFloat32, toFloat64, toInteger } from './casts.ts';
import { FaultAt } from './fault.ts';
import {
  compareText,
  entriesOf,
  GoFloat,
  GoTime,
  isDict,
  isInteger,
  type KeyPath,
  printValue,
  shortestFloat32,
  type Value,
} from './value.ts';

export interface DecodeScope {
  readonly path: KeyPath;
  warn(message: string): void;
}

export type Decoder = (value: Value, scope: DecodeScope) => Json;

/**
 * When a field is printed: `filled` if it is not empty, `given` if it was written down at all,
 * `always` even if it was not.
 */
export type Presence = 'filled' | 'given' | 'always';

export interface Field {
  readonly decode: Decoder;
  readonly presence: Presence;
  /** What stands for a field that was not given, where it is always printed. */
  readonly absent?: Json;
  /** The result that counts as empty besides those of JSON: "0" for sizes, "0s" for durations. */
  readonly zero?: Json;
}

export const filled = (decode: Decoder, zero: Json = null): Field => ({
  decode,
  presence: 'filled',
  zero,
});
export const given = (decode: Decoder): Field => ({ decode, presence: 'given' });
export const always = (decode: Decoder, absent: Json): Field => ({
  decode,
  presence: 'always',
  absent,
});

export function decodeError(scope: DecodeScope, expected: string, value: Value): FaultAt {
  return new FaultAt(
    'E_COMPOSE_PARSE',
    scope.path,
    `'${scope.path.join('.')}' expected type '${expected}', got ${printValue(value)}`,
  );
}

export function at(scope: DecodeScope, key: string | number): DecodeScope {
  return { path: [...scope.path, key], warn: (message) => scope.warn(message) };
}

export const text: Decoder = (value, scope) => {
  if (typeof value === 'string') return value;
  if (isInteger(value)) return String(value);
  throw decodeError(scope, 'string', value);
};

export const flag: Decoder = (value, scope) => {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string') {
    return castText(value, scope, (word) => toBoolean(word, (message) => scope.warn(message)));
  }
  throw decodeError(scope, 'bool', value);
};

/** A signed integer; a fraction is cut off. */
export const integer: Decoder = (value, scope) => {
  if (typeof value === 'string') {
    return castText(value, scope, (word) => toInteger(word, () => undefined));
  }
  return wholeNumber(value, scope, 'int');
};

/** An integer that must not be negative and cannot be given as text. */
export const unsigned: Decoder = (value, scope) => {
  const number = wholeNumber(value, scope, 'uint');
  if (Number(number) < 0) throw decodeError(scope, 'uint', value);
  return number;
};

/** Numbers that do not fit wrap or saturate as they do in Go on amd64. */
function wholeNumber(value: Value, scope: DecodeScope, expected: 'int' | 'uint'): Json {
  if (isInteger(value)) {
    return expected === 'int' ? Number(BigInt.asIntN(64, BigInt(value))) : Number(value);
  }
  if (value instanceof GoFloat) {
    const limit = 2 ** (expected === 'int' ? 63 : 64);
    if (Math.abs(value.value) < limit) return Math.trunc(value.value);
    return expected === 'int' ? -(2 ** 63) : 2 ** 63;
  }
  throw decodeError(scope, expected, value);
}

export const float32: Decoder = (value, scope) => {
  if (value instanceof GoFloat && !Number.isFinite(value.value)) {
    throw decodeError(scope, 'finite number', value);
  }
  if (isInteger(value)) return shortestFloat32(Math.fround(Number(value)));
  if (value instanceof GoFloat) return shortestFloat32(Math.fround(value.value));
  if (typeof value === 'string') {
    return castText(value, scope, (word) => toFloat32(word, () => undefined));
  }
  throw decodeError(scope, 'float32', value);
};

/** Processors: text is read with full precision before it is rounded. */
export const cpus: Decoder = (value, scope) => {
  if (typeof value !== 'string') return float32(value, scope);
  return castText(value, scope, (word) => {
    const parsed = toFloat64(word, () => undefined);
    return parsed instanceof GoFloat ? new GoFloat(parsed.value, 32) : parsed;
  });
};

export function castText(value: string, scope: DecodeScope, cast: (text: string) => Value): Json {
  try {
    return toJson(cast(value));
  } catch (error) {
    if (!(error instanceof CastError)) throw error;
    throw new FaultAt('E_COMPOSE_PARSE', scope.path, `'${scope.path.join('.')}' ${error.message}`, {
      cause: error,
    });
  }
}

/** A size in bytes as decimal text. A float is no size, and is dropped. */
export const bytes: Decoder = (value, scope) => {
  if (isInteger(value)) return String(value);
  if (typeof value !== 'string') return '0';
  const size = parseBytes(value);
  if (typeof size === 'string') {
    throw new FaultAt('E_COMPOSE_PARSE', scope.path, `'${scope.path.join('.')}' ${size}`);
  }
  return String(size);
};

export const duration: Decoder = (value, scope) => {
  const nanoseconds = parseDuration(printValue(value));
  if (typeof nanoseconds === 'string') {
    throw new FaultAt('E_COMPOSE_PARSE', scope.path, `'${scope.path.join('.')}' ${nanoseconds}`);
  }
  return formatDuration(nanoseconds);
};

export function strictTexts(value: Value, scope: DecodeScope): string[] {
  if (!Array.isArray(value)) throw decodeError(scope, 'list', value);
  return value.map((item, index) => {
    if (typeof item !== 'string') throw decodeError(at(scope, index), 'string', item);
    return item;
  });
}

/** Text or a list of texts. */
export const texts: Decoder = (value, scope) =>
  typeof value === 'string' ? [value] : strictTexts(value, scope);

/** Text or a list of texts and numbers. */
export const textsOrNumbers: Decoder = (value, scope) => {
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) throw decodeError(scope, 'list', value);
  return value.map(printValue);
};

export function list(item: Decoder, empty: Json = ''): Decoder {
  return (value, scope) => {
    if (!Array.isArray(value)) throw decodeError(scope, 'list', value);
    return value.map((entry, index) => (entry === null ? empty : item(entry, at(scope, index))));
  };
}

/** A mapping with any keys. `empty` is what null becomes. */
export function mapOf(item: Decoder, empty: Json): Decoder {
  return (value, scope) => {
    if (!isDict(value)) throw decodeError(scope, 'mapping', value);
    return sortedObject(
      entriesOf(value).map(([key, entry]) => [
        key,
        entry === null ? empty : item(entry, at(scope, key)),
      ]),
    );
  };
}

/** Keys in the order of Go's JSON encoder, which hashes depend on. */
export function sortedObject(entries: (readonly [string, Json])[]): JsonObject {
  return objectOf(entries.sort(([a], [b]) => compareText(a, b)));
}

export function objectOf(entries: Iterable<readonly [string, Json]>): JsonObject {
  const object: Record<string, Json> = {};
  for (const [key, value] of entries) {
    if (key === '__proto__') {
      Object.defineProperty(object, key, { value, enumerable: true, writable: true });
    } else object[key] = value;
  }
  return object;
}

/** A mapping with known keys, in the given order, and extensions after them. */
export function struct(fields: Readonly<Record<string, Field>>): Decoder {
  return (value, scope) => {
    if (!isDict(value)) throw decodeError(scope, 'mapping', value);
    const entries: [string, Json][] = [];
    for (const [key, field] of Object.entries(fields)) {
      const entry = value[key] ?? null;
      if (entry === null) {
        if (field.presence === 'always') entries.push([key, field.absent ?? null]);
        continue;
      }
      const decoded = field.decode(entry, at(scope, key));
      const isLeftOut = field.presence === 'filled' && (isEmpty(decoded) || decoded === field.zero);
      if (!isLeftOut) entries.push([key, decoded]);
    }
    for (const [key, entry] of entriesOf(value)) {
      if (key.startsWith('x-') && key !== 'x-#value') entries.push([key, toJson(entry)]);
    }
    return objectOf(entries);
  };
}

function isEmpty(value: Json): boolean {
  if (value === null || value === false || value === 0 || value === '') return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** A value as JSON. Integers beyond 2^53 lose digits there, as JSON numbers do. */
export function toJson(value: Value): Json {
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof GoFloat) {
    return value.bits === 32 ? shortestFloat32(value.value) : value.value;
  }
  if (value instanceof GoTime) return value.text;
  if (Array.isArray(value)) return value.map(toJson);
  if (isDict(value)) return objectOf(entriesOf(value).map(([key, item]) => [key, toJson(item)]));
  return value;
}
