/**
 * The name of a project: `-p`, else COMPOSE_PROJECT_NAME, else `name:` of the last file that has
 * one, else the directory. The first two must be normal already, the others are made so.
 */
import { posix } from 'node:path';
import { type Document, isMap, isScalar } from 'yaml';
import { TscError } from '../lib/errors.ts';
import { type Environment, LoadContext } from './context.ts';
import { lookupIn } from './environment.ts';
import { replaceVariables } from './interpolate.ts';

/** Small letters, digits, `_` and `-`, starting with a letter or a digit. */
export function normaliseName(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '')
    .replace(/^[_-]+/, '');
}

function invalidName(name: string): TscError {
  return new TscError(
    'E_COMPOSE_CONSISTENCY',
    `invalid project name ${JSON.stringify(name)}: must consist only of lowercase alphanumeric characters, hyphens, and underscores as well as start with a letter or number`,
  );
}

/** @throws when a name given by hand is not normal */
export function requireNormalName(name: string): string {
  if (normaliseName(name) !== name) throw invalidName(name);
  return name;
}

export interface NameOptions {
  readonly given: string | undefined;
  readonly environment: Environment;
  readonly workingDir: string;
  readonly texts: readonly string[];
  readonly interpolates: boolean;
  readonly normalises: boolean;
}

/** @returns the name, possibly empty */
export function findProjectName(options: NameOptions, context: LoadContext): string {
  const imposed = options.given || options.environment.COMPOSE_PROJECT_NAME;
  if (imposed) return requireNormalName(imposed);
  const declared = options.texts.map((text) => declaredNames(text, context));
  const written = declared.flat().findLast((name) => name !== '') ?? '';
  const lookup = lookupIn(options.environment);
  const interpolated = options.interpolates
    ? replaceVariables(written, ['name'], lookup, context)
    : written;
  const name = options.normalises ? normaliseName(interpolated) : interpolated;
  if (name !== '') return name;
  // A file that has a name, however unusable, does not fall back to its directory.
  const hasName = declared.some(([first]) => first !== undefined && first !== '');
  return hasName ? '' : normaliseName(directoryName(options.workingDir, context));
}

function directoryName(directory: string, context: LoadContext): string {
  const name = posix.basename(directory);
  const real = context.reader.realPath?.(directory);
  if (real !== undefined && posix.basename(real) !== name) {
    context.warn(
      `project has been loaded without an explicit name from a symlink. Using name ${JSON.stringify(name)}`,
    );
  }
  return name;
}

/**
 * The `name:` of each document of a file, as far as the file can be read. Nothing is reported
 * here: what is wrong with the file is found when it is loaded.
 */
function declaredNames(text: string, context: LoadContext): string[] {
  if (!/(^|[\n{,"' ])name["']?[ \t]*:/.test(text)) return [];
  let documents: readonly Document[] = [];
  try {
    ({ documents } = context.parse(text));
  } catch (error) {
    if (!(error instanceof TscError)) throw error;
  }
  const names: string[] = [];
  for (const document of documents) {
    if (document.errors.length > 0) break;
    const root = document.contents;
    const pair = isMap(root)
      ? root.items.find((item) => isScalar(item.key) && item.key.value === 'name')
      : undefined;
    const value = pair?.value;
    names.push(isScalar(value) && typeof value.value === 'string' ? value.value : '');
  }
  return names;
}
