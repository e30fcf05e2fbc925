/**
 * What a test run leaves behind, also one that was ended in the middle of its work: nothing, or
 * after a SIGKILL nothing that the next run does not remove. The run is a real one: `npm test`
 * with a cluster of agents, containers and WireGuard processes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Lab } from '../lab/lab.ts';
import { labMark } from '../lab/state.ts';
import { engines } from './cluster.ts';
import { runFolderPrefix } from './test-folder.ts';

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

/** `npm test` with some of the end-to-end tests, whose lab gets this name, in a group of its own. */
function startRun(lab: string, chosen: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['scripts/test.ts', '--only', 'e2e', '--built', '--', ...chosen], {
    cwd: root,
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, TSC_COMPOSE_TEST_LAB: lab, TSC_COMPOSE_ENGINE: engines()[0]?.engine },
  });
}

/** Waits until a process of the lab runs this program. */
async function untilRuns(child: ChildProcess, lab: string, program: string): Promise<void> {
  await expect
    .poll(
      () => {
        if (child.exitCode !== null) throw new Error(`the run ended with ${child.exitCode}`);
        return processesOf(lab).some((line) => line.includes(program));
      },
      { timeout: 60_000 },
    )
    .toBe(true);
}

/** As a terminal or a CI service does it: the whole group. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = once(child, 'exit');
  process.kill(-(child.pid ?? 0), signal);
  await ended;
}

/** Nothing is left, after a SIGKILL by what every run does before it makes a lab. */
async function expectNothingOf(
  lab: string,
  { pid }: ChildProcess,
  signal: NodeJS.Signals,
): Promise<void> {
  const look = () => {
    if (signal === 'SIGKILL') Lab.cleanLeftovers();
    return Lab.leftovers(lab);
  };
  await expect.poll(look, { timeout: 20_000 }).toEqual([]);
  await expect.poll(() => processesOf(lab), { timeout: 10_000 }).toEqual([]);
  if (signal === 'SIGKILL') return;
  expect(
    readdirSync(tmpdir()).filter((name) => name.startsWith(`${runFolderPrefix}${pid}-`)),
  ).toEqual([]);
}

test.skipIf(engines().length === 0).each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)(
  'a run that is ended by %s leaves nothing',
  async (signal) => {
    const lab = `int-${signal.toLowerCase()}`;
    const child = startRun(lab, ['test/e2e/one-machine.test.ts']);
    await untilRuns(child, lab, 'wireguard-go');
    // In the middle of the first `up`.
    await sleep(1_000);
    await end(child, signal);
    await expectNothingOf(lab, child, signal);
  },
);

/** Commands have process groups of their own, and make labs that outlive them. */
test.skipIf(engines().length === 0).each([
  { signal: 'SIGKILL', moment: 'while a command makes a lab to keep', waitMs: 0 },
  { signal: 'SIGTERM', moment: 'after a command made a lab to keep', waitMs: 3_000 },
] as const)('a run that is ended by $signal $moment leaves nothing', async (one) => {
  const lab = `kept-${one.signal.toLowerCase()}`;
  const child = startRun(lab, ['-t', 'a lab stays after the command', 'test/e2e/lab.test.ts']);
  await untilRuns(child, lab, 'dockerd');
  await sleep(one.waitMs);
  await end(child, one.signal);
  await expectNothingOf(lab, child, one.signal);
});
