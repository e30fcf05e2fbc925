/**
 * Sizes of memory as Compose writes them: a decimal number and one of b, k, m, g, t, p with an
 * optional "b" or "ib", in any case; the base is always 1024 ("64MB" is 64 * 1024 * 1024).
 * The result is a whole number of bytes in a bigint, since a size may exceed 2^53.
 */

const powerOfUnit: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3, t: 4, p: 5 };
const minInt64 = -(2n ** 63n);

/**
 * Reads a size.
 * @returns bytes, or a sentence that says what is wrong with the text
 */
export function parseBytes(text: string): bigint | string {
  const [number, suffix] = splitSize(text);
  if (number === undefined || suffix === undefined) return `invalid size: '${text}'`;
  const value = parseFloatStrictly(number);
  if (value === undefined || value < 0) return `invalid size: '${text}'`;
  if (suffix === '') return truncate(value);
  const unit = suffix.toLowerCase();
  if (unit === 'b') return truncate(value);
  const power = powerOfUnit[unit[0] ?? ''];
  if (power === undefined || !['', 'b', 'ib'].includes(unit.slice(1))) {
    return `invalid suffix: '${suffix}'`;
  }
  return truncate(value * 1024 ** power);
}

function splitSize(text: string): [string?, string?] {
  const space = text.indexOf(' ');
  if (space >= 0) return [text.slice(0, space), text.slice(space + 1)];
  const end = text.search(/[^\d.]*$/);
  if (end === 0) return [];
  return [text.slice(0, end), text.slice(end)];
}

/** Go's ParseFloat for decimal notation: no spaces, underscores only between digits. */
export function parseFloatStrictly(spelled: string): number | undefined {
  const text = spelled.replace(/(?<=\d)_(?=\d)/g, '');
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
    const value = Number(text);
    return Number.isFinite(value) ? value : undefined;
  }
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special === null) return undefined;
  if (special[2]?.toLowerCase() === 'nan') return Number.NaN;
  return special[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
}

/** What does not fit in 64 bits becomes the smallest integer, as on amd64. */
function truncate(value: number): bigint {
  if (!(Math.abs(value) < 2 ** 63)) return minInt64;
  return BigInt(Math.trunc(value));
}
