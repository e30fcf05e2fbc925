/**
 * `include`: other Compose projects whose resources become part of this one. Each is loaded by
 * itself with its own directory and `.env`, where its paths are resolved; then its services,
 * networks and so on are added. The same name on both sides must mean the same, else it is an error.
 */
import { posix } from 'node:path';
import { TscError } from '../lib/errors.ts';
import type { Environment, LoadContext } from './context.ts';
import { mergeEnvironment, readEnvFiles } from './environment.ts';
import type { Loader } from './load-model.ts';
import { isRemoteResource, joinPath } from './resolve-paths.ts';
import {
  type Dict,
  entriesOf,
  isDict,
  newDict,
  printValue,
  sameValue,
  type Value,
} from './value.ts';

const kinds = ['services', 'volumes', 'networks', 'secrets', 'configs', 'models'] as const;

interface IncludeEntry {
  readonly paths: readonly string[];
  readonly directory: string;
  readonly envFiles: readonly string[];
}

/** Loads what a document includes and adds it. Changes the dictionary. */
export function applyInclude(
  dict: Dict,
  loader: Loader,
  environment: Environment,
  included: readonly string[],
): void {
  for (const [index, entry] of readEntries(dict.include ?? null).entries()) {
    const imported = loader.context.blaming(['include', index], () =>
      loadEntry(entry, loader, environment, included),
    );
    importResources(imported, dict);
  }
  delete dict.include;
}

function readEntries(value: Value): IncludeEntry[] {
  if (value === null) return [];
  if (!Array.isArray(value)) {
    throw new TscError(
      'E_COMPOSE_SYNTAX',
      `\`include\` must be a list, got ${printValue(value)}; this is unsupported`,
    );
  }
  return value.map((item) => {
    if (typeof item === 'string') return { paths: [item], directory: '', envFiles: [] };
    if (!isDict(item)) {
      throw new TscError('E_COMPOSE_PARSE', `invalid include ${printValue(item)}`);
    }
    return {
      paths: toTexts(item.path),
      directory: typeof item.project_directory === 'string' ? item.project_directory : '',
      envFiles: toTexts(item.env_file),
    };
  });
}

function toTexts(value: Value | undefined): string[] {
  if (value === undefined || value === null) return [];
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) {
    return value.map((item) => {
      if (typeof item === 'string') return item;
      throw new TscError('E_COMPOSE_PARSE', `invalid type for string list: ${printValue(item)}`);
    });
  }
  throw new TscError('E_COMPOSE_PARSE', `invalid type for string list: ${printValue(value)}`);
}

function loadEntry(
  entry: IncludeEntry,
  loader: Loader,
  environment: Environment,
  included: readonly string[],
): Dict {
  const files = entry.paths.map((path) => {
    if (isRemoteResource(path)) {
      throw new TscError('E_COMPOSE_FILE_MISSING', `cannot include ${path}: is missing`, {
        hint: 'files in Git repositories and registries are not fetched: copy the file',
      });
    }
    return loader.localPath(path);
  });
  const [main] = files;
  if (main === undefined) {
    return loader.included(
      { directory: entry.directory, workingDir: '', files, environment },
      included,
    );
  }
  if (included.includes(main)) {
    const [first, ...others] = [...included, main];
    throw new TscError(
      'E_COMPOSE_CYCLE',
      `include cycle detected:\n${first}\n include ${others.join('\n include ')}`,
    );
  }
  const { directory, workingDir } = placeOf(entry, main, loader);
  const envFiles = findEnvFiles(entry, directory, loader);
  const { context } = loader;
  const own = readEnvFiles(envFiles, environment, context);
  return loader.included(
    { directory, workingDir, files, environment: mergeEnvironment(environment, own) },
    included,
  );
}

/** The directory that paths of the included project refer to, absolute and as seen from here. */
function placeOf(
  entry: IncludeEntry,
  main: string,
  loader: Loader,
): { directory: string; workingDir: string } {
  if (entry.directory === '') {
    return { directory: posix.dirname(main), workingDir: loader.relativeDirectory(main) };
  }
  if (entry.directory.startsWith('/')) {
    return { directory: entry.directory, workingDir: entry.directory };
  }
  return {
    directory: joinPath(loader.workingDir, entry.directory),
    workingDir: loader.relativeDirectory(entry.directory),
  };
}

function findEnvFiles(entry: IncludeEntry, directory: string, loader: Loader): readonly string[] {
  const { context } = loader;
  if (entry.envFiles.length === 0) {
    const path = posix.join(directory, '.env');
    return isFile(context, path) ? [path] : [];
  }
  return entry.envFiles.map((file) => {
    if (file.startsWith('/')) return file;
    const path = joinPath(loader.workingDir, file);
    if (context.reader.isDirectory(context.absolute(path))) {
      throw new TscError('E_COMPOSE_FILE_MISSING', `${path} is not a file: it is a directory`);
    }
    if (!isFile(context, path)) {
      throw new TscError('E_COMPOSE_FILE_MISSING', `stat ${path}: no such file or directory`);
    }
    return path;
  });
}

function isFile(context: LoadContext, path: string): boolean {
  const absolute = context.absolute(path);
  return !context.reader.isDirectory(absolute) && context.reader.readFile(absolute) !== undefined;
}

function importResources(from: Dict, to: Dict): void {
  for (const kind of kinds) {
    const source = from[kind];
    if (!isDict(source)) continue;
    const target = to[kind] ?? newDict();
    if (!isDict(target)) throw new TscError('E_COMPOSE_SYNTAX', `${kind} must be a mapping`);
    for (const [name, resource] of entriesOf(source)) {
      const existing = target[name];
      if (existing === undefined) target[name] = resource;
      else if (!sameValue(existing, resource)) {
        throw new TscError(
          'E_COMPOSE_CONSISTENCY',
          `${kind}.${name} conflicts with imported resource`,
          {
            hint: 'rename one of them, or change the imported one in a list of paths under include',
          },
        );
      }
    }
    to[kind] = target;
  }
}
