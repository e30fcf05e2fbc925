/**
 * Durations as Compose writes them: a signed sequence of decimal numbers, each with a unit
 * ("1h30m", "1.5s", "300ms", "2w"). Values are whole nanoseconds in a bigint, because a Compose
 * file may hold any 64-bit duration and the text that is printed back must be exact.
 * The grammar and the printed form are those of Go's time.Duration, plus the units d and w.
 */

const nanosecondsPerUnit: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  '\u00b5s': 1_000n,
  '\u03bcs': 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n,
  w: 604_800_000_000_000n,
};

/** The largest duration: 2^63 - 1 ns, a little over 292 years. */
const maxNanoseconds = 2n ** 63n - 1n;

/**
 * Reads a duration.
 * @returns nanoseconds, or a sentence that says what is wrong with the text
 */
export function parseDuration(text: string): bigint | string {
  let rest = text;
  const negative = rest.startsWith('-');
  if (negative || rest.startsWith('+')) rest = rest.slice(1);
  if (rest === '0') return 0n;
  if (rest === '') return `invalid duration ${JSON.stringify(text)}`;
  let total = 0n;
  while (rest !== '') {
    const match = /^(\d*)(?:\.(\d*))?([^\d.]*)/.exec(rest);
    const whole = match?.[1] ?? '';
    const fraction = match?.[2] ?? '';
    const unitName = match?.[3] ?? '';
    if (match === null || (whole === '' && fraction === '')) {
      return `invalid duration ${JSON.stringify(text)}`;
    }
    if (unitName === '') return `missing unit in duration ${JSON.stringify(text)}`;
    const unit = Object.hasOwn(nanosecondsPerUnit, unitName)
      ? nanosecondsPerUnit[unitName]
      : undefined;
    if (unit === undefined) {
      return `unknown unit ${JSON.stringify(unitName)} in duration ${JSON.stringify(text)}`;
    }
    total += BigInt(whole === '' ? 0 : whole) * unit;
    if (fraction !== '') total += fractionOf(fraction, unit);
    if (total > maxNanoseconds) return `invalid duration ${JSON.stringify(text)}`;
    rest = rest.slice(match[0].length);
  }
  return negative ? -total : total;
}

/** Truncates like the reference: digits scaled in a double, good to the nanosecond for hours. */
function fractionOf(digits: string, unit: bigint): bigint {
  const kept = digits.slice(0, 18);
  return BigInt(Math.trunc(Number(kept) * (Number(unit) / 10 ** kept.length)));
}

/** Prints a duration as Go does: "1h30m0s", "1.5s", "100µs", "0s". */
export function formatDuration(nanoseconds: bigint): string {
  if (nanoseconds === 0n) return '0s';
  if (nanoseconds < 0n) return `-${formatDuration(-nanoseconds)}`;
  if (nanoseconds < 1_000n) return `${nanoseconds}ns`;
  if (nanoseconds < 1_000_000n) return `${decimal(nanoseconds, 3)}\u00b5s`;
  if (nanoseconds < 1_000_000_000n) return `${decimal(nanoseconds, 6)}ms`;
  const minutes = nanoseconds / 60_000_000_000n;
  const seconds = `${decimal(nanoseconds % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return seconds;
  const hours = minutes / 60n;
  if (hours === 0n) return `${minutes}m${seconds}`;
  return `${hours}h${minutes % 60n}m${seconds}`;
}

function decimal(value: bigint, places: number): string {
  const digits = value.toString().padStart(places + 1, '0');
  const fraction = digits.slice(-places).replace(/0+$/, '');
  const whole = digits.slice(0, -places);
  return fraction === '' ? whole : `${whole}.${fraction}`;
}

/**
 * A duration of a loaded project in milliseconds, for timers.
 * @returns undefined when the text is no duration
 */
export function durationMs(text: string): number | undefined {
  const nanoseconds = parseDuration(text);
  return typeof nanoseconds === 'bigint' ? Number(nanoseconds / 1_000n) / 1_000 : undefined;
}
