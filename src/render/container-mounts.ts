/**
 * Where a container's directories come from. Binds that may create their source are written as
 * `Binds`, because every engine then creates the folder; everything else is a `Mounts` entry, which
 * fails when the source is missing. Named volumes exist already when this is used: the agent makes
 * them (agent/engine.ts), with the labels that `docker compose` would give them.
 */
import { copyHashOf } from '../model/names.ts';
import type { Mount, Project, Service } from '../model/project.ts';
import { apiAtLeast, since } from './container-api.ts';
import type { HostBody, MountBody } from './container-body.ts';
import { compact, flagAt, mapAt, numberAt, objectAt, textAt } from './container-read.ts';

/** A file that the agent wrote, and where the container sees it. */
export interface BoundFile {
  readonly hostPath: string;
  readonly target: string;
}

export interface MountsInput {
  readonly spec: Service;
  readonly definition: Project;
  readonly apiVersion: string;
  readonly files: readonly BoundFile[];
  /** Anonymous volumes of the container that this one replaces: target to engine name. */
  readonly inheritedVolumes: Readonly<Record<string, string>>;
  /** Where copies of bind-mounted files lie on this machine, by hash. */
  readonly copies: Readonly<Record<string, string>>;
}

export type MountsBody = Pick<HostBody, 'Binds' | 'Mounts' | 'Tmpfs'>;

/** The path of the engine's socket on a machine and, with `use_api_socket`, in the container. */
const engineSocketPath = '/var/run/docker.sock';

/** Volumes, binds, tmpfs, secrets and configs of one container. */
export function renderMounts(input: MountsInput): MountsBody {
  const { spec, files } = input;
  const binds: string[] = [];
  const mounts: MountBody[] = [];
  for (const mount of spec.volumes ?? []) {
    if (mount.type === 'bind' && isBindText(mount)) binds.push(bindText(mount));
    else mounts.push(mountBody(mount, input));
  }
  const declared = new Set((spec.volumes ?? []).map((mount) => mount.target));
  for (const [target, source] of Object.entries(input.inheritedVolumes)) {
    // Volumes that only the image declares are kept over a replacement as well.
    if (!declared.has(target)) mounts.push({ Type: 'volume', Source: source, Target: target });
  }
  if (flagAt(spec, 'use_api_socket') === true)
    binds.push(`${engineSocketPath}:${engineSocketPath}`);
  for (const file of files) binds.push(`${file.hostPath}:${file.target}:ro`);
  return compact<MountsBody>({
    Binds: binds.length === 0 ? undefined : binds,
    Mounts: mounts.length === 0 ? undefined : mounts,
    Tmpfs: tmpfs(spec),
  });
}

/** The engine's name of a volume of the project: `<project>_<key>` unless the file names it. */
export function volumeName(definition: Project, key: string): string {
  return definition.volumes?.[key]?.name ?? `${definition.name}_${key}`;
}

/** A bind that creates its source; a colon in a path cannot be said in that form. */
function isBindText(mount: Mount): boolean {
  const bind = mount.bind ?? {};
  if (`${mount.source ?? ''}${mount.target}`.includes(':')) return false;
  if (textAt(bind, 'recursive') !== undefined) return false;
  return bind.create_host_path === true || bind.selinux !== undefined;
}

function bindText(mount: Mount): string {
  const { bind = {} } = mount;
  const options = [mount.read_only === true ? 'ro' : 'rw', bind.selinux, bind.propagation];
  const given = options.filter((option) => option !== undefined && option !== '');
  return `${mount.source ?? ''}:${mount.target}:${given.join(',')}`;
}

function mountBody(mount: Mount, input: MountsInput): MountBody {
  return compact<MountBody>({
    Type: mount.type,
    Source: sourceOf(mount, input),
    Target: mount.target,
    ReadOnly: mount.read_only === true ? true : undefined,
    BindOptions: mount.type === 'bind' ? bindOptions(mount, input.apiVersion) : undefined,
    VolumeOptions: mount.type === 'volume' ? volumeOptions(mount) : undefined,
    ImageOptions: mount.type === 'image' ? imageOptions(mount) : undefined,
    TmpfsOptions: mount.type === 'tmpfs' ? tmpfsOptions(mount) : undefined,
  });
}

function sourceOf(mount: Mount, input: MountsInput): string | undefined {
  const copy = copyHashOf(mount.source);
  if (copy !== undefined) return input.copies[copy];
  if (mount.type !== 'volume') return mount.source;
  if (mount.source === undefined || mount.source === '') {
    return input.inheritedVolumes[mount.target];
  }
  return volumeName(input.definition, mount.source);
}

function bindOptions(mount: Mount, apiVersion: string): MountBody['BindOptions'] | undefined {
  const bind = mount.bind ?? {};
  const recursive = textAt(bind, 'recursive');
  const mayCreate =
    bind.create_host_path === true && apiAtLeast(apiVersion, since.createMountpoint);
  return unlessEmpty({
    Propagation: bind.propagation,
    NonRecursive: recursive === 'disabled' ? true : undefined,
    ReadOnlyNonRecursive: recursive === 'writable' ? true : undefined,
    ReadOnlyForceRecursive: recursive === 'readonly' ? true : undefined,
    CreateMountpoint: mayCreate ? true : undefined,
  });
}

function volumeOptions(mount: Mount): MountBody['VolumeOptions'] | undefined {
  return unlessEmpty({
    NoCopy: mount.volume?.nocopy === true ? true : undefined,
    Subpath: mount.volume?.subpath,
    Labels: mapAt(mount.volume ?? {}, 'labels'),
  });
}

function imageOptions(mount: Mount): MountBody['ImageOptions'] | undefined {
  return unlessEmpty({ Subpath: textAt(objectAt(mount, 'image') ?? {}, 'subpath') });
}

function tmpfsOptions(mount: Mount): MountBody['TmpfsOptions'] | undefined {
  const options = mount.tmpfs ?? {};
  return unlessEmpty({
    SizeBytes: numberAt(options, 'size'),
    Mode: numberAt(options, 'mode'),
  });
}

function tmpfs(spec: Service): Readonly<Record<string, string>> | undefined {
  if (spec.tmpfs === undefined || spec.tmpfs.length === 0) return undefined;
  return Object.fromEntries(
    spec.tmpfs.map((entry) => {
      const colon = entry.indexOf(':');
      return colon < 0 ? [entry, ''] : [entry.slice(0, colon), entry.slice(colon + 1)];
    }),
  );
}

/** An options object with what is given, or none at all. */
function unlessEmpty<T extends object>(
  options: {
    [Key in keyof T]: T[Key] | undefined;
  },
): T | undefined {
  const given = compact<T>(options);
  return Object.keys(given).length === 0 ? undefined : given;
}
