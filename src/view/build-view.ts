/**
 * Records -> View. Total: a malformed body costs its own record and nothing else, and is listed in
 * `problems`. Nothing is decided here beyond what every reader must agree on: which machines are
 * members, what they are called, which definition a service has, how many replicas are wanted.
 * The order in which records arrived has no influence.
 */
import type { MachineId } from '../model/ids.ts';
import type {
  Entry,
  LostChange,
  OperationRecord,
  PointerRecord,
  PointerService,
  RecordReader,
  RevisionRecord,
} from '../model/record.ts';
import { recordKey } from '../model/record.ts';
import type {
  ClaimView,
  ContainerView,
  FailureView,
  HookView,
  MachineView,
  ProjectView,
  ServiceView,
  View,
  ViewContext,
} from '../model/view.ts';
import { buildMachines } from './build-machines.ts';
import { compareSlots, compareText, sortedEntries } from './order.ts';
import {
  isClaim,
  isConflict,
  isContainer,
  isFailure,
  isHook,
  isOperation,
  isPointer,
  isRevision,
  isTombstone,
} from './record-checks.ts';
import { type DoneRecords, definitionInForce, readDoneRecords } from './rollout-records.ts';
import { localVolumesOf, modeOf, replicaCountOf } from './service-spec.ts';

/** A record that could not be used, and why. */
export interface RecordProblem {
  readonly key: string;
  readonly why: string;
}

export interface BuiltView extends View {
  /** In order of key. */
  readonly problems: readonly RecordProblem[];
}

/** Makes the view that every decision of one tick reads. */
export function buildView(records: RecordReader, context: ViewContext): BuiltView {
  const problems: RecordProblem[] = [];
  const report = (key: string, why: string): void => {
    problems.push({ key, why });
  };
  const machines = buildMachines(records, context, report);
  const containers = buildContainers(records, machines, report);
  return {
    self: context.self,
    cluster: context.cluster,
    nowMs: context.nowMs,
    guards: context.guards,
    machines,
    projects: buildProjects(records, report),
    containers: containers.filter(({ hook }) => hook === undefined),
    hookContainers: containers.filter(({ hook }) => hook !== undefined),
    failures: buildFailures(records, machines, report),
    claims: buildClaims(records, machines, report),
    problems: problems.sort((left, right) => compareText(left.key, right.key)),
  };
}

export type Report = (key: string, why: string) => void;

function buildProjects(records: RecordReader, report: Report): ReadonlyMap<string, ProjectView> {
  const projects: ProjectView[] = [];
  const source: Source = { records, report, doneRecords: readDoneRecords(records) };
  for (const entry of records.entries('app/')) {
    const name = entry.key.slice('app/'.length);
    const { value } = entry;
    if (value === null) continue;
    if (isTombstone(value)) {
      projects.push({
        name,
        pointerHlc: entry.hlc,
        pointer: undefined,
        tombstone: value,
        services: new Map(),
        isComplete: true,
        conflicts: readConflicts(name, value.ancestors, source),
      });
    } else if (isPointer(value)) {
      projects.push(buildProject(name, { ...entry, value }, source));
    } else {
      report(entry.key, 'is neither a pointer nor a tombstone');
    }
  }
  projects.sort((left, right) => compareText(left.name, right.name));
  return new Map(projects.map((project) => [project.name, project]));
}

interface Source {
  readonly records: RecordReader;
  readonly doneRecords: DoneRecords;
  readonly report: Report;
}

function buildProject(
  name: string,
  entry: Entry & { readonly value: PointerRecord },
  source: Source,
): ProjectView {
  const pointer = entry.value;
  const services = new Map<string, ServiceView>();
  const revisions = new Map<string, RevisionRecord | undefined>();
  let isComplete = true;
  for (const [serviceName, pointed] of sortedEntries(pointer.services)) {
    const inForce = definitionInForce(name, serviceName, pointed, source);
    const key = recordKey.revision(name, inForce.revisionHash);
    if (!revisions.has(key)) revisions.set(key, readRevision(key, source));
    const revision = revisions.get(key);
    const spec = revision?.project.services[serviceName];
    if (revision === undefined || spec === undefined) {
      if (revision !== undefined) source.report(key, `does not define service ${serviceName}`);
      isComplete = false;
      continue;
    }
    const operation = readOperation(recordKey.operation(name, serviceName), entry.hlc, source);
    const mode = modeOf(spec);
    services.set(serviceName, {
      project: name,
      name: serviceName,
      spec,
      definition: revision.project,
      revision,
      ...inForce,
      mode,
      replicaCount: operation?.scale ?? replicaCountOf(spec),
      isStopped: operation?.stopped === true,
      isOrphan: pointer.orphans.includes(serviceName),
      slots: { ...pointed.slots, ...operation?.slots },
      pinned: pointed.pinned,
      paths: pointed.paths,
      hook: pointed.hook && readHook(name, serviceName, pointed.hook, source),
      away: pointed.away ?? [],
      volumeHome: mode === 'global' ? undefined : volumeHomeOf(pointer, revision, serviceName),
      operation,
    });
  }
  const conflicts = readConflicts(name, pointer.ancestors, source);
  const { hlc: pointerHlc } = entry;
  return { name, pointerHlc, pointer, tombstone: undefined, services, isComplete, conflicts };
}

function readRevision(key: string, { records, report }: Source): RevisionRecord | undefined {
  const value = records.get(key)?.value;
  if (value === undefined || value === null) return undefined;
  if (isRevision(value)) return value;
  report(key, 'is not a revision');
  return undefined;
}

/** Those that the change in force does not know of: the others have been answered by it. */
function readConflicts(
  project: string,
  ancestors: readonly string[] | undefined,
  { records, report }: Source,
): readonly LostChange[] {
  const key = recordKey.conflict(project);
  const value = records.get(key)?.value ?? null;
  if (value === null) return [];
  if (isConflict(value)) return value.lost.filter(({ id }) => !ancestors?.includes(id));
  report(key, 'is not a list of overruled changes');
  return [];
}

/** An operation speaks about the pointer its author saw: a later `up` takes it back. */
function readOperation(
  key: string,
  pointerHlc: number,
  { records, report }: Source,
): OperationRecord | undefined {
  const entry = records.get(key);
  if (entry === undefined || entry.value === null || entry.hlc <= pointerHlc) return undefined;
  if (isOperation(entry.value)) return entry.value;
  report(key, 'is not an operation');
  return undefined;
}

/** Only the machine that the pointer names says how the hook went, and only of this run. */
function readHook(
  project: string,
  service: string,
  hook: NonNullable<PointerService['hook']>,
  { records, report }: Source,
): HookView {
  const key = recordKey.hook(project, service);
  const entry = records.get(key);
  const value = entry?.value ?? null;
  if (entry === undefined || value === null) return { ...hook, state: undefined };
  if (!isHook(value)) {
    report(key, 'is not the run of a hook');
    return { ...hook, state: undefined };
  }
  // Of a machine that was removed another one has signed it anew.
  const isSigned =
    entry.origin === hook.machine ||
    (value.machine === hook.machine &&
      (records.get(recordKey.removed(hook.machine))?.value ?? null) !== null);
  const isThis = value.run === hook.run && isSigned;
  return { ...hook, state: isThis ? value : undefined };
}

function volumeHomeOf(
  pointer: PointerRecord,
  revision: RevisionRecord,
  service: string,
): MachineId | undefined {
  const spec = revision.project.services[service];
  if (spec === undefined) return undefined;
  for (const volume of localVolumesOf(revision.project, spec)) {
    const home = pointer.volumes[volume];
    if (home !== undefined) return home;
  }
  return undefined;
}

type Machines = ReadonlyMap<MachineId, MachineView>;

/** A kind of records in which every machine says what is seen on it. */
interface ObservedKind<T> {
  readonly prefix: string;
  /** What a record means; undefined when it is malformed. */
  readonly read: (entry: Entry, path: readonly string[]) => T | undefined;
  /** What is said about a malformed one. */
  readonly complaint: string;
  /** A record's meaning depends on nothing else, and most records stay from tick to tick. */
  readonly known: WeakMap<Entry, Observation<T>>;
}

interface Observation<T> {
  readonly owner: string;
  readonly meaning: T | undefined;
}

/** Only the owner writes what is seen on its machine, and only members count. */
function observed<T>(
  records: RecordReader,
  kind: ObservedKind<T>,
  machines: Machines,
  report: Report,
): T[] {
  const found: T[] = [];
  for (const entry of records.entries(kind.prefix)) {
    if (entry.value === null) continue;
    let observation = kind.known.get(entry);
    if (observation === undefined) {
      const [, owner = '', ...path] = entry.key.split('/');
      observation = { owner, meaning: kind.read(entry, path) };
      kind.known.set(entry, observation);
    }
    const { owner, meaning } = observation;
    if (entry.origin !== owner) report(entry.key, 'was not written by the machine it names');
    else if (!machines.has(entry.origin)) continue;
    else if (meaning === undefined) report(entry.key, kind.complaint);
    else found.push(meaning);
  }
  return found;
}

const containerKind: ObservedKind<ContainerView> = {
  prefix: 'c/',
  complaint: 'is not a container',
  known: new WeakMap(),
  read: ({ value, origin }, path) =>
    isContainer(value) ? { ...value, id: path.join('/'), machine: origin } : undefined,
};

function buildContainers(
  records: RecordReader,
  machines: Machines,
  report: Report,
): readonly ContainerView[] {
  const containers = observed(records, containerKind, machines, report);
  return containers.sort(
    (left, right) =>
      compareText(left.project, right.project) ||
      compareText(left.service, right.service) ||
      compareSlots(left.slot, right.slot) ||
      compareText(left.machine, right.machine) ||
      compareText(left.id, right.id),
  );
}

const claimKind: ObservedKind<readonly ClaimView[]> = {
  prefix: 'claim/',
  complaint: 'is not a list of claims',
  known: new WeakMap(),
  read: ({ value, origin }) =>
    isClaim(value) ? value.slots.map((claim) => ({ ...claim, machine: origin })) : undefined,
};

function buildClaims(
  records: RecordReader,
  machines: Machines,
  report: Report,
): readonly ClaimView[] {
  return observed(records, claimKind, machines, report).flat();
}

const failureKind: ObservedKind<readonly FailureView[]> = {
  prefix: 'fail/',
  complaint: 'is not a failure',
  known: new WeakMap(),
  read: ({ value, origin }, [project = '', service = '']) => {
    if (!isFailure(value)) return undefined;
    const { more, ...first } = value;
    const { rollout } = first;
    return [first, ...(more ?? [])].map((failure) => ({
      ...failure,
      rollout,
      machine: origin,
      project,
      service,
    }));
  },
};

function buildFailures(
  records: RecordReader,
  machines: Machines,
  report: Report,
): readonly FailureView[] {
  const failures = observed(records, failureKind, machines, report).flat();
  return failures.sort(
    (left, right) =>
      compareText(left.project, right.project) ||
      compareText(left.service, right.service) ||
      compareText(left.machine, right.machine) ||
      compareSlots(left.slot, right.slot),
  );
}
