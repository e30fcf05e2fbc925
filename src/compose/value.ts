/**
 * The values that a Compose file holds while it is being loaded. They are JSON values with three
 * additions that JSON lacks but the rules of Compose depend on: a float is not an integer even if
 * it has no fraction, integers are exact to 64 bits, and a date is neither text nor number.
 * Mappings are objects without a prototype, so that any key, also `__proto__`, is an ordinary key.
 * Steps may change a dictionary in place only while the loader owns it; `cloneValue` is the way out.
 */

export type Value = null | boolean | string | number | bigint | GoFloat | GoTime | Value[] | Dict;

export interface Dict {
  [key: string]: Value | undefined;
}

/** A path from the root of a file: keys of mappings and positions in sequences. */
export type KeyPath = readonly (string | number)[];

/** A floating point number; `bits` tells how it prints (shortest text that reads back equal). */
export class GoFloat {
  readonly value: number;
  readonly bits: 32 | 64;

  constructor(value: number, bits: 32 | 64 = 64) {
    this.value = bits === 32 ? Math.fround(value) : value;
    this.bits = bits;
  }
}

/** An unquoted date. Compose has no use for it: every checked place refuses it. */
export class GoTime {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export function newDict(): Dict {
  // The prototype-less object is what makes every key an own key; its type is that of any object.
  return Object.create(null) as Dict;
}

export function isDict(value: Value | undefined): value is Dict {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof GoFloat) &&
    !(value instanceof GoTime)
  );
}

export function isInteger(value: Value | undefined): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

/** The entries of a mapping whose value is present. */
export function entriesOf(dict: Dict): [string, Value][] {
  const entries: [string, Value][] = [];
  for (const key of Object.keys(dict)) {
    const value = dict[key];
    if (value !== undefined) entries.push([key, value]);
  }
  return entries;
}

export function dictOf(entries: Iterable<readonly [string, Value]>): Dict {
  const dict = newDict();
  for (const [key, value] of entries) dict[key] = value;
  return dict;
}

export function hasKey(dict: Dict, key: string): boolean {
  return dict[key] !== undefined;
}

export function cloneValue<T extends Value>(value: T): T {
  // Each branch rebuilds the same kind of value that it was given.
  if (Array.isArray(value)) return value.map((item) => cloneValue(item)) as T;
  if (isDict(value)) {
    return dictOf(entriesOf(value).map(([key, item]) => [key, cloneValue(item)])) as T;
  }
  return value;
}

/** Deep equality in which the float 1.0 and the integer 1 differ. */
export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  if (a instanceof GoFloat) {
    return b instanceof GoFloat && a.value === b.value && a.bits === b.bits;
  }
  if (a instanceof GoTime) return b instanceof GoTime && a.text === b.text;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameValue(item, b[i]));
  }
  if (!isDict(a) || !isDict(b)) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => key in b && sameValue(a[key], b[key]))
  );
}

/** Orders texts by code point, as Go orders strings. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  // UTF-16 order differs from code point order only if a surrogate is involved.
  const limit = Math.min(a.length, b.length);
  for (let i = 0; i < limit; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const isSurrogateX = x >= 0xd800 && x <= 0xdfff;
    const isSurrogateY = y >= 0xd800 && y <= 0xdfff;
    if (isSurrogateX !== isSurrogateY) return isSurrogateX ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/** Prints a value as Go's %v does: 1.10 is "1.1", 1000000.0 is "1e+06", no value is "<nil>". */
export function printValue(value: Value | undefined): string {
  if (value === null || value === undefined) return '<nil>';
  if (typeof value === 'string') return value;
  if (value instanceof GoFloat) return printFloat(value);
  if (value instanceof GoTime) return value.text;
  if (Array.isArray(value)) return `[${value.map(printValue).join(' ')}]`;
  if (isDict(value)) {
    const keys = Object.keys(value).sort(compareText);
    return `map[${keys.map((key) => `${key}:${printValue(value[key])}`).join(' ')}]`;
  }
  return String(value);
}

/** Shortest digits; an exponent below 1e-4 and from 1e6 on (Go's %v). */
export function printFloat(float: GoFloat): string {
  const { value } = float;
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const shortest = float.bits === 32 ? shortestFloat32(value) : value;
  const [mantissa = '', exponentText = '0'] = shortest.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 6) {
    const sign = exponent < 0 ? '-' : '+';
    return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  return plainDecimal(mantissa, exponent);
}

/** The double with the fewest digits that still rounds to the same 32-bit float. */
export function shortestFloat32(value: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

function plainDecimal(mantissa: string, exponent: number): string {
  const sign = mantissa.startsWith('-') ? '-' : '';
  const digits = mantissa.replace(/[-.]/g, '');
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, '0');
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}
