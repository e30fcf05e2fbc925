/**
 * The changes of a project, as far back as they are kept: what `history` lists, what `rollback`
 * goes back to, and which records of the past nothing refers to any more. Going back is an ordinary
 * change whose definition comes from a revision instead of from a file.
 *
 * What must never happen: a revision is dropped that a pointer, a rollout or a verdict still names,
 * here or on a machine that cannot be seen. So records are dropped only while every member is in
 * reach, and only when they are older than any change that may be on its way.
 */
import { TscError } from '../lib/errors.ts';
import { hlcToMs } from '../lib/hlc.ts';
import type { HistoryEntry, UpRequest } from '../model/api.ts';
import type { Hlc } from '../model/ids.ts';
import type { Project, Service } from '../model/project.ts';
import {
  type HistoryRecord,
  type HistoryService,
  type PointerRecord,
  type RecordReader,
  type ResolvedImage,
  type RevisionRecord,
  recordKey,
  type VerdictRecord,
} from '../model/record.ts';
import type { ProjectView, View } from '../model/view.ts';
import { compareText, sortedEntries } from '../view/order.ts';
import { isHistory, isPointer, isRevision, isVerdict } from '../view/record-checks.ts';
import { rollbackOf } from '../view/rollout-records.ts';
import { canonicalJson } from './canonical.ts';
import { keptRevisionCount, unreferencedKeepMs } from './limits.ts';

/** What is written down of a change beside its pointer; everything follows from that. */
export function historyOf(pointer: PointerRecord, pointerHlc: Hlc): HistoryRecord {
  const services: Record<string, HistoryService> = {};
  for (const [name, { revision, hash, rollout }] of sortedEntries(pointer.services)) {
    services[name] = { revision, hash, rollout };
  }
  return {
    pointerHlc,
    atMs: pointer.createdMs,
    author: pointer.author,
    act: pointer.act === 'rollback' ? 'rollback' : 'up',
    // A change by an older agent does not say what it brought.
    revision: pointer.revision ?? Object.values(services)[0]?.revision ?? '',
    services,
  };
}

/** The key of a change's record. */
export function historyKey(project: string, pointerHlc: Hlc): string {
  return recordKey.history(project, `${pointerHlc}`);
}

/** The changes of a project, newest first, the one in force included. */
export function changesOf(records: RecordReader, project: string): readonly HistoryRecord[] {
  const byHlc = new Map<Hlc, HistoryRecord>();
  for (const { value } of records.entries(recordKey.history(project, ''))) {
    if (isHistory(value)) byHlc.set(value.pointerHlc, value);
  }
  const inForce = changeInForce(records, project);
  if (inForce !== undefined) {
    const isKnown = [...byHlc.values()].some((change) => isSameChange(change, inForce));
    if (!isKnown) byHlc.set(inForce.pointerHlc, inForce);
  }
  return [...byHlc.values()].sort((left, right) => right.pointerHlc - left.pointerHlc);
}

/** The pointer's own; undefined for a project that is down. */
function changeInForce(records: RecordReader, project: string): HistoryRecord | undefined {
  const current = records.get(recordKey.pointer(project));
  if (current === undefined || !isPointer(current.value)) return undefined;
  return historyOf(current.value, current.hlc);
}

/** A pointer that was signed anew, because its author was removed, is still the same change. */
function isSameChange(left: HistoryRecord, right: HistoryRecord): boolean {
  return canonicalJson({ ...left, pointerHlc: 0 }) === canonicalJson({ ...right, pointerHlc: 0 });
}

/** The changes as `history` shows them, newest first. */
export function historyEntries(records: RecordReader, project: string): readonly HistoryEntry[] {
  const changes = changesOf(records, project).slice(0, keptRevisionCount);
  const inForce = changeInForce(records, project);
  return changes.map((change, index) => ({
    revision: change.revision,
    atMs: change.atMs,
    author: change.author,
    act: change.act,
    isCurrent: inForce !== undefined && isSameChange(change, inForce),
    services: sortedEntries(change.services).map(([name, service]) => {
      const verdict = verdictOf(records, project, name, service);
      return {
        name,
        revision: service.revision,
        isChanged: changes[index + 1]?.services[name]?.rollout !== service.rollout,
        ...(verdict === undefined ? {} : { verdict }),
      };
    }),
  }));
}

function verdictOf(
  records: RecordReader,
  project: string,
  service: string,
  { rollout }: HistoryService,
): VerdictRecord | undefined {
  const value = records.get(recordKey.verdict(project, service, rollout))?.value;
  return isVerdict(value) ? value : undefined;
}

/**
 * The change to go back to.
 * @param to a revision, or the beginning of one; undefined: the last that differs and did not fail
 * @throws TscError E_REVISION_UNKNOWN, E_ROLLBACK_NONE
 */
export function rollbackTarget(
  records: RecordReader,
  project: ProjectView,
  to: string | undefined,
): HistoryRecord {
  const changes = changesOf(records, project.name);
  if (to !== undefined) {
    const named = changes.filter(({ revision }) => to !== '' && revision.startsWith(to));
    const [first] = named;
    if (first !== undefined && named.every(({ revision }) => revision === first.revision)) {
      return first;
    }
    const known = [...new Set(changes.map(({ revision }) => revision))].join(', ');
    throw new TscError(
      'E_REVISION_UNKNOWN',
      first === undefined
        ? `project ${project.name} has no revision ${to}`
        : `${to} is the beginning of more than one revision`,
      { hint: `revisions that are kept: ${known}` },
    );
  }
  const target = changes
    .filter(({ pointerHlc }) => pointerHlc < project.pointerHlc)
    .find((change) => isOther({ records, project, changes }, change));
  if (target !== undefined) return target;
  throw new TscError(
    'E_ROLLBACK_NONE',
    `project ${project.name} has no earlier revision to go back to`,
    { hint: 'see `tsc-compose history`; failed ones are taken only with --to REVISION' },
  );
}

/** Worked as far as is known, and defines some service differently from what is in force. */
function isOther(
  {
    records,
    project,
    changes,
  }: {
    readonly records: RecordReader;
    readonly project: ProjectView;
    readonly changes: readonly HistoryRecord[];
  },
  change: HistoryRecord,
): boolean {
  const services = Object.entries(change.services);
  const hasFailed = services.some(([name, { revision }]) => {
    const rollouts = changes
      .map((other) => other.services[name])
      .filter((service) => service?.revision === revision);
    const results = rollouts.map(
      (service) => service && verdictOf(records, project.name, name, service)?.result,
    );
    return (
      !results.includes('good') && (results.includes('paused') || results.includes('rolled-back'))
    );
  });
  if (hasFailed) return false;
  return services.some(([name, { hash }]) => project.services.get(name)?.hash !== hash);
}

export interface RollbackRequest {
  readonly request: UpRequest;
  readonly images: Readonly<Record<string, ResolvedImage>>;
}

/**
 * The change that brings a state of the project back: each service as its revision defines it.
 * @throws TscError E_REVISION_GONE
 */
export function rollbackRequest(
  records: RecordReader,
  project: string,
  target: HistoryRecord,
): RollbackRequest {
  const revisionOf = (hash: string): RevisionRecord => {
    const value = records.get(recordKey.revision(project, hash))?.value;
    if (isRevision(value)) return value;
    throw new TscError('E_REVISION_GONE', `revision ${hash} of ${project} is no longer kept`);
  };
  const base = revisionOf(target.revision);
  const services: Record<string, Service> = {};
  const images: Record<string, ResolvedImage> = {};
  let resources: Omit<Project, 'name' | 'services'> = {};
  let contents: Readonly<Record<string, string>> = {};
  for (const [name, { revision }] of sortedEntries(target.services)) {
    const source = revisionOf(revision);
    const spec = source.project.services[name];
    if (spec === undefined) continue;
    services[name] = spec;
    const image = source.images[name];
    if (image !== undefined) images[name] = image;
    resources = withResources(resources, source.project);
    contents = { ...source.contents, ...contents };
  }
  return {
    images,
    request: {
      // The target's own revision says last what a network or a volume is.
      project: { ...base.project, ...withResources(base.project, resources), services },
      services: [],
      disabledServices: [],
      scale: {},
      removeOrphans: false,
      isDryRun: false,
      forceRecreate: false,
      contents: { ...contents, ...base.contents },
      workingDir: base.workingDir,
      composeFiles: base.composeFiles,
    },
  };
}

const resourceKinds = ['networks', 'volumes', 'secrets', 'configs'] as const;
type Resources = Pick<Project, (typeof resourceKinds)[number]>;

/** The named resources of both; those of the first where both name one. */
function withResources(first: Resources, second: Resources): Resources {
  return {
    ...merged('networks', first.networks, second.networks),
    ...merged('volumes', first.volumes, second.volumes),
    ...merged('secrets', first.secrets, second.secrets),
    ...merged('configs', first.configs, second.configs),
  };
}

function merged<Kind extends keyof Resources>(
  kind: Kind,
  first: Resources[Kind],
  second: Resources[Kind],
): Pick<Resources, Kind> | object {
  return first === undefined && second === undefined ? {} : { [kind]: { ...second, ...first } };
}

/**
 * Keys of records of the past that may be dropped now: old revisions, changes, verdicts and notes
 * of completed runs.
 */
export function unreferenced(records: RecordReader, view: View): readonly string[] {
  const members = [...view.machines.values()];
  if (members.some(({ liveness }) => liveness !== 'reachable')) return [];
  const kept = new Set<string>();
  const dropped: string[] = [];
  for (const name of view.projects.keys()) keepOf(records, name, kept);
  for (const prefix of ['rev/', 'hist/', 'verdict/', 'done/']) {
    for (const { key, hlc, value } of records.entries(prefix)) {
      const isOld = hlcToMs(hlc) + unreferencedKeepMs < view.nowMs;
      if (value !== null && isOld && !kept.has(key)) dropped.push(key);
    }
  }
  return dropped.sort(compareText);
}

/** Adds what a project's pointer and its last changes refer to. */
function keepOf(records: RecordReader, project: string, kept: Set<string>): void {
  const current = records.get(recordKey.pointer(project));
  // A project that is down has no past: `up` begins anew.
  if (current === undefined || !isPointer(current.value)) return;
  const keepRollout = (service: string, rollout: string): void => {
    for (const id of [rollout, rollbackOf(rollout)]) {
      const key = recordKey.verdict(project, service, id);
      kept.add(key);
      const verdict = records.get(key)?.value;
      if (isVerdict(verdict) && verdict.revision !== undefined) {
        kept.add(recordKey.revision(project, verdict.revision));
      }
    }
  };
  for (const [name, service] of Object.entries(current.value.services)) {
    kept.add(recordKey.revision(project, service.revision));
    if (service.lastGoodRevision !== undefined) {
      kept.add(recordKey.revision(project, service.lastGoodRevision));
    }
    keepRollout(name, service.rollout);
    for (const { key } of records.entries(`done/${project}/${name}/`)) {
      const rollout = key.split('/').at(-1);
      if (rollout === service.rollout || rollout === rollbackOf(service.rollout)) kept.add(key);
    }
  }
  for (const change of changesOf(records, project).slice(0, keptRevisionCount)) {
    kept.add(historyKey(project, change.pointerHlc));
    kept.add(recordKey.revision(project, change.revision));
    for (const [name, { revision, rollout }] of Object.entries(change.services)) {
      kept.add(recordKey.revision(project, revision));
      keepRollout(name, rollout);
    }
  }
}
