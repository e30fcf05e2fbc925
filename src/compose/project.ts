/**
 * From the merged dictionary to the project: decodes every resource, sets services aside whose
 * profile is off, reads env and label files, keeps the selected services and what they need.
 */
import { TscError } from '../lib/errors.ts';
import type { FileObject, Json, Network, Project, Service, Volume } from '../model/project.ts';
import { decodeText, type Environment, type LoadContext } from './context.ts';
import type { Decoder } from './decode.ts';
import { objectOf, toJson } from './decode.ts';
import { parseEnvFile, parseRawEnvFile, type Variables } from './env-file.ts';
import { lookupIn, secretValueKey } from './environment.ts';
import {
  decodeFileObject,
  decodeModel,
  decodeNetwork,
  decodeService,
  decodeVolume,
} from './shapes.ts';
import { type Dict, entriesOf, isDict, newDict, type Value } from './value.ts';

export type Services = Readonly<Record<string, Service>>;

/** A project together with the services that no active profile enables. */
export interface ProjectState {
  readonly project: Project;
  readonly disabled: Services;
  readonly profiles: readonly string[];
  /** Values of secrets taken from the environment, by name of the secret. */
  readonly secretValues: ReadonlyMap<string, string>;
}

export interface EnvFile {
  readonly path?: string;
  readonly required: boolean;
  readonly format?: string;
}

export function decodeProject(dict: Dict, name: string, context: LoadContext): ProjectState {
  const section = (key: string, decode: Decoder): Record<string, Json> | undefined =>
    decodeSection(dict[key], key, decode, context);
  const secretValues = new Map<string, string>();
  for (const [key, secret] of entriesOf(isDict(dict.secrets) ? dict.secrets : newDict())) {
    const value = isDict(secret) ? secret[secretValueKey] : undefined;
    if (typeof value === 'string') secretValues.set(key, value);
  }
  const parts: Record<string, Json | undefined> = {
    services: section('services', decodeService) ?? {},
    networks: section('networks', decodeNetwork),
    volumes: section('volumes', decodeVolume),
    secrets: section('secrets', decodeFileObject),
    configs: section('configs', decodeFileObject),
    models: section('models', decodeModel),
  };
  const extensions = entriesOf(dict)
    .filter(([key]) => key.startsWith('x-'))
    .map(([key, value]): [string, Json] => [key, toJson(value)]);
  const present = Object.entries(parts).filter(
    (entry): entry is [string, Json] => entry[1] !== undefined,
  );
  // The decoders build exactly the shapes that the model declares; the conformance cases prove it.
  const project = { name, ...objectOf([...present, ...extensions]) } as unknown as Project;
  return { project, disabled: {}, profiles: [], secretValues };
}

function decodeSection(
  value: Value | undefined,
  key: string,
  decode: Decoder,
  context: LoadContext,
): Record<string, Json> | undefined {
  if (value === undefined || value === null) return undefined;
  if (!isDict(value)) {
    throw context.error('E_COMPOSE_PARSE', `${key} must be a mapping`, [key]);
  }
  const decoded: [string, Json][] = [];
  for (const [name, resource] of entriesOf(value)) {
    const scope = { path: [key, name], warn: (message: string) => context.warn(message) };
    decoded.push([name, decode(resource ?? newDict(), scope)]);
  }
  // objectOf returns an object of JSON values; none of them is undefined.
  return objectOf(decoded) as Record<string, Json>;
}

/** Whether a service takes part when these profiles are active. */
function isEnabled(service: Service, profiles: readonly string[]): boolean {
  const own = service.profiles ?? [];
  return own.length === 0 || profiles.includes('*') || own.some((name) => profiles.includes(name));
}

export function withProfiles(state: ProjectState, profiles: readonly string[]): ProjectState {
  const enabled: Record<string, Service> = {};
  const disabled: Record<string, Service> = {};
  for (const [name, service] of Object.entries({ ...state.project.services, ...state.disabled })) {
    (isEnabled(service, profiles) ? enabled : disabled)[name] = service;
  }
  return { ...state, project: { ...state.project, services: enabled }, disabled, profiles };
}

/** Enables services asked for by name, and with them everything in their profiles. */
export function withServicesEnabled(state: ProjectState, names: readonly string[]): ProjectState {
  if (names.length === 0) return state;
  const profiles = names.flatMap((name) =>
    state.project.services[name] === undefined ? (state.disabled[name]?.profiles ?? []) : [],
  );
  return withProfiles(state, [...state.profiles, ...profiles]);
}

/** Keeps the named services and those that they depend on. Names may be glob patterns. */
export function withSelectedServices(state: ProjectState, names: readonly string[]): ProjectState {
  if (names.length === 0) return state;
  const { services } = state.project;
  const kept = new Set<string>();
  const visit = (pattern: string, isRequired: boolean): void => {
    const found = Object.keys(services).filter((name) => matchesGlob(pattern, name));
    if (found.length === 0 && isRequired) {
      throw new TscError('E_COMPOSE_CONSISTENCY', `no such service: ${pattern}`);
    }
    for (const name of found) {
      if (kept.has(name)) continue;
      kept.add(name);
      for (const [other, dependency] of Object.entries(services[name]?.depends_on ?? {})) {
        visit(other, dependency.required !== false);
      }
    }
  };
  for (const name of names) visit(name, true);
  const selected: Record<string, Service> = {};
  for (const [name, service] of Object.entries(services)) {
    if (kept.has(name)) selected[name] = withDependenciesIn(service, kept);
  }
  return { ...state, project: { ...state.project, services: selected } };
}

function withDependenciesIn(service: Service, kept: ReadonlySet<string>): Service {
  const { depends_on: dependencies, ...rest } = service;
  const inside = Object.entries(dependencies ?? {}).filter(([name]) => kept.has(name));
  if (inside.length === 0) return rest;
  return { ...service, depends_on: Object.fromEntries(inside) };
}

/** The patterns of Go's path.Match: `*`, `?` and `[a-z]`. */
function matchesGlob(pattern: string, name: string): boolean {
  if (!/[*?[\\]/.test(pattern)) return pattern === name;
  const source = pattern
    .replace(/[.+^${}()|]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${source}$`).test(name);
}

/** `scale` and `deploy.replicas` say the same; where there is a `deploy`, both are given. */
export function withScaleAsReplicas(state: ProjectState): ProjectState {
  const services = Object.entries(state.project.services).map(([name, service]) => {
    const { scale, deploy } = service;
    if (scale === undefined || deploy === undefined) return [name, service] as const;
    return [name, { ...service, deploy: { ...deploy, replicas: scale } }] as const;
  });
  return { ...state, project: { ...state.project, services: Object.fromEntries(services) } };
}

/** Drops networks, volumes, secrets, configs and models that no enabled service uses. */
export function withoutUnusedResources(state: ProjectState): ProjectState {
  const used = usedNames(Object.values(state.project.services));
  const { networks, volumes, secrets, configs, models, ...rest } = state.project;
  // Only the members named above are replaced; what is left is a project without resources.
  const project = rest as Project;
  return {
    ...state,
    project: {
      ...project,
      ...pick<Network>('networks', networks, used.networks),
      ...pick<Volume>('volumes', volumes, used.volumes),
      ...pick<FileObject>('secrets', secrets, used.secrets),
      ...pick<FileObject>('configs', configs, used.configs),
      ...pick<Json | undefined>('models', models, used.models),
    },
  };
}

function pick<T>(
  key: string,
  resources: Readonly<Record<string, T>> | undefined,
  names: ReadonlySet<string>,
): Record<string, Record<string, T>> {
  const kept = Object.entries(resources ?? {}).filter(([name]) => names.has(name));
  return kept.length === 0 ? {} : { [key]: Object.fromEntries(kept) };
}

function usedNames(
  services: readonly Service[],
): Record<'networks' | 'volumes' | 'secrets' | 'configs' | 'models', Set<string>> {
  const used = {
    networks: new Set<string>(),
    volumes: new Set<string>(),
    secrets: new Set<string>(),
    configs: new Set<string>(),
    models: new Set<string>(),
  };
  for (const service of services) {
    for (const name of Object.keys(service.networks ?? {})) used.networks.add(name);
    for (const volume of service.volumes ?? []) {
      if (volume.type === 'volume' && volume.source !== undefined) used.volumes.add(volume.source);
    }
    for (const reference of [...(service.secrets ?? []), ...buildSecrets(service)]) {
      used.secrets.add(reference.source);
    }
    for (const reference of service.configs ?? []) used.configs.add(reference.source);
    for (const name of Object.keys(modelsOf(service))) used.models.add(name);
  }
  return used;
}

export function modelsOf(service: Service): Readonly<Record<string, unknown>> {
  const { models } = service;
  // Decoded by shapes.ts: a mapping if it is there at all.
  return typeof models === 'object' && models !== null ? (models as Record<string, unknown>) : {};
}

export function buildSecrets(service: Service): readonly { readonly source: string }[] {
  const secrets = service.build?.secrets;
  // Decoded by shapes.ts as a list of file references.
  return Array.isArray(secrets) ? (secrets as { readonly source: string }[]) : [];
}

export function envFilesOf(service: Service): readonly EnvFile[] {
  const files = service.env_file;
  // Decoded by shapes.ts as a list of env files.
  return Array.isArray(files) ? (files as EnvFile[]) : [];
}

/** Reads the env files of the enabled services into their environment, and forgets the files. */
export function withEnvironmentResolved(
  state: ProjectState,
  environment: Environment,
  context: LoadContext,
): ProjectState {
  const services: Record<string, Service> = {};
  for (const [name, service] of Object.entries(state.project.services)) {
    const { env_file: _files, environment: _own, ...rest } = service;
    const resolved = context.blaming(['services', name, 'env_file'], () =>
      readServiceEnvironment(service, environment, context),
    );
    services[name] = Object.keys(resolved).length === 0 ? rest : { ...rest, environment: resolved };
  }
  return { ...state, project: { ...state.project, services } };
}

function readServiceEnvironment(
  service: Service,
  environment: Environment,
  context: LoadContext,
): Record<string, string | null> {
  const find = lookupIn(environment);
  const own = new Map<string, string | null>();
  for (const [key, value] of Object.entries(service.environment ?? {})) {
    own.set(key, value ?? find(key) ?? null);
  }
  const read: Variables = new Map();
  for (const [key, value] of own) if (value !== null) read.set(key, value);
  for (const file of envFilesOf(service)) {
    readMappingFile(file, read, (key) => find(key) ?? own.get(key) ?? undefined, context);
  }
  const merged: Record<string, string | null> = {
    ...Object.fromEntries(read),
    ...Object.fromEntries(own),
  };
  return merged;
}

function readMappingFile(
  file: EnvFile,
  into: Variables,
  lookup: (key: string) => string | undefined,
  context: LoadContext,
): void {
  const path = context.absolute(file.path ?? '');
  const isDirectory = context.reader.isDirectory(path);
  const bytes = isDirectory ? undefined : context.reader.readFile(path);
  if (bytes === undefined) {
    if (!file.required && !isDirectory) return;
    throw new TscError(
      'E_COMPOSE_FILE_MISSING',
      isDirectory
        ? `failed to read ${path}: is a directory`
        : `env file ${path} not found: no such file or directory`,
    );
  }
  const text = decodeText(path, bytes);
  if (file.format === 'raw') parseRawEnvFile(path, text, into, lookup);
  else if (file.format === undefined || file.format === '.env') {
    parseEnvFile(path, text, into, lookup, (message) => context.warn(message));
  } else {
    throw new TscError(
      'E_COMPOSE_PARSE',
      `unsupported env_file format ${JSON.stringify(file.format)}`,
    );
  }
}

/** Reads label files into the labels of the enabled services; labels written out win. */
export function withLabelsResolved(state: ProjectState, context: LoadContext): ProjectState {
  const services: Record<string, Service> = {};
  for (const [name, service] of Object.entries(state.project.services)) {
    const files = Array.isArray(service.label_file) ? service.label_file.map(String) : [];
    const { label_file: _files, ...rest } = service;
    if (files.length === 0) {
      services[name] = rest;
      continue;
    }
    const labels: Variables = new Map();
    for (const path of files) {
      const read: Variables = new Map();
      context.blaming(['services', name, 'label_file'], () =>
        readMappingFile({ path, required: true }, read, (key) => labels.get(key), context),
      );
      for (const [key, value] of read) labels.set(key, value);
    }
    const merged = { ...Object.fromEntries(labels), ...service.labels };
    services[name] = Object.keys(merged).length === 0 ? rest : { ...rest, labels: merged };
  }
  return { ...state, project: { ...state.project, services } };
}
