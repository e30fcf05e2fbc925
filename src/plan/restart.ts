/**
 * What happens to a container that has ended. The engine's own restart policy is off, because only
 * the agent knows whether the slot is still wanted here. The whole table, with what else may happen
 * to a container, is docs/restarts.md, and a test reads it from there; of how a container ended:
 *
 *   restart          exit 0    exit > 0              ended by the machine
 *   (absent)         done      failed                started again
 *   no               done      failed                failed
 *   on-failure[:n]   done      restarted (n times)   started again
 *   always           restarted restarted             started again
 *   unless-stopped   restarted restarted             started again
 *
 * "Ended by the machine" is exit code 255 (the engine did not see the end), or an end that came with
 * a shutdown of the machine or of its engine. A service that a user stopped never comes here.
 */
import type { RestartPolicy } from '../view/service-spec.ts';
import { firstRestartDelayMs, maxRestartDelayMs, stableMs } from './limits.ts';

export interface EndedContainer {
  readonly exitCode: number;
  readonly startedMs: number;
  readonly finishedMs: number;
  /** How often it was restarted since it was last stable. */
  readonly restarts: number;
}

export type RestartDecision =
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly why: string }
  | {
      readonly type: 'start';
      readonly atMs: number;
      /** The count to write down with the start. */
      readonly restarts: number;
      readonly why: string;
      /** The machine went down with it: meanwhile its slot may have been placed elsewhere. */
      readonly isAfterBoot: boolean;
    };

/** What is known of the machine on which a container ended. */
export interface MachineFacts {
  /** When it was booted; 0 when that is not known. */
  readonly bootedAtMs: number;
  /** When its engine was last away, as its agent saw it. */
  readonly engineAway: Span | undefined;
}

export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Whether it ended because its machine or its engine went down, not by itself. A server that ends
 * with code 0 when it is told to has not completed anything; what is known to run once has.
 * @param isKnownDone its completion was written down when it happened
 */
export function isEndedByMachine(
  ended: EndedContainer & { readonly isRunOnce: boolean; readonly isKnownDone: boolean },
  { bootedAtMs, engineAway }: MachineFacts,
): boolean {
  if (ended.exitCode === 255) return true;
  const wasTold = [0, 137, 143].includes(ended.exitCode);
  if (!wasTold || (ended.exitCode === 0 && (ended.isRunOnce || ended.isKnownDone))) return false;
  if (ended.startedMs < bootedAtMs) return true;
  return (
    engineAway !== undefined &&
    ended.finishedMs >= engineAway.fromMs &&
    ended.finishedMs <= engineAway.toMs
  );
}

/**
 * @param byMachine `isEndedByMachine`
 */
export function decideRestart(
  policy: RestartPolicy,
  ended: EndedContainer,
  byMachine: boolean,
): RestartDecision {
  const { condition } = policy;
  const code = ended.exitCode;
  if (condition !== 'no' && byMachine) {
    const why = `the machine ended it (exit code ${code})`;
    return { type: 'start', atMs: 0, restarts: 0, why, isAfterBoot: true };
  }
  if (code === 0 && condition !== 'always' && condition !== 'unless-stopped') {
    return { type: 'done' };
  }
  if (condition === 'unset' || condition === 'no') {
    return { type: 'failed', why: `exited (${code})` };
  }
  const ranMs = Math.max(0, ended.finishedMs - ended.startedMs);
  const attempts = ranMs >= (policy.windowMs ?? stableMs) ? 0 : ended.restarts;
  if (policy.maxAttempts !== undefined && attempts >= policy.maxAttempts) {
    return { type: 'failed', why: `exited (${code}) after ${attempts} restarts` };
  }
  const delayMs = Math.max(policy.delayMs, restartDelayMs(attempts));
  return {
    type: 'start',
    atMs: ended.finishedMs + delayMs,
    restarts: attempts + 1,
    why: `exited (${code})`,
    isAfterBoot: false,
  };
}

/** 0.1 s, doubling, at most a minute. */
export function restartDelayMs(attempts: number): number {
  return Math.min(maxRestartDelayMs, firstRestartDelayMs * 2 ** Math.min(attempts, 20));
}
