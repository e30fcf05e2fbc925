/** What the measurement needs of a cluster of processes, ours or serf's. */
import { readFileSync } from 'node:fs';
import type { Sightings } from './sightings.ts';

export interface Cluster {
  readonly name: string;
  readonly size: number;
  readonly sightings: Sightings;
  /** Process id of each machine's gossip. */
  readonly pids: readonly number[];
  /** Begins an update at a machine. @returns its name in the sightings, and when it began */
  update(writer: number): Promise<{ readonly update: string; readonly startMs: number }>;
  /** Starts a killed machine's process again. */
  restart(machine: number): Promise<void>;
  /** Ends all processes. */
  end(): Promise<void>;
}

/** CPU time that a process has used, ms. */
export function cpuMs(pid: number): number {
  // The program's name may hold spaces; fields are counted after its closing bracket.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  // Hundredths of a second for user space, on every architecture.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** Resident memory of a process, MB. */
export function residentMb(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/mu.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1]) / 1024;
}

/** Bytes that a process has caused to be written to a disk. */
export function writtenBytes(pid: number): number {
  return Number(/^write_bytes: (\d+)$/mu.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}
