/**
 * What a test run leaves behind, also one that was ended in the middle of its work: nothing, or
 * after a SIGKILL nothing that the next run does not remove. The run is a real one: `npm test`
 * with a cluster of agents, containers and WireGuard processes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Lab } from '../lab/lab.ts';
import { labMark } from '../lab/state.ts';
import { engines } from './cluster.ts';

const root = resolve(import.meta.dirname, '../..');

/** Programs that carry the lab's mark in their environment, whatever became of their parents. */
function processesOf(lab: string): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/u.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${labMark}=${lab}\0`)) continue;
      found.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '));
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

async function runUntilAgentsWork(lab: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    ['scripts/test.ts', '--only', 'e2e', '--built', 'test/e2e/one-machine.test.ts'],
    {
      cwd: root,
      detached: true,
      stdio: 'ignore',
      env: { ...process.env, TSC_COMPOSE_TEST_LAB: lab, TSC_COMPOSE_ENGINE: engines()[0]?.engine },
    },
  );
  await expect
    .poll(
      () => {
        if (child.exitCode !== null) throw new Error(`the run ended with ${child.exitCode}`);
        return processesOf(lab).some((line) => line.includes('wireguard-go'));
      },
      { timeout: 60_000 },
    )
    .toBe(true);
  // In the middle of the first `up`.
  await sleep(1_000);
  return child;
}

test.skipIf(engines().length === 0).each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)(
  'a run that is ended by %s leaves nothing',
  async (signal) => {
    const lab = `int-${signal.toLowerCase()}`;
    const child = await runUntilAgentsWork(lab);
    const ended = once(child, 'exit');
    // As a terminal or a CI service does it: the whole group.
    process.kill(-(child.pid ?? 0), signal);
    await ended;
    if (signal === 'SIGKILL') Lab.cleanLeftovers();
    await expect.poll(() => Lab.leftovers(lab), { timeout: 20_000 }).toEqual([]);
    await expect.poll(() => processesOf(lab), { timeout: 10_000 }).toEqual([]);
  },
);
