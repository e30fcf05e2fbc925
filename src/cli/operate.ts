/**
 * What `stop`, `start`, `restart`, `kill` and `rm` have in common: ask the agent, say what it adds,
 * and look on until the machines within reach have done it. The agent's record is what makes it
 * happen: leaving early changes nothing about it, and a machine that is away follows later.
 */
import type { OperateAnswer, OperateRequest } from '../model/api.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { ContainerView } from '../model/view.ts';
import type { Cli } from './cli.ts';
import { exitCode, say } from './cli.ts';
import { followRollout } from './follow.ts';
import { projectName } from './load.ts';
import { heldNotes } from './ps-rows.ts';
import { formatRolloutLine, rolloutLines } from './rollout-lines.ts';
import { parseCount } from './values.ts';

export interface Operated {
  readonly project: string;
  readonly before: Snapshot;
  readonly answer: OperateAnswer;
}

/** Sends the request for the project of the flags, and prints the agent's notes. */
export async function operate(cli: Cli, request: Omit<OperateRequest, 'user'>): Promise<Operated> {
  const project = await projectName(cli);
  const before = await cli.client.snapshot(cli.signal);
  const user = cli.io.env.SUDO_USER || cli.io.env.USER || undefined;
  const answer = await cli.client.operate(
    project,
    { ...request, ...(user === undefined ? {} : { user }) },
    cli.signal,
  );
  for (const note of answer.notes) say(cli.io.stderr, `note: ${note}`);
  return { project, before, answer };
}

/**
 * Prints what changes in the project until the condition holds.
 * @param timeoutMs undefined: as long as it takes
 * @returns the exit code: 130 when the user left before, 1 when the time was over
 */
export async function untilSeen(
  cli: Cli,
  { project, before }: Operated,
  isOver: (snapshot: Snapshot) => boolean,
  timeoutMs?: number,
): Promise<number> {
  const done = new AbortController();
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  let last = before;
  await cli.client.watch(
    (snapshot) => {
      for (const line of rolloutLines(last, snapshot, project)) {
        say(cli.io.stderr, formatRolloutLine(line));
      }
      last = snapshot;
      if (isOver(snapshot)) done.abort();
    },
    AbortSignal.any([cli.signal, done.signal, ...(timeout === undefined ? [] : [timeout])]),
  );
  if (done.signal.aborted) return exitCode.ok;
  if (!cli.signal.aborted) {
    say(cli.io.stderr, `Not over after ${(timeoutMs ?? 0) / 1000} s; the machines go on with it.`);
    return exitCode.failed;
  }
  say(cli.io.stderr, 'The machines go on without this command; see: tsc-compose ps -a');
  return exitCode.interrupted;
}

/** Waits until what was asked for is ready, and says what is not waited for. @returns the exit code */
export async function followOperated(
  cli: Cli,
  { project, before, answer }: Operated,
  timeoutMs?: number,
): Promise<number> {
  const { services } = answer;
  if (services.length === 0) return exitCode.ok;
  const watched = { project, services, pointerHlc: 0, before, timeoutMs };
  const { code, snapshot } = await followRollout(cli, watched);
  for (const line of heldNotes(snapshot, project, services)) say(cli.io.stderr, line);
  return code;
}

/** Containers of the services that run where the agent can be asked. */
export function runningWithin(
  snapshot: Snapshot,
  { project, answer }: Operated,
): readonly ContainerView[] {
  return containersWithin(snapshot, project, answer.services).filter(
    ({ state }) => state === 'running' || state === 'paused' || state === 'restarting',
  );
}

/** Containers of the services on machines within reach. */
export function containersWithin(
  snapshot: Snapshot,
  project: string,
  services: readonly string[],
): readonly ContainerView[] {
  return snapshot.containers.filter(
    (container) =>
      container.project === project &&
      services.includes(container.service) &&
      snapshot.machines.some(
        ({ id, liveness }) => id === container.machine && liveness === 'reachable',
      ),
  );
}

/** `-t`: seconds until SIGKILL, as the request has it. */
export function graceOf(text: string | undefined): { readonly graceMs?: number } {
  return text === undefined ? {} : { graceMs: parseCount('--timeout', text) * 1000 };
}
