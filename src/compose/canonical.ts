/**
 * Turns every short form into the long one: `80:80` into a mapping, a list of networks into a
 * mapping of nulls, text into a list of one. Runs after validation by schema, except for files that
 * others extend, so each rule refuses what is neither form. Under `--no-interpolate` a text that
 * still holds variables cannot be read and stays as it is.
 */

import { TscError } from '../lib/errors.ts';
import type { LoadContext } from './context.ts';
import { FaultAt } from './fault.ts';
import { PathTable, showPath } from './path-table.ts';
import { parsePort } from './ports.ts';
import {
  type Dict,
  dictOf,
  entriesOf,
  isDict,
  isInteger,
  type KeyPath,
  newDict,
  printValue,
  sameValue,
  type Value,
} from './value.ts';
import { parseVolume } from './volumes.ts';

interface Scope {
  readonly context: LoadContext;
  /** Texts may still hold variables. */
  readonly isRaw: boolean;
}

type Rule = (value: Value, path: KeyPath, scope: Scope) => Value;

const rules = new PathTable<Rule>({
  'services.*': (value, path, scope) =>
    isDict(value) ? convertMembers(value, path, scope) : value,
  'services.*.build': convertBuild,
  'services.*.build.secrets.*': convertFileReference,
  'services.*.build.provenance': toText,
  'services.*.build.sbom': toText,
  'services.*.build.additional_contexts': convertKeyValues,
  'services.*.build.ssh': convertSsh,
  'services.*.build.ulimits.*': convertUlimit,
  'services.*.depends_on': convertDependencies,
  'services.*.env_file': convertEnvFiles,
  'services.*.label_file': toList,
  'services.*.extends': convertExtends,
  'services.*.gpus': convertGpus,
  'services.*.networks': toNames,
  'services.*.models': toNames,
  'services.*.volumes.*': convertVolume,
  'services.*.dns': toList,
  'services.*.devices.*': convertDevice,
  'services.*.secrets.*': convertFileReference,
  'services.*.configs.*': convertFileReference,
  'services.*.ports': convertPorts,
  'services.*.ulimits.*': convertUlimit,
  'services.*.develop.watch.*.ignore': toList,
  'services.*.develop.watch.*.include': toList,
  'volumes.*': convertExternal,
  'networks.*': convertExternal,
  'secrets.*': convertExternal,
  'configs.*': convertExternal,
  'include.*': convertInclude,
});

/** Changes and returns the dictionary. */
export function toCanonical(dict: Dict, context: LoadContext, isRaw: boolean): Dict {
  convert(dict, [], { context, isRaw });
  dropEmptyDns(dict);
  return dict;
}

function convert(value: Value, path: KeyPath, scope: Scope): Value {
  const rule = rules.get(path);
  if (rule !== undefined) return rule(value, path, scope);
  if (isDict(value)) return convertMembers(value, path, scope);
  if (Array.isArray(value)) return convertItems(value, path, scope);
  return value;
}

function convertMembers(dict: Dict, path: KeyPath, scope: Scope): Dict {
  for (const [key, value] of entriesOf(dict)) dict[key] = convert(value, [...path, key], scope);
  return dict;
}

function convertItems(list: Value[], path: KeyPath, scope: Scope): Value[] {
  list.forEach((item, index) => {
    list[index] = convert(item, [...path, index], scope);
  });
  return list;
}

/** Empty addresses of name servers come from unset variables and mean nothing. */
function dropEmptyDns(dict: Dict): void {
  const { services } = dict;
  if (!isDict(services)) return;
  for (const [, service] of entriesOf(services)) {
    if (isDict(service) && Array.isArray(service.dns)) {
      service.dns = service.dns.filter((address) => address !== null && address !== '');
    }
  }
}

function invalid(path: KeyPath, value: Value): TscError {
  return new FaultAt(
    'E_COMPOSE_PARSE',
    path,
    `${showPath(path)}: invalid type, got ${printValue(value)}`,
  );
}

/** Adds the path to what the parser of a short form says. */
function placed(error: unknown, path: KeyPath): unknown {
  if (!(error instanceof TscError)) return error;
  return new FaultAt(error.code, path, error.message, { cause: error });
}

function toList(value: Value): Value {
  return typeof value === 'string' ? [value] : value;
}

function toText(value: Value): Value {
  return printValue(value);
}

function toNames(value: Value, path: KeyPath): Value {
  if (!Array.isArray(value)) return value;
  return dictOf(value.map((name) => [asText(name, path), null]));
}

function asText(value: Value, path: KeyPath): string {
  if (typeof value !== 'string') throw invalid(path, value);
  return value;
}

function convertBuild(value: Value, path: KeyPath, scope: Scope): Value {
  if (typeof value === 'string') return dictOf([['context', value]]);
  if (isDict(value)) return convertMembers(value, path, scope);
  throw invalid(path, value);
}

function convertFileReference(value: Value, path: KeyPath): Value {
  if (typeof value === 'string') return dictOf([['source', value]]);
  if (isDict(value)) return value;
  throw invalid(path, value);
}

function convertKeyValues(value: Value, path: KeyPath, scope: Scope): Value {
  if (isDict(value)) return value;
  if (!Array.isArray(value)) throw invalid(path, value);
  const result = newDict();
  for (const item of value) {
    const text = asText(item, path);
    const equals = text.indexOf('=');
    if (equals < 0) {
      if (scope.isRaw) return value;
      throw new FaultAt(
        'E_COMPOSE_PARSE',
        path,
        `${showPath(path)}: invalid value ${text}, expected key=value`,
      );
    }
    result[text.slice(0, equals)] = text.slice(equals + 1);
  }
  return result;
}

function convertSsh(value: Value, path: KeyPath): Value {
  if (isDict(value)) return value;
  if (!Array.isArray(value)) throw invalid(path, value);
  const result = newDict();
  for (const item of value) {
    const text = asText(item, path);
    const equals = text.indexOf('=');
    if (equals >= 0) result[text.slice(0, equals)] = text.slice(equals + 1);
    else if (text === 'default') result[text] = null;
    else throw new FaultAt('E_COMPOSE_PARSE', path, `invalid ssh key ${JSON.stringify(text)}`);
  }
  return result;
}

function convertUlimit(value: Value, path: KeyPath): Value {
  if (isDict(value) || isInteger(value)) return value;
  throw invalid(path, value);
}

function convertDependencies(value: Value, path: KeyPath): Value {
  if (Array.isArray(value)) {
    return dictOf(value.map((name) => [asText(name, path), startedDependency()]));
  }
  if (!isDict(value)) throw invalid(path, value);
  for (const [name, dependency] of entriesOf(value)) {
    if (!isDict(dependency)) throw invalid([...path, name], dependency);
    dependency.condition ??= 'service_started';
    dependency.required ??= true;
  }
  return value;
}

function startedDependency(): Dict {
  return dictOf([
    ['condition', 'service_started'],
    ['required', true],
  ]);
}

function convertEnvFiles(value: Value, path: KeyPath): Value {
  if (typeof value === 'string') return [envFile(value)];
  if (Array.isArray(value)) return value.map(envFile);
  throw invalid(path, value);
}

function envFile(value: Value): Value {
  if (typeof value === 'string') {
    return dictOf([
      ['path', value],
      ['required', true],
    ]);
  }
  if (!isDict(value)) return null;
  if (value.required === undefined) value.required = true;
  return value;
}

function convertExtends(value: Value, path: KeyPath): Value {
  if (typeof value === 'string') return dictOf([['service', value]]);
  if (isDict(value)) return value;
  throw invalid(path, value);
}

function convertGpus(value: Value, path: KeyPath): Value {
  if (typeof value === 'string') return [dictOf([['count', 'all']])];
  if (Array.isArray(value)) return value;
  throw invalid(path, value);
}

function convertVolume(value: Value, path: KeyPath, scope: Scope): Value {
  if (isDict(value)) return value;
  if (typeof value !== 'string') throw invalid(path, value);
  try {
    return volumeDict(value);
  } catch (error) {
    if (scope.isRaw && error instanceof TscError) return value;
    throw placed(error, path);
  }
}

function volumeDict(spec: string): Dict {
  const volume = parseVolume(spec);
  const result = dictOf([['type', volume.type]]);
  if (volume.source !== undefined) result.source = volume.source;
  if (volume.target !== undefined) result.target = cleanPath(volume.target);
  if (volume.read_only === true) result.read_only = true;
  if (volume.bind !== undefined) result.bind = dictOf(Object.entries(volume.bind));
  if (volume.volume !== undefined) result.volume = dictOf(Object.entries(volume.volume));
  return result;
}

/** Removes `.`, `..`, doubled and trailing slashes, as Go's path.Clean does. */
export function cleanPath(path: string): string {
  if (path === '') return '';
  const isAbsolute = path.startsWith('/');
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== '..') parts.pop();
    else if (!isAbsolute) parts.push('..');
  }
  const joined = parts.join('/');
  if (isAbsolute) return `/${joined}`;
  return joined === '' ? '.' : joined;
}

function convertDevice(value: Value, path: KeyPath, scope: Scope): Value {
  if (isDict(value)) return value;
  if (typeof value !== 'string') throw invalid(path, value);
  const parts = value.split(':');
  let [source = '', target = '', permissions = 'rwm'] = parts;
  if (parts.length > 3) {
    if (!scope.isRaw) {
      throw new FaultAt(
        'E_COMPOSE_PARSE',
        path,
        `confusing device mapping, please use long syntax: ${value}`,
      );
    }
    [source, target, permissions] = ['', '', 'rwm'];
  }
  return dictOf([
    ['source', source],
    ['target', target === '' ? source : target],
    ['permissions', permissions],
  ]);
}

function convertPorts(value: Value, path: KeyPath, scope: Scope): Value {
  if (!Array.isArray(value)) throw invalid(path, value);
  const ports: Value[] = [];
  for (const [index, entry] of value.entries()) {
    if (isDict(entry)) ports.push(entry);
    else if (isInteger(entry)) ports.push(...portDicts(String(entry), scope));
    else if (typeof entry !== 'string') throw invalid(path, entry);
    else {
      try {
        ports.push(...portDicts(entry, scope));
      } catch (error) {
        if (error instanceof TscError && error.code === 'E_COMPOSE_TOO_LARGE') throw error;
        if (scope.isRaw && error instanceof TscError) return value;
        throw placed(error, [...path, index]);
      }
    }
  }
  return ports;
}

function portDicts(spec: string, { context }: Scope): Dict[] {
  return parsePort(spec, (count) => context.countPorts(count)).map((port) =>
    // Port 0 is no port: it counts as left out, which is refused later.
    dictOf(Object.entries(port).filter(([key, value]) => key !== 'target' || value !== 0)),
  );
}

/** `external: {name: x}` is the old way to write `external: true` and `name: x`. */
function convertExternal(value: Value, path: KeyPath, scope: Scope): Value {
  if (value === null) return null;
  if (!isDict(value)) throw invalid(path, value);
  convertMembers(value, path, scope);
  const { external } = value;
  if (!isDict(external)) return value;
  value.external = true;
  const oldName = external.name;
  if (oldName === undefined) return value;
  scope.context.warn(
    `${showPath(path)}: external.name is deprecated. Please set name and external: true`,
  );
  if (value.name !== undefined && !sameValue(value.name, oldName)) {
    throw new FaultAt(
      'E_COMPOSE_CONSISTENCY',
      path,
      `${showPath(path)}: name and external.name conflict; only use name`,
    );
  }
  value.name ??= oldName;
  return value;
}

function convertInclude(value: Value, path: KeyPath): Value {
  if (typeof value === 'string') return dictOf([['path', value]]);
  if (isDict(value)) return value;
  throw invalid(path, value);
}
