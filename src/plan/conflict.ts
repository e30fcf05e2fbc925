/**
 * Changes that were overruled. Both sides of a partition may accept a change of one project; when
 * they meet, the later clock wins everywhere and the other change is gone. Whoever held the losing
 * one can tell: it was replaced by a change that does not name it among its ancestors. Nothing is
 * merged and nothing is deleted here: the loser's author is told, and decides.
 *
 * A change is named by its content, so that a pointer which is signed anew by another machine (its
 * author was removed from the cluster) is still the same change.
 */
import type { MachineId } from '../model/ids.ts';
import type {
  ConflictRecord,
  LostChange,
  PointerRecord,
  PointerTombstone,
} from '../model/record.ts';
import type { ProjectView } from '../model/view.ts';
import { canonicalJson, shortHash } from './canonical.ts';
import { maxAncestorCount } from './limits.ts';

/** What `app/<project>` holds: a pointer, or the mark that the project was taken down. */
export type Change = PointerRecord | PointerTombstone;

/** The name of a change in `ancestors`. */
export function changeId(change: Change): string {
  return shortHash(canonicalJson(change));
}

/**
 * What the next change of a project says of those before it. Overruled changes are named as well:
 * its author was told of them, so a machine that comes back with one must not report it again.
 */
export function nextAncestors(before: ProjectView | undefined): readonly string[] {
  const last = before?.pointer ?? before?.tombstone;
  if (last === undefined) return [];
  const overruled = (before?.conflicts ?? []).map(({ id }) => id);
  return [...new Set([changeId(last), ...overruled, ...(last.ancestors ?? [])])].slice(
    0,
    maxAncestorCount,
  );
}

/**
 * The change that got lost when `after` replaced `before`; undefined when none did.
 * @param workingDir folder from which a pointer's change was made
 */
export function lostChange(
  before: Change,
  after: Change,
  workingDir: (pointer: PointerRecord) => string,
): LostChange | undefined {
  const id = changeId(before);
  if (id === changeId(after) || !isUnknownTo(after, id, before.createdMs)) return undefined;
  // Taken back: its author's disk refused it, and the author was told.
  if (before.ancestors?.includes(changeId(after))) return undefined;
  const isDown = 'removed' in before;
  return {
    id,
    author: before.author,
    atMs: before.createdMs,
    isDown,
    workingDir: isDown ? '' : workingDir(before),
    winner: after.author,
    volumes: volumesOnlyOf(before, after),
  };
}

/** Of a history that is too long to be written down, the older part is taken to be known. */
function isUnknownTo(after: Change, id: string, createdMs: number): boolean {
  const ancestors = after.ancestors ?? [];
  if (ancestors.includes(id)) return false;
  return ancestors.length < maxAncestorCount || createdMs >= after.createdMs;
}

function volumesOnlyOf(before: Change, after: Change): Readonly<Record<string, MachineId>> {
  return Object.fromEntries(
    Object.entries(before.volumes ?? {}).filter(
      ([volume, machine]) => after.volumes?.[volume] !== machine,
    ),
  );
}

/** The record with one more overruled change; undefined when it names the change already. */
export function withLost(
  current: ConflictRecord | undefined,
  lost: LostChange,
): ConflictRecord | undefined {
  const others = current?.lost ?? [];
  if (others.some(({ id }) => id === lost.id)) return undefined;
  return { lost: [...others, lost].sort((a, b) => a.atMs - b.atMs).slice(-maxConflictCount) };
}

/** 8: a cluster that fell into more parts has other worries than the oldest of these changes. */
const maxConflictCount = 8;

/**
 * Homes of volumes that overruled changes made, where the change in force has none: who applies
 * such a change again finds its data.
 */
export function volumesOfConflicts(
  before: ProjectView | undefined,
): Readonly<Record<string, MachineId>> {
  return Object.assign({}, ...(before?.conflicts ?? []).map(({ volumes }) => volumes)) as Record<
    string,
    MachineId
  >;
}

/** What a person is told of an overruled change, one line each. */
export function conflictLines(
  project: string,
  lost: LostChange,
  names: (machine: MachineId) => string,
): readonly string[] {
  const { author, winner, isDown, workingDir } = lost;
  const by = ({ machine, user }: LostChange['author']): string =>
    user === undefined ? `on ${names(machine)}` : `by ${user} on ${names(machine)}`;
  const what = `the ${isDown ? 'down' : 'up'} of project ${project} ${by(author)}`;
  const at = new Date(lost.atMs).toISOString().slice(0, 19).replace('T', ' ');
  const again = isDown
    ? `tsc-compose -p ${project} down`
    : `tsc-compose up${workingDir === '' ? '' : ` in ${workingDir} on ${names(author.machine)}`}`;
  return [
    `${what} at ${at} UTC was replaced by a change ${by(winner)} that did not know of it.`,
    `To apply it again: ${again}`,
    ...Object.entries(lost.volumes).map(
      ([volume, machine]) => `Its volume ${volume} on ${names(machine)} is kept.`,
    ),
  ];
}
