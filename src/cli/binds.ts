/**
 * Bind mounts of a command that may run on no member. On a member the files are mounted where they
 * are, live, as in Docker Compose. From elsewhere what is read-only and small travels as a copy
 * named by its content; what a container writes, or what is large, is refused with what to do
 * instead: the copy would silently go its own way.
 */
import type { LoadResult } from '../compose/index.ts';
import { formatError, TscError } from '../lib/errors.ts';
import { copySource } from '../model/names.ts';
import type { Mount, Project, Service } from '../model/project.ts';
import { sortBinds } from '../plan/bind-pins.ts';
import type { Cli } from './cli.ts';
import { count, say } from './cli.ts';
import { withShownPlace } from './places.ts';
import { formatSize } from './push-lines.ts';

export interface CarriedBinds {
  /** The project, with copies in the place of paths that mean nothing to the cluster. */
  readonly project: Project;
  /** Sources that the file writes relative to itself, absolute. */
  readonly relativeBinds: readonly string[];
}

export interface BindScope {
  /** Services that are changed; empty: all. */
  readonly services: readonly string[];
  readonly isDryRun: boolean;
  /** Loads the file once more, with its paths as they are written. */
  readonly loadUnresolved: () => Promise<Project>;
}

/**
 * Makes the relative bind mounts of the changed services mean something to the cluster.
 * @throws TscError E_BIND_ELSEWHERE when some cannot travel; each has been said with its place
 */
export async function carryBinds(
  cli: Cli,
  loaded: Pick<LoadResult, 'project' | 'workingDir' | 'positions'>,
  scope: BindScope,
): Promise<CarriedBinds> {
  const { project, workingDir } = loaded;
  const names = Object.keys(project.services).filter(
    (name) => scope.services.length === 0 || scope.services.includes(name),
  );
  const input = { project, workingDir };
  const isSure = names.every(
    (name) => sortBinds(project.services[name] ?? {}, input).absolute.length === 0,
  );
  const relativeBinds = isSure ? [] : relativeOf(project, await scope.loadUnresolved());
  const isRelative = (service: Service): boolean =>
    sortBinds(service, { ...input, relativeBinds }).relative.length > 0;
  const affected = names.filter((name) => isRelative(project.services[name] ?? {}));
  if (affected.length === 0 || (await cli.client.isHere(workingDir, cli.signal))) {
    return { project, relativeBinds };
  }
  const services: Record<string, Service> = { ...project.services };
  const refusals: TscError[] = [];
  for (const name of affected) {
    const service = project.services[name] ?? {};
    const volumes: Mount[] = [];
    for (const [index, mount] of (service.volumes ?? []).entries()) {
      const alone = { ...service, volumes: [mount] };
      if (!isRelative(alone)) {
        volumes.push(mount);
        continue;
      }
      try {
        volumes.push(await copied(cli, name, mount, scope.isDryRun));
      } catch (error) {
        if (!(error instanceof TscError) || !error.code.startsWith('E_BIND')) throw error;
        const where = loaded.positions.find(['services', name, 'volumes', index]);
        refusals.push(
          new TscError('E_BIND_ELSEWHERE', `service ${name}: ${error.message}`, {
            ...(error.hint === undefined ? {} : { hint: error.hint }),
            ...(where === undefined ? {} : { where }),
          }),
        );
      }
    }
    services[name] = { ...service, volumes };
  }
  if (refusals.length > 0) throw refused(cli, refusals);
  return { project: { ...project, services }, relativeBinds };
}

function refused(cli: Cli, refusals: readonly TscError[]): TscError {
  for (const refusal of refusals) {
    say(cli.io.stderr, formatError(withShownPlace(refusal, cli.io.cwd)));
  }
  return new TscError(
    'E_BIND_ELSEWHERE',
    `${count(refusals.length, 'bind mount')} cannot be carried to the cluster; nothing has been changed`,
    { hint: 'this command does not run on one of its machines, or sees other files than it' },
  );
}

/** Reads the files, gives them to the agent, and mounts the copy in their place. */
async function copied(cli: Cli, service: string, mount: Mount, isDryRun: boolean): Promise<Mount> {
  const { source = '' } = mount;
  if (mount.type !== 'bind') {
    throw new TscError('E_BIND_VOLUME', `volume ${source} is a folder of this computer`, {
      hint: 'run up on the machine that has it, or use a volume without "device"',
    });
  }
  if (mount.read_only !== true) {
    throw new TscError(
      'E_BIND_WRITABLE',
      `${source} may be written, and is not on a machine of the cluster`,
      {
        hint: 'add :ro if it is only read, use a named volume, or run up on the machine that has it',
      },
    );
  }
  const { packCopy, uploadCopy } = await import('../client/copies.ts');
  const copy = await packCopy(source).catch((error: unknown) => {
    if (!(error instanceof TscError)) throw error;
    const { code, message } = error;
    const hint = 'put it into the image or a named volume, or run up on the machine that has it';
    throw new TscError(
      code,
      code === 'E_BIND_TOO_LARGE' ? `${source} is too large to travel: ${message}` : message,
      { hint },
    );
  });
  if (!isDryRun) {
    const { self } = await cli.client.snapshot(cli.signal);
    await uploadCopy(cli.client.socketPath, self, copy, cli.signal);
  }
  say(
    cli.io.stderr,
    `note: service ${service} gets a copy of ${source} (${formatSize(copy.sizeBytes)}): up again after a change`,
  );
  return {
    ...mount,
    source: copySource(copy.hash),
    bind: { ...mount.bind, create_host_path: false },
  };
}

/** Sources that are written relative to the file, or to the user's home. */
function relativeOf(project: Project, unresolved: Project): readonly string[] {
  const found = new Set<string>();
  for (const [name, service] of Object.entries(project.services)) {
    const written = unresolved.services[name]?.volumes ?? [];
    for (const [index, mount] of (service.volumes ?? []).entries()) {
      const source = written[index]?.source;
      if (mount.type !== 'bind' || mount.source === undefined || source === undefined) continue;
      if (!source.startsWith('/')) found.add(mount.source);
    }
  }
  for (const [name, volume] of Object.entries(project.volumes ?? {})) {
    const device = volume?.driver_opts?.['device'];
    const written = unresolved.volumes?.[name]?.driver_opts?.['device'];
    if (device !== undefined && written !== undefined && !written.startsWith('/'))
      found.add(device);
  }
  return [...found].sort();
}
