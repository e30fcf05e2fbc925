/**
 * `x-pre_deploy`: a command that runs once, in a container of the service's new image, before a
 * rollout replaces anything (a migration, mostly). The form is Uncloud's. What the key means is read
 * here and nowhere else.
 */
import { durationMs } from '../lib/duration.ts';
import { TscError } from '../lib/errors.ts';
import { splitWords } from '../lib/shell-words.ts';
import type { Service } from '../model/project.ts';
import { optionalDurationMs } from './service-spec.ts';

export interface PreDeploy {
  readonly command: readonly string[];
  /** Added to the service's own; null takes a variable away. */
  readonly environment: Readonly<Record<string, string | null>>;
  readonly user: string | undefined;
  readonly isPrivileged: boolean | undefined;
  readonly workingDir: string | undefined;
  readonly timeoutMs: number;
}

/** 5 min, as in Uncloud: longer work is a job. */
const defaultTimeoutMs = 300_000;

const knownKeys: readonly string[] = [
  'command',
  'environment',
  'privileged',
  'timeout',
  'user',
  'working_dir',
];

/**
 * Reads the hook of a service; undefined when it has none.
 * @throws TscError E_COMPOSE_HOOK when the key has another form
 */
export function preDeployOf(name: string, spec: Service): PreDeploy | undefined {
  const value = spec['x-pre_deploy'];
  if (value === undefined || value === null) return undefined;
  const fail = (why: string): never => {
    throw new TscError('E_COMPOSE_HOOK', `services.${name}.x-pre_deploy: ${why}`, {
      hint: 'it takes command, environment, user, privileged, working_dir and timeout',
    });
  };
  if (!isFields(value)) return fail('is not a mapping');
  const unknown = Object.keys(value).find(
    (key) => !knownKeys.includes(key) && !key.startsWith('x-'),
  );
  if (unknown !== undefined) return fail(`"${unknown}" is not known`);
  const { command, environment, privileged, timeout, user, working_dir: workingDir } = value;
  const words = typeof command === 'string' ? splitWords(command) : command;
  if (!Array.isArray(words) || words.length === 0) return fail('"command" is missing');
  if (timeout !== undefined && (typeof timeout !== 'string' || durationMs(timeout) === undefined)) {
    return fail('"timeout" is not a duration such as 10m');
  }
  if (privileged !== undefined && typeof privileged !== 'boolean') {
    return fail('"privileged" is true or false');
  }
  if (user !== undefined && typeof user !== 'string' && typeof user !== 'number') {
    return fail('"user" is a name or a number');
  }
  return {
    command: words.map(String),
    environment: environmentOf(environment) ?? fail('"environment" is a mapping or a list'),
    user: user === undefined ? undefined : String(user),
    isPrivileged: privileged,
    workingDir: typeof workingDir === 'string' ? workingDir : undefined,
    timeoutMs:
      optionalDurationMs(typeof timeout === 'string' ? timeout : undefined) ?? defaultTimeoutMs,
  };
}

/** The service as its hook runs it: the same image, data and networks, and nothing published. */
export function hookSpec(spec: Service, hook: PreDeploy): Service {
  const { ports: _ports, container_name: _name, healthcheck: _check, ...kept } = spec;
  const { 'x-ports': _xPorts, post_start: _start, pre_stop: _stop, ...base } = kept;
  return {
    ...base,
    command: hook.command,
    environment: { ...spec.environment, ...hook.environment },
    healthcheck: { disable: true },
    ...(hook.user === undefined ? {} : { user: hook.user }),
    ...(hook.isPrivileged === undefined ? {} : { privileged: hook.isPrivileged }),
    ...(hook.workingDir === undefined ? {} : { working_dir: hook.workingDir }),
  };
}

type Fields = { readonly [key: string]: unknown };

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A mapping, or a list of `NAME=value`; undefined when it is neither. */
function environmentOf(value: unknown): Readonly<Record<string, string | null>> | undefined {
  if (value === undefined || value === null) return {};
  if (Array.isArray(value)) {
    return Object.fromEntries(
      value.map((entry) => {
        const text = String(entry);
        const equals = text.indexOf('=');
        return equals < 0 ? [text, null] : [text.slice(0, equals), text.slice(equals + 1)];
      }),
    );
  }
  if (!isFields(value)) return undefined;
  return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, scalarText(text)]));
}

/** YAML may have read a value as a number or a flag; anything else is no value. */
function scalarText(value: unknown): string | null {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? `${value}` : null;
}
