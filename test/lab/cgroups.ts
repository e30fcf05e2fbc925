/**
 * Control groups of a lab, on version 1 (a tree per controller) and version 2 (one tree):
 * `<lab>/<machine>` for containers, `<lab>/<machine>.<group>` for programs of the machine itself, so
 * that what an engine or an agent uses can be read apart from the containers.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { cgroupName, cgroupPattern } from './state.ts';

const mountPoint = '/sys/fs/cgroup';

/** Controllers that account; the others only matter to containers, and Docker makes those. */
const accounting = ['memory', 'pids', 'cpuacct'];

/**
 * How many threads' shares of the processors all containers of a lab have together: about as many as
 * its daemons have busy at once. On a server systemd gives each container what it gives Docker.
 */
const containerShares = 8;

function isUnified(): boolean {
  return existsSync(join(mountPoint, 'cgroup.controllers'));
}

/** Roots of all hierarchies that are mounted here. */
function hierarchies(): readonly string[] {
  if (!existsSync(mountPoint)) return [];
  if (isUnified()) return [mountPoint];
  return readdirSync(mountPoint, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(mountPoint, entry.name));
}

/** What the programs of a group use. */
export interface Usage {
  /** Memory of their own, without file cache. */
  readonly memoryBytes: number;
  /** Processor time since the group was made. */
  readonly cpuMs: number;
}

/** Makes a group for programs of a machine. @returns the folders to join */
export function createGroup(lab: string, machine: string, group: string): readonly string[] {
  return groupDirs(lab, machine, group).map((dir) => {
    mkdirSync(dir, { recursive: true });
    return dir;
  });
}

/** Reads what a group of programs uses. */
export function readUsage(lab: string, machine: string, group: string): Usage {
  const texts = groupDirs(lab, machine, group).flatMap((dir) =>
    ['memory.stat', 'cpu.stat', 'cpuacct.usage']
      .map((file) => join(dir, file))
      .filter((file) => existsSync(file))
      .map(
        (file) => `${file.endsWith('.usage') ? 'usage_nsec ' : ''}${readFileSync(file, 'utf8')}`,
      ),
  );
  const number = (name: string) => {
    const line = new RegExp(`^${name} (?<value>\\d+)$`, 'mu').exec(texts.join('\n'));
    return line === null ? undefined : Number(line.groups?.['value']);
  };
  // Version 1 counts anonymous memory as rss and time in nanoseconds.
  const cpuMs = (number('usage_usec') ?? (number('usage_nsec') ?? 0) / 1_000) / 1_000;
  return { memoryBytes: number('anon') ?? number('total_rss') ?? 0, cpuMs };
}

function groupDirs(lab: string, machine: string, group: string): readonly string[] {
  const roots = isUnified()
    ? [mountPoint]
    : accounting.map((name) => join(mountPoint, name)).filter((dir) => existsSync(dir));
  return roots.map((root) => join(root, cgroupName(lab), `${machine}.${group}`));
}

/**
 * Gives the containers of a lab their share of the processors. Where shares have a tree of their own
 * (version 1), daemons are outside of it, each thread with as much as a group has, and one thread
 * of a daemon would weigh as much as all containers of all machines. In one tree with the accounts
 * every machine's containers weigh as much as its daemons.
 */
export function weighContainers(lab: string): void {
  const [root, accounts] = [join(mountPoint, 'cpu'), join(mountPoint, 'cpuacct')];
  if (isUnified() || !existsSync(root)) return;
  if (existsSync(accounts) && realpathSync(accounts) === realpathSync(root)) return;
  const dir = join(root, cgroupName(lab));
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, 'cpu.shares'), `${containerShares * 1024}`);
}

/** What `--cgroup-parent` of a machine's engine is. */
export function containerGroup(lab: string, machine: string): string {
  return `/${cgroupName(lab)}/${machine}`;
}

/** Top folders of labs' groups, with the lab each belongs to. */
export function labGroups(): readonly { readonly lab: string; readonly dir: string }[] {
  return hierarchies().flatMap((root) =>
    readdirSync(root, { withFileTypes: true }).flatMap((entry) => {
      const lab = cgroupPattern.exec(entry.name)?.groups?.['lab'];
      return entry.isDirectory() && lab !== undefined ? [{ lab, dir: join(root, entry.name) }] : [];
    }),
  );
}

/**
 * Removes a group and those below it; false while a process is still in one of them. Another
 * process may be removing the same lab: what is gone already is what was wanted.
 */
export function removeGroup(dir: string): boolean {
  try {
    const below = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const isEmpty = below.map((entry) => removeGroup(join(dir, entry.name))).every(Boolean);
    if (!isEmpty) return false;
    rmdirSync(dir);
    return true;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ENODEV') return true;
    if (code === 'EBUSY') return false;
    throw error;
  }
}
