/** A project in memory: files by path, loaded as the command line would. */
import { posix } from 'node:path';
import {
  type LoadOptions,
  type LoadResult,
  loadProject,
  type ProjectReader,
} from '../../../src/compose/index.ts';
import { TscError } from '../../../src/lib/errors.ts';
import type { Service } from '../../../src/model/project.ts';

export const directory = '/home/me/shop';

/** Reads files of a record whose relative paths lie in the project directory. */
export class MemoryReader implements ProjectReader {
  readonly #files = new Map<string, string>();

  constructor(files: Readonly<Record<string, string>>) {
    for (const [path, text] of Object.entries(files)) {
      this.#files.set(posix.resolve(directory, path), text);
    }
  }

  readFile(path: string): Uint8Array | undefined {
    const text = this.#files.get(path);
    return text === undefined ? undefined : new TextEncoder().encode(text);
  }

  isDirectory(path: string): boolean {
    const prefix = path === '/' ? '/' : `${path}/`;
    return [...this.#files.keys()].some((file) => file.startsWith(prefix));
  }
}

/** Loads compose.yaml, or the given files. */
export function load(
  texts: string | Readonly<Record<string, string>>,
  options: Partial<LoadOptions> = {},
): LoadResult {
  const files = typeof texts === 'string' ? { 'compose.yaml': texts } : texts;
  return loadProject(
    { cwd: directory, environment: { HOME: '/home/me' }, ...options },
    new MemoryReader(files),
  );
}

/** Loads one service `t` from lines of YAML under it, and returns it without its defaults. */
export function service(lines: string, options: Partial<LoadOptions> = {}): Partial<Service> {
  const body = lines
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
  const { project } = load(`services:\n  t:\n    image: i\n${body}\n`, options);
  const shown = Object.entries(project.services.t ?? {}).filter(([key, value]) => {
    if (key === 'image') return value !== 'i';
    if (key === 'networks') return JSON.stringify(value) !== '{"default":null}';
    return value !== null;
  });
  return Object.fromEntries(shown);
}

/** The fault that loading ends in. */
export function faultOf(run: () => unknown): TscError {
  try {
    run();
  } catch (error) {
    if (error instanceof TscError) return error;
    throw error;
  }
  throw new Error('the project was accepted');
}
