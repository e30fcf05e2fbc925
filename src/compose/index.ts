/**
 * The Compose loader: text of Compose files -> Project. It answers as `docker compose config` does
 * for the same files, variables and flags, and names file, line and column of what is wrong.
 * Touches no disk and no clock: files are read through the reader that is passed in.
 */
import { TscError } from '../lib/errors.ts';
import type { Json, Project } from '../model/project.ts';
import { checkConsistency, checkContainerNames } from './consistency.ts';
import { type Environment, LoadContext, type Positions, type ProjectReader } from './context.ts';
import { objectOf, toJson } from './decode.ts';
import { type Discovery, discover } from './discover.ts';
import { Loader } from './load-model.ts';
import { normalise } from './normalise.ts';
import {
  decodeProject,
  type ProjectState,
  type Services,
  withEnvironmentResolved,
  withLabelsResolved,
  withoutUnusedResources,
  withProfiles,
  withScaleAsReplicas,
  withSelectedServices,
  withServicesEnabled,
} from './project.ts';
import { findProjectName, requireNormalName } from './project-name.ts';
import { type TemplateVariable, variablesOf } from './template.ts';
import { hasIdentity } from './unicity.ts';
import { type Dict, entriesOf, isDict, type KeyPath, type Value } from './value.ts';

export { carriedOut } from './carry-out.ts';
export type {
  ComposeFile,
  IncludedFile,
  ServiceAdditions,
  ServiceHook,
} from './compose-file.ts';
export type { Environment, Positions, ProjectReader } from './context.ts';
export { imageName, modelYaml, projectJson, projectYaml, serviceHash } from './output.ts';
export type { Services } from './project.ts';
export { checkSupport, type KeyVerdict } from './support.ts';
export type { KeyPath } from './value.ts';

export interface LoadOptions {
  /** Absolute; what relative paths on the command line refer to. */
  readonly cwd: string;
  /** `-f`, in order; none to search for a default name. */
  readonly files?: readonly string[];
  /** `-p` */
  readonly projectName?: string;
  /** `--project-directory` */
  readonly projectDirectory?: string;
  /** `--profile` */
  readonly profiles?: readonly string[];
  /** `--env-file` */
  readonly envFiles?: readonly string[];
  /** The process environment. */
  readonly environment: Environment;
  /** Only these services and what they depend on; none for all. */
  readonly services?: readonly string[];
  readonly skipInterpolation?: boolean;
  readonly skipNormalisation?: boolean;
  readonly skipConsistency?: boolean;
  readonly skipPathResolution?: boolean;
  /** Leaves env files unread, and listed in the project. */
  readonly skipEnvResolution?: boolean;
  /** Reads the env files of all enabled services, also of those not selected, as `config` does. */
  readonly readsAllEnvFiles?: boolean;
  /** Keeps networks, volumes, secrets and configs that no enabled service uses. */
  readonly keepsUnused?: boolean;
}

export interface LoadResult {
  readonly project: Project;
  /** Each distinct warning once, in order. */
  readonly warnings: readonly string[];
  /** Absolute paths, or `-`. */
  readonly composeFiles: readonly string[];
  readonly workingDir: string;
  /** What interpolation saw: environment, env files, COMPOSE_PROJECT_NAME. */
  readonly environment: Environment;
  /** Services that no active profile enables. */
  readonly disabledServices: Services;
  /** Values of secrets taken from the environment, by secret. Never print these. */
  readonly secretValues: ReadonlyMap<string, string>;
  /** Where a key of the project stands in its files. */
  readonly positions: Positions;
}

/** The merged model before it becomes a project, as `config --no-interpolate` prints it. */
export interface ModelResult {
  readonly model: Json;
  readonly variables: ReadonlyMap<string, TemplateVariable>;
  readonly warnings: readonly string[];
}

interface Loaded {
  readonly dict: Dict;
  readonly name: string;
  readonly discovery: Discovery;
  readonly environment: Environment;
}

/**
 * Loads a project.
 * @throws TscError with a code E_COMPOSE_…, and where possible the place in the file
 */
export function loadProject(options: LoadOptions, reader: ProjectReader): LoadResult {
  const context = contextOf(options, reader);
  return context.placing(() => bind(options, context));
}

function bind(options: LoadOptions, context: LoadContext): LoadResult {
  const { dict, name, discovery, environment } = loadDict(options, context);
  const services = options.services ?? [];
  let state = withProfiles(decodeProject(dict, name, context), discovery.profiles);
  if (options.skipConsistency !== true) {
    checkConsistency(state, context);
    state = withScaleAsReplicas(state);
  }
  const resolves = options.skipEnvResolution !== true;
  const resolveEarly = resolves && options.readsAllEnvFiles === true;
  if (resolveEarly) state = withEnvironmentResolved(state, environment, context);
  state = withLabelsResolved(state, context);
  state = select(state, services);
  if (options.keepsUnused !== true) state = withoutUnusedResources(state);
  if (resolves) state = withEnvironmentResolved(state, environment, context);
  if (options.skipConsistency !== true) checkContainerNames(state.project, context);
  return {
    project: state.project,
    warnings: context.warnings,
    composeFiles: discovery.files,
    workingDir: discovery.workingDir,
    environment,
    disabledServices: state.disabled,
    secretValues: state.secretValues,
    positions: context,
  };
}

/** Loads and merges the files, but binds nothing: variables may still stand in the result. */
export function loadModel(options: LoadOptions, reader: ProjectReader): ModelResult {
  const context = contextOf(options, reader);
  // The raw model is not filled with values, so it is loaded as if no variable were set.
  const { dict } = context.placing(() => loadDict(options, context, 'names only'));
  const variables = new Map<string, TemplateVariable>();
  collectVariables(dict, variables);
  return { model: modelJson(dict, []), variables, warnings: context.warnings };
}

/** The model as JSON; lists that are empty and have no meaning of their own become null. */
function modelJson(value: Value, path: KeyPath): Json {
  if (Array.isArray(value)) {
    if (value.length === 0 && !hasIdentity(path)) return null;
    return value.map((item, index) => modelJson(item, [...path, index]));
  }
  if (!isDict(value)) return toJson(value);
  return objectOf(entriesOf(value).map(([key, item]) => [key, modelJson(item, [...path, key])]));
}

function contextOf(options: LoadOptions, reader: ProjectReader): LoadContext {
  return new LoadContext(reader, options.cwd, options.environment.HOME);
}

function select(state: ProjectState, services: readonly string[]): ProjectState {
  return withSelectedServices(withServicesEnabled(state, services), services);
}

function loadDict(
  options: LoadOptions,
  context: LoadContext,
  sight: 'everything' | 'names only' = 'everything',
): Loaded {
  if (options.projectName !== undefined) requireNormalName(options.projectName);
  const discovery = discover(
    {
      files: options.files ?? [],
      projectDirectory: options.projectDirectory,
      envFiles: options.envFiles ?? [],
      profiles: options.profiles ?? [],
      environment: options.environment,
    },
    context,
  );
  const normalises = options.skipNormalisation !== true;
  const interpolates = options.skipInterpolation !== true;
  const name = findProjectName(
    {
      given: options.projectName,
      environment: discovery.environment,
      workingDir: discovery.workingDir,
      texts: discovery.files.map((file) => context.readText(file)),
      interpolates,
      normalises,
    },
    context,
  );
  const seen = sight === 'everything' ? discovery.environment : {};
  const environment = { ...seen, COMPOSE_PROJECT_NAME: name };
  const loader = new Loader(
    context,
    { interpolates, resolvesPaths: options.skipPathResolution !== true },
    {
      directory: discovery.workingDir,
      workingDir: discovery.workingDir,
      files: discovery.files,
      environment,
    },
  );
  const dict = loader.load();
  if (Object.keys(dict).length === 0) {
    throw new TscError('E_COMPOSE_CONSISTENCY', 'empty compose file', {
      where: { file: discovery.files[0] ?? '-' },
    });
  }
  if (name === '') {
    throw new TscError('E_COMPOSE_CONSISTENCY', 'project name must not be empty', {
      hint: 'use --project-name',
    });
  }
  if (normalises) {
    dict.name = name;
    normalise(dict, environment);
  }
  return { dict, name, discovery, environment };
}

function collectVariables(value: Value, into: Map<string, TemplateVariable>): void {
  if (typeof value === 'string') {
    for (const variable of variablesOf(value)) into.set(variable.Name, variable);
  } else if (Array.isArray(value)) {
    for (const item of value) collectVariables(item, into);
  } else if (isDict(value)) {
    for (const item of Object.values(value)) if (item !== undefined) collectVariables(item, into);
  }
}
