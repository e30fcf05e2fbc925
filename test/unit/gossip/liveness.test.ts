import { describe, expect, test } from 'vitest';
import {
  headlessLostMs,
  lostAfterBootMs,
  lostAfterMs,
  maxExpectBackMs,
} from '../../../src/gossip/limits.ts';
import { type LinksBody, LivenessTracker, readLinks } from '../../../src/gossip/liveness.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import { machineId } from './builders.ts';

const [a, b, c] = ['a', 'b', 'c'].map(machineId) as [MachineId, MachineId, MachineId];

function links(up: readonly MachineId[], headless: readonly MachineId[] = []): LinksBody {
  return { up: up.map((machine) => ({ machine, sinceMs: 0 })), able: true, headless };
}

describe('reading a list of links', () => {
  test('takes what gossip writes', () => {
    const leaving = { reason: 'restart', expectBackMs: 5 };
    expect(readLinks({ ...links([b], [c]), leaving })).toEqual({ ...links([b], [c]), leaving });
    expect(readLinks({ up: [], headless: [] })?.able).toBe(true);
    expect(readLinks({ up: [], headless: [], able: false })?.able).toBe(false);
  });

  test('bounds how long a machine may be waited for', () => {
    const read = readLinks({ ...links([]), leaving: { reason: 'x', expectBackMs: 1e12 } });
    expect(read?.leaving?.expectBackMs).toBe(maxExpectBackMs);
  });

  test.each([
    null,
    7,
    { up: 1, headless: [] },
    { up: [null], headless: [] },
    { up: [{ machine: 1, sinceMs: 1 }], headless: [] },
    { up: [], headless: [1] },
  ])('refuses %j', (value) => {
    expect(readLinks(value)).toBeUndefined();
  });

  test('ignores a good-bye that it cannot read', () => {
    expect(readLinks({ ...links([]), leaving: { reason: 1 } })?.leaving).toBeUndefined();
  });
});

describe('liveness over time', () => {
  const members = [a, b, c];

  class Watch {
    readonly tracker = new LivenessTracker(a, 0);
    at(
      monotonicMs: number,
      reachable: readonly MachineId[],
      headless: readonly MachineId[] = [],
      all: readonly MachineId[] = members,
    ): boolean {
      return this.tracker.update({
        members: all,
        hasGraphChanged: true,
        reachable: new Set(reachable),
        headless: new Set(headless),
        monotonicMs,
        lastFrameMs: () => monotonicMs - 3500,
      });
    }
  }

  test('a silent machine is unreachable, and lost seven seconds after its last frame', () => {
    const watch = new Watch();
    expect(watch.at(10_000, [a, b, c])).toBe(true);
    expect(watch.at(20_000, [a, b])).toBe(true);
    expect(watch.tracker.state(c)).toBe('unreachable');
    expect(watch.at(20_000 - 3500 + lostAfterMs - 1, [a, b])).toBe(false);
    expect(watch.at(20_000 - 3500 + lostAfterMs, [a, b])).toBe(true);
    expect(watch.tracker.state(c)).toBe('lost');
  });

  test("a small component sees the others as lost like any: what follows is the plan's", () => {
    const watch = new Watch();
    watch.at(0, [a, b, c]);
    watch.at(1000, [a]);
    watch.at(100_000, [a]);
    expect(watch.tracker.state(b)).toBe('lost');
  });

  test('lost stays lost, even headless or in a smaller component, until it is heard', () => {
    const watch = new Watch();
    watch.at(0, members);
    watch.at(1000, [a, b]);
    watch.at(10_000, [a, b]);
    watch.at(11_000, [a]);
    watch.at(12_000, [a, b], [c]);
    expect(watch.tracker.state(c)).toBe('lost');
    watch.at(13_000, members);
    expect(watch.tracker.state(c)).toBe('reachable');
  });

  test('a headless machine has two minutes', () => {
    const watch = new Watch();
    watch.at(0, members);
    watch.at(1000, [a, b], [c]);
    expect(watch.tracker.state(c)).toBe('headless');
    watch.at(1000 + headlessLostMs - 1, [a, b], [c]);
    expect(watch.tracker.state(c)).toBe('headless');
    watch.at(1000 + headlessLostMs, [a, b], [c]);
    expect(watch.tracker.state(c)).toBe('lost');
  });

  test('a headless machine that falls silent has seven seconds from then', () => {
    const watch = new Watch();
    watch.at(0, members);
    watch.at(1000, [a, b], [c]);
    watch.at(60_000, [a, b], [c]);
    watch.at(61_000, [a, b]);
    expect(watch.tracker.state(c)).toBe('unreachable');
    watch.at(60_000 + lostAfterMs, [a, b]);
    expect(watch.tracker.state(c)).toBe('lost');
  });

  test('a machine that flaps is given twice the time', () => {
    const watch = new Watch();
    watch.at(0, members);
    watch.at(5000, [a, b]);
    watch.at(6000, members);
    watch.at(20_000, [a, b]);
    watch.at(20_000 - 3500 + lostAfterMs + 1, [a, b]);
    expect(watch.tracker.state(c)).toBe('unreachable');
    watch.at(20_000 - 3500 + 2 * lostAfterMs, [a, b]);
    expect(watch.tracker.state(c)).toBe('lost');
  });

  test('who said good-bye is waited for; a restarting agent is headless at once', () => {
    const watch = new Watch();
    watch.at(0, members);
    watch.tracker.sayGoodbye(b, { reason: 'restart', expectBackMs: 30_000 }, 0);
    watch.tracker.sayGoodbye(c, { reason: 'reboot', expectBackMs: 60_000 }, 0);
    watch.at(100, [a]);
    expect([watch.tracker.state(b), watch.tracker.state(c)]).toEqual(['headless', 'unreachable']);
    // From then on its neighbours know whether its kernel answers; it is waited for all the same.
    watch.at(5_000, [a]);
    expect([watch.tracker.state(b), watch.tracker.state(c)]).toEqual([
      'unreachable',
      'unreachable',
    ]);
    watch.at(29_000, [a]);
    expect([watch.tracker.state(b), watch.tracker.state(c)]).toEqual([
      'unreachable',
      'unreachable',
    ]);
    watch.at(30_000, [a, b]);
    watch.at(59_000, [a, b]);
    expect(watch.tracker.state(c)).toBe('unreachable');
    watch.at(60_000, [a, b]);
    expect(watch.tracker.state(c)).toBe('lost');
  });

  test('a machine never heard since the start gets time to boot', () => {
    const watch = new Watch();
    watch.at(lostAfterBootMs - 1, [a, b]);
    expect(watch.tracker.state(c)).toBe('unreachable');
    watch.at(lostAfterBootMs, [a, b]);
    expect(watch.tracker.state(c)).toBe('lost');
  });

  test('time in which this process slept counts against nobody', () => {
    const watch = new Watch();
    watch.at(0, members);
    watch.at(4000, [a, b]);
    watch.tracker.shift(20_000);
    watch.at(26_000, [a, b]);
    expect(watch.tracker.state(c)).toBe('unreachable');
  });

  test('who is no member any more is forgotten; self is always reachable', () => {
    const watch = new Watch();
    watch.at(0, members);
    expect(watch.at(1, [a, b], [], [a, b])).toBe(true);
    expect(watch.tracker.state(c)).toBe('unreachable');
    expect(watch.tracker.state(a)).toBe('reachable');
  });
});
