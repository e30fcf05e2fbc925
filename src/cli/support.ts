/**
 * What `up` does with keys that the cluster does not carry out as they stand: refused ones stop it
 * before anything changes, unless --ignore names them; translated ones are said. Never silent.
 */
import type { KeyVerdict } from '../compose/index.ts';
import { formatError, TscError } from '../lib/errors.ts';
import type { Json, Project } from '../model/project.ts';
import { parseXPorts } from '../render/x-ports.ts';
import { preDeployOf } from '../view/pre-deploy.ts';
import type { Cli } from './cli.ts';
import { count, say } from './cli.ts';
import type { Loaded } from './load.ts';
import { withShownPlace } from './places.ts';
import { withoutKeys } from './without-keys.ts';

export interface SupportScope {
  /** Services that are changed; empty: all. */
  readonly services: readonly string[];
  /** Keys of --ignore. */
  readonly ignored: readonly string[];
}

/**
 * Prints notes on translated keys and every refused key with its place.
 * @returns the project without the keys that are ignored
 * @throws TscError E_COMPOSE_UNSUPPORTED when a refused key is not ignored, E_COMPOSE_X_PORTS
 */
export async function refuseUnsupported(
  cli: Cli,
  loaded: Loaded,
  scope: SupportScope,
): Promise<Project> {
  const { checkSupport } = await import('../compose/index.ts');
  const verdicts = checkSupport(loaded.project, loaded.positions).filter((verdict) =>
    isInScope(verdict, scope.services),
  );
  for (const line of translationNotes(verdicts)) say(cli.io.stderr, `note: ${line}`);
  const refused = verdicts.filter(({ verdict }) => verdict === 'refused');
  const standing = refused.filter(({ path }) => !scope.ignored.some((key) => matches(key, path)));
  for (const { path } of refused) {
    if (standing.every((verdict) => verdict.path !== path)) {
      say(cli.io.stderr, `note: ${path} is left out, as --ignore says`);
    }
  }
  const [first] = standing;
  if (first === undefined) {
    requireXPorts(loaded, scope.services);
    requireHooks(loaded, scope.services);
    const ignored = refused.map(({ keyPath }) => keyPath);
    return ignored.length === 0 ? loaded.project : withoutKeys(loaded.project, ignored);
  }
  for (const verdict of standing) {
    say(cli.io.stderr, formatError(withShownPlace(refusal(verdict), cli.io.cwd)));
  }
  throw new TscError(
    'E_COMPOSE_UNSUPPORTED',
    `${count(standing.length, 'key')} cannot be carried out; nothing has been changed`,
    { hint: `--ignore ${first.path} goes on without it` },
  );
}

/**
 * The extension is no key of Compose, so that no schema has looked at it before.
 * @param services empty: all
 * @throws TscError E_COMPOSE_X_PORTS with the place of the first entry that is wrong
 */
export function requireXPorts(
  { project, positions }: Pick<Loaded, 'project' | 'positions'>,
  services: readonly string[] = [],
): void {
  for (const [name, service] of Object.entries(project.services)) {
    if (services.length > 0 && !services.includes(name)) continue;
    const value = service['x-ports'] ?? [];
    const path = ['services', name, 'x-ports'];
    const entries: readonly Json[] = Array.isArray(value) ? value : [value as Json];
    for (const [index, entry] of entries.entries()) {
      try {
        parseXPorts([entry]);
      } catch (error) {
        const where = positions.find(Array.isArray(value) ? [...path, index] : path);
        if (!(error instanceof TscError) || where === undefined) throw error;
        const { code, message, hint } = error;
        throw new TscError(code, `services.${name}: ${message}`, {
          where,
          ...(hint === undefined ? {} : { hint }),
        });
      }
    }
  }
}

/**
 * As for `x-ports`: nothing has read `x-pre_deploy` before.
 * @throws TscError E_COMPOSE_HOOK with its place
 */
function requireHooks(
  { project, positions }: Pick<Loaded, 'project' | 'positions'>,
  services: readonly string[],
): void {
  for (const [name, service] of Object.entries(project.services)) {
    if (services.length > 0 && !services.includes(name)) continue;
    try {
      preDeployOf(name, service);
    } catch (error) {
      const where = positions.find(['services', name, 'x-pre_deploy']);
      if (!(error instanceof TscError) || where === undefined) throw error;
      const { code, message, hint } = error;
      throw new TscError(code, message, { where, ...(hint === undefined ? {} : { hint }) });
    }
  }
}

/** One line for each distinct note, with the keys that it is about. */
export function translationNotes(verdicts: readonly KeyVerdict[]): readonly string[] {
  const paths = new Map<string, string[]>();
  for (const { verdict, note, path } of verdicts) {
    if (verdict !== 'translated' || note === undefined) continue;
    paths.set(note, [...(paths.get(note) ?? []), path]);
  }
  return [...paths].map(([note, [first = '', ...more]]) => {
    const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
    return `${first}${others}: ${note}`;
  });
}

/** --ignore takes a whole path, a path with * for the service, or the name of the key alone. */
export function matches(key: string, path: string): boolean {
  if (key === path) return true;
  const parts = path.split('.');
  const wanted = key.split('.');
  if (wanted.length === 1) return parts.at(-1) === key || parts[2] === key;
  return (
    wanted.length === parts.length &&
    wanted.every((part, index) => part === '*' || part === parts[index])
  );
}

export function refusal({ path, note, where }: KeyVerdict): TscError {
  return new TscError('E_COMPOSE_UNSUPPORTED', `${path} is not supported`, {
    ...(note === undefined ? {} : { hint: note }),
    ...(where === undefined ? {} : { where }),
  });
}

function isInScope({ keyPath }: KeyVerdict, services: readonly string[]): boolean {
  const [section, name] = keyPath;
  return services.length === 0 || section !== 'services' || services.includes(String(name));
}
