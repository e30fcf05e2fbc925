/**
 * `extends`: a service starts from another one, of the same file or of another. The other file is
 * read, interpolated and made canonical, but not validated; its paths become relative to it. Bases
 * are found in the same file only as far as that file goes: what an earlier `-f` says is not seen.
 */
import { TscError } from '../lib/errors.ts';
import type { Loader } from './load-model.ts';
import { mergeServices } from './merge.ts';
import { applyResets, type ResetPaths } from './resets.ts';
import { isRemoteResource, resolvePaths } from './resolve-paths.ts';
import { cloneValue, type Dict, dictOf, isDict, printValue, type Value } from './value.ts';

/** A service that is being completed, and the one that extends it. */
interface Link {
  readonly file: string;
  readonly service: string;
  readonly from: Link | undefined;
}

interface Scope {
  readonly loader: Loader;
  /** The file whose services are being completed, for messages. */
  readonly file: string;
  readonly trail: Link | undefined;
  readonly resets: ResetPaths;
}

/** Completes the services of a document. Changes the dictionary. */
export function applyExtends(dict: Dict, loader: Loader, file: string, resets: ResetPaths): void {
  const { services } = dict;
  if (services === undefined) return;
  if (!isDict(services)) throw new TscError('E_COMPOSE_SYNTAX', 'services must be a mapping');
  const scope: Scope = { loader, file, trail: undefined, resets };
  for (const name of Object.keys(services)) services[name] = complete(name, services, scope);
}

function complete(name: string, services: Dict, scope: Scope): Value {
  const service = services[name] ?? null;
  if (service === null) return null;
  if (!isDict(service)) {
    throw scope.loader.context.error('E_COMPOSE_SYNTAX', `services.${name} must be a mapping`, [
      'services',
      name,
    ]);
  }
  if (service.extends === undefined) return service;
  const { ref, path } = readExtends(service.extends, name);
  const base =
    path === undefined
      ? { services, file: scope.file, resets: [] }
      : loadBase(name, ref, path, scope);
  if (base.services[ref] === undefined) {
    throw scope.loader.context.error(
      'E_COMPOSE_CONSISTENCY',
      `cannot extend service ${JSON.stringify(name)} in ${scope.file}: service ${JSON.stringify(ref)} not found`,
      ['services', name, 'extends'],
    );
  }
  const trail = follow({ file: base.file, service: name, from: scope.trail });
  const completed = complete(ref, base.services, { ...scope, trail, resets: base.resets });
  if (!isDict(completed)) return service;
  const source = cloneValue(completed);
  applyResets(dictOf([['services', dictOf([[name, source]])]]), scope.resets);
  const merged = mergeServices(source, service, name);
  delete merged.extends;
  base.services[name] = merged;
  return merged;
}

function readExtends(value: Value, name: string): { ref: string; path: string | undefined } {
  if (typeof value === 'string') return { ref: value, path: undefined };
  if (!isDict(value) || typeof value.service !== 'string') {
    throw new TscError('E_COMPOSE_CONSISTENCY', `extends.${name}.service is required`);
  }
  const path = value.file ?? null;
  if (path === null) return { ref: value.service, path: undefined };
  if (typeof path !== 'string') {
    throw new TscError('E_COMPOSE_PARSE', `extends.${name}.file: unexpected ${printValue(path)}`);
  }
  return { ref: value.service, path };
}

/** @throws E_COMPOSE_CYCLE when the same service stands on the way here already */
function follow(next: Link): Link {
  for (let link = next.from; link !== undefined; link = link.from) {
    if (link.file !== next.file || link.service !== next.service) continue;
    const chain: Link[] = [];
    for (let part: Link | undefined = next; part !== undefined; part = part.from) chain.push(part);
    const lines = chain
      .reverse()
      .map(({ service, file }, i) => `  ${i === 0 ? '' : 'extends '}${service} in ${file}`);
    throw new TscError('E_COMPOSE_CYCLE', ['Circular reference:', ...lines].join('\n'));
  }
  return next;
}

function loadBase(
  name: string,
  ref: string,
  path: string,
  scope: Scope,
): { services: Dict; file: string; resets: ResetPaths } {
  const { loader } = scope;
  if (isRemoteResource(path)) {
    throw new TscError('E_COMPOSE_FILE_MISSING', `cannot extend from ${path}: is missing`, {
      hint: 'files in Git repositories and registries are not fetched: copy the file',
    });
  }
  const local = loader.localPath(path);
  const { dict, resets } = loader.context.blaming(['services', name, 'extends', 'file'], () =>
    loader.loadBaseFile(local),
  );
  const { services } = dict;
  const where = `cannot extend service ${JSON.stringify(name)} in ${local}`;
  if (services === undefined) {
    throw new TscError(
      'E_COMPOSE_CONSISTENCY',
      `${where}: no services section, ${ref} not found in it`,
    );
  }
  if (!isDict(services)) {
    throw new TscError('E_COMPOSE_CONSISTENCY', `${where}: services must be a mapping`);
  }
  if (services[ref] === undefined) {
    throw loader.context.error(
      'E_COMPOSE_CONSISTENCY',
      `cannot extend service ${JSON.stringify(name)} in ${scope.file}: service ${JSON.stringify(ref)} not found in ${path}`,
      ['services', name, 'extends'],
    );
  }
  resolvePaths(dict, loader.relativeDirectory(path), loader.context);
  return { services, file: path, resets };
}
