/**
 * Which definition of a service is in force: the one that the pointer names, or, once its rollout
 * was judged a failure, the one it went back to. Going back needs no new pointer: every machine
 * reads the same verdict and so comes to the same definition, even when the machine that wrote it
 * is gone a moment later. Here is only reading; who may judge is decided in src/plan/verdict.ts.
 */
import type { RolloutId, Slot } from '../model/ids.ts';
import {
  type Entry,
  type PointerService,
  type RecordReader,
  recordKey,
  type VerdictRecord,
} from '../model/record.ts';
import type { ServiceView } from '../model/view.ts';
import { isDoneRecord, isVerdict } from './record-checks.ts';

type InForce = Pick<
  ServiceView,
  | 'revisionHash'
  | 'hash'
  | 'rollout'
  | 'verdict'
  | 'lastGood'
  | 'takenBack'
  | 'isRollback'
  | 'noRollback'
  | 'done'
>;

interface Source {
  readonly records: RecordReader;
  readonly doneRecords: DoneRecords;
  readonly report: (key: string, why: string) => void;
}

/** The rollout that brings an earlier definition back; it has a verdict of its own. */
export function rollbackOf(rollout: RolloutId): RolloutId {
  return `${rollout}-back`;
}

/** @returns what a service's view says about its definition and the rollout that brings it */
export function definitionInForce(
  project: string,
  service: string,
  pointed: PointerService,
  source: Source,
): InForce {
  const { revision, hash, rollout, lastGoodRevision, lastGoodHash } = pointed;
  const verdict = readVerdict(recordKey.verdict(project, service, rollout), source);
  const lastGood =
    lastGoodRevision === undefined || lastGoodHash === undefined
      ? {}
      : { lastGood: { revision: lastGoodRevision, hash: lastGoodHash } };
  if (verdict?.result !== 'rolled-back' || !verdict.revision || !verdict.hash) {
    return {
      revisionHash: revision,
      hash,
      rollout,
      ...lastGood,
      ...(verdict === undefined ? {} : { verdict }),
      ...(pointed.isRollback === true ? { isRollback: true } : {}),
      ...(pointed.noRollback === true ? { noRollback: true } : {}),
      ...doneSlots(project, service, rollout, source),
    };
  }
  const back = rollbackOf(rollout);
  const backVerdict = readVerdict(recordKey.verdict(project, service, back), source);
  return {
    revisionHash: verdict.revision,
    hash: verdict.hash,
    rollout: back,
    isRollback: true,
    takenBack: { rollout, revision, hash, verdict },
    ...(backVerdict === undefined ? {} : { verdict: backVerdict }),
    ...doneSlots(project, service, back, source),
  };
}

function readVerdict(key: string, { records, report }: Source): VerdictRecord | undefined {
  const value = records.get(key)?.value ?? null;
  if (value === null) return undefined;
  if (isVerdict(value)) return value;
  report(key, 'is not a verdict');
  return undefined;
}

/** `done/` records by `<project>/<service>/<rollout>`. */
export type DoneRecords = ReadonlyMap<string, readonly Entry[]>;

/** A list of entries never changes (RecordReader). */
const knownDone = new WeakMap<Iterable<Entry>, DoneRecords>();

/** Gathers them once for a view: most services have none, and each would look for its own. */
export function readDoneRecords(records: RecordReader): DoneRecords {
  const list = records.entries('done/');
  const known = knownDone.get(list);
  if (known !== undefined) return known;
  const byRollout = new Map<string, Entry[]>();
  knownDone.set(list, byRollout);
  for (const entry of list) {
    if (entry.value === null) continue;
    const [, project = '', service = '', , rollout = ''] = entry.key.split('/');
    const key = doneKey(project, service, rollout);
    const own = byRollout.get(key);
    if (own === undefined) byRollout.set(key, [entry]);
    else own.push(entry);
  }
  return byRollout;
}

function doneKey(project: string, service: string, rollout: string): string {
  return `${project}/${service}/${rollout}`;
}

function doneSlots(
  project: string,
  service: string,
  rollout: RolloutId,
  { doneRecords, report }: Source,
): { readonly done?: ReadonlyMap<Slot, number> } {
  const done = new Map<Slot, number>();
  for (const { key, value } of doneRecords.get(doneKey(project, service, rollout)) ?? []) {
    const [, , , slot = ''] = key.split('/');
    if (isDoneRecord(value)) done.set(slot, value.atMs);
    else report(key, 'does not say when it was done');
  }
  return done.size === 0 ? {} : { done };
}
