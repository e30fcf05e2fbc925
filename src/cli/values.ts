/** Values of flags and arguments that more than one command reads. */
import { TscError } from '../lib/errors.ts';

/**
 * Reads SERVICE=COUNT pairs of `scale` and `up --scale`.
 * @throws TscError E_USAGE_SCALE
 */
export function parseScale(pairs: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const match = /^([^=]+)=(\d{1,6})$/.exec(pair);
      if (match === null) {
        throw new TscError('E_USAGE_SCALE', `"${pair}" is not of the form SERVICE=COUNT`, {
          hint: 'for example web=3',
        });
      }
      return [match[1] ?? '', Number(match[2])];
    }),
  );
}

/**
 * Reads a whole number of a flag.
 * @throws TscError E_USAGE_NUMBER
 */
export function parseCount(flag: string, text: string, minimum = 0): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= minimum) return value;
  throw new TscError('E_USAGE_NUMBER', `${flag} needs a whole number, not "${text}"`);
}

export type ListFormat = 'table' | 'json';

/**
 * Reads `--format` of a listing.
 * @throws TscError E_USAGE_FORMAT
 */
export function parseFormat(text: string | undefined): ListFormat {
  if (text === undefined || text === 'table') return 'table';
  if (text === 'json') return 'json';
  throw new TscError('E_USAGE_FORMAT', `--format is "table" or "json", not "${text}"`);
}
