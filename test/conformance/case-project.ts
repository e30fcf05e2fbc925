/** A golden case as the loader takes it, with its files in memory. */
import { posix } from 'node:path';
import type { LoadOptions, ProjectReader } from '../../src/compose/index.ts';
import type { Case } from './compose-cases.ts';
import { parseConfigArgs } from './config-args.ts';

function projectFolder({ dir }: Case): string {
  return posix.join('/a/b/c/d', dir ?? 'project');
}

/** What the command line and the environment of the case say to the loader. */
export function loadOptionsOf(wanted: Case): LoadOptions {
  const args = parseConfigArgs(wanted.args ?? []);
  const { projectName, projectDirectory } = args;
  return {
    cwd: posix.join(projectFolder(wanted), wanted.cwd ?? '.'),
    environment: { HOME: '/home', ...wanted.env },
    files: args.files ?? [],
    profiles: args.profiles ?? [],
    envFiles: args.envFiles ?? [],
    ...(projectName === undefined ? {} : { projectName }),
    ...(projectDirectory === undefined ? {} : { projectDirectory }),
  };
}

/** Reads the files of one case. */
export class CaseReader implements ProjectReader {
  readonly #files: ReadonlyMap<string, string>;

  constructor(wanted: Case) {
    const project = projectFolder(wanted);
    this.#files = new Map(
      Object.entries(wanted.files).map(([path, text]) => [posix.join(project, path), text]),
    );
  }

  readFile(path: string): Uint8Array | undefined {
    const text = this.#files.get(path);
    return text === undefined ? undefined : Buffer.from(text);
  }

  isDirectory(path: string): boolean {
    const prefix = path === '/' ? '/' : `${path}/`;
    return [...this.#files.keys()].some((file) => file.startsWith(prefix));
  }
}
