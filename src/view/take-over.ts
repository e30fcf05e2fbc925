/**
 * What somebody else has to sign before a machine is removed: its records leave every map then. Not
 * what it says of itself and of what runs on it, which ends with it. An operation counts only while
 * it is newer than the pointer of its project, so the order is part of the decision: pointers first,
 * then the operations that held on, whoever wrote them. One that a later `up` took back stays so.
 */
import type { Hlc, MachineId } from '../model/ids.ts';
import { observedKinds, type ReplicatedRecord, recordKey, recordKind } from '../model/record.ts';

/** Said by the machine of itself, or part of who belongs to the cluster. */
const keptKinds: ReadonlySet<string> = new Set([...observedKinds, 'm', 'x']);

/** @returns in the order in which they are to be written */
export function recordsToTakeOver(
  records: readonly ReplicatedRecord[],
  machine: MachineId,
): readonly ReplicatedRecord[] {
  const pointers = new Map<string, ReplicatedRecord>();
  for (const record of records)
    if (recordKind(record.key) === 'app') pointers.set(record.key, record);
  const others: ReplicatedRecord[] = [];
  const operations: ReplicatedRecord[] = [];
  for (const record of records) {
    const kind = recordKind(record.key);
    const isTheirs = record.origin === machine;
    if (kind === 'op') {
      const pointer = pointers.get(pointerKeyOf(record.key));
      const since: Hlc = pointer?.hlc ?? 0;
      const isRenewed = isTheirs || pointer?.origin === machine;
      if (isRenewed && record.hlc > since) operations.push(record);
    } else if (isTheirs && !keptKinds.has(kind)) {
      others.push(record);
    }
  }
  return [...others, ...operations];
}

/** `op/<project>/<service>` -> `app/<project>` */
function pointerKeyOf(key: string): string {
  return recordKey.pointer(key.split('/')[1] ?? '');
}
