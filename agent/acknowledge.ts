/**
 * When a change may be called safe: it is on the disk of the machine that took it, and on those of two
 * others, or of one where there is only one in reach, so that no single disk can lose it. Alone it is
 * safe at once. A machine that does not answer holds nobody up: then the number says how many have it.
 */
import type { Replica } from '../src/model/replica.ts';
import type { RecordVersion } from './applied.ts';

/** 2: with this machine three copies; more would make a change wait for the slowest. */
const wantedCopyCount = 2;
/** 3 s: a link that is up answers within a fraction of that; then the change goes on by itself. */
const copyTimeoutMs = 3_000;

/**
 * Waits for the copies of records that were written here and are durable here.
 * @param reachableCount machines in reach, this one included
 * @returns on how many machines all of them are durable, this one included
 */
export async function storedOnCount(
  replica: Pick<Replica, 'replicated'>,
  records: readonly RecordVersion[],
  reachableCount: number,
): Promise<number> {
  const wanted = Math.min(wantedCopyCount, reachableCount - 1);
  if (wanted <= 0) return 1;
  const counts = await Promise.all(
    records.map(({ key, hlc }) => replica.replicated(key, hlc, wanted, copyTimeoutMs)),
  );
  return 1 + Math.min(wanted, ...counts);
}
