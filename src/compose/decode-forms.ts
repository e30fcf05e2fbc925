/**
 * Decoders for values that Compose lets one write in several ways, or in a notation of their own:
 * command lines, `KEY=value` lists, host lists, file modes, limits. Each answers in the one form
 * that the project has.
 */
import { splitWords } from '../lib/shell-words.ts';
import type { Json, JsonObject } from '../model/project.ts';
import { toInteger } from './casts.ts';
import {
  at,
  castText,
  type Decoder,
  type DecodeScope,
  decodeError,
  sortedObject,
  strictTexts,
  toJson,
} from './decode.ts';
import { FaultAt } from './fault.ts';
import { compareText, entriesOf, isDict, isInteger, printValue, type Value } from './value.ts';

/** Text that is split like a shell would, or words. */
export const command: Decoder = (value, scope) => {
  if (typeof value === 'string') {
    const words = splitWords(value);
    if (words === undefined) {
      throw new FaultAt(
        'E_COMPOSE_PARSE',
        scope.path,
        `'${scope.path.join('.')}' invalid command line string`,
        { hint: 'a quote or a bracket is left open' },
      );
    }
    return words;
  }
  return strictTexts(value, scope);
};

export const healthTest: Decoder = (value, scope) =>
  typeof value === 'string' ? ['CMD-SHELL', value] : strictTexts(value, scope);

/** `k: v` or `k=v`; null is "". */
export const labels: Decoder = (value, scope) =>
  pairs(value, scope, (entry) => (entry === null ? '' : printValue(entry)));

/** As labels, but only of a mapping. */
export const options: Decoder = (value, scope) => {
  if (!isDict(value)) throw decodeError(scope, 'mapping', value);
  return labels(value, scope);
};

/** `k: v` or `k=v`; a key alone has no value yet. */
export const variables: Decoder = (value, scope) => {
  if (Array.isArray(value)) {
    for (const item of value) {
      const key = printValue(item).split('=', 1)[0] ?? '';
      if (/\s$/.test(key)) {
        throw new FaultAt(
          'E_COMPOSE_PARSE',
          scope.path,
          `'${scope.path.join('.')}' unexpected: environment variable ${key} is declared with a trailing space`,
        );
      }
    }
  }
  return pairs(value, scope, (entry) => (entry === null ? null : printValue(entry)), null);
};

function pairs(
  value: Value,
  scope: DecodeScope,
  show: (entry: Value) => Json,
  missing: Json = '',
): JsonObject {
  if (isDict(value))
    return sortedObject(entriesOf(value).map(([key, entry]) => [key, show(entry)]));
  if (!Array.isArray(value)) throw decodeError(scope, 'mapping', value);
  const found = new Map<string, Json>();
  for (const item of value) {
    const pair = printValue(item);
    const equals = pair.indexOf('=');
    if (equals < 0) found.set(pair, missing);
    else found.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  return sortedObject([...found]);
}

/** Options of a provider may be given several times. */
export const multiOptions: Decoder = (value, scope) => {
  if (!isDict(value)) throw decodeError(scope, 'mapping', value);
  return sortedObject(
    entriesOf(value).map(([key, entry]) => [
      key,
      (Array.isArray(entry) ? entry : [entry]).map(printValue),
    ]),
  );
};

/** `host=ip` texts, sorted; brackets around an address go. */
export const hosts: Decoder = (value, scope) => {
  const found = new Map<string, string[]>();
  const add = (host: string, addresses: readonly string[]): void => {
    if (host === '' || /[:=]/.test(host)) {
      throw new FaultAt(
        'E_COMPOSE_PARSE',
        scope.path,
        `'${scope.path.join('.')}' invalid: bad host name '${host}'`,
      );
    }
    found.set(host, [...(found.get(host) ?? []), ...addresses.map(withoutBrackets)]);
  };
  if (isDict(value)) {
    for (const [host, entry] of entriesOf(value)) {
      if (Array.isArray(entry)) add(host, entry.map(printValue));
      else if (entry === null || typeof entry === 'string') add(host, [entry ?? '']);
      else throw decodeError(at(scope, host), 'string', entry);
    }
  } else if (Array.isArray(value)) {
    for (const item of value) {
      const pair = printValue(item);
      const separator = pair.includes('=') ? '=' : ':';
      const split = pair.indexOf(separator);
      if (split < 0) {
        throw new FaultAt(
          'E_COMPOSE_PARSE',
          scope.path,
          `'${scope.path.join('.')}' invalid additional host, missing IP: ${pair}`,
        );
      }
      add(pair.slice(0, split), pair.slice(split + 1).split(','));
    }
  } else throw decodeError(scope, 'list', value);
  const lines = [...found].flatMap(([host, addresses]) => addresses.map((ip) => `${host}=${ip}`));
  return lines.sort(compareText);
};

function withoutBrackets(address: string): string {
  return address.length > 2 && address.startsWith('[') && address.endsWith(']')
    ? address.slice(1, -1)
    : address;
}

/** A file mode: text is octal, a number is itself; printed as octal text. */
export const fileMode: Decoder = (value, scope) => {
  if (isInteger(value)) return `0${value.toString(8)}`;
  if (typeof value === 'string' && /^[-+]?[0-7]+$/.test(value)) {
    const sign = value.startsWith('-') ? '-' : '';
    return `0${sign}${BigInt(`0o${value.replace(/^[-+]/, '')}`).toString(8)}`;
  }
  throw decodeError(scope, 'mode', value);
};

/** One number for both limits, or a mapping of soft and hard. */
export const ulimit: Decoder = (value, scope) => {
  if (isInteger(value)) return toJson(value) === 0 ? {} : toJson(value);
  if (!isDict(value)) throw decodeError(scope, 'ulimit', value);
  const limit = (key: string): Json => {
    const entry = value[key] ?? 0;
    if (!isInteger(entry)) throw decodeError(at(scope, key), 'int', entry);
    return toJson(entry);
  };
  const [soft, hard] = [limit('soft'), limit('hard')];
  return { ...(soft === 0 ? {} : { soft }), ...(hard === 0 ? {} : { hard }) };
};

/** How many devices: a number, or -1 for all. */
export const deviceCount: Decoder = (value, scope) => {
  if (isInteger(value)) return toJson(value);
  if (typeof value !== 'string') throw decodeError(scope, 'count', value);
  if (value.toLowerCase() === 'all') return -1;
  return castText(value, scope, (word) => toInteger(word, () => undefined));
};
