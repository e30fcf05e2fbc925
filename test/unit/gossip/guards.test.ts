import { describe, expect, test } from 'vitest';
import { type GuardInput, Guards } from '../../../src/gossip/guards.ts';
import {
  bootAloneMs,
  clockJumpMs,
  maxBootMs,
  maxStaleMs,
  staleAfterMs,
  stallMs,
  tickMs,
} from '../../../src/gossip/limits.ts';
import { machineId } from './builders.ts';

const calm: GuardInput = {
  monotonicMs: 1000,
  memberCount: 3,
  linkCount: 2,
  heardCount: 2,
  wantedCount: 2,
};

const peer = machineId('b');

function booted(): Guards {
  const guards = new Guards(0, 0);
  guards.compared(peer, false);
  return guards;
}

test('the time between construction and start is no stall', () => {
  const guards = booted();
  guards.started(60_000, 60_000);
  expect(guards.tick(60_000 + tickMs, 60_000 + tickMs)).toBe(0);
  expect(guards.active({ ...calm, monotonicMs: 60_000 + tickMs })).toEqual([]);
});

describe('the boot guard', () => {
  test('holds until the content was compared with a peer', () => {
    const guards = new Guards(0, 0);
    expect(guards.active(calm)).toEqual(['booting']);
    guards.compared(peer, false);
    expect(guards.active(calm)).toEqual([]);
  });

  test('holds while only machines agree that have just booted themselves, unless these are all', () => {
    const guards = new Guards(0, 0);
    guards.compared(peer, true);
    expect(guards.active(calm)).toEqual(['booting']);
    expect(guards.active({ ...calm, monotonicMs: bootAloneMs - 1 })).toEqual(['booting']);
    guards.compared(machineId('c'), true);
    expect(guards.active(calm)).toEqual([]);
  });

  test('ends after ten seconds with machines that agree, though some are missing', () => {
    const guards = new Guards(0, 0);
    guards.compared(peer, true);
    expect(guards.active({ ...calm, monotonicMs: bootAloneMs })).toEqual([]);
  });

  test('counts no time in which the process slept', () => {
    const guards = new Guards(0, 0);
    const alone = { ...calm, linkCount: 0, heardCount: 0 };
    guards.tick(tickMs, tickMs);
    const sleptMs = bootAloneMs + 5000;
    const wokenMs = 2 * tickMs + sleptMs;
    guards.tick(wokenMs, wokenMs);
    expect(guards.active({ ...alone, monotonicMs: wokenMs })).toContain('booting');
    const endMs = bootAloneMs + sleptMs;
    expect(guards.active({ ...alone, monotonicMs: endMs - 1 })).toContain('booting');
    expect(guards.active({ ...alone, monotonicMs: endMs })).not.toContain('booting');
  });

  test('ends after ten seconds alone, and does not come back', () => {
    const guards = new Guards(0, 0);
    const alone = { ...calm, memberCount: 2, linkCount: 0 };
    expect(guards.active({ ...alone, monotonicMs: bootAloneMs - 1 })).toEqual(['booting']);
    expect(guards.active({ ...alone, monotonicMs: bootAloneMs })).toEqual([]);
    expect(guards.active({ ...calm, monotonicMs: bootAloneMs + 1 })).toEqual([]);
  });

  test('holds for ten seconds more where links were there until a moment ago', () => {
    const guards = new Guards(0, 0);
    const alone = { ...calm, linkCount: 0, memberCount: 2 };
    expect(guards.active({ ...calm, monotonicMs: bootAloneMs - 1 })).toEqual(['booting']);
    expect(guards.active({ ...alone, monotonicMs: bootAloneMs + 1 })).toEqual(['booting']);
    expect(guards.active({ ...alone, monotonicMs: 2 * bootAloneMs })).toEqual([]);
  });

  test('does not hold for ever in a cluster that is never equal', () => {
    expect(new Guards(0, 0).active({ ...calm, monotonicMs: maxBootMs })).toEqual([]);
  });

  test('begins when a machine joins, however long its process runs', () => {
    const guards = new Guards(0, 0);
    guards.entered(1_000_000);
    expect(guards.active({ ...calm, monotonicMs: 1_000_000 })).toEqual(['booting']);
  });

  test('a single machine has nobody to wait for', () => {
    const single = { ...calm, memberCount: 1, linkCount: 0, heardCount: 0, wantedCount: 0 };
    expect(new Guards(0, 0).active(single)).toEqual([]);
  });
});

describe('the isolation guard', () => {
  test('holds without links when there are three members or more', () => {
    expect(booted().active({ ...calm, linkCount: 0 })).toEqual(['isolated']);
    expect(booted().active({ ...calm, memberCount: 2, linkCount: 0 })).toEqual([]);
  });
});

describe('the stall guard', () => {
  test('a tick in time has no lag', () => {
    const guards = booted();
    expect(guards.tick(tickMs, tickMs)).toBe(0);
    expect(guards.tick(2 * tickMs + stallMs, 2 * tickMs + stallMs)).toBe(0);
  });

  test('a late tick tells the lag; a long one makes the view stale', () => {
    const guards = booted();
    expect(guards.tick(tickMs + stallMs + 1, tickMs + stallMs + 1)).toBe(stallMs + 1);
    expect(guards.active({ ...calm, heardCount: 0 })).toEqual([]);
    const wokenMs = 10_000 + staleAfterMs;
    guards.tick(wokenMs, wokenMs);
    const woken = { ...calm, monotonicMs: wokenMs, heardCount: 0 };
    expect(guards.active(woken)).toEqual(['stale']);
    expect(guards.believeSinceMs).toBe(wokenMs + tickMs);
    expect(guards.active({ ...woken, heardCount: 1 })).toEqual([]);
    expect(guards.active(woken)).toEqual([]);
  });

  test('a stale view is believed again after five seconds at the latest', () => {
    const guards = booted();
    guards.tick(20_000, 20_000);
    const silent = { ...calm, heardCount: 0 };
    expect(guards.active({ ...silent, monotonicMs: 20_000 + maxStaleMs - 1 })).toEqual(['stale']);
    expect(guards.active({ ...silent, monotonicMs: 20_000 + maxStaleMs })).toEqual([]);
  });

  test('a jump of the wall clock makes the view stale too', () => {
    const guards = booted();
    expect(guards.tick(tickMs, tickMs + clockJumpMs + 1)).toBe(0);
    expect(guards.active({ ...calm, heardCount: 0 })).toEqual(['stale']);
  });
});
