/**
 * Which bind mounts tie a service to the machine where `up` was typed. Files beside the Compose
 * file exist only there; so does, as far as anybody knows, every other path, unless the file says
 * in `x-machines` where the service belongs. A few paths mean "this machine's own" everywhere and
 * tie nothing. Every decision is said to the user.
 */
import type { Project, Service } from '../model/project.ts';
import { isNamedVolume, modeOf } from '../view/service-spec.ts';
import { namesMachines } from './machine-rules.ts';

/** Every Linux machine has its own of these. */
const everywhere: readonly string[] = [
  '/dev',
  '/etc/localtime',
  '/etc/timezone',
  '/lib/modules',
  '/proc',
  '/run/docker.sock',
  '/sys',
  '/var/run/docker.sock',
];

export interface BindPins {
  /** Paths that exist, as far as is known, only on the accepting machine. */
  readonly pinning: readonly { readonly path: string; readonly isWritable: boolean }[];
  readonly notes: readonly string[];
}

/** Sorts the bind mounts of a service into those that tie it and those that do not. */
export function bindPinsOf(
  name: string,
  spec: Service,
  { project, workingDir }: { readonly project: Project; readonly workingDir: string },
): BindPins {
  const pinning: { path: string; isWritable: boolean }[] = [];
  const notes: string[] = [];
  for (const { path, isWritable } of bindPaths(project, spec)) {
    if (everywhere.some((known) => isInside(path, known))) continue;
    if (isInside(path, workingDir)) {
      pinning.push({ path, isWritable });
    } else if (namesMachines(spec)) {
      notes.push(`service ${name}: ${path} must exist on every machine of x-machines`);
    } else if (modeOf(spec) === 'global') {
      notes.push(`service ${name}: ${path} is taken from each machine`);
    } else {
      pinning.push({ path, isWritable });
    }
  }
  return { pinning, notes };
}

function bindPaths(
  project: Project,
  spec: Service,
): readonly { readonly path: string; readonly isWritable: boolean }[] {
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
