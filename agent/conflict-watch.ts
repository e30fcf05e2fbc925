/**
 * Sees changes that are overruled. The replicated map keeps the winner only, so the pointer before
 * is remembered here; what counts as overruled is src/plan/conflict.ts. Every machine that held the
 * loser sees it; its author's machine writes it down at once, the others only if that has not
 * happened after a while. A report stays due until the next change of the project answers it.
 */
import type { ConflictRecord, LostChange, PointerRecord } from '../src/model/record.ts';
import { recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import { type Change, changeId, lostChange, withLost } from '../src/plan/conflict.ts';
import { isConflict, isPointer, isRevision, isTombstone } from '../src/view/record-checks.ts';
import type { Log } from './log.ts';

/** 2 s: by then the author's machine has written it, if it is there. */
const othersAfterMs = 2_000;

export interface ConflictWatchComponents {
  readonly replica: Pick<Replica, 'self' | 'get' | 'entries' | 'write' | 'subscribe'>;
  readonly log: Log;
}

export class ConflictWatch {
  readonly #components: ConflictWatchComponents;
  readonly #last = new Map<string, Change>();
  /** By project: overruled changes that no later change has answered. */
  readonly #due = new Map<string, LostChange[]>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #unsubscribe: (() => void) | undefined;

  constructor(components: ConflictWatchComponents) {
    this.#components = components;
  }

  /** Remembers the changes in force, and follows them from now on. */
  start(): void {
    const { replica } = this.#components;
    for (const { key } of replica.entries('app/')) this.#look(key.slice('app/'.length));
    this.#unsubscribe = replica.subscribe((keys) => {
      for (const key of keys) {
        if (key.startsWith('app/')) this.#look(key.slice('app/'.length));
        if (key.startsWith('conflict/')) this.#report(key.slice('conflict/'.length), false);
      }
    });
  }

  stop(): void {
    this.#unsubscribe?.();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #look(project: string): void {
    const { replica, log } = this.#components;
    const now = this.#changeOf(project);
    if (now === undefined) return;
    const before = this.#last.get(project);
    this.#last.set(project, now);
    const lost = before && lostChange(before, now, (pointer) => this.#workingDir(project, pointer));
    if (lost === undefined) return;
    const due = this.#due.get(project) ?? [];
    if (due.some(({ id }) => id === lost.id)) return;
    log.warn('a change was replaced by one that did not know of it', { project, lost: lost.id });
    this.#due.set(project, [...due, lost]);
    if (lost.author.machine === replica.self) {
      // After this turn: the map is being written to.
      this.#later(project, 0);
    } else {
      this.#later(project, othersAfterMs);
    }
  }

  #later(project: string, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#report(project, true);
    }, delayMs);
    this.#timers.add(timer);
  }

  /**
   * Writes what is due and not written yet.
   * @param isDue false: only looks whether something that was written is gone again
   */
  #report(project: string, isDue: boolean): void {
    const { replica, log } = this.#components;
    const change = this.#changeOf(project);
    const due = (this.#due.get(project) ?? []).filter(
      ({ id }) => change === undefined || (changeId(change) !== id && !answers(change, id)),
    );
    if (due.length === 0) {
      this.#due.delete(project);
      return;
    }
    this.#due.set(project, due);
    const key = recordKey.conflict(project);
    const value = replica.get(key)?.value ?? null;
    let record: ConflictRecord | undefined = isConflict(value) ? value : undefined;
    const known = record;
    for (const lost of due) record = withLost(record, lost) ?? record;
    if (record === known || record === undefined) return;
    if (!isDue) {
      // Two machines wrote at the same time and one report is gone; or the next change cleared it
      // and is about to arrive.
      this.#later(project, othersAfterMs);
      return;
    }
    replica.write(key, record).catch((error: unknown) => {
      log.warn('the conflict could not be written down', { project, error });
    });
  }

  #changeOf(project: string): Change | undefined {
    const value = this.#components.replica.get(recordKey.pointer(project))?.value ?? null;
    return isPointer(value) || isTombstone(value) ? value : undefined;
  }

  #workingDir(project: string, pointer: PointerRecord): string {
    for (const { revision } of Object.values(pointer.services)) {
      const { replica } = this.#components;
      const value = replica.get(recordKey.revision(project, revision))?.value ?? null;
      if (isRevision(value)) return value.workingDir;
    }
    return '';
  }
}

function answers(change: Change, id: string): boolean {
  return change.ancestors?.includes(id) === true;
}
