/** The changes of a project as rows of `history`. Pure: the caller prints. */
import type { HistoryEntry } from '../model/api.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { humanDuration } from './human-time.ts';
import { machineName } from './ps-rows.ts';

export const historyHeads = ['REVISION', 'WHEN', 'BY', 'MACHINE', 'ACT', 'CHANGED', 'VERDICT'];

/** @returns one row; the change in force is marked with a star */
export function historyRow(entry: HistoryEntry, snapshot: Snapshot): readonly string[] {
  const changed = entry.services.filter(({ isChanged }) => isChanged).map(({ name }) => name);
  return [
    `${entry.revision}${entry.isCurrent ? ' *' : ''}`,
    `${humanDuration(snapshot.nowMs - entry.atMs)} ago`,
    entry.author.user ?? '',
    machineName(snapshot, entry.author.machine),
    entry.act,
    changed.join(', ') || '-',
    verdictText(entry),
  ];
}

/** The worst of its services counts: "rolled back: web: exited (1)". */
export function verdictText({ services, isCurrent }: HistoryEntry): string {
  const changed = services.filter(({ isChanged }) => isChanged);
  const judged = changed.length > 0 ? changed : services;
  for (const [result, text] of [
    ['rolled-back', 'rolled back'],
    ['paused', 'paused'],
  ] as const) {
    const failed = judged.filter(({ verdict }) => verdict?.result === result);
    if (failed.length === 0) continue;
    const whys = failed.map(({ name, verdict }) => `${name}: ${verdict?.failure?.why ?? 'failed'}`);
    return `${text}: ${whys.join('; ')}`;
  }
  if (judged.every(({ verdict }) => verdict?.result === 'good')) return 'good';
  return isCurrent ? 'running' : 'replaced before it ended';
}
