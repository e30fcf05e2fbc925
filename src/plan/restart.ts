/**
 * What happens to a container that has ended. The engine's own restart policy is off, because only
 * the agent knows whether the slot is still wanted here. The whole table, with what else may happen
 * to a container, is docs/restarts.md, and a test reads it from there; by how a container ended:
 *
 *   restart          exit 0    exit > 0              ended by the machine
 *   (absent)         done      failed                started again
 *   no               done      failed                failed
 *   on-failure[:n]   done      restarted (n times)   started again
 *   always           restarted restarted             started again
 *   unless-stopped   restarted restarted             started again
 *
 * "Ended by the machine" is exit code 255 (the engine did not see the end) or 137/143 of a
 * container that was started before the last boot. A service that a user stopped never comes here.
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

/**
 * @param bootedAtMs when this machine was booted; 0 when that is not known
 */
export function decideRestart(
  policy: RestartPolicy,
  ended: EndedContainer,
  bootedAtMs: number,
): RestartDecision {
  const { condition } = policy;
  const code = ended.exitCode;
  if (condition !== 'no' && isEndedByMachine(ended, bootedAtMs)) {
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

function isEndedByMachine(ended: EndedContainer, bootedAtMs: number): boolean {
  if (ended.exitCode === 255) return true;
  const wasKilled = ended.exitCode === 137 || ended.exitCode === 143;
  return wasKilled && ended.startedMs < bootedAtMs;
}
