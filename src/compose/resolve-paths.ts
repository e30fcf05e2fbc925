/**
 * Makes relative paths of a project relative to another directory, mostly absolute ones. Only the
 * places listed in the table hold paths. `~` is the home of whoever runs the command; URLs, Windows
 * paths and build contexts that name a service or an image are left alone.
 */
import { posix } from 'node:path';
import { TscError } from '../lib/errors.ts';
import type { LoadContext } from './context.ts';
import { PathTable } from './path-table.ts';
import { type Dict, entriesOf, isDict, type KeyPath, type Value } from './value.ts';

interface Scope {
  readonly base: string;
  readonly context: LoadContext;
}

type Resolve = (value: Value, scope: Scope) => Value;

const resolvers = new PathTable<Resolve>({
  'services.*.build.context': resolveContext,
  'services.*.build.additional_contexts.*': resolveContext,
  'services.*.build.ssh.*': resolveUnlessWindows,
  'services.*.env_file.*.path': resolvePath,
  'services.*.label_file.*': resolvePath,
  'services.*.extends.file': resolveExtends,
  'services.*.develop.watch.*.path': resolveLink,
  'services.*.volumes.*': resolveMount,
  'configs.*.file': resolveUnlessWindows,
  'secrets.*.file': resolveUnlessWindows,
  'include.path': resolvePath,
  'include.project_directory': resolvePath,
  'include.env_file': resolvePath,
  'volumes.*': resolveVolume,
});

/** Changes the dictionary. `base` may itself be relative, for files that others extend. */
export function resolvePaths(dict: Dict, base: string, context: LoadContext): void {
  visit(dict, [], { base, context });
}

function visit(value: Value, path: KeyPath, scope: Scope): Value {
  const resolve = resolvers.get(path);
  if (resolve !== undefined) return resolve(value, scope);
  if (isDict(value)) {
    for (const [key, item] of entriesOf(value)) value[key] = visit(item, [...path, key], scope);
  } else if (Array.isArray(value)) {
    value.forEach((item, index) => {
      value[index] = visit(item, [...path, index], scope);
    });
  }
  return value;
}

function expandHome(path: string, context: LoadContext): string {
  if (!path.startsWith('~')) return path;
  if (context.home === undefined) {
    context.warn("cannot expand '~', because the environment lacks HOME");
    return path;
  }
  return posix.join(context.home, path.slice(1));
}

/** Like Go's filepath.Join: cleans, and an empty base adds nothing. */
export function joinPath(base: string, path: string): string {
  return posix.join(base, path).replace(/(.)\/$/, '$1');
}

function resolvePath(value: Value, scope: Scope): Value {
  if (Array.isArray(value)) return value.map((item) => resolvePath(item, scope));
  if (typeof value !== 'string') throw new TscError('E_COMPOSE_PARSE', 'a path must be text');
  const path = expandHome(value, scope.context);
  if (path === '' || path.startsWith('/')) return path;
  return joinPath(scope.base, path);
}

function resolveContext(value: Value, scope: Scope): Value {
  if (typeof value !== 'string') throw new TscError('E_COMPOSE_PARSE', 'a context must be text');
  const isElsewhere = value.includes('://') || /^(service:|github\.com\/|git@)/.test(value);
  return isElsewhere ? value : resolvePath(value, scope);
}

function resolveExtends(value: Value, scope: Scope): Value {
  return typeof value === 'string' && isRemoteResource(value) ? value : resolvePath(value, scope);
}

/** Compose files in Git repositories and registries, which this loader does not fetch. */
export function isRemoteResource(path: string): boolean {
  return /^(oci|https?|git|ssh):\/\//.test(path) || /^(github\.com\/|git@)/.test(path);
}

function resolveUnlessWindows(value: Value, scope: Scope): Value {
  if (typeof value !== 'string') return value;
  const path = expandHome(value, scope.context);
  if (path.startsWith('/') || isWindowsAbsolute(path)) return path;
  return joinPath(scope.base, path);
}

/** `C:\…`, `C:/…` and `\\server\share`. */
function isWindowsAbsolute(path: string): boolean {
  return /^.:[\\/]/s.test(path) || path.startsWith('\\\\');
}

function resolveLink(value: Value, scope: Scope): Value {
  const path = resolvePath(value, scope);
  if (typeof path !== 'string') return path;
  const { reader } = scope.context;
  // The end of the path need not exist yet: links are resolved in the part that does.
  for (let part = path; part !== '/' && part !== '.'; part = posix.dirname(part)) {
    const real = reader.realPath?.(scope.context.absolute(part));
    if (real !== undefined) return asBefore(path, real, scope) + path.slice(part.length);
  }
  return path;
}

/** A relative path stays one, as long as its links lead nowhere else than below the folder. */
function asBefore(path: string, real: string, { context }: Scope): string {
  if (path.startsWith('/')) return real;
  const here = context.reader.realPath?.(context.cwd) ?? context.cwd;
  const relative = posix.relative(here, real);
  return relative.startsWith('..') && !path.startsWith('..') ? real : relative;
}

function resolveMount(value: Value, scope: Scope): Value {
  if (!isDict(value) || value.type !== 'bind') return value;
  if (value.source === undefined) {
    throw new TscError(
      'E_COMPOSE_CONSISTENCY',
      'invalid mount config for type "bind": field Source must not be empty',
    );
  }
  value.source = resolveUnlessWindows(value.source, scope);
  return value;
}

/** A local volume with the option `o: bind` is a bind mount in disguise. */
function resolveVolume(value: Value, scope: Scope): Value {
  if (!isDict(value) || value.driver !== 'local') return value;
  const options = value.driver_opts;
  if (isDict(options) && options.o === 'bind' && options.device !== undefined) {
    options.device = resolveUnlessWindows(options.device, scope);
  }
  return value;
}
