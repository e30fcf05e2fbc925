/**
 * How a project is shown: the JSON of `config --format json`, the configuration hash of a service,
 * the names of its images. A service's extensions are kept in the project but not shown in JSON, as
 * the reference does.
 */
import { Document, visit } from 'yaml';
import type { Json, Project, Service } from '../model/project.ts';
import { objectOf } from './decode.ts';
import { resolvePlain } from './go-scalar.ts';
import { serviceFields } from './shapes.ts';
import { compareText } from './value.ts';

/** Keys under which the names are the user's own, so that `x-…` there is no extension. */
const freeMaps: ReadonlySet<string> = new Set(
  'annotations args additional_contexts aux_addresses driver_opts environment labels log_opt options storage_opt sysctls ulimits'.split(
    ' ',
  ),
);

/** Keys of a service under which the names are those of other services or resources. */
const namedMaps = new Set(['depends_on', 'networks', 'models']);

/** What `config --format json` prints. */
export function projectJson(project: Project): Json {
  const shown: [string, Json][] = [
    ['name', project.name],
    ['services', members(project.services)],
  ];
  for (const key of ['networks', 'volumes', 'secrets', 'configs'] as const) {
    const resources = project[key];
    if (resources === undefined || Object.keys(resources).length === 0) continue;
    shown.push([
      key,
      key === 'configs' ? hideResolvedContent(members(resources)) : members(resources),
    ]);
  }
  for (const [key, value] of Object.entries(project)) {
    if (key.startsWith('x-')) shown.push([key, emptyListsAsNull(toJsonValue(value))]);
  }
  return objectOf(shown);
}

function members(resources: object): Json {
  return objectOf(
    Object.entries(resources).map(([name, resource]) => [name, withoutExtensions(resource)]),
  );
}

/** What `config` prints as YAML: a Compose file again, extensions and all, nothing implied. */
export function projectYaml(project: Project): string {
  const { name, services, configs, models, ...rest } = project;
  const value = objectOf([
    ['name', name],
    ['services', compact(toJsonValue(services))],
    ...Object.entries(rest).map(([key, part]): [string, Json] => [key, compact(toJsonValue(part))]),
    ...(configs === undefined
      ? []
      : [['configs', compact(hideResolvedContent(toJsonValue(configs)))] as const]),
    ...(models === undefined ? [] : [['models', models] as const]),
  ]);
  return modelYaml(value);
}

/** Any part of a project as YAML that reads back as the same values. */
export function modelYaml(value: Json): string {
  const document = new Document(value, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar: (_key, scalar) => {
      // Text that a Compose file would read as something else, also one of YAML 1.1.
      if (typeof scalar.value === 'string' && needsQuotes(scalar.value)) {
        scalar.type = 'QUOTE_DOUBLE';
      }
    },
  });
  return document.toString({ lineWidth: 0 });
}

function needsQuotes(text: string): boolean {
  return resolvePlain(text).kind !== 'str' || /^(y|n|yes|no|on|off)$/i.test(text);
}

/** Leaves out what says nothing: a command of null, an empty `deploy.resources`. */
function compact(value: Json): Json {
  if (Array.isArray(value)) return value.map(compact);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).flatMap(([key, item]): [string, Json][] => {
    if (item === undefined || (item === null && impliedNulls.has(key))) return [];
    const isOpaque = freeMaps.has(key) || key.startsWith('x-');
    const shown = key === 'ulimits' ? spelledUlimits(item) : isOpaque ? item : compact(item);
    if (impliedMappings.has(key) && isObject(shown) && Object.keys(shown).length === 0) return [];
    return [[blockDeviceKeys.get(key) ?? key, shown]];
  });
  return objectOf(entries);
}

/** A limit of 0 is left out in JSON, but `{}` would be no limit in a Compose file. */
function spelledUlimits(ulimits: Json): Json {
  return objectOf(
    Object.entries(ulimits ?? {}).map(([name, limit]): [string, Json] => [
      name,
      isObject(limit) ? { soft: 0, hard: 0, ...limit } : limit,
    ]),
  );
}

/** In JSON the reference prints these with capitals; a Compose file must not have them. */
const blockDeviceKeys: ReadonlyMap<string, string> = new Map([
  ['Path', 'path'],
  ['Rate', 'rate'],
  ['Weight', 'weight'],
]);

const impliedNulls: ReadonlySet<string> = new Set(['command', 'entrypoint']);
const impliedMappings: ReadonlySet<string> = new Set(['resources', 'placement', 'ipam', 'exec']);

/** The reference forgets empty lists where it knows nothing about their meaning. */
export function emptyListsAsNull(value: Json): Json {
  if (Array.isArray(value)) return value.length === 0 ? null : value.map(emptyListsAsNull);
  if (typeof value !== 'object' || value === null) return value;
  return objectOf(
    Object.entries(value).map(([key, item]) => [key, emptyListsAsNull(item ?? null)]),
  );
}

/** Members of a project are JSON already; the model types just do not say so for open keys. */
function toJsonValue(value: unknown): Json {
  return value as Json;
}

function withoutExtensions(value: unknown): Json {
  if (Array.isArray(value)) return value.map(withoutExtensions);
  if (typeof value !== 'object' || value === null) return toJsonValue(value);
  return objectOf(
    Object.entries(value)
      .filter(([key, item]) => !key.startsWith('x-') && item !== undefined)
      .map(([key, item]) => {
        if (freeMaps.has(key)) return [key, toJsonValue(item)];
        return [
          key,
          namedMaps.has(key) && isObject(item) ? members(item) : withoutExtensions(item),
        ];
      }),
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Content that came from the environment is not shown, its source is. */
function hideResolvedContent(configs: Json): Json {
  return objectOf(
    Object.entries(configs ?? {}).map(([name, config]) => {
      const { content: _content, ...rest } = config;
      return [name, rest.environment === undefined ? config : rest];
    }),
  );
}

/**
 * The configuration hash of a service: two services with the same hash need not be recreated.
 * Byte for byte that of Docker Compose, whose label carries it.
 * @param sha256 as hexadecimal digits; given from outside, because loading node:crypto takes as long
 *   as loading a project
 */
export function serviceHash(service: Service, sha256: (text: string) => string): string {
  const { build: _b, pull_policy: _p, scale: _s, depends_on: _d, profiles: _f, ...rest } = service;
  const { deploy } = rest;
  const { replicas: _r, ...deployed } = deploy ?? {};
  const hashed = deploy === undefined ? rest : { ...rest, deploy: deployed };
  const shown = withoutExtensions(hashed);
  const ordered: Record<string, Json> = {};
  for (const key of Object.keys(serviceFields)) {
    const value = memberOf(shown, key);
    if (value !== undefined) ordered[key] = freeMaps.has(key) ? sortKeys(value) : value;
  }
  return sha256(goJson(ordered));
}

function memberOf(value: Json, key: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return (value as Record<string, Json | undefined>)[key];
}

function sortKeys(value: Json): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value as Record<string, Json>);
  return objectOf(entries.sort(([a], [b]) => compareText(a, b)));
}

/** JSON as Go's encoder writes it: no spaces, and characters that HTML cares about escaped. */
function goJson(value: Json): string {
  const unsafe = /[<>&\u2028\u2029]/g;
  return JSON.stringify(value).replace(
    unsafe,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The image a service runs, or the name that its build will get. */
export function imageName(service: Service, name: string, project: string): string {
  return service.image ?? `${project}-${name}`;
}
