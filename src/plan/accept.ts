/**
 * A change, as the accepting agent writes it down: pure, so a dry run is the same code. It resolves
 * everything that must not be decided twice (hashes, rollouts, slots, homes) into one immutable
 * revision and one small pointer, and refuses what the cluster cannot carry out.
 *
 * A service whose containers need not change keeps its hash and its rollout, even when its count,
 * its published ports or its placement change. Operations (`scale`, `stop`) of services that this
 * change does not touch are written again, because they are valid only while newer than the pointer.
 */
import { TscError } from '../lib/errors.ts';
import type { DownRequest, ScaleRequest, UpRequest } from '../model/api.ts';
import type { MachineId, ServiceHash } from '../model/ids.ts';
import type { Project, Service } from '../model/project.ts';
import {
  type CaddySites,
  type OperationAuthor,
  type OperationRecord,
  type PointerRecord,
  type PointerService,
  type PointerTombstone,
  type ResolvedImage,
  type RevisionRecord,
  recordKey,
} from '../model/record.ts';
import type { ProjectView, ServiceView, View } from '../model/view.ts';
import { containersOfService, isInTraffic } from '../view/endpoints.ts';
import { compareText } from '../view/order.ts';
import { engineVolumeName, replicaCountOf, restartPolicyOf } from '../view/service-spec.ts';
import { checkService, otherServices } from './accept-checks.ts';
import { allocate } from './allocate.ts';
import type { MachineFacts } from './bind-pins.ts';
import { checkCaddyHosts } from './caddy-hosts.ts';
import { canonicalJson, shortHash } from './canonical.ts';
import { conflictLines, nextAncestors, volumesOfConflicts } from './conflict.ts';
import { serviceHash } from './hash.ts';
import { hookOf, needsHookAgain, requireHookRetry } from './hook-machine.ts';
import { type Identity, identityOf, imageIdentity, isAllUp, isChanged } from './identity.ts';
import { ownersOf } from './owner.ts';
import { placeableOf, refusal } from './place.ts';
import { withRestarts } from './restart-with.ts';
import { isRetired } from './retired.ts';
import { scaledSlots } from './scale-slots.ts';

export interface AcceptFacts {
  readonly self: MachineId;
  readonly nowMs: number;
  /** By service. */
  readonly images: Readonly<Record<string, ResolvedImage>>;
  /** Files and room of the machines that have answered; undefined while nobody has been asked. */
  readonly machines?: ReadonlyMap<MachineId, MachineFacts>;
  /** By service: what Caddy made of its `x-caddy`. */
  readonly caddy?: Readonly<Record<string, CaddySites>>;
  readonly newId: () => string;
  /** The change goes back to an earlier definition. */
  readonly isRollback?: boolean;
}

/** A record of an operation, to be written after the pointer so that it is newer. */
export interface OperationWrite {
  readonly key: string;
  readonly value: OperationRecord;
}

export interface AcceptedUp {
  /** Written before the pointer that names it. */
  readonly revision: { readonly hash: string; readonly record: RevisionRecord };
  readonly pointer: PointerRecord;
  /** Keys of operations that this change takes back, and of the conflict that it answers. */
  readonly operationsToClear: readonly string[];
  readonly operationsToWrite: readonly OperationWrite[];
  readonly changed: readonly string[];
  readonly orphans: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Turns `up` into records.
 * @throws TscError when the cluster cannot carry it out; nothing has been changed then
 */
export function acceptUp(view: View, request: UpRequest, facts: AcceptFacts): AcceptedUp {
  const project = scaledProject(request.project, request.scale);
  const before = view.projects.get(project.name);
  const selected = selectedServices(project, request);
  const orphans = Object.keys(before?.pointer?.services ?? {})
    .filter((name) => project.services[name] === undefined)
    .filter((name) => !request.disabledServices.includes(name))
    .sort(compareText);
  checkCaddyHosts(view, project, selected, facts.caddy ?? {});
  checkAll(view, project, { selected, removed: request.removeOrphans ? orphans : [] });
  const allocation = allocate(view, {
    project,
    selected,
    workingDir: request.workingDir,
    relativeBinds: request.relativeBinds,
    machines: facts.machines,
    images: facts.images,
    volumes: {
      ...volumesOfConflicts(before),
      ...(before?.pointer?.volumes ?? before?.tombstone?.volumes),
    },
    owners: ownersOf(view),
    keepsPins: facts.isRollback === true,
  });
  const record = revisionRecord(project, request, facts);
  const revisionHash = shortHash(canonicalJson(record));
  const services: Record<string, PointerService> = keptServices(before, {
    selected,
    removed: request.removeOrphans ? orphans : [],
  });
  const writes: OperationWrite[] = [];
  const changed: string[] = [];
  const away = [...view.machines.values()]
    .filter(({ id }) => !isInTraffic(view, id))
    .map(({ id }) => id);
  for (const name of selected) {
    const old = before?.services.get(name);
    const spec = project.services[name] ?? {};
    if (facts.isRollback !== true) {
      requireHookRetry(old, record.hashes[name] ?? '', request.retryHook === true);
    }
    const identity = identityOf(view, old, {
      baseHash: record.hashes[name] ?? '',
      revision: record,
      name,
      isForced: request.forceRecreate || (request.retryHook === true && needsHookAgain(old)),
      newId: facts.newId,
    });
    const pin = allocation.pinned.get(name);
    const paths = allocation.paths.get(name);
    // What the old definition needed was done when it was new.
    const hook =
      facts.isRollback === true
        ? undefined
        : hookOf(view, {
            name,
            spec,
            old,
            rollout: identity.rollout,
            machine: Object.values(allocation.slots.get(name) ?? {})[0],
          });
    services[name] = {
      revision: revisionHash,
      ...identity,
      slots: allocation.slots.get(name) ?? {},
      ...(pin === undefined ? {} : { pinned: pin }),
      ...(paths === undefined ? {} : { paths }),
      ...(hook === undefined ? {} : { hook }),
      ...rolloutFields(view, before, name, { request, facts, identity }),
      ...(away.length === 0 ? {} : { away }),
    };
    if (isChanged(old, spec, identity, replicaCountOf(spec))) changed.push(name);
    const start = old?.hash === identity.hash ? startOrder(view, old, facts.nowMs) : undefined;
    if (start !== undefined) {
      writes.push({ key: recordKey.operation(project.name, name), value: start });
    }
  }
  const untouched = [...(before?.services.values() ?? [])].filter(
    (service) => services[service.name] !== undefined && !selected.includes(service.name),
  );
  for (const { name, operation } of untouched) {
    if (operation === undefined) continue;
    writes.push({ key: recordKey.operation(project.name, name), value: operation });
  }
  const specs = Object.fromEntries(selected.map((name) => [name, project.services[name] ?? {}]));
  const operationsToWrite = withRestarts({ before, services, specs, nowMs: facts.nowMs }, writes);
  const rewritten = new Set(operationsToWrite.map((write) => write.key));
  return {
    revision: { hash: revisionHash, record },
    pointer: {
      services,
      createdMs: facts.nowMs,
      parent: before?.pointerHlc ?? null,
      author: {
        machine: facts.self,
        ...(request.user === undefined ? {} : { user: request.user }),
      },
      volumes: allocation.volumes,
      orphans: request.removeOrphans ? [] : orphans,
      ancestors: nextAncestors(before),
      revision: revisionHash,
      act: facts.isRollback === true ? 'rollback' : 'up',
    },
    operationsToClear: [
      ...[...(before?.services.values() ?? [])]
        .filter((service) => service.operation !== undefined)
        .map((service) => recordKey.operation(project.name, service.name))
        .filter((key) => !rewritten.has(key)),
      ...conflictKeys(before),
    ],
    operationsToWrite,
    changed,
    orphans,
    notes: [...conflictNotes(view, before), ...allocation.notes],
  };
}

function conflictKeys(before: ProjectView | undefined): readonly string[] {
  if (before === undefined || before.conflicts.length === 0) return [];
  return [recordKey.conflict(before.name)];
}

/** Said by the change that answers them, and by no later one. */
function conflictNotes(view: View, before: ProjectView | undefined): readonly string[] {
  const names = (id: MachineId): string => view.machines.get(id)?.name ?? id;
  return (before?.conflicts ?? []).flatMap((lost) =>
    conflictLines(before?.name ?? '', lost, names),
  );
}

/** `--scale` becomes part of the definition: the revision says by itself what is wanted. */
function scaledProject(project: Project, scale: Readonly<Record<string, number>>): Project {
  const services: Record<string, Service> = { ...project.services };
  for (const [name, count] of Object.entries(scale)) {
    const spec = services[name];
    if (spec === undefined) throw unknownService(project.name, name);
    services[name] = {
      ...spec,
      scale: count,
      ...(spec.deploy === undefined ? {} : { deploy: { ...spec.deploy, replicas: count } }),
    };
  }
  return { ...project, services };
}

function selectedServices(project: Project, request: UpRequest): readonly string[] {
  const all = Object.keys(project.services).sort(compareText);
  for (const name of request.services) {
    if (project.services[name] === undefined) throw unknownService(project.name, name);
  }
  return request.services.length === 0
    ? all
    : all.filter((name) => request.services.includes(name));
}

function unknownService(project: string, name: string): TscError {
  return new TscError('E_UNKNOWN_SERVICE', `no such service: ${name}`, {
    hint: `project "${project}" does not define it`,
  });
}

function checkAll(
  view: View,
  project: Project,
  {
    selected,
    removed,
  }: { readonly selected: readonly string[]; readonly removed: readonly string[] },
): void {
  const standing = otherServices(
    view,
    project.name,
    (name) => selected.includes(name) || removed.includes(name),
  );
  const checked = selected.map((name) => ({
    project: project.name,
    name,
    spec: project.services[name] ?? {},
  }));
  for (const [index, { name }] of checked.entries()) {
    checkService(view, project, name, [...standing, ...checked.slice(0, index)]);
  }
}

function revisionRecord(project: Project, request: UpRequest, facts: AcceptFacts): RevisionRecord {
  const hashes: Record<string, ServiceHash> = {};
  for (const [name, spec] of Object.entries(project.services)) {
    const imageId = imageIdentity(facts.images[name], spec);
    hashes[name] = serviceHash(spec, { imageId, contents: request.contents, project });
  }
  return {
    project,
    hashes,
    images: facts.images,
    contents: request.contents,
    workingDir: request.workingDir,
    composeFiles: request.composeFiles,
    ...(facts.caddy === undefined ? {} : { caddy: facts.caddy }),
  };
}

/** Services that this change leaves as they are: not asked for, switched off, or orphans. */
function keptServices(
  before: ProjectView | undefined,
  scope: { readonly selected: readonly string[]; readonly removed: readonly string[] },
): Record<string, PointerService> {
  return Object.fromEntries(
    Object.entries(before?.pointer?.services ?? {}).filter(
      ([name]) => !scope.selected.includes(name) && !scope.removed.includes(name),
    ),
  );
}

/** `up` starts what has ended, as `docker compose` does: stopped services and one-shot ones. */
export function mustStartAgain(view: View, service: ServiceView): boolean {
  const containers = containersOfService(view, service.project, service.name).filter(
    (container) => !isRetired(service, container),
  );
  const hasRun = containers.length > 0 || (service.done?.size ?? 0) > 0;
  const { condition } = restartPolicyOf(service.spec);
  const isLeftAlone = service.isStopped || ['unset', 'no', 'on-failure'].includes(condition);
  return isLeftAlone && hasRun && containers.every((container) => container.state === 'exited');
}

/** What starts the containers of a service that have ended; undefined when there is none to start. */
export function startOrder(
  view: View,
  service: ServiceView,
  nowMs: number,
): OperationRecord | undefined {
  if (mustStartAgain(view, service)) return { restartAtMs: nowMs };
  // Some still run, or run where the stop has not arrived: these are not disturbed.
  return service.isStopped ? { startAtMs: nowMs } : undefined;
}

interface RolloutFacts {
  readonly request: UpRequest;
  readonly facts: AcceptFacts;
  readonly identity: Identity;
}

/** What the pointer says about how the rollout proceeds; a rollout that goes on keeps it. */
function rolloutFields(
  view: View,
  before: ProjectView | undefined,
  name: string,
  { request, facts, identity }: RolloutFacts,
): Partial<PointerService> {
  const old = before?.services.get(name);
  const pointed = before?.pointer?.services[name];
  if (old !== undefined && identity.rollout === old.rollout) {
    const isRollback = old.isRollback === true ? { isRollback: true } : {};
    // It went back, and the pointer says so from now on; where to is good already.
    if (old.takenBack !== undefined) return isRollback;
    const { lastGoodRevision, lastGoodHash, noRollback } = pointed ?? {};
    return {
      ...(lastGoodRevision === undefined ? {} : { lastGoodRevision }),
      ...(lastGoodHash === undefined ? {} : { lastGoodHash }),
      ...(noRollback === undefined ? {} : { noRollback }),
      ...isRollback,
    };
  }
  return {
    ...lastGoodOf(view, old, pointed),
    ...(request.noRollback === true ? { noRollback: true } : {}),
    ...(facts.isRollback === true ? { isRollback: true } : {}),
  };
}

/** The newest definition that was judged good, or that every replica is ready with. */
function lastGoodOf(
  view: View,
  old: ServiceView | undefined,
  pointed: PointerService | undefined,
): Pick<PointerService, 'lastGoodRevision' | 'lastGoodHash'> {
  const isGood =
    old !== undefined &&
    (old.takenBack !== undefined || old.verdict?.result === 'good' || isAllUp(view, old));
  if (isGood) return { lastGoodRevision: old.revisionHash, lastGoodHash: old.hash };
  const { lastGoodRevision, lastGoodHash } = pointed ?? {};
  return {
    ...(lastGoodRevision === undefined ? {} : { lastGoodRevision }),
    ...(lastGoodHash === undefined ? {} : { lastGoodHash }),
  };
}

export interface AcceptedDown {
  /** Undefined when there is nothing to take down. */
  readonly tombstone: PointerTombstone | undefined;
  readonly operationsToClear: readonly string[];
  readonly notes: readonly string[];
}

/** Turns `down` into the tombstone of a project. */
export function acceptDown(
  view: View,
  name: string,
  request: DownRequest,
  facts: Pick<AcceptFacts, 'self' | 'nowMs'>,
): AcceptedDown {
  const project = view.projects.get(name);
  const old = project?.tombstone;
  if (project === undefined || (project.pointer === undefined && !hasVolumesLeft(old, request))) {
    const notes = [`project ${name} is not running: nothing to take down`];
    return { tombstone: undefined, operationsToClear: [], notes };
  }
  const own = project.pointer === undefined ? (old?.ownVolumes ?? []) : ownVolumes(project);
  const deleted = request.volumes ? own : [];
  const homes = {
    ...volumesOfConflicts(project),
    ...(project.pointer?.volumes ?? old?.volumes),
  };
  return {
    tombstone: {
      removed: true,
      createdMs: facts.nowMs,
      author: {
        machine: facts.self,
        ...(request.user === undefined ? {} : { user: request.user }),
      },
      // A machine that was away at an earlier `down -v` still has that to do.
      deleteVolumes: [...new Set([...(old?.deleteVolumes ?? []), ...deleted])].sort(compareText),
      volumes: Object.fromEntries(
        Object.entries(homes).filter(([volume]) => !deleted.includes(volume)),
      ),
      ownVolumes: request.volumes ? [] : own,
      ancestors: nextAncestors(project),
    },
    operationsToClear: [
      ...[...project.services.keys()].map((key) => recordKey.operation(name, key)),
      ...conflictKeys(project),
    ],
    notes: [],
  };
}

/** Whether `down -v` of a project that is down already has something to delete. */
function hasVolumesLeft(old: PointerTombstone | undefined, request: DownRequest): boolean {
  return request.volumes && (old?.ownVolumes ?? []).length > 0;
}

/** Volumes that the project made; what is external belongs to somebody else. */
function ownVolumes(project: ProjectView): readonly string[] {
  const names = new Set<string>();
  for (const { definition } of project.services.values()) {
    for (const [key, volume] of Object.entries(definition.volumes ?? {})) {
      if (volume?.external !== true) names.add(engineVolumeName(definition, key));
    }
  }
  return [...names].sort(compareText);
}

/**
 * Turns `scale` into operations.
 * @throws TscError for services that do not exist or cannot be scaled
 */
export function acceptScale(
  view: View,
  project: string,
  request: ScaleRequest,
  by?: Pick<OperationAuthor, 'machine' | 'user' | 'atMs'>,
): readonly OperationWrite[] {
  return Object.entries(request.scale).map(([name, count]) => {
    const service = serviceOf(view, project, name);
    if (service.mode === 'global') {
      throw new TscError('E_SCALE_GLOBAL', `service "${name}" is global and cannot be scaled`, {
        hint: 'it runs once on every machine that fits',
      });
    }
    if (service.spec.container_name !== undefined && count > 1) {
      throw new TscError(
        'E_CONTAINER_NAME_SCALE',
        `service "${name}" has container_name "${service.spec.container_name}" and cannot have more than one replica`,
      );
    }
    const machines = [...view.machines.values()];
    const placed = placeableOf(service);
    if (count > service.replicaCount && machines.every((machine) => refusal(placed, machine))) {
      const reasons = machines.map((machine) => `${machine.name} ${refusal(placed, machine)}`);
      throw new TscError(
        'E_NO_ELIGIBLE_MACHINE',
        `no machine can run service "${name}": ${reasons.join('; ')}`,
      );
    }
    const author = by === undefined ? {} : { by: { ...by, act: `scale to ${count}` } };
    return operation(service, { scale: count, ...author, ...scaledSlots(view, service, count) });
  });
}

function operation(service: ServiceView, change: OperationRecord): OperationWrite {
  const key = recordKey.operation(service.project, service.name);
  return { key, value: { ...service.operation, ...change } };
}

/** @throws TscError E_UNKNOWN_PROJECT, E_UNKNOWN_SERVICE */
export function serviceOf(view: View, project: string, name: string): ServiceView {
  const found = view.projects.get(project);
  if (found?.pointer === undefined) {
    throw new TscError('E_UNKNOWN_PROJECT', `no such project: ${project}`);
  }
  const service = found.services.get(name);
  if (service === undefined) throw unknownService(project, name);
  return service;
}
