/**
 * What is said when a rollout failed: for each failure the service, the machine, why, the exit
 * code and the container's last lines. Pure.
 */
import type { Snapshot } from '../model/snapshot.ts';
import type { FailureView } from '../model/view.ts';
import { machineName } from './ps-rows.ts';

/** 10: enough for a stack trace's head, short enough to see all failures of a rollout. */
const shownLineCount = 10;

/** @returns lines for stderr */
export function failureLines(
  failures: readonly FailureView[],
  snapshot: Snapshot,
): readonly string[] {
  return failures.flatMap((failure) => {
    const { service, slot, why, exitCode, lastLines } = failure;
    const code = exitCode === null ? '' : ` (exit code ${exitCode})`;
    const head = `${service}-${slot} on ${machineName(snapshot, failure.machine)}: ${why}${code}`;
    return [head, ...lastLines.slice(-shownLineCount).map((text) => `    | ${text}`)];
  });
}
