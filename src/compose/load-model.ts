/**
 * Loads the files of one project, and the files these include or extend, into one merged,
 * canonical dictionary. The order of steps is that of the reference implementation, and visible:
 * each document is interpolated, extended, merged and validated before the next one is read, so a
 * fault is reported against the file that brings it.
 */
import { posix } from 'node:path';
import { TscError } from '../lib/errors.ts';
import { toCanonical } from './canonical.ts';
import type { Environment, LoadContext } from './context.ts';
import { checkRules, setDefaults } from './defaults.ts';
import { lookupIn, resolveEnvironment } from './environment.ts';
import { applyExtends } from './extends.ts';
import { applyInclude } from './include.ts';
import { interpolate } from './interpolate.ts';
import { mergeProjects } from './merge.ts';
import { applyResets, type ResetPaths } from './resets.ts';
import { resolvePaths } from './resolve-paths.ts';
import { enforceUnicity } from './unicity.ts';
import { validateSchema } from './validate.ts';
import { cloneValue, type Dict, isDict, newDict } from './value.ts';
import { parseSource, type SourceFile } from './yaml-source.ts';

export interface ModelOptions {
  readonly interpolates: boolean;
  readonly resolvesPaths: boolean;
}

export interface ModelSource {
  /** Where files named by this project are looked for; absolute. */
  readonly directory: string;
  /** What relative paths in the files are joined to; relative in an included project. */
  readonly workingDir: string;
  readonly files: readonly string[];
  readonly environment: Environment;
}

/** Which steps a file takes part in: one that is only extended from takes part in few. */
type Role = 'project' | 'base';

export class Loader {
  readonly context: LoadContext;
  readonly workingDir: string;
  readonly #options: ModelOptions;
  readonly #source: ModelSource;
  /** Parsed once per call of the loader, since several services may extend from one file. */
  readonly #parsed: Map<string, SourceFile>;

  constructor(
    context: LoadContext,
    options: ModelOptions,
    source: ModelSource,
    parsed: Map<string, SourceFile> = new Map(),
  ) {
    this.context = context;
    this.workingDir = source.workingDir;
    this.#options = options;
    this.#source = source;
    this.#parsed = parsed;
  }

  /** Loads and merges all files of the project. */
  load(included: readonly string[] = []): Dict {
    let dict = newDict();
    for (const file of this.#source.files)
      dict = this.#loadFile(file, dict, included, 'project').dict;
    setDefaults(dict);
    checkRules(dict);
    if (this.#options.resolvesPaths) resolvePaths(dict, this.#source.workingDir, this.context);
    resolveEnvironment(dict, this.#source.environment);
    return dict;
  }

  /** Loads a project that this one includes; its paths are always resolved. */
  included(source: ModelSource, included: readonly string[]): Dict {
    const options = { ...this.#options, resolvesPaths: true };
    return new Loader(this.context, options, source, this.#parsed).load(included);
  }

  /** Loads a file that a service extends from. */
  loadBaseFile(file: string): { dict: Dict; resets: ResetPaths } {
    return this.#loadFile(file, newDict(), [], 'base');
  }

  /** The file that a path in this project names. */
  localPath(path: string): string {
    return path.startsWith('/') ? path : posix.join(this.#source.directory, path);
  }

  /** The directory of a file (or a directory itself) as seen from this project's. */
  relativeDirectory(path: string): string {
    const { reader } = this.context;
    const local = this.localPath(path);
    const isDirectory = reader.isDirectory(this.context.absolute(local));
    const directory = isDirectory ? local : this.localPath(posix.dirname(path));
    const from = this.context.absolute(this.#source.directory);
    return posix.relative(from, this.context.absolute(directory)) || '.';
  }

  #parse(file: string): SourceFile {
    const known = this.#parsed.get(file);
    if (known !== undefined) return known;
    const text = this.context.readText(file);
    const source = parseSource(file, text, this.context.parse(text, file));
    this.#parsed.set(file, source);
    this.context.addSource(source);
    return source;
  }

  #loadFile(
    file: string,
    base: Dict,
    included: readonly string[],
    role: Role,
  ): { dict: Dict; resets: ResetPaths } {
    let dict = base;
    let resets: ResetPaths = [];
    for (const document of this.#parse(file).documents) {
      if (!isDict(document.value)) {
        throw new TscError('E_COMPOSE_SYNTAX', 'top-level object must be a mapping', {
          where: { file },
        });
      }
      resets = document.resets;
      const own = this.#prepare(cloneValue(document.value), file, resets, role);
      applyResets(dict, resets);
      if (role === 'project') {
        applyInclude(own, this, this.#source.environment, [...included, file]);
      }
      dict = enforceUnicity(mergeProjects(dict, own));
      if (role === 'project') this.#validate(dict, file);
      dict = enforceUnicity(toCanonical(dict, this.context, !this.#options.interpolates));
    }
    return { dict, resets };
  }

  #prepare(dict: Dict, file: string, resets: ResetPaths, role: Role): Dict {
    const lookup = lookupIn(this.#source.environment);
    const own = this.#options.interpolates ? interpolate(dict, lookup, this.context) : dict;
    if (role === 'project') applyExtends(own, this, file, resets);
    return own;
  }

  #validate(dict: Dict, file: string): void {
    validateSchema(dict, file, this.context);
    if (dict.version === undefined) return;
    this.context.warn(
      `${file}: the attribute \`version\` is obsolete, it will be ignored, please remove it to avoid potential confusion`,
    );
    delete dict.version;
  }
}
