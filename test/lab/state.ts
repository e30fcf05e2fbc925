/**
 * What a lab is, as JSON on disk: any process can act on a lab that another one made, and a later
 * run can remove what a killed one left. All names that a lab gives to things of the kernel are
 * made here, so that cleaning up recognises them without the file.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TscError } from '../../src/lib/errors.ts';
import type { EngineName } from './packages.ts';
import type { ProcessIdentity } from './processes.ts';

export interface LabState {
  readonly name: string;
  /** The process whose end is the end of the lab; null for a lab that outlives its maker. */
  readonly owner: ProcessIdentity | null;
  /** Which start of this machine it was made in: after another one, nothing of it runs. */
  readonly bootId: string;
  /** First three numbers of the /24 between the machines. */
  readonly subnet: string;
  /** Path of the `ip` program, for cleaning up without asking for packages. */
  readonly ipProgram: string;
  readonly machines: readonly MachineState[];
  /** Directed pairs of machine names between which frames are dropped. */
  readonly cuts: readonly (readonly [from: string, to: string])[];
  /** Machine name to percent of frames lost in each direction. */
  readonly losses: Readonly<Record<string, number>>;
}

export interface MachineState {
  readonly name: string;
  /** 1, 2, …: the last number of its address. */
  readonly index: number;
  readonly engine: EngineName;
  /** Content of /etc/docker/daemon.json. */
  readonly daemonConfig: Readonly<Record<string, unknown>>;
  /** Process 1 of the machine as seen from outside; null while the machine is off. */
  readonly init: ProcessIdentity | null;
}

const dirPrefix = 'tsc-compose-lab-';

/** 16 characters: longer names make socket paths longer than the kernel's 107 bytes. */
const labNamePattern = /^[a-z](?:[a-z0-9-]{0,14}[a-z0-9])?$/u;

/** Environment variable that marks every process of a lab. */
export const labMark = 'TSC_COMPOSE_LAB';

/**
 * Environment variable with the pid of the process with which a kept lab ends: a test run that calls
 * a command which makes one (`lab up`, the demo) names itself, and so leaves nothing when it is ended.
 */
export const labOwner = 'TSC_COMPOSE_LAB_OWNER';

/** Folder of a lab: its state, sockets, logs and the machines' disks. */
export function labDir(name: string): string {
  if (!labNamePattern.test(name)) {
    throw new TscError('E_LAB_NAME', `"${name}" cannot name a lab: a-z, 0-9 and "-", at most 16`);
  }
  return join(tmpdir(), `${dirPrefix}${name}`);
}

/** Folder of one machine. */
export function machineDir(lab: string, machine: string): string {
  return join(labDir(lab), machine);
}

/** Name of the network namespace of a machine, or of the bridge between them. */
export function netnsName(lab: string, machine: string): string {
  return `tsclab-${lab}-${machine}`;
}

/** Lab name of a network namespace, undefined when it belongs to no lab. */
export function labOfNetns(netns: string): string | undefined {
  return /^tsclab-(?<lab>.+)-(?:m\d+|underlay)$/u.exec(netns)?.groups?.['lab'];
}

/** The link that leads from the root namespace to the underlay; its name claims the subnet. */
export function rootLinkName(subnet: string): string {
  return `tl${subnet.replaceAll('.', '-')}`;
}

export const rootLinkPattern = /^tl\d+-\d+-\d+$/u;

/** Name of a lab's control group, below every controller. */
export function cgroupName(lab: string): string {
  return `tsclab-${lab}`;
}

export const cgroupPattern = /^tsclab-(?<lab>.+)$/u;

/** Identity of this start of the kernel. */
export function currentBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Names of all labs that have a folder. */
export function labsOnDisk(): readonly string[] {
  return readdirSync(tmpdir())
    .filter((name) => name.startsWith(dirPrefix) && !name.includes('.'))
    .map((name) => name.slice(dirPrefix.length));
}

/** Writes a first state and so claims the name; false when the name is taken. */
export function claimLab(state: LabState): boolean {
  const dir = labDir(state.name);
  const fresh = `${dir}.${process.pid}`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh);
  writeFileSync(join(fresh, 'lab.json'), JSON.stringify(state, undefined, 2));
  try {
    // A folder that is not empty cannot be replaced: the loser of a race gets an error here.
    renameSync(fresh, dir);
    return true;
  } catch {
    rmSync(fresh, { recursive: true });
    return false;
  }
}

/** Reads a lab's state, undefined when there is none. */
export function readLab(name: string): LabState | undefined {
  try {
    // Written by `writeLab`, whole or not at all.
    return JSON.parse(readFileSync(join(labDir(name), 'lab.json'), 'utf8')) as LabState;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Replaces a lab's state. */
export function writeLab(state: LabState): void {
  const file = join(labDir(state.name), 'lab.json');
  writeFileSync(`${file}.new`, JSON.stringify(state, undefined, 2));
  renameSync(`${file}.new`, file);
}

/** Changes a lab's state as it is on disk now. */
export function updateLab(name: string, change: (state: LabState) => LabState): LabState {
  const state = readLab(name);
  if (state === undefined) throw new TscError('E_LAB_NAME', `there is no lab "${name}"`);
  const changed = change(state);
  writeLab(changed);
  return changed;
}
