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
/** 64 records are asked for at once: a peer keeps a few hundred questions in mind. */
const askedAtOnceCount = 64;

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
  let count = wanted;
  for (let next = 0; next < records.length && count === wanted; next += askedAtOnceCount) {
    const asked = records.slice(next, next + askedAtOnceCount);
    const counts = await Promise.all(
      asked.map(({ key, hlc }) => replica.replicated(key, hlc, wanted, copyTimeoutMs)),
    );
    // Who did not answer in time is not waited for again: the count can only become smaller.
    count = Math.min(count, ...counts);
  }
  return 1 + count;
}
