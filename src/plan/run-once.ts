/**
 * Jobs: slots that run to their end. How many of them may run at a time is the file's
 * `x-max-concurrent` beside `deploy.mode`; without it all do. In slot order, so that every machine
 * comes to the same slots. Where they run and whether they are done is decided elsewhere.
 */
import type { Slot } from '../model/ids.ts';
import type { ServiceView } from '../model/view.ts';
import { isJob } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import { type ContainerIndex, isDone } from './owner.ts';

/** Why a slot of a job may not begin yet; undefined when it may, or when it is no job. */
export function runTurnWait(
  input: {
    readonly service: ServiceView;
    readonly owners: Owners;
    readonly index: ContainerIndex;
  },
  slot: Slot,
): string | undefined {
  const { service, owners, index } = input;
  const max = maxConcurrentOf(service);
  if (max === undefined) return undefined;
  const key = serviceKey(service.project, service.name);
  const copies = index.get(key) ?? [];
  const open = [...(owners.get(key)?.keys() ?? [])].filter(
    (other) =>
      service.done?.has(other) !== true &&
      !copies.some((copy) => copy.slot === other && isDone(service, copy)),
  );
  return open.indexOf(slot) < max ? undefined : `waits for earlier runs to end: ${max} at a time`;
}

function maxConcurrentOf({ spec }: ServiceView): number | undefined {
  if (!isJob(spec)) return undefined;
  const max: unknown = spec.deploy?.['x-max-concurrent'];
  return typeof max === 'number' && Number.isSafeInteger(max) && max > 0 ? max : undefined;
}
