/**
 * A disk that takes 300 ms for every flush: does anybody notice but the author of a change? Beside it
 * the same measurement with the disk as it is.
 */
import { type DiskResult, measureSlowDisk } from './disk/measure.ts';
import { type Bench, type Figure, figure, median, percentile } from './figure.ts';

const flushMs = 300;
const seconds = 40;

export const bench: Bench = async (progress) => {
  progress(`${seconds} s with the disk as it is`);
  const usual = await measureSlowDisk(0, seconds);
  progress(`${seconds} s with ${flushMs} ms for each flush`);
  return figuresOf(await measureSlowDisk(flushMs, seconds), usual);
};

function figuresOf(slow: DiskResult, usual: DiskResult): readonly Figure[] {
  const peer = (of: (result: DiskResult) => number) => ({
    peer: { name: 'usual disk', value: of(usual) },
  });
  const p99 = ({ lookupsMs }: DiskResult): number => percentile(lookupsMs, 99);
  const acknowledged = ({ writesMs }: DiskResult): number => median(writesMs);
  return [
    figure('look-up, p99', p99(slow), 'ms', { goal: 20 }),
    figure('look-up, p99', p99(slow), 'ms', peer(p99)),
    figure('look-up, slowest', Math.max(...slow.lookupsMs), 'ms'),
    figure('look-ups that failed', slow.failedLookupCount, '', { goal: 0 }),
    figure('links lost', slow.lostLinkCount, '', { goal: 0 }),
    figure('live machines taken for gone', slow.falseLossCount, '', { goal: 0 }),
    figure('a change is safe after, p50', acknowledged(slow), 'ms', peer(acknowledged)),
  ];
}
