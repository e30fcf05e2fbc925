/**
 * A machine's record file: what is written is safe after a while (a flush for what needs one, a
 * checkpoint for what is only observed), survives the end of the process, and is gone with the
 * power if it was not safe yet. Beside it stands the small file of machine records, which is as
 * safe as the last flush and may survive when the record file does not.
 */
import { observedKinds, type ReplicatedRecord, recordKind } from '../../src/model/record.ts';

/** 1 s: how long what needs no flush may stay in memory. */
const checkpointMs = 1000;
/** What is safe is worked in from time to time only. */
const leastSettledCount = 256;

interface Change {
  readonly key: string;
  /** undefined: forgotten. */
  readonly record: ReplicatedRecord | undefined;
  readonly safeAtMs: number;
}

export type DiskCopy = ReadonlyMap<string, ReplicatedRecord>;

export class SimDisk {
  /** What is safe. */
  #safe = new Map<string, ReplicatedRecord>();
  #changes: Change[] = [];
  /** So many changes at least until the next look for what is safe: each look costs as many steps. */
  #settleAtCount = leastSettledCount;
  /** How long a flush takes. */
  flushMs = 2;
  #replacedCount = 0;

  /** How often another content was put in the place of its own. */
  get replacedCount(): number {
    return this.#replacedCount;
  }

  write(key: string, record: ReplicatedRecord | undefined, nowMs: number): void {
    const isObserved = observedKinds.includes(recordKind(key));
    const safeAtMs = nowMs + (isObserved ? checkpointMs : this.flushMs);
    this.#changes.push({ key, record, safeAtMs });
    if (this.#changes.length <= this.#settleAtCount) return;
    this.#settle((change) => change.safeAtMs <= nowMs);
    this.#settleAtCount = leastSettledCount + 2 * this.#changes.length;
  }

  /** The machine lost its power. */
  cutPower(nowMs: number): void {
    this.#settle((change) => change.safeAtMs <= nowMs);
    this.#changes = [];
  }

  /** What a process that starts now reads. */
  records(): ReplicatedRecord[] {
    this.#settle(() => true);
    return [...this.#safe.values()];
  }

  copy(): DiskCopy {
    this.records();
    return new Map(this.#safe);
  }

  /** The record file is lost; the file of machine records is not. */
  lose(): void {
    this.put(new Map());
  }

  /** An older copy of the record file is put back; the file of machine records is as it was. */
  put(copy: DiskCopy): void {
    const roots = this.records().filter(({ key }) => /^[mx]\//.test(key));
    this.#replacedCount++;
    this.#safe = new Map(copy);
    for (const root of roots) this.#safe.set(root.key, root);
  }

  /** A flush takes everything along that was written before. */
  #settle(isSafe: (change: Change) => boolean): void {
    const safeCount = this.#changes.findLastIndex(isSafe) + 1;
    for (const { key, record } of this.#changes.splice(0, safeCount)) {
      if (record === undefined) this.#safe.delete(key);
      else this.#safe.set(key, record);
    }
  }
}
