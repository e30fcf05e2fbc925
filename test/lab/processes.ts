/**
 * Processes by pid and start time. A pid alone may have been given to a stranger since it was
 * written down; with the start time beside it, nobody else's process is ever killed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { isNoSuchProcess } from './run.ts';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

/** The identity of a running process, or undefined when there is none with this pid. */
export function processIdentity(pid: number): ProcessIdentity | undefined {
  const fields = statFields(pid);
  // A zombie has ended; only its parent has not looked yet.
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, startTicks: Number(fields[19]) };
}

/** Whether exactly this process still runs. */
export function isRunning(identity: ProcessIdentity): boolean {
  return processIdentity(identity.pid)?.startTicks === identity.startTicks;
}

/** Sends a signal to exactly this process; false when it has ended already. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false;
  try {
    process.kill(identity.pid, signal);
    return true;
  } catch (error) {
    if (isNoSuchProcess(error)) return false;
    throw error;
  }
}

/** Pids of the direct children of a process. */
export function childrenOf(pid: number): readonly number[] {
  return pids().filter((child) => Number(statFields(child)?.[1]) === pid);
}

/** All pids of this machine. */
export function pids(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/u.test(name))
    .map(Number);
}

/** Text of a file below /proc/PID, empty when the process has ended. */
export function readProcess(pid: number, file: 'environ' | 'cmdline' | 'cgroup' | 'stat'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    // The process ended between listing and reading: then it says nothing.
    return '';
  }
}

/** Fields of /proc/PID/stat after the name, which may itself hold spaces and brackets. */
function statFields(pid: number): readonly string[] | undefined {
  const text = readProcess(pid, 'stat');
  if (text === '') return undefined;
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}
