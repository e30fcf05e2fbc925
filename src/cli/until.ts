/** Waiting for the cluster to look a certain way. It only looks; leaving it changes nothing. */
import type { Snapshot } from '../model/snapshot.ts';
import type { Cli } from './cli.ts';

/**
 * Watches until `isOver` says so, Ctrl-C, or the time-out.
 * @param timeoutMs 0: as long as it takes
 * @returns the last snapshot, and whether it was over
 */
export async function untilSnapshot(
  cli: Cli,
  timeoutMs: number,
  isOver: (snapshot: Snapshot) => boolean,
): Promise<{ readonly snapshot: Snapshot; readonly isOver: boolean }> {
  const done = new AbortController();
  const stops = [cli.signal, done.signal];
  if (timeoutMs > 0) stops.push(AbortSignal.timeout(timeoutMs));
  let snapshot = await cli.client.snapshot(cli.signal);
  let failure: unknown;
  const look = (next: Snapshot): void => {
    if (done.signal.aborted) return;
    snapshot = next;
    try {
      if (isOver(next)) done.abort();
    } catch (error) {
      failure = error;
      done.abort();
    }
  };
  look(snapshot);
  if (!done.signal.aborted) await cli.client.watch(look, AbortSignal.any(stops));
  if (failure !== undefined) throw failure;
  return { snapshot, isOver: done.signal.aborted };
}
