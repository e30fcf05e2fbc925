/**
 * Types of the places where a variable may stand for a number or a boolean. After interpolation
 * every text at these places is converted, also text that held no variable.
 */
import { parseFloatStrictly } from '../lib/bytes.ts';
import { narrow } from './go-scalar.ts';
import { PathTable } from './path-table.ts';
import { GoFloat, type Value } from './value.ts';

/** Converts a text; throws a sentence when it does not fit. */
export type Cast = (text: string, warn: (message: string) => void) => Value;

export class CastError extends Error {}

const integer =
  (bits: 64): Cast =>
  (text) => {
    const value = /^[+-]?\d+$/.test(text) ? BigInt(text.replace(/^\+/, '')) : undefined;
    if (value === undefined) throw new CastError(`parsing ${JSON.stringify(text)}: invalid syntax`);
    if (BigInt.asIntN(bits, value) !== value) {
      throw new CastError(`parsing ${JSON.stringify(text)}: value out of range`);
    }
    return narrow(value);
  };

export const toInteger: Cast = integer(64);

function float(bits: 32 | 64): Cast {
  return (text) => {
    const value = parseFloatStrictly(text) ?? parseHexFloat(text);
    if (value === undefined || (bits === 32 && Number.isFinite(value) && !isFloat32(value))) {
      throw new CastError(`parsing ${JSON.stringify(text)}: invalid syntax`);
    }
    return new GoFloat(value, bits);
  };
}

function isFloat32(value: number): boolean {
  return Number.isFinite(Math.fround(value));
}

/** Hexadecimal floats (0x1p-2) are the one notation that JavaScript lacks. */
function parseHexFloat(text: string): number | undefined {
  const match = /^([+-]?)0x([0-9a-f]*)\.?([0-9a-f]*)p([+-]?\d+)$/i.exec(text);
  const digits = `${match?.[2] ?? ''}${match?.[3] ?? ''}`;
  if (match === null || digits === '') return undefined;
  const exponent = Number(match[4]) - 4 * (match[3] ?? '').length;
  const value = Number.parseInt(digits, 16) * 2 ** exponent;
  return match[1] === '-' ? -value : value;
}

export const toFloat64: Cast = float(64);
export const toFloat32: Cast = float(32);

export const toBoolean: Cast = (text, warn) => {
  switch (text.toLowerCase()) {
    case 'true':
      return true;
    case 'false':
      return false;
    case 'y':
    case 'yes':
    case 'on':
      warn(`${JSON.stringify(text)} for boolean is not supported by YAML 1.2, please use \`true\``);
      return true;
    case 'n':
    case 'no':
    case 'off':
      warn(
        `${JSON.stringify(text)} for boolean is not supported by YAML 1.2, please use \`false\``,
      );
      return false;
    default:
      throw new CastError(`invalid boolean: ${text}`);
  }
};

export const casts = new PathTable<Cast>({
  'services.*.cpu_count': toInteger,
  'services.*.cpu_percent': toFloat64,
  'services.*.cpu_period': toInteger,
  'services.*.cpu_quota': toInteger,
  'services.*.cpu_rt_period': toInteger,
  'services.*.cpu_rt_runtime': toInteger,
  'services.*.cpus': toFloat32,
  'services.*.cpu_shares': toInteger,
  'services.*.init': toBoolean,
  'services.*.deploy.replicas': toInteger,
  'services.*.deploy.update_config.parallelism': toInteger,
  'services.*.deploy.update_config.max_failure_ratio': toFloat64,
  'services.*.deploy.rollback_config.parallelism': toInteger,
  'services.*.deploy.rollback_config.max_failure_ratio': toFloat64,
  'services.*.deploy.restart_policy.max_attempts': toInteger,
  'services.*.deploy.placement.max_replicas_per_node': toInteger,
  'services.*.healthcheck.retries': toInteger,
  'services.*.healthcheck.disable': toBoolean,
  'services.*.oom_kill_disable': toBoolean,
  'services.*.oom_score_adj': toInteger,
  'services.*.pids_limit': toInteger,
  'services.*.ports.[].target': toInteger,
  'services.*.privileged': toBoolean,
  'services.*.read_only': toBoolean,
  'services.*.scale': toInteger,
  'services.*.stdin_open': toBoolean,
  'services.*.tty': toBoolean,
  'services.*.ulimits.*': toInteger,
  'services.*.ulimits.*.hard': toInteger,
  'services.*.ulimits.*.soft': toInteger,
  'services.*.volumes.[].read_only': toBoolean,
  'services.*.volumes.[].volume.nocopy': toBoolean,
  'networks.*.external': toBoolean,
  'networks.*.internal': toBoolean,
  'networks.*.attachable': toBoolean,
  'networks.*.enable_ipv4': toBoolean,
  'networks.*.enable_ipv6': toBoolean,
  'volumes.*.external': toBoolean,
  'secrets.*.external': toBoolean,
  'configs.*.external': toBoolean,
});
