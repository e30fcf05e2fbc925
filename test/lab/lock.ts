/**
 * A lock between processes that survives the death of its holder: a folder (mkdir is atomic) with
 * the holder's pid and start time in it. A holder that is gone loses the lock.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, type ProcessIdentity, processIdentity } from './processes.ts';

/** 100 ms: what is guarded here takes seconds. */
const pollMs = 100;

/** Time a new holder has to write its name into the folder before the lock counts as abandoned. */
const namelessMs = 2_000;

/** Runs `work` while no other process does so under the same path. */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  let namelessSince: number | undefined;
  while (!take(path)) {
    const holder = holderOf(path);
    if (holder === undefined) namelessSince ??= Date.now();
    else namelessSince = undefined;
    const isAbandoned =
      holder === undefined ? Date.now() - (namelessSince ?? 0) > namelessMs : !isRunning(holder);
    if (isAbandoned) rmSync(path, { recursive: true, force: true });
    else await sleep(pollMs);
  }
  try {
    return await work();
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

function take(path: string): boolean {
  try {
    mkdirSync(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(join(path, 'holder.json'), JSON.stringify(processIdentity(process.pid)));
  return true;
}

function holderOf(path: string): ProcessIdentity | undefined {
  try {
    // Written by `take` above, and only there.
    return JSON.parse(readFileSync(join(path, 'holder.json'), 'utf8')) as ProcessIdentity;
  } catch {
    // Not yet written, or just released: both are told apart by looking again.
    return undefined;
  }
}
