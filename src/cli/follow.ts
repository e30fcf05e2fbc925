/**
 * Follows a rollout until it is ready and every machine leads traffic to it, has failed, or the user
 * has seen enough. It only looks: leaving it, by Ctrl-C or by a lost connection, changes nothing about
 * the rollout. What counts as ready is decided by src/plan/rollout-status.ts; here it is shown.
 */
import { TscError } from '../lib/errors.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { conflictLines } from '../plan/conflict.ts';
import type { RolloutStatus } from '../plan/rollout-status.ts';
import { rolloutStatus } from '../plan/rollout-status.ts';
import type { Cli } from './cli.ts';
import { exitCode, say } from './cli.ts';
import { painter } from './colour.ts';
import { failureLines } from './failures.ts';
import { lineView } from './line-view.ts';
import { machineName } from './ps-rows.ts';

export interface FollowedRollout {
  readonly project: string;
  readonly services: readonly string[];
  /** The change to wait for; 0 when any state of the project will do. */
  readonly pointerHlc: number;
  /** The name of that change, by which it is known when another one overruled it. */
  readonly change?: string;
  /** How things stood before the change. */
  readonly before: Snapshot;
  /** Undefined: as long as it takes. */
  readonly timeoutMs: number | undefined;
}

/** Shows a rollout; one for terminals (up-view.tsx), one for everything else (line-view.ts). */
export interface RolloutView {
  update(snapshot: Snapshot, status: RolloutStatus): void;
  note(text: string): void;
  /** After the last update; leaves what is to stay on the screen. */
  end(): void;
}

export interface FollowResult {
  readonly code: number;
  readonly snapshot: Snapshot;
}

/** 1 s: some states are over by time alone, without any event. */
const lookAgainMs = 1_000;

/** 1 s: by then an agent has written down that a change was overruled by the one that came in. */
const overruledMs = 1_000;

/** @returns the exit code and the last snapshot; has said everything but the success */
export async function followRollout(cli: Cli, rollout: FollowedRollout): Promise<FollowResult> {
  const view = await makeView(cli, rollout);
  const done = new AbortController();
  const timeout =
    rollout.timeoutMs === undefined ? undefined : AbortSignal.timeout(rollout.timeoutMs);
  let snapshot = rollout.before;
  let status: RolloutStatus = { state: 'progressing', lines: [], failures: [] };
  let seenAtMs = 0;
  let failure: unknown;
  let replacedAtMs = 0;
  const look = (nowMs: number): void => {
    try {
      refuseOverruled(snapshot, rollout);
      status = statusOf({ ...snapshot, nowMs }, rollout);
      if (isReplaced(snapshot, rollout)) {
        if (replacedAtMs === 0) view.note('another change of the project came in: it is followed');
        replacedAtMs ||= nowMs;
        if (nowMs < replacedAtMs + overruledMs) status = { ...status, state: 'progressing' };
      }
      view.update(snapshot, status);
    } catch (error) {
      failure = error;
    }
    if (failure !== undefined || status.state !== 'progressing') done.abort();
  };
  const timer = setInterval(() => {
    if (seenAtMs > 0) look(snapshot.nowMs + (cli.io.now() - seenAtMs));
  }, lookAgainMs);
  const stops = [cli.signal, done.signal, ...(timeout === undefined ? [] : [timeout])];
  try {
    await cli.client.watch(
      (next) => {
        if (done.signal.aborted) return;
        snapshot = next;
        seenAtMs = cli.io.now();
        look(next.nowMs);
      },
      AbortSignal.any(stops),
      {
        onConnection: (isConnected) =>
          view.note(isConnected ? 'the agent is back' : 'the agent went away; waiting for it'),
      },
    );
    if (failure === undefined && status.state === 'ready') {
      const signals = [cli.signal, ...(timeout === undefined ? [] : [timeout])];
      await untilArrived(cli, rollout.project, { view, signal: AbortSignal.any(signals) });
    }
  } finally {
    clearInterval(timer);
    view.end();
  }
  if (failure !== undefined) throw failure;
  return { snapshot, code: conclude(cli, rollout, { snapshot, status }) };
}

/**
 * Waits until every machine answers for what is ready, so that whoever goes on from here finds it by
 * every name and entrance. The rollout is ready in any case: what cannot be known is only said.
 */
async function untilArrived(
  cli: Cli,
  project: string,
  { view, signal }: { readonly view: RolloutView; readonly signal: AbortSignal },
): Promise<void> {
  try {
    const missing = await cli.client.arrived(project, signal);
    if (missing.length > 0) {
      view.note(`traffic may not be led to all of it yet on: ${missing.join(', ')}`);
    }
  } catch (error) {
    if (signal.aborted) return;
    const reason = error instanceof Error ? error.message : String(error);
    view.note(`whether all machines lead traffic to it yet is not known: ${reason}`);
  }
}

/** Whether the project has moved on to a later change than the one that is followed. */
function isReplaced({ projects }: Snapshot, { project, change, pointerHlc }: FollowedRollout) {
  const found = projects.find(({ name }) => name === project);
  return change !== undefined && found !== undefined && found.pointerHlc > pointerHlc;
}

/** Two changes at the same time: the author of the one that lost is told, here and now. */
function refuseOverruled(snapshot: Snapshot, { project, change }: FollowedRollout): void {
  const found = snapshot.projects.find(({ name }) => name === project);
  const lost = found?.conflicts.find(({ id }) => id === change);
  if (lost === undefined) return;
  const [what = '', ...rest] = conflictLines(project, lost, (id) => machineName(snapshot, id));
  throw new TscError('E_PROJECT_OVERRULED', what, { hint: rest.join('\n  ') });
}

function statusOf(snapshot: Snapshot, rollout: FollowedRollout): RolloutStatus {
  const found = snapshot.projects.find(({ name }) => name === rollout.project);
  if (found?.isRemoved && found.pointerHlc > rollout.pointerHlc) {
    throw new TscError('E_PROJECT_REMOVED', `project ${rollout.project} was taken down meanwhile`);
  }
  return rolloutStatus(snapshot, rollout.project, rollout.pointerHlc, rollout.services);
}

function conclude(
  cli: Cli,
  rollout: FollowedRollout,
  { snapshot, status }: { readonly snapshot: Snapshot; readonly status: RolloutStatus },
): number {
  const { stderr } = cli.io;
  const paint = painter(cli, stderr);
  if (status.state === 'ready') return exitCode.ok;
  if (cli.signal.aborted) {
    say(
      stderr,
      '\nThe rollout goes on without this command; watch it with: tsc-compose ' +
        `-p ${rollout.project} ps -a`,
    );
    return exitCode.interrupted;
  }
  if (status.state === 'progressing') {
    say(stderr, paint('red', `not ready after ${(rollout.timeoutMs ?? 0) / 1000} s:`));
  }
  for (const { service, state, ready, wanted, why } of status.lines) {
    if (state === 'ready') continue;
    say(stderr, paint('red', `${service}: ${ready} of ${wanted} ready: ${why}`));
  }
  for (const line of failureLines(status.failures, snapshot)) say(stderr, line);
  return exitCode.failed;
}

async function makeView(cli: Cli, rollout: FollowedRollout): Promise<RolloutView> {
  const { stderr, env } = cli.io;
  const isTerminal = stderr.isTTY === true && env.TERM !== 'dumb' && !env.CI;
  if (!isTerminal || cli.flags.ansi === 'never') return lineView(cli, rollout);
  const { upView } = await import('./up-view.tsx');
  return upView(rollout);
}
