import { describe, expect, test } from 'vitest';
import { readLinks } from '../../src/gossip/liveness.ts';
import type { MachineId } from '../../src/model/ids.ts';
import { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';
import { booted, falseLosses } from './scale.ts';
import { runScenario } from './scenario.ts';
import { World } from './world.ts';

test('the same seed gives the same run', () => {
  const run = (): readonly [number, number] => {
    const { network } = runScenario({ seed: 7, machineCount: 5, minutes: 0.5 });
    return [network.sentBytes, network.sentCount];
  };
  expect(run()).toEqual(run());
});

test('events run in order of time, then in order of scheduling', () => {
  const world = new World(1);
  const order: string[] = [];
  world.after(5, () => order.push('late'));
  world.after(1, () => order.push('first'));
  world.after(1, () => order.push('second'));
  world.after(2, () => order.push('cancelled'))();
  world.runUntil(10);
  expect(order).toEqual(['first', 'second', 'late']);
});

function formed(seed: number, count: number, loss = 0): SimCluster {
  const cluster = new SimCluster(seed);
  cluster.network.loss = loss;
  cluster.form(count);
  cluster.world.runUntil(20_000);
  return cluster;
}

/** Runs until all but the target see it in a state. */
function timeUntil(
  cluster: SimCluster,
  target: SimMachine,
  state: string,
  limitMs: number,
): number {
  const { world } = cluster;
  const startMs = world.nowMs;
  const others = cluster.members().filter((machine) => machine !== target);
  while (world.nowMs - startMs < limitMs) {
    world.runUntil(world.nowMs + 10);
    const seen = others.map(({ node }) => node?.liveness().get(target.machine));
    if (seen.every((each) => each === state)) return world.nowMs - startMs;
  }
  return Number.POSITIVE_INFINITY;
}

test.each([3, 9, 30])(
  'of %i machines, a killed agent is headless for all within 250 ms',
  (count) => {
    for (let seed = 1; seed <= 3; seed++) {
      const cluster = formed(seed, count);
      const target = cluster.machines[1] as SimMachine;
      target.killProcess();
      expect(timeUntil(cluster, target, 'headless', 5000)).toBeLessThanOrEqual(250);
    }
  },
);

test.each([
  [3, 0],
  [9, 0.05],
  [30, 0.05],
])('of %i machines at loss %f, a silent one is unreachable for all within 5 s', (count, loss) => {
  for (let seed = 1; seed <= 3; seed++) {
    const cluster = formed(seed, count, loss);
    const target = cluster.machines[1] as SimMachine;
    target.powerOff();
    expect(timeUntil(cluster, target, 'unreachable', 10_000)).toBeLessThanOrEqual(5000);
    const rest = timeUntil(cluster, target, 'lost', 20_000);
    expect(rest).toBeGreaterThan(1500);
    expect(rest).toBeLessThan(6000);
  }
});

test('a hung agent whose kernel answers is headless, not unreachable', () => {
  const cluster = formed(1, 5);
  const target = cluster.machines[2] as SimMachine;
  const states = new Set<string | undefined>();
  target.pause(30_000);
  const untilMs = cluster.world.nowMs + 10_000;
  while (cluster.world.nowMs < untilMs) {
    cluster.world.runUntil(cluster.world.nowMs + 10);
    states.add(cluster.machines[0]?.node?.liveness().get(target.machine));
  }
  expect(states).toEqual(new Set(['reachable', 'headless']));
});

test('each part of a partition takes the other for lost', () => {
  const cluster = formed(3, 5);
  const [a, b, ...rest] = cluster.machines;
  for (const left of [a, b] as SimMachine[]) {
    for (const right of rest) {
      cluster.network.cut(left, right);
      cluster.network.cut(right, left);
    }
  }
  cluster.world.runUntil(cluster.world.nowMs + 30_000);
  const states = (machine: SimMachine | undefined, ids: readonly (MachineId | undefined)[]) =>
    ids.map((id) => id && machine?.node?.liveness().get(id));
  expect(
    states(
      a,
      rest.map(({ machine }) => machine),
    ),
  ).toEqual(['lost', 'lost', 'lost']);
  expect(states(rest[0], [a?.machine, b?.machine])).toEqual(['lost', 'lost']);
});

test('a half of a large cluster looks for the other one, and does not link itself ever more', () => {
  const cluster = booted({ machineCount: 40 });
  const { network, machines, world } = cluster;
  const isLinkedAcross = (): boolean =>
    left.some(({ node }) => right.some(({ machine }) => node?.linkedMachines().includes(machine)));
  const [left, right] = [machines.slice(0, 20), machines.slice(20)];
  for (const a of left) {
    for (const b of right) {
      network.cut(a, b);
      network.cut(b, a);
    }
  }
  world.runUntil(world.nowMs + 30_000);
  expect(isLinkedAcross()).toBe(false);
  const linkCounts = machines.map(({ node }) => node?.linkedMachines().length ?? 0);
  // Eight in a whole cluster; without an end to it nearly all twenty of this half.
  expect(linkCounts.reduce((sum, count) => sum + count, 0) / machines.length).toBeLessThan(10);
  network.healAll();
  world.runUntil(world.nowMs + 500);
  expect(isLinkedAcross()).toBe(true);
});

describe('a link that flapped', () => {
  /** Of three machines the first two are linked, in no list, and know each other from the third. */
  function heldBack(): readonly [SimCluster, SimMachine, SimMachine, SimMachine] {
    const cluster = formed(6, 3);
    const { world, network } = cluster;
    const [a, b, c] = cluster.machines as [SimMachine, SimMachine, SimMachine];
    for (let round = 0; round < 3; round++) {
      network.cut(a, b);
      network.cut(b, a);
      world.runUntil(world.nowMs + 15_000);
      network.healAll();
      world.runUntil(world.nowMs + 4000);
    }
    expect(a.node?.linkedMachines()).toContain(b.machine);
    expect([lists(a, b), lists(b, a)]).toEqual([false, false]);
    return [cluster, a, b, c];
  }

  function lists({ machine, node }: SimMachine, other: SimMachine): boolean {
    const links = readLinks(node?.map.get(`links/${machine}`)?.value);
    return links?.up.some((link) => link.machine === other.machine) ?? false;
  }

  test('is held back while there is another way, and counts as soon as that is gone', () => {
    const [{ world }, a, b, c] = heldBack();
    const states = new Set<string | undefined>();
    c.killProcess();
    const untilMs = world.nowMs + 3000;
    while (world.nowMs < untilMs) {
      world.runUntil(world.nowMs + 1);
      states.add(a.node?.liveness().get(b.machine));
      states.add(b.node?.liveness().get(a.machine));
    }
    expect(states).toEqual(new Set(['reachable']));
    expect([lists(a, b), lists(b, a)]).toEqual([true, true]);
  });

  test('counts only as long as something comes over it', () => {
    const [{ world }, a, b, c] = heldBack();
    c.killProcess();
    b.powerOff();
    world.runUntil(world.nowMs + 1000);
    expect(a.node?.liveness().get(b.machine)).toBe('reachable');
    world.runUntil(world.nowMs + 2000);
    expect(a.node?.liveness().get(b.machine)).toBe('unreachable');
  });

  test('is not listed anew while it is silent, though it is given longer than others', () => {
    const [{ world }, a, b, c] = heldBack();
    b.powerOff();
    world.runUntil(world.nowMs + 4500);
    expect(c.node?.liveness().get(b.machine)).toBe('unreachable');
    expect(a.node?.linkedMachines()).toContain(b.machine);
    expect(lists(a, b)).toBe(false);
  });
});

test('a machine that loses all links is isolated, and recovers', () => {
  const cluster = formed(4, 3);
  const target = cluster.machines[0] as SimMachine;
  for (const other of cluster.machines.slice(1)) {
    cluster.network.cut(target, other);
    cluster.network.cut(other, target);
  }
  cluster.world.runUntil(cluster.world.nowMs + 10_000);
  expect(target.node?.guards()).toEqual(['isolated']);
  cluster.network.healAll();
  cluster.world.runUntil(cluster.world.nowMs + 5000);
  expect(cluster.disagreements()).toEqual([]);
});

test('a machine that slept does not believe that the others are gone', () => {
  const cluster = formed(5, 5);
  const target = cluster.machines[0] as SimMachine;
  const untilMs = cluster.world.nowMs + 30_000;
  target.pause(20_000);
  const guards = new Set<string>();
  while (cluster.world.nowMs < untilMs) {
    cluster.world.runUntil(cluster.world.nowMs + 10);
    if (target.isPaused) continue;
    const isDown = [...(target.node?.liveness().values() ?? [])].some((x) => x !== 'reachable');
    for (const guard of target.node?.guards() ?? []) guards.add(guard);
    // Whatever it thinks for a moment, it must not act on it.
    if (isDown) expect(target.node?.guards()).not.toEqual([]);
  }
  expect(guards).toContain('stale');
  expect(cluster.disagreements()).toEqual([]);
});

test.each([0.01, 0.05, 0.2])('at loss %f nobody is taken for dead in ten minutes', (loss) => {
  const cluster = formed(6, 9, loss);
  const untilMs = cluster.world.nowMs + 600_000;
  while (cluster.world.nowMs < untilMs) {
    cluster.world.runUntil(cluster.world.nowMs + 250);
    for (const { node } of cluster.machines) {
      expect([...(node?.liveness().values() ?? [])].every((x) => x === 'reachable')).toBe(true);
    }
  }
});

test('an idle cluster of 30 sends little', () => {
  const cluster = formed(8, 30);
  const { network, world } = cluster;
  // Links from the time of forming are closed after a minute.
  world.runUntil(120_000);
  const before = network.sentBytes;
  world.runUntil(world.nowMs + 60_000);
  const bytesPerSecond = (network.sentBytes - before) / 60 / 30;
  expect(bytesPerSecond).toBeLessThan(250);
});

test('an update reaches 30 machines within 50 ms', () => {
  const cluster = formed(9, 30);
  const { world } = cluster;
  cluster.machines[0]?.node?.write('app/x', Buffer.from('{}'));
  world.runUntil(world.nowMs + 50);
  const holders = cluster.machines.filter(({ node }) => node?.map.record('app/x'));
  expect(holders.length).toBe(30);
});

test('a machine whose clock is a year behind hears those whose clock was a year ahead', () => {
  const cluster = formed(10, 5);
  const [ahead, behind] = cluster.machines as [SimMachine, SimMachine];
  const yearMs = 365 * 24 * 3_600_000;
  ahead.clockOffsetMs = yearMs;
  ahead.node?.write('app/x', Buffer.from('{}'));
  behind.clockOffsetMs = -yearMs;
  cluster.world.runUntil(cluster.world.nowMs + 15_000);
  ahead.node?.write('app/x', Buffer.from('{"a":1}'));
  cluster.world.runUntil(cluster.world.nowMs + 5000);
  expect(cluster.disagreements()).toEqual([]);
});

test('a machine that is taken for dead is counted, however short it is', () => {
  const options = { machineCount: 5, seed: 3, loss: 0.2, hours: 0.01 };
  expect(falseLosses(options)).toMatchObject({ count: 0, lostCount: 0 });
  const disturb = (cluster: SimCluster, pauseMs: number): void => {
    cluster.machines[1]?.killProcess();
    cluster.world.after(pauseMs, () => cluster.machines[1]?.start());
  };
  // Four others; and the one that starts anew believes of nobody that it is there.
  const short = falseLosses({ ...options, disturb: (cluster) => disturb(cluster, 1000) });
  expect(short.count).toBeGreaterThanOrEqual(4);
  expect(short.lostCount).toBe(0);
  expect(short.linkCount).toBeGreaterThanOrEqual(4);
  const long = falseLosses({
    ...options,
    disturb: ({ machines }) => machines[1]?.powerOff(),
  });
  expect(long).toMatchObject({ lostCount: 4 });
});

test.each([2, 3, 5, 9, 15])(
  'of %i machines the copy of one is found out within 20 s, is reported, and harms nobody',
  (count) => {
    const cluster = new SimCluster(11, { hasAgents: true });
    const { world, watch } = cluster;
    cluster.form(count);
    world.runUntil(20_000);
    const original = cluster.machines[count - 1] as SimMachine;
    const clone = cluster.clone(original);
    const isHeld = ({ node }: SimMachine): boolean => node?.guards().includes('duplicate') === true;
    const startMs = world.nowMs;
    let foundMs = Number.POSITIVE_INFINITY;
    while (world.nowMs < startMs + 90_000) {
      world.runUntil(world.nowMs + 250);
      // The others go on undisturbed.
      watch.look();
      if ([original, clone].some(isHeld)) foundMs = Math.min(foundMs, world.nowMs - startMs);
    }
    expect(foundMs).toBeLessThanOrEqual(20_000);
    expect(cluster.machines.filter(isHeld).every((one) => one === original)).toBe(true);
    const holders = [original, clone].filter(isHeld);
    for (const { reports } of holders) expect(reports.join()).toContain('remove identity.json');
    const others = cluster.machines.filter((one) => one !== original);
    expect(others.some(({ reports }) => reports.join().includes('cloned disk'))).toBe(true);
    cluster.endClone(clone);
    world.runUntil(world.nowMs + 1000);
    original.start();
    world.runUntil(world.nowMs + 10_000);
    expect(cluster.disagreements()).toEqual([]);
  },
);
