/**
 * Spells out what a project leaves implicit: the default network, dependencies that follow from
 * links and shared namespaces, names of resources, values of variables given by name only.
 */

import { cleanPath } from './canonical.ts';
import type { Environment } from './context.ts';
import { lookupIn } from './environment.ts';
import { type Dict, dictOf, entriesOf, isDict, newDict, printValue, type Value } from './value.ts';

/** Keys whose value `service:NAME` shares a namespace of another service. */
export const namespaceKeys = ['network_mode', 'ipc', 'pid', 'uts', 'cgroup'] as const;

/** Changes and returns the dictionary, whose `name` must be set. */
export function normalise(dict: Dict, environment: Environment): Dict {
  attachDefaultNetwork(dict);
  for (const [, service] of entriesOf(asDict(dict.services))) {
    if (isDict(service)) normaliseService(service, environment);
  }
  nameResources(dict);
  return dict;
}

function asDict(value: Value | undefined): Dict {
  return isDict(value) ? value : newDict();
}

function attachDefaultNetwork(dict: Dict): void {
  const networks = asDict(dict.networks);
  let isUsed = false;
  for (const [, service] of entriesOf(asDict(dict.services))) {
    if (!isDict(service)) continue;
    if (service.provider !== undefined || service.network_mode !== undefined) continue;
    const own = service.networks;
    if (!isDict(own) || Object.keys(own).length === 0) {
      service.networks = dictOf([['default', null]]);
      isUsed = true;
    } else if (own.default !== undefined) isUsed = true;
  }
  if (isUsed) networks.default ??= null;
  if (Object.keys(networks).length > 0) dict.networks = networks;
}

function normaliseService(service: Dict, environment: Environment): void {
  if (service.pull_policy === 'if_not_present') service.pull_policy = 'missing';
  if (isDict(service.build)) normaliseBuild(service.build, environment);
  if (service.environment !== undefined) {
    service.environment = resolveNames(service.environment, environment, true);
  }
  if (Array.isArray(service.volumes)) {
    for (const volume of service.volumes) {
      if (isDict(volume) && typeof volume.target === 'string') {
        // An empty path is the current directory.
        volume.target = cleanPath(volume.target) || '.';
      }
    }
  }
  const dependencies = asDict(service.depends_on);
  addImpliedDependencies(service, dependencies);
  if (Object.keys(dependencies).length > 0) service.depends_on = dependencies;
}

function normaliseBuild(build: Dict, environment: Environment): void {
  build.context ??= '.';
  if ((build.dockerfile ?? null) === null && (build.dockerfile_inline ?? null) === null) {
    build.dockerfile = 'Dockerfile';
  }
  if (build.args !== undefined) build.args = resolveNames(build.args, environment, false);
}

function addImpliedDependencies(service: Dict, dependencies: Dict): void {
  const imply = (name: string, restart: boolean): void => {
    dependencies[name] ??= dictOf([
      ['condition', 'service_started'],
      ['restart', restart],
      ['required', true],
    ]);
  };
  if (Array.isArray(service.links)) {
    for (const link of service.links.map(printValue)) {
      const parts = link.split(':');
      imply(parts.length === 2 ? (parts[0] ?? '') : link, true);
    }
  }
  for (const key of namespaceKeys) {
    const mode = service[key];
    if (typeof mode === 'string' && mode.startsWith('service:')) imply(mode.slice(8), true);
  }
  if (Array.isArray(service.volumes_from)) {
    for (const from of service.volumes_from.map(printValue)) {
      if (!from.startsWith('container:')) imply(from.split(':')[0] ?? '', false);
    }
  }
}

/** Gives a variable without a value that of the environment; unknown ones stay or go. */
function resolveNames(value: Value, environment: Environment, keepsUnknown: boolean): Value {
  const find = lookupIn(environment);
  if (Array.isArray(value)) {
    return value.flatMap((item) => {
      if (typeof item !== 'string' || item.includes('=')) return [item];
      const found = find(item);
      if (found !== undefined) return [`${item}=${found}`];
      return keepsUnknown ? [item] : [];
    });
  }
  if (!isDict(value)) return value;
  const result = newDict();
  for (const [key, item] of entriesOf(value)) {
    const resolved = item ?? find(key);
    if (resolved !== undefined) result[key] = resolved;
    else if (keepsUnknown) result[key] = null;
  }
  return result;
}

function nameResources(dict: Dict): void {
  for (const kind of ['networks', 'volumes', 'configs', 'secrets']) {
    const resources = dict[kind];
    if (!isDict(resources)) continue;
    for (const [key, value] of entriesOf(resources)) {
      const resource = asDict(value);
      if ((resource.name ?? null) === null) {
        resource.name = isTrue(resource.external) ? key : `${printValue(dict.name)}_${key}`;
      }
      resources[key] = resource;
    }
  }
}

function isTrue(value: Value | undefined): boolean {
  return value !== undefined && ['1', 't', 'T', 'TRUE', 'true', 'True'].includes(printValue(value));
}
