/**
 * Decides what a plain YAML scalar means. The rules are those of go-yaml v3, which the reference
 * implementation uses: YAML 1.2 booleans only, octals with and without "o", 64-bit exact integers,
 * underscores between digits, no base 60, dates as a type of their own. Nothing else in the loader
 * may look at the spelling of a scalar.
 */
import { GoFloat, GoTime, type Value } from './value.ts';

export type ScalarKind = 'null' | 'bool' | 'int' | 'float' | 'str' | 'timestamp' | 'merge';

export interface Scalar {
  readonly kind: ScalarKind;
  readonly value: Value;
}

const words: ReadonlyMap<string, Scalar> = new Map<string, Scalar>([
  ...['', '~', 'null', 'Null', 'NULL'].map((w): [string, Scalar] => [
    w,
    { kind: 'null', value: null },
  ]),
  ...['true', 'True', 'TRUE'].map((w): [string, Scalar] => [w, { kind: 'bool', value: true }]),
  ...['false', 'False', 'FALSE'].map((w): [string, Scalar] => [w, { kind: 'bool', value: false }]),
  ...['.nan', '.NaN', '.NAN'].map((w): [string, Scalar] => [w, float(Number.NaN)]),
  ...['.inf', '.Inf', '.INF', '+.inf', '+.Inf', '+.INF'].map((w): [string, Scalar] => [
    w,
    float(Number.POSITIVE_INFINITY),
  ]),
  ...['-.inf', '-.Inf', '-.INF'].map((w): [string, Scalar] => [w, float(Number.NEGATIVE_INFINITY)]),
  ['<<', { kind: 'merge', value: '<<' }],
]);

const floatPattern = /^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$/;
const maxUint64 = 2n ** 64n - 1n;
const maxInt64 = 2n ** 63n - 1n;

/** What an untagged plain scalar stands for. */
export function resolvePlain(text: string): Scalar {
  const word = words.get(text);
  if (word !== undefined) return word;
  const first = text.charAt(0);
  if (first === '.') {
    if (/^\.[0-9]+([eE][-+]?[0-9]+)?$/.test(text)) return float(Number(text));
    return { kind: 'str', value: text };
  }
  if (!/[-+0-9]/.test(first)) return { kind: 'str', value: text };
  const date = parseTimestamp(text);
  if (date !== undefined) return { kind: 'timestamp', value: date };
  const plain = text.replaceAll('_', '');
  const integer = parseInteger(plain);
  if (integer !== undefined) return { kind: 'int', value: integer };
  if (floatPattern.test(plain)) {
    const value = Number(plain);
    if (Number.isFinite(value)) return float(value);
  }
  return { kind: 'str', value: text };
}

function float(value: number): Scalar {
  return { kind: 'float', value: new GoFloat(value) };
}

function parseInteger(text: string): number | bigint | undefined {
  const match = /^([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)$/.exec(text);
  const digits = match?.[2];
  if (match === null || digits === undefined) return undefined;
  const isOctal = /^0[0-7]/.test(digits);
  const magnitude = BigInt(isOctal ? `0o${digits.slice(1)}` : digits.toLowerCase());
  const value = match[1] === '-' ? -magnitude : magnitude;
  // A sign keeps Go from reading the digits as an unsigned number.
  if (value > (match[1] === '' ? maxUint64 : maxInt64) || value < -maxInt64 - 1n) return undefined;
  return narrow(value);
}

/** Integers are plain numbers while those are exact. */
export function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Dates as go-yaml reads them: a day alone, or with a time, an optional zone and fraction. */
function parseTimestamp(text: string): GoTime | undefined {
  const match =
    /^(\d{4})-(\d{1,2})-(\d{1,2})(?:([Tt ])(\d{1,2}):(\d{1,2}):(\d{1,2})(\.\d{1,9})?(Z|[-+]\d{2}:\d{2})?)?$/.exec(
      text,
    );
  if (match === null) return undefined;
  const [, year = '', month = '', day = '', separator, hour, minute, second, fraction, zone] =
    match;
  if (separator !== undefined && (separator === ' ') !== (zone === undefined)) return undefined;
  const days = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  if (Number(month) < 1 || Number(month) > 12) return undefined;
  if (Number(day) < 1 || Number(day) > days) return undefined;
  if (Number(hour ?? 0) > 23 || Number(minute ?? 0) > 59 || Number(second ?? 0) > 59) {
    return undefined;
  }
  const two = (part: string | undefined): string => (part ?? '0').padStart(2, '0');
  const shortFraction = (fraction ?? '').replace(/\.?0+$/, '');
  const time = `${two(hour)}:${two(minute)}:${two(second)}${shortFraction}`;
  const shownZone = zone === undefined || zone === '+00:00' || zone === '-00:00' ? 'Z' : zone;
  return new GoTime(`${year}-${two(month)}-${two(day)}T${time}${shownZone}`);
}

/** The tags whose meaning YAML defines; a scalar with any other tag is text. */
const knownTags = ['!!bool', '!!int', '!!float', '!!null', '!!timestamp'];

/**
 * What a scalar with an explicit tag stands for.
 * @param tag a short tag such as "!!int", or one of the file's own such as "!mine"
 * @returns undefined when the text does not fit the tag
 */
export function resolveTagged(tag: string, text: string): Value | undefined {
  if (!knownTags.includes(tag)) return text;
  const { kind, value } = resolvePlain(text);
  if (tag === '!!float' && kind === 'int') return new GoFloat(Number(value));
  return tag === `!!${kind}` ? value : undefined;
}
