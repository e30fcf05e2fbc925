/**
 * Finds out what to load: the files (`-f`, COMPOSE_FILE, or a default name here or in a parent
 * directory), the working directory, the variables (environment and `.env`) and the profiles.
 */
import { posix } from 'node:path';
import { TscError } from '../lib/errors.ts';
import type { Environment, LoadContext } from './context.ts';
import { mergeEnvironment, readEnvFiles } from './environment.ts';

const defaultNames = ['compose.yaml', 'compose.yml', 'docker-compose.yml', 'docker-compose.yaml'];
const overrideNames = [
  'compose.override.yml',
  'compose.override.yaml',
  'docker-compose.override.yml',
  'docker-compose.override.yaml',
];

export interface DiscoverOptions {
  readonly files: readonly string[];
  readonly projectDirectory: string | undefined;
  readonly envFiles: readonly string[];
  readonly profiles: readonly string[];
  readonly environment: Environment;
}

export interface Discovery {
  /** Absolute paths, or `-` for standard input. */
  readonly files: readonly string[];
  readonly workingDir: string;
  readonly environment: Environment;
  readonly profiles: readonly string[];
}

/** @throws E_COMPOSE_FILE_MISSING */
export function discover(options: DiscoverOptions, context: LoadContext): Discovery {
  const directory =
    options.projectDirectory === undefined || options.projectDirectory === ''
      ? undefined
      : context.absolute(options.projectDirectory);
  const named =
    options.envFiles.length > 0
      ? options.envFiles
      : (options.environment.COMPOSE_ENV_FILES ?? '').split(',').filter((file) => file !== '');
  const workingDirOf = (files: readonly string[]): string => {
    const first = files.find((file) => file !== '-');
    return (
      directory ?? (first === undefined ? context.cwd : posix.dirname(context.absolute(first)))
    );
  };

  let environment: Environment = { PWD: context.cwd, ...options.environment };
  let envFiles: readonly string[] = named;
  const loadDotEnv = (workingDir: string): void => {
    if (named.length === 0 && !isDotEnvDisabled(options.environment)) {
      const path = posix.join(workingDir, '.env');
      if (isPlainFile(path, context)) envFiles = [path];
    }
    environment = mergeEnvironment(environment, readEnvFiles(envFiles, environment, context));
  };

  loadDotEnv(workingDirOf(options.files));
  let files = options.files;
  if (files.length === 0) files = filesFromEnvironment(environment, context);
  if (files.length === 0) files = defaultFiles(workingDirOf([]), context);
  // The files may lie elsewhere than expected, with an env file of their own.
  loadDotEnv(workingDirOf(files));
  if (files.length === 0) {
    throw new TscError('E_COMPOSE_FILE_MISSING', 'no configuration file provided: not found', {
      hint: `looked for ${defaultNames.join(', ')} in ${workingDirOf([])} and its parents; use -f`,
    });
  }
  return {
    files: files.map((file) => (file === '-' ? file : context.absolute(file))),
    workingDir: workingDirOf(files),
    environment,
    profiles:
      options.profiles.length > 0
        ? options.profiles
        : (environment.COMPOSE_PROFILES ?? '').split(',').map((name) => name.trim()),
  };
}

function isDotEnvDisabled(environment: Environment): boolean {
  const value = environment.COMPOSE_DISABLE_ENV_FILE;
  if (value === undefined) return false;
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(value)) return false;
  throw new TscError(
    'E_COMPOSE_PARSE',
    `COMPOSE_DISABLE_ENV_FILE: parsing ${JSON.stringify(value)}: invalid syntax`,
  );
}

function isPlainFile(path: string, context: LoadContext): boolean {
  return !context.reader.isDirectory(path) && context.reader.readFile(path) !== undefined;
}

function exists(path: string, context: LoadContext): boolean {
  return context.reader.isDirectory(path) || context.reader.readFile(path) !== undefined;
}

function filesFromEnvironment(environment: Environment, context: LoadContext): string[] {
  const list = environment.COMPOSE_FILE;
  if (list === undefined) return [];
  return list.split(environment.COMPOSE_PATH_SEPARATOR || ':').map((file) => {
    if (file === '-') return file;
    const path = context.absolute(file);
    if (!exists(path, context)) {
      throw new TscError(
        'E_COMPOSE_FILE_MISSING',
        `stat ${path}: no such file or directory (named by COMPOSE_FILE)`,
      );
    }
    return path;
  });
}

/** The first default name, searched upwards, and its override. */
function defaultFiles(start: string, context: LoadContext): string[] {
  for (let directory = start; ; directory = posix.dirname(directory)) {
    const found = defaultNames
      .map((name) => posix.join(directory, name))
      .filter((path) => exists(path, context));
    const [main] = found;
    if (main !== undefined) {
      warnAboutChoice('config', found, context);
      const overrides = overrideNames
        .map((name) => posix.join(directory, name))
        .filter((path) => exists(path, context));
      warnAboutChoice('override', overrides, context);
      return [main, ...overrides.slice(0, 1)];
    }
    if (directory === '/') return [];
  }
}

function warnAboutChoice(kind: string, found: readonly string[], context: LoadContext): void {
  if (found.length < 2) return;
  context.warn(`Found multiple ${kind} files with supported names: ${found.join(', ')}`);
  context.warn(`Using ${found[0]}`);
}
