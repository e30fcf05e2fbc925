/**
 * Which containers of a service are up to date after a change: decided once, by the acceptor. A
 * service whose containers need not change keeps its hash and its rollout, so that what only the
 * network or the planner reads (published ports, ingress, counts, service labels) is changed in
 * place. The other way round, the same definition may have to give new containers; the hash then
 * carries the rollout, `<base>-<rollout>`, and only the base is compared later.
 */
import type { RolloutId, ServiceHash } from '../model/ids.ts';
import type { Project, Service } from '../model/project.ts';
import type { ResolvedImage, RevisionRecord } from '../model/record.ts';
import type { ServiceView, View } from '../model/view.ts';
import { containersOfService } from '../view/endpoints.ts';
import { compareText } from '../view/order.ts';
import { canonicalJson } from './canonical.ts';
import { inPlaceSpec, serviceHash } from './hash.ts';
import { isDone } from './owner.ts';
import { isRetired } from './retired.ts';
import { standingFailures } from './turn.ts';

export interface Identity {
  readonly hash: ServiceHash;
  readonly rollout: RolloutId;
}

export interface WantedIdentity {
  readonly baseHash: ServiceHash;
  /** The revision that the change brings. */
  readonly revision: RevisionRecord;
  readonly name: string;
  readonly isForced: boolean;
  readonly newId: () => string;
}

/** Hash and rollout of a service after a change. */
export function identityOf(
  view: View,
  old: ServiceView | undefined,
  wanted: WantedIdentity,
): Identity {
  const { baseHash, isForced, newId } = wanted;
  if (old === undefined) return { hash: baseHash, rollout: newId() };
  const isSame = baseHashOf(old.hash) === baseHash || isSameInPlace(old, wanted);
  if (isSame && !isForced && !hasFailed(view, old)) return { hash: old.hash, rollout: old.rollout };
  const rollout = newId();
  const isTaken = isSame || hasLeftover(view, old, baseHash);
  return { hash: isTaken ? `${baseHash}-${rollout}` : baseHash, rollout };
}

/** The part of a hash that says what containers are made of. */
export function baseHashOf(hash: ServiceHash): ServiceHash {
  return hash.split('-', 1)[0] ?? hash;
}

/** The containers would be the same but for what is read around them. */
function isSameInPlace(old: ServiceView, { revision, name }: WantedIdentity): boolean {
  const spec = revision.project.services[name] ?? {};
  const before = inPlaceSpec(old.spec);
  const after = inPlaceSpec(spec);
  // Nothing of the kind is in either: the hashes have said it.
  if (before === old.spec && after === spec) return false;
  return (
    hashWith(old.revision, old.name, before, old.definition) ===
    hashWith(revision, name, after, revision.project)
  );
}

function hashWith(
  revision: RevisionRecord,
  name: string,
  spec: Service,
  project: Project,
): ServiceHash {
  const imageId = imageIdentity(revision.images[name], spec);
  return serviceHash(spec, { imageId, contents: revision.contents, project });
}

/** The image as one text: its digest, else its ids by platform, or its name while none is known. */
export function imageIdentity(image: ResolvedImage | undefined, spec: Service): string {
  // A digest names the content on every platform at once, as many as happen to be known.
  const digests = [...new Set(Object.values(image?.digests ?? {}))];
  if (digests.length > 0) return digests.sort(compareText).join(' ');
  const ids = Object.entries(image?.ids ?? {}).map(([platform, id]) => `${platform}=${id}`);
  return ids.length > 0 ? ids.sort(compareText).join(' ') : (image?.reference ?? spec.image ?? '');
}

/**
 * Containers of an earlier rollout with the same definition that broke, or ran to their end: they
 * must not pass for new ones. One that was replaced while it served may well be started again.
 */
function hasLeftover(view: View, { project, name }: ServiceView, hash: ServiceHash): boolean {
  return containersOfService(view, project, name).some(
    (container) => container.hash === hash && container.state !== 'running' && !container.draining,
  );
}

/** A rollout that broke is tried again by the next `up`, even when the file is the same. */
function hasFailed(view: View, service: ServiceView): boolean {
  if (standingFailures(view, service).length > 0) return true;
  return service.verdict?.result === 'paused' && !isAllUp(view, service);
}

/** Every replica is of the definition in force and serves, or has run to its end. */
export function isAllUp(view: View, service: ServiceView): boolean {
  const copies = containersOfService(view, service.project, service.name).filter(
    (container) => !isRetired(service, container),
  );
  const up = copies.filter(
    (container) =>
      container.hash === service.hash && (container.ready || isDone(service, container)),
  );
  return (
    service.replicaCount > 0 && up.length >= service.replicaCount && up.length === copies.length
  );
}

/** Whether a change is one for the user: containers, counts, or what is read around them. */
export function isChanged(
  old: ServiceView | undefined,
  spec: Service,
  identity: Identity,
  replicaCount: number,
): boolean {
  if (old === undefined || old.hash !== identity.hash) return true;
  return old.replicaCount !== replicaCount || canonicalJson(old.spec) !== canonicalJson(spec);
}
