/**
 * Which bind mounts tie a service to a machine. Files that the Compose file names relative to
 * itself exist where the command was run, so they tie the service there; a path that is written
 * absolute ties it to the machines that have it. A path is made only where no other machine is
 * meant: one machine is named in `x-machines`, or there is just one. A few paths mean "this
 * machine's own" everywhere and tie nothing, and neither do copies that came with the change.
 * Every decision is said to the user.
 */
import { TscError } from '../lib/errors.ts';
import type { MachineId } from '../model/ids.ts';
import { copyHashOf } from '../model/names.ts';
import type { Project, Service } from '../model/project.ts';
import type { PathPlaces } from '../model/record.ts';
import type { MachineView, View } from '../model/view.ts';
import { isNamedVolume, modeOf } from '../view/service-spec.ts';
import { rulesRefusal } from './machine-rules.ts';

const engineSockets: readonly string[] = ['/run/docker.sock', '/var/run/docker.sock'];

/** Every Linux machine has its own of these. */
const everywhere: readonly string[] = [
  ...engineSockets,
  '/dev',
  '/etc/localtime',
  '/etc/timezone',
  '/lib/modules',
  '/proc',
  '/sys',
];

/** What a machine answered when it was asked for its files and its room. */
export interface MachineFacts {
  /** Of the paths that were asked for, those that exist. */
  readonly existing: ReadonlySet<string>;
  readonly freeDiskBytes: number;
  readonly freeMemoryBytes: number;
}

export interface BindInput {
  readonly project: Project;
  readonly workingDir: string;
  /** Sources that the file writes relative to itself, absolute. */
  readonly relativeBinds?: readonly string[] | undefined;
  /** Machines that have answered; undefined while nobody has been asked. */
  readonly machines?: ReadonlyMap<MachineId, MachineFacts> | undefined;
}

export interface BindMount {
  readonly path: string;
  readonly isWritable: boolean;
}

export interface SortedBinds {
  /** They belong to the folder of the Compose file. */
  readonly relative: readonly BindMount[];
  /** They are looked for on each machine. */
  readonly absolute: readonly BindMount[];
  readonly seesEngine: boolean;
}

export interface BindPins {
  /** Tied to the accepting machine, because of these. */
  readonly here: readonly BindMount[];
  /** Tied to another machine, or to some. */
  readonly pinned: MachineId | undefined;
  readonly paths: PathPlaces | undefined;
  readonly notes: readonly string[];
}

/** Sorts the bind mounts of a service by what they tie it to. */
export function sortBinds(
  spec: Service,
  { project, workingDir, relativeBinds }: BindInput,
): SortedBinds {
  const relative: BindMount[] = [];
  const absolute: BindMount[] = [];
  let seesEngine = false;
  for (const mount of bindMounts(project, spec)) {
    const { path } = mount;
    if (copyHashOf(path) !== undefined) continue;
    seesEngine ||= engineSockets.includes(path);
    if (everywhere.some((known) => isInside(path, known))) continue;
    const isOfFile = isInside(path, workingDir) || relativeBinds?.includes(path) === true;
    (isOfFile ? relative : absolute).push(mount);
  }
  return { relative, absolute, seesEngine };
}

/**
 * Decides where the bind mounts of a service allow it to run.
 * @throws TscError E_BIND_NOT_FOUND when no machine has all the absolute paths
 */
export function bindPinsOf(view: View, name: string, spec: Service, input: BindInput): BindPins {
  const before = view.projects.get(input.project.name)?.services.get(name);
  const { relative, absolute, seesEngine } = sortBinds(spec, input);
  const notes = seesEngine
    ? [`service ${name}: the Docker socket shows each replica its own machine only`]
    : [];
  const none = { here: relative, pinned: undefined, paths: undefined };
  if (absolute.length === 0 || relative.length > 0) return { ...none, notes };
  const eligible = [...view.machines.values()].filter(
    (machine) => rulesRefusal(spec, machine) === undefined,
  );
  const paths = [...new Set(absolute.map(({ path }) => path))];
  const only = eligible.length === 1 ? eligible[0] : undefined;
  const isGlobal = modeOf(spec) === 'global';
  if (only !== undefined && !isGlobal) return { ...none, pinned: only.id, notes };
  const { machines } = input;
  if (machines === undefined) return { ...none, notes };
  const has = ({ id }: MachineView): boolean => {
    const answer = machines.get(id);
    // One that does not answer now keeps what an earlier change found there.
    if (answer === undefined)
      return before?.pinned === id || before?.paths?.on?.includes(id) === true;
    return paths.every((path) => answer.existing.has(path));
  };
  const found = eligible.filter(has);
  if (found.length === 0) throw notFound(name, paths, { eligible, machines, isGlobal });
  const names = (list: readonly MachineView[]): string => list.map((m) => m.name).join(', ');
  const shown = paths.join(', ');
  if (isGlobal) {
    const notOn = eligible.filter((machine) => !has(machine));
    if (notOn.length === 0) return { ...none, paths: { notOn: [] }, notes };
    notes.push(`service ${name} does not run on ${names(notOn)}, without ${shown}`);
    return { ...none, paths: { notOn: notOn.map(({ id }) => id) }, notes };
  }
  const [first, ...more] = found;
  if (first !== undefined && more.length === 0) {
    notes.push(`service ${name} stays on ${first.name}: only that machine has ${shown}`);
    return { ...none, pinned: first.id, notes };
  }
  notes.push(
    found.length === eligible.length
      ? `service ${name}: each machine has its own ${shown}`
      : `service ${name} runs on ${names(found)} only: they have ${shown}`,
  );
  return { ...none, paths: { on: found.map(({ id }) => id) }, notes };
}

/** Absolute paths of the services that machines have to be asked for. */
export function pathsToLookFor(services: readonly string[], input: BindInput): readonly string[] {
  const paths = services.flatMap((name) =>
    sortBinds(input.project.services[name] ?? {}, input).absolute.map(({ path }) => path),
  );
  return [...new Set(paths)].sort();
}

function notFound(
  name: string,
  paths: readonly string[],
  {
    eligible,
    machines,
    isGlobal,
  }: {
    readonly eligible: readonly MachineView[];
    readonly machines: ReadonlyMap<MachineId, MachineFacts>;
    readonly isGlobal: boolean;
  },
): TscError {
  const missing = paths.filter(
    (path) => !eligible.some(({ id }) => machines.get(id)?.existing.has(path) === true),
  );
  const what =
    missing.length > 0
      ? `${missing.join(', ')}, which is on no machine that may run it`
      : `${paths.join(', ')}, and no machine that may run it has all of them`;
  return new TscError('E_BIND_NOT_FOUND', `service "${name}" mounts ${what}`, {
    hint: isGlobal
      ? 'create it on the machines that are to run the service'
      : 'create it where the service is to run, or name that one machine in x-machines: there it is made',
  });
}

function bindMounts(project: Project, spec: Service): readonly BindMount[] {
  return (spec.volumes ?? []).flatMap((mount) => {
    const isWritable = mount.read_only !== true;
    if (mount.type === 'bind') return { path: mount.source ?? '', isWritable };
    if (!isNamedVolume(mount)) return [];
    // A volume that is only another way to write a bind mount.
    const options = project.volumes?.[mount.source]?.driver_opts ?? {};
    const isBind = (options['o'] ?? '')
      .split(',')
      .some((word) => word === 'bind' || word === 'rbind');
    return isBind && options['device'] !== undefined ? { path: options['device'], isWritable } : [];
  });
}

function isInside(path: string, folder: string): boolean {
  const base = folder.endsWith('/') ? folder.slice(0, -1) : folder;
  return base !== '' && (path === base || path.startsWith(`${base}/`));
}
