import { expect, test } from 'vitest';
import { Heartbeats, type HeartbeatsComponents } from '../../../src/gossip/heartbeats.ts';
import type { LinkId } from '../../../src/gossip/runtime.ts';
import { World } from '../../sim/world.ts';

const equal = new Uint8Array(8);
const other = new Uint8Array(8).fill(1);
/** One way over the line between the two ends. */
const delayMs = 2;

interface End {
  readonly beats: Heartbeats;
  readonly sentAtMs: number[];
}

/** Two ends of a link; `answers` false is an agent that only sends by its own timer. */
function pair(options: { readonly isOld?: boolean; readonly lossFrom?: number } = {}): {
  readonly world: World;
  readonly ends: readonly [End, End];
} {
  const world = new World(1);
  const make = (deliver: () => void): End => {
    const sentAtMs: number[] = [];
    const runtime: HeartbeatsComponents['runtime'] = {
      now: () => world.nowMs,
      monotonic: () => world.nowMs,
      random: () => world.random(),
      schedule: (afterMs: number, run: () => void) => world.after(afterMs, run),
      report: () => undefined,
    };
    const beats = new Heartbeats({
      runtime,
      hash: () => equal,
      isBooting: () => false,
      send: () => {
        sentAtMs.push(world.nowMs);
        const isSlow = world.nowMs >= (options.lossFrom ?? Number.POSITIVE_INFINITY);
        world.after(isSlow && sentAtMs.length % 2 === 0 ? 400 : delayMs, deliver);
      },
    });
    return { beats, sentAtMs };
  };
  const link: LinkId = 1;
  const left: End = make(() => {
    if (options.isOld !== true) right.beats.heard(link, equal);
  });
  const right: End = make(() => left.beats.heard(link, equal));
  left.beats.open(link, true);
  right.beats.open(link, false);
  return { world, ends: [left, right] };
}

function countBetween({ sentAtMs }: End, fromMs: number, toMs: number): number {
  return sentAtMs.filter((at) => at >= fromMs && at < toMs).length;
}

test('a link in time is asked once a second, and half as often after half a minute', () => {
  const { world, ends } = pair();
  world.runUntil(95_000);
  for (const end of ends) {
    expect(countBetween(end, 5_000, 25_000)).toBeGreaterThanOrEqual(18);
    expect(countBetween(end, 5_000, 25_000)).toBeLessThanOrEqual(23);
    expect(countBetween(end, 35_000, 95_000)).toBeGreaterThanOrEqual(29);
    expect(countBetween(end, 35_000, 95_000)).toBeLessThanOrEqual(33);
  }
});

test('every heartbeat is answered at once, so that both ends know the other in one exchange', () => {
  const { world, ends } = pair();
  world.runUntil(95_000);
  const [left, right] = ends;
  const asked = left.sentAtMs.filter((at) => at > 35_000 && at < 90_000);
  for (const at of asked) {
    expect(right.sentAtMs.some((their) => Math.abs(their - at) <= delayMs)).toBe(true);
  }
});

test('an end that never answers is asked and heard all the same', () => {
  const { world, ends } = pair({ isOld: true });
  world.runUntil(60_000);
  const [ours, theirs] = ends;
  expect(countBetween(ours, 1_000, 60_000)).toBeGreaterThan(40);
  expect(countBetween(theirs, 1_000, 60_000)).toBeGreaterThan(28);
});

test('one that is late brings the second back', () => {
  const { world, ends } = pair({ lossFrom: 60_000 });
  world.runUntil(120_000);
  const [left] = ends;
  expect(countBetween(left, 40_000, 60_000)).toBeLessThanOrEqual(11);
  expect(countBetween(left, 70_000, 110_000)).toBeGreaterThanOrEqual(32);
});

test('another content brings the second back at once', () => {
  const { world, ends } = pair();
  world.runUntil(60_000);
  const [left] = ends;
  const lastMs = left.sentAtMs.at(-1) ?? 0;
  world.runUntil(lastMs + 600);
  left.beats.heard(1, other);
  world.runUntil(lastMs + 2000);
  expect(left.sentAtMs.filter((at) => at > lastMs).length).toBeGreaterThanOrEqual(1);
  expect((left.sentAtMs.find((at) => at > lastMs) ?? 0) - lastMs).toBeLessThan(1850);
});

test('a closed link is silent', () => {
  const { world, ends } = pair();
  world.runUntil(5_000);
  for (const { beats } of ends) beats.close(1);
  const before = ends.map(({ sentAtMs }) => sentAtMs.length);
  world.runUntil(20_000);
  expect(ends.map(({ sentAtMs }) => sentAtMs.length)).toEqual(before);
});
