/**
 * The built agent on lab machines, and the built command as a user calls it there. Needs dist/; it
 * neither builds nor loads images. Failures are exceptions with what the program said, so that a
 * script without a test runner around it can simply stop.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TscError } from '../../src/lib/errors.ts';
import type { Machine, MachineProcess } from './machine.ts';
import { projectDir } from './paths.ts';
import type { RunResult } from './run.ts';

const agentMain = join(projectDir, 'bin/tsc-compose-agent.cjs');
const cliMain = join(projectDir, 'bin/tsc-compose.cjs');

/** 15 s: an agent answers after half a second on a quiet machine. */
const agentTimeoutMs = 15_000;

/** 30 s: machines find each other within a second or two of joining, and of a boot. */
const reachableTimeoutMs = 30_000;

/** 2 min: more than any command here takes on a busy machine. */
const commandTimeoutMs = 120_000;

const pollMs = 50;

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** After which the command is ended. */
  readonly timeoutMs?: number;
}

/** Starts the agent of a machine that is on, and waits until it answers. */
export async function startAgent(
  machine: Machine,
  options: { readonly logLevel?: 'info' | 'debug' } = {},
): Promise<MachineProcess> {
  const level = options.logLevel ?? 'info';
  const agent = await machine.spawn(
    [process.execPath, agentMain, '--name', machine.name, '--log-level', level],
    { name: 'agent', group: 'agent' },
  );
  const endMs = Date.now() + agentTimeoutMs;
  while ((await machine.exec(['test', '-S', '/run/tsc-compose/agent.sock'])).code !== 0) {
    if (Date.now() > endMs || !(await machine.isRunning(agent.pid))) {
      const said = readFileSync(agent.logFile, 'utf8').slice(-2000);
      throw new TscError('E_LAB_TIMEOUT', `the agent of ${machine.name} does not answer\n${said}`);
    }
    await sleep(pollMs);
  }
  return agent;
}

/** Makes one cluster of machines whose agents run: the first founds it, the others join. */
export async function formCluster(machines: readonly Machine[]): Promise<void> {
  const [first, ...others] = machines;
  if (first === undefined) return;
  await tscOk(first, ['machine', 'init']);
  for (const machine of others) {
    const token = await tscOk(first, ['machine', 'token']);
    await tscOk(machine, ['machine', 'join', token.trim()]);
  }
  await untilReachable(machines);
}

/** Waits until every one of the machines sees all of them. */
export async function untilReachable(machines: readonly Machine[]): Promise<void> {
  const endMs = Date.now() + reachableTimeoutMs;
  for (const machine of machines) {
    for (;;) {
      const seen = await tsc(machine, ['machine', 'ls', '--format', 'json']);
      // The command's own JSON: one array.
      const rows = (seen.code === 0 ? JSON.parse(seen.stdout) : []) as { state: string }[];
      const count = rows.filter(({ state }) => state === 'reachable').length;
      if (count >= machines.length) break;
      if (Date.now() > endMs) {
        const text = `${machine.name} sees ${count} of ${machines.length} machines`;
        throw new TscError('E_LAB_TIMEOUT', `${text}\n${seen.stderr}`);
      }
      await sleep(pollMs);
    }
  }
}

/** The folder of a machine's project, made when it is missing: outside and inside the same path. */
export function projectFolder(machine: Machine, project: string): string {
  const folder = join(machine.dir, 'projects', project);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Runs the command on a machine. */
export function tsc(
  machine: Machine,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<RunResult> {
  return machine.exec([process.execPath, cliMain, ...args], {
    timeoutMs: commandTimeoutMs,
    ...options,
  });
}

/** Runs the command on a machine. @returns what it printed @throws TscError when it fails */
export async function tscOk(
  machine: Machine,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await tsc(machine, args, options);
  if (result.code === 0) return result.stdout;
  const said = `${result.stdout}${result.stderr}`.trim().slice(-2000);
  throw new TscError('E_LAB_RUN', `tsc-compose ${args.join(' ')}: ${result.code}\n${said}`);
}
