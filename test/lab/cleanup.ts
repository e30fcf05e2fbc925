/**
 * Finds and removes what labs leave in the kernel and on disk. Works from what it finds (names,
 * marks in the environment, control groups), not only from the state file: a lab may have been
 * killed before it wrote anything down.
 *
 * All of it blocks, because it also runs in an exit handler. It never kills a process that does not
 * carry a lab's mark, and never touches a lab whose owner lives unless told its name.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { TscError } from '../../src/lib/errors.ts';
import { labGroups, removeGroup } from './cgroups.ts';
import {
  isRunning,
  type ProcessIdentity,
  pids,
  processIdentity,
  readProcess,
  signalProcess,
} from './processes.ts';
import { runSync } from './run.ts';
import {
  cgroupName,
  currentBootId,
  labDir,
  labMark,
  labOfNetns,
  labOwner,
  labsOnDisk,
  readLab,
  rootLinkName,
  rootLinkPattern,
} from './state.ts';
import { claimant } from './underlay.ts';

export interface Leftover {
  readonly kind: 'netns' | 'link' | 'mount' | 'process' | 'cgroup' | 'dir';
  readonly name: string;
  /** Undefined for a link whose lab is no longer known. */
  readonly lab: string | undefined;
}

/** 10 s: a machine's last process is gone milliseconds after its first. */
const goneTimeoutMs = 10_000;

const netnsDir = '/run/netns';

/** All that labs hold now, or one of them: empty when everything was cleaned up. */
export function leftovers(name?: string): readonly Leftover[] {
  const known = knownLinks();
  const all: readonly Leftover[] = [
    ...netnsNames().map((netns) => leftover('netns', netns, labOfNetns(netns))),
    ...rootLinks().map((link) => leftover('link', link, known.get(link))),
    ...mountPoints().map((dir) => leftover('mount', dir, labOfMount(dir))),
    ...labProcesses().map(({ pid, lab }) => leftover('process', `${pid}`, lab)),
    ...labGroups().map(({ lab, dir }) => leftover('cgroup', dir, lab)),
    ...labsOnDisk().map((lab) => leftover('dir', labDir(lab), lab)),
  ];
  return name === undefined ? all : all.filter(({ lab }) => lab === name);
}

/**
 * Removes what crashed runs left. Labs in use are spared: their owner runs, or they were made to
 * outlive it in this start of the machine.
 * @param name remove this lab in any case, and only this one
 * @returns names of the labs that were removed
 */
export function cleanLeftovers(name?: string): readonly string[] {
  const found = leftovers(name).flatMap(({ lab }) => (lab === undefined ? [] : [lab]));
  const names = [...new Set(found)].filter((lab) => name !== undefined || !isInUse(lab));
  for (const lab of names) removeLab(lab);
  if (name === undefined) {
    const known = knownLinks();
    for (const link of rootLinks().filter((one) => !known.has(one) && !isBeingClaimed(one))) {
      deleteLink(link);
    }
  }
  return names;
}

/** Whether somebody still wants this lab: one that is kept is wanted until this machine restarts. */
export function isInUse(name: string): boolean {
  const state = readLab(name);
  if (state === undefined || state.bootId !== currentBootId()) return false;
  return state.owner === null || isRunning(state.owner);
}

/** Removes a lab with everything it holds. Safe to call twice, and on half a lab. */
export function removeLab(name: string): void {
  const state = readLab(name);
  for (const { init } of state?.machines ?? []) {
    if (init !== null) signalProcess(init, 'SIGKILL');
  }
  killAll(name);
  for (const netns of netnsNames().filter((one) => labOfNetns(one) === name)) {
    runSync(['umount', '-l', `${netnsDir}/${netns}`]);
    rmSync(`${netnsDir}/${netns}`, { force: true });
  }
  if (state !== undefined) deleteLink(rootLinkName(state.subnet), state.ipProgram);
  for (const dir of mountPoints().filter((one) => labOfMount(one) === name)) {
    runSync(['umount', '-l', dir]);
  }
  waitUntil(() => labGroups().every(({ lab, dir }) => lab !== name || removeGroup(dir)));
  rmSync(labDir(name), { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

/** Processes that carry a lab's mark or are in its control groups. */
function labProcesses(): readonly (ProcessIdentity & { readonly lab: string })[] {
  const markOf = new RegExp(`(?:^|\\0)${labMark}=([^\\0]+)`, 'u');
  const groupOf = new RegExp(`/${cgroupName('([^/]+)')}/`, 'u');
  return pids().flatMap((pid) => {
    if (pid === process.pid) return [];
    const lab =
      markOf.exec(readProcess(pid, 'environ'))?.[1] ??
      groupOf.exec(readProcess(pid, 'cgroup'))?.[1];
    const identity = lab === undefined ? undefined : processIdentity(pid);
    return lab === undefined || identity === undefined ? [] : [{ ...identity, lab }];
  });
}

function killAll(name: string): void {
  waitUntil(() => {
    const left = labProcesses().filter(({ lab }) => lab === name);
    for (const identity of left) signalProcess(identity, 'SIGKILL');
    return left.length === 0;
  });
}

function netnsNames(): readonly string[] {
  if (!existsSync(netnsDir)) return [];
  return readdirSync(netnsDir).filter((name) => labOfNetns(name) !== undefined);
}

function rootLinks(): readonly string[] {
  return readdirSync('/sys/class/net').filter((name) => rootLinkPattern.test(name));
}

/** Whether a living process has just made this link and not yet written down what for. */
function isBeingClaimed(link: string): boolean {
  const index = readLink(link, 'ifindex');
  return readdirSync('/sys/class/net').some((peer) => {
    const pid = claimant(peer);
    const isAlive = pid !== undefined && processIdentity(pid) !== undefined;
    return isAlive && readLink(peer, 'iflink') === index;
  });
}

function readLink(link: string, file: 'ifindex' | 'iflink'): string {
  try {
    return readFileSync(`/sys/class/net/${link}/${file}`, 'utf8');
  } catch {
    // Gone, or moved into its lab, since it was listed.
    return '';
  }
}

/** Links of the labs whose state is on disk. */
function knownLinks(): ReadonlyMap<string, string> {
  return new Map(
    labsOnDisk().flatMap((lab) => {
      const state = readLab(lab);
      return state === undefined ? [] : [[rootLinkName(state.subnet), lab] as const];
    }),
  );
}

/** Mounts of this namespace that belong to a lab; those inside machines go with them. */
function mountPoints(): readonly string[] {
  const targets = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return [...new Set(targets.filter((dir) => labOfMount(dir) !== undefined))];
}

function labOfMount(dir: string): string | undefined {
  if (dir.startsWith(`${netnsDir}/`)) return labOfNetns(dir.slice(netnsDir.length + 1));
  return labsOnDisk().find((lab) => dir.startsWith(`${labDir(lab)}/`));
}

function deleteLink(link: string, ipProgram?: string): void {
  if (!existsSync(`/sys/class/net/${link}`)) return;
  const ip = ipProgram !== undefined && existsSync(ipProgram) ? ipProgram : 'ip';
  runSync([ip, 'link', 'del', link]);
}

function leftover(kind: Leftover['kind'], name: string, lab: string | undefined): Leftover {
  return { kind, name, lab };
}

function waitUntil(isDone: () => boolean): void {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  const end = Date.now() + goneTimeoutMs;
  while (!isDone() && Date.now() < end) Atomics.wait(cell, 0, 0, 10);
}

/** Labs to remove when this process ends. */
const owned = new Set<string>();

/** Removes a lab when this process ends, whether by itself, by a signal or by an exception. */
export function removeAtExit(name: string): void {
  if (owned.size === 0) {
    process.once('exit', removeOwned);
    for (const signal of endSignals) process.once(signal, endBySignal);
  }
  owned.add(name);
}

/** 250 ms between looks for the owner of a lab that this process makes for somebody else. */
const ownerLookMs = 250;

/**
 * The process with which a kept lab ends, as the environment names it; null when it names none.
 * @throws TscError when that process does not run: its lab would be removed while it is made
 */
export function ownerOfKept(): ProcessIdentity | null {
  const pid = process.env[labOwner];
  if (pid === undefined || pid === '') return null;
  const owner = processIdentity(Number(pid));
  if (owner !== undefined) return owner;
  throw new TscError('E_LAB_OWNER', `${labOwner}=${pid} is not the pid of a running process`, {
    hint: 'unset it for a lab that stays',
  });
}

/**
 * Ends this process with the lab that it makes for another one, once that has ended. Nobody else
 * would: a command has a process group of its own, which a signal to its caller's does not reach.
 */
export function endWith(owner: ProcessIdentity, name: string): void {
  const timer = setInterval(() => {
    if (isRunning(owner)) return;
    removeLab(name);
    process.exit(1);
  }, ownerLookMs);
  timer.unref();
}

/** Takes back `removeAtExit`. */
export function forgetAtExit(name: string): void {
  if (!owned.delete(name) || owned.size > 0) return;
  process.off('exit', removeOwned);
  for (const signal of endSignals) process.off(signal, endBySignal);
}

const endSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function removeOwned(): void {
  for (const name of owned) removeLab(name);
  owned.clear();
}

/** The handler is gone when this runs (`once`), so the second signal ends the process. */
function endBySignal(signal: NodeJS.Signals): void {
  removeOwned();
  for (const other of endSignals) process.off(other, endBySignal);
  process.kill(process.pid, signal);
}
