/**
 * A machine whose disk takes 300 ms for every flush, while all write: names resolve on it as ever, and
 * nobody takes it for gone. Real processes of agent parts, without engines.
 */
import { expect, test } from 'vitest';
import { measureSlowDisk } from '../bench/disk/measure.ts';
import { percentile } from '../bench/figure.ts';
import { ensurePackages } from '../lab/packages.ts';
import { slowDisk } from '../lab/slow-disk.ts';

const flushMs = 300;
const seconds = 6;

async function whyNot(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'a slow disk is tested in a network namespace, as root';
  try {
    await ensurePackages('bookworm');
    await slowDisk(flushMs);
    return undefined;
  } catch (error) {
    return String(error);
  }
}

const reason = await whyNot();
if (reason !== undefined) process.stderr.write(`skipped: ${reason}\n`);

test.skipIf(reason !== undefined)(
  'a disk that takes 300 ms to flush delays changes, and neither look-ups nor links',
  async () => {
    const result = await measureSlowDisk(flushMs, seconds);
    const p99Ms = percentile(result.lookupsMs, 99);
    process.stderr.write(
      `measured: ${result.lookupsMs.length} look-ups beside a disk of ${flushMs} ms: ` +
        `p99 ${p99Ms.toFixed(1)} ms, ${result.lostLinkCount} links lost\n`,
    );
    // The disk is as slow as it says: the author of a change has waited for it.
    expect(result.writesMs.length).toBeGreaterThan(0);
    expect(Math.min(...result.writesMs)).toBeGreaterThanOrEqual(flushMs);
    expect(result.failedLookupCount).toBe(0);
    // The disk is never idle: a resolver that waited for it would need half a flush on average. What
    // the slowest hundredth takes is a figure (`npm run bench -- disk`), a busy machine adds to it.
    expect(percentile(result.lookupsMs, 90)).toBeLessThan(flushMs / 2);
    expect(result.falseLossCount).toBe(0);
  },
);
