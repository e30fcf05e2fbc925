/**
 * Loads the Compose project that the global flags name, for commands that need it, and its name
 * alone for those that need no more. The loader itself is pure (src/compose) and comes in lazily.
 */
import type { LoadOptions, LoadResult } from '../compose/index.ts';
import type { Cli } from './cli.ts';
import { say } from './cli.ts';
import { painter } from './colour.ts';

export type Loaded = LoadResult;

/**
 * Loads the project and prints the loader's warnings.
 * @param services named on the command line: the profiles that they need are switched on
 * @param isUnresolved leaves paths as they are written; its warnings have been printed before
 * @throws TscError E_COMPOSE_…
 */
export async function loadFor(
  cli: Cli,
  services: readonly string[] = [],
  { isUnresolved = false }: { readonly isUnresolved?: boolean } = {},
): Promise<Loaded> {
  const [{ loadProject }, { FsReader }] = await Promise.all([
    import('../compose/index.ts'),
    import('./fs-reader.ts'),
  ]);
  const reader = new FsReader();
  const options = { ...loadOptions(cli), skipPathResolution: isUnresolved };
  let loaded = loadProject(options, reader);
  // Not the loader's own selection: services that are left out would look like orphans.
  const switchedOn = services.flatMap((name) => loaded.disabledServices[name]?.profiles ?? []);
  if (switchedOn.length > 0) {
    const profiles = [...(options.profiles ?? []), ...switchedOn];
    loaded = loadProject({ ...options, profiles }, reader);
  }
  if (isUnresolved) return loaded;
  const paint = painter(cli, cli.io.stderr);
  for (const warning of loaded.warnings)
    say(cli.io.stderr, `${paint('yellow', 'warning')}: ${warning}`);
  return loaded;
}

/** What the global flags say to the loader. */
export function loadOptions({ flags, io }: Cli): LoadOptions {
  return {
    cwd: io.cwd,
    files: flags.file,
    profiles: flags.profile,
    envFiles: flags.envFile,
    environment: definedOnly(io.env),
    ...(flags.projectName === undefined ? {} : { projectName: flags.projectName }),
    ...(flags.projectDirectory === undefined ? {} : { projectDirectory: flags.projectDirectory }),
  };
}

/** The project's name: from the flag or the environment without any file, else by loading it. */
export async function projectName(cli: Cli): Promise<string> {
  const named = cli.flags.projectName || cli.io.env.COMPOSE_PROJECT_NAME;
  if (named) return named;
  return (await loadFor(cli)).project.name;
}

function definedOnly(
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}
