/**
 * Since when the copies serve that may take the place of this machine's own, as this machine has
 * seen it. The plan lets an own copy go only when the other one has served for a while, and that
 * while cannot be read from records: they are dated by others' clocks, and a record's version by
 * the highest clock that any machine ever had. One clock that was an hour ahead kept every surplus
 * copy for an hour.
 *
 * It is the agent's to keep between evaluations; after its restart the while begins anew.
 */
import type { ContainerView, View } from '../model/view.ts';
import { containersOfSlot, isInTraffic } from '../view/endpoints.ts';

export interface Serving {
  /** Of the container: one that was started anew serves anew. */
  readonly startedMs: number;
  /** By this machine's own clock. */
  readonly sinceMs: number;
}

/** By container id. */
export type ServingSince = ReadonlyMap<string, Serving>;

/**
 * @param before what the last view gave
 * @returns the copies on other machines that serve, of slots of which this machine has a copy
 */
export function servingSince(before: ServingSince, view: View): ServingSince {
  const found = new Map<string, Serving>();
  for (const own of view.containers) {
    if (own.machine !== view.self) continue;
    for (const other of containersOfSlot(view, own.project, own.service, own.slot)) {
      if (!servesElsewhere(view, other)) continue;
      const { id, startedMs } = other;
      const known = before.get(id);
      // A clock that was set back would make it wait until it shows the same time again.
      const isSame = known?.startedMs === startedMs && known.sinceMs <= view.nowMs;
      found.set(id, isSame ? known : { startedMs, sinceMs: view.nowMs });
    }
  }
  return found;
}

function servesElsewhere(view: View, { machine, ready, draining }: ContainerView): boolean {
  return machine !== view.self && ready && !draining && isInTraffic(view, machine);
}
