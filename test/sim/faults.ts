/**
 * What may go wrong. All choices come from the seed; what a fault begins it ends by itself, or
 * `heal` does.
 */
import { encodeFrame } from '../../src/gossip/frame.ts';
import { encodeJson } from '../../src/gossip/node.ts';
import { hlcFromMs } from '../../src/lib/hlc.ts';
import type { SimCluster } from './cluster.ts';
import { engineFaults } from './engine-faults.ts';
import type { SimMachine } from './machine.ts';
import { anyRunning, bringUp, operate, takeDown } from './work.ts';

/** Something happens. @returns what, for the log */
export type Fault = (cluster: SimCluster) => string;

const yearMs = 365 * 24 * 3_600_000;

function split(cluster: SimCluster, bridgeCount: number): void {
  const { world, network } = cluster;
  const side = new Map(cluster.machines.map((machine) => [machine, world.random() < 0.5]));
  const bridges = new Set(cluster.machines.slice(0, bridgeCount));
  for (const a of cluster.machines) {
    for (const b of cluster.machines) {
      if (bridges.has(a) || bridges.has(b) || side.get(a) === side.get(b)) continue;
      network.cut(a, b);
    }
  }
  cluster.until(world.between(1000, 20_000), () => network.healAll());
}

/** Reads at once: a ban that begins when a machine wakes up would outlast the healing. */
function isListening({ peer }: { readonly peer: SimMachine }): boolean {
  const isSlow = peer.readBytesPerMs !== Number.POSITIVE_INFINITY;
  return peer.isRunning && !peer.isPaused && !peer.isAsleep && !isSlow;
}

/** Who forges is banned for a while, and rightly so. */
function disturb({ world }: SimCluster, ...machines: readonly SimMachine[]): void {
  for (const machine of machines) machine.disturbedMs = world.nowMs;
}

/** What had queued for a slow reader is dropped with its links, instead of coming late one by one. */
export function readAtFullSpeed({ network, world }: SimCluster, machine: SimMachine): void {
  if (machine.readBytesPerMs === Number.POSITIVE_INFINITY) return;
  machine.readBytesPerMs = Number.POSITIVE_INFINITY;
  machine.disturbedMs = world.nowMs;
  network.resetAll(machine);
}

/**
 * A disk is copied, and the copy started as a second live machine of the same identity, until somebody
 * follows the remedy. Not among the faults that each run draws from: a run has one such time at most,
 * and which runs do stands in scenario.ts.
 */
export const cloneMachine: Fault = (cluster) => {
  const { world } = cluster;
  const machine = anyRunning(cluster);
  if (machine === undefined) return 'nothing';
  const clone = cluster.clone(machine);
  cluster.until(world.between(30_000, 180_000), () => {
    const original = cluster.endClone(clone);
    cluster.until(world.between(100, 5000), () => original?.start());
  });
  return `the disk of ${machine.name} is copied and started as another machine`;
};

export const faults: Readonly<Record<string, Fault>> = {
  ...engineFaults,
  halves: (cluster) => {
    split(cluster, 0);
    return 'a partition';
  },
  bridge: (cluster) => {
    split(cluster, 1);
    return 'a partition with one bridge';
  },
  oneWay: (cluster) => {
    const { world, network } = cluster;
    const [a, b] = [world.pick(cluster.machines), world.pick(cluster.machines)];
    if (a === undefined || b === undefined || a === b) return 'nothing';
    network.cut(a, b);
    cluster.until(world.between(500, 15_000), () => network.join(a, b));
    return `one way cut ${a.name} > ${b.name}`;
  },
  reset: ({ machines, network, world, watch }) => {
    const machine = world.pick(machines);
    if (machine === undefined) return 'nothing';
    // As a middlebox that forgot its connections: nothing is wrong with either machine.
    for (const peer of network.resetAll(machine)) watch.wasReset(machine, peer);
    return `all links of ${machine.name} are reset`;
  },
  swizzle: (cluster) => {
    const { world, network } = cluster;
    for (const a of cluster.machines) {
      for (const b of cluster.machines) {
        if (a === b || world.random() < 0.5) continue;
        cluster.until(world.between(0, 3000), () => network.cut(a, b));
        cluster.until(world.between(3500, 12_000), () => network.join(a, b));
      }
    }
    return 'swizzle';
  },
  kill: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    machine?.killProcess();
    cluster.until(world.between(10, 15_000), () => machine?.start());
    return `kill ${machine?.name}`;
  },
  killAndLoseDisk: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    if (machine === undefined) return 'nothing';
    machine.killProcess();
    machine.disk.lose();
    cluster.noteLostDisk();
    cluster.until(world.between(10, 15_000), () => machine.start());
    return `kill ${machine.name}, disk lost`;
  },
  powerOff: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    machine?.powerOff();
    cluster.until(500 * 160 ** world.random(), () => machine?.start());
    return `power off ${machine?.name}`;
  },
  plannedRestart: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    machine?.node?.stop({ reason: 'restart', expectBackMs: 20_000 });
    machine?.killProcess();
    cluster.until(world.between(100, 5000), () => machine?.start());
    return `planned restart of ${machine?.name}`;
  },
  killAndPutOldDisk: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    if (machine === undefined) return 'nothing';
    const copy = machine.disk.copy();
    cluster.until(world.between(5000, 60_000), () => {
      if (!machine.isRunning) return;
      machine.killProcess();
      machine.disk.put(copy);
      cluster.noteLostDisk();
      cluster.until(world.between(10, 15_000), () => machine.start());
    });
    return `${machine.name} gets its disk of now back later`;
  },
  slowDisk: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    if (machine === undefined) return 'nothing';
    machine.disk.flushMs = world.between(50, 2000);
    cluster.until(world.between(1000, 30_000), () => {
      machine.disk.flushMs = 2;
    });
    return `the disk of ${machine.name} is slow`;
  },
  pause: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    // Short ones are the common ones; a minute is the longest.
    const durationMs = 300 * 200 ** world.random();
    machine?.pause(durationMs);
    return `pause ${machine?.name} for ${Math.round(durationMs)} ms`;
  },
  sleep: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    const durationMs = world.between(1000, 30_000);
    machine?.sleep(durationMs);
    return `${machine?.name} sleeps for ${Math.round(durationMs)} ms`;
  },
  clockJump: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    if (machine === undefined) return 'nothing';
    const jumpMs = (world.pick([1, 1, 60, 3600, 3600, yearMs / 1000]) ?? 0) * 1000;
    const isBack = world.random() < 0.5;
    machine.clockOffsetMs = isBack ? -jumpMs : jumpMs;
    machine.disturbedMs = world.nowMs;
    cluster.hadWrongClock ||= jumpMs >= 60_000;
    return `clock of ${machine.name} jumps by ${machine.clockOffsetMs} ms`;
  },
  loss: ({ world, network }) => {
    network.loss = world.pick([0, 0, 0.01, 0.05, 0.1, 0.2]) ?? 0;
    return `loss ${network.loss}`;
  },
  latency: ({ world, network }) => {
    network.latencyMs = world.pick([
      [0.3, 1.5],
      [20, 80],
      [100, 400],
    ] as const) ?? [0.3, 1.5];
    return `latency ${network.latencyMs.join(' to ')} ms`;
  },
  slowReader: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    if (machine === undefined) return 'nothing';
    machine.readBytesPerMs = world.pick([0.5, 2, 10]) ?? 1;
    cluster.until(world.between(2000, 30_000), () => {
      readAtFullSpeed(cluster, machine);
    });
    return `${machine.name} reads ${machine.readBytesPerMs} kB/s`;
  },
  up: bringUp,
  operate,
  down: (cluster) => {
    const what = takeDown(cluster);
    // Most of the time there should be something that can go wrong.
    cluster.until(cluster.world.between(5000, 20_000), () => void bringUp(cluster));
    return what;
  },
  hostileFrame: (cluster) => {
    const { world, network } = cluster;
    const machine = anyRunning(cluster);
    const target = machine && world.pick(network.linksOf(machine).filter(isListening));
    if (machine === undefined || target === undefined) return 'nothing';
    const length = Math.floor(world.between(0, 200));
    const bytes = Uint8Array.from({ length }, () => Math.floor(world.random() * 256));
    network.send(machine, target.link, bytes);
    disturb(cluster, machine, target.peer);
    return `${machine.name} sends nonsense to ${target.peer.name}`;
  },
  forgedRecord: (cluster) => {
    const { world, network } = cluster;
    const machine = anyRunning(cluster);
    const victim = world.pick(cluster.members());
    const target = machine && world.pick(network.linksOf(machine).filter(isListening));
    if (machine === undefined || target === undefined || victim === undefined) return 'nothing';
    const key = world.pick(['app/forged', `c/${victim.machine}/forged`, 'x/forged']) ?? '';
    const record = {
      key,
      origin: victim.machine,
      hlc: hlcFromMs(machine.now()),
      schema: 1,
      body: encodeJson({}),
      signature: machine.signer.sign(new Uint8Array(4)),
    };
    network.send(machine, target.link, encodeFrame({ type: 'records', records: [record] }));
    disturb(cluster, machine, target.peer);
    return `${machine.name} forges ${key}`;
  },
};
