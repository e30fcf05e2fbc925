/** What may go wrong, and the work that goes on meanwhile. All choices come from the seed. */
import { encodeFrame } from '../../src/gossip/frame.ts';
import { encodeJson } from '../../src/gossip/node.ts';
import { hlcFromMs } from '../../src/lib/hlc.ts';
import type { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';

type Fault = (cluster: SimCluster) => string;

/** A machine of the cluster that runs now. */
function anyRunning(cluster: SimCluster): SimMachine | undefined {
  return cluster.world.pick(cluster.members().filter((machine) => machine.isRunning));
}

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
  world.after(world.between(1000, 20_000), () => network.healAll());
}

export const faults: Readonly<Record<string, Fault>> = {
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
    world.after(world.between(500, 15_000), () => network.join(a, b));
    return `one way cut ${a.name} > ${b.name}`;
  },
  swizzle: (cluster) => {
    const { world, network } = cluster;
    for (const a of cluster.machines) {
      for (const b of cluster.machines) {
        if (a === b || world.random() < 0.5) continue;
        world.after(world.between(0, 3000), () => network.cut(a, b));
        world.after(world.between(3500, 12_000), () => network.join(a, b));
      }
    }
    return 'swizzle';
  },
  kill: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    machine?.killProcess();
    world.after(world.between(10, 15_000), () => machine?.start());
    return `kill ${machine?.name}`;
  },
  killAndLoseDisk: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    if (machine === undefined) return 'nothing';
    machine.killProcess();
    machine.loseDisk();
    cluster.forgetSeen(machine);
    world.after(world.between(10, 15_000), () => machine.start());
    return `kill ${machine.name}, disk lost`;
  },
  powerOff: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    machine?.powerOff();
    world.after(world.between(500, 25_000), () => machine?.start());
    return `power off ${machine?.name}`;
  },
  plannedRestart: (cluster) => {
    const { world } = cluster;
    const machine = anyRunning(cluster);
    machine?.node?.stop({ reason: 'restart', expectBackMs: 20_000 });
    world.after(2, () => machine?.killProcess());
    world.after(world.between(100, 5000), () => machine?.start());
    return `planned restart of ${machine?.name}`;
  },
  pause: (cluster) => {
    const machine = anyRunning(cluster);
    const durationMs = cluster.world.between(300, 20_000);
    machine?.pause(durationMs);
    return `pause ${machine?.name} for ${Math.round(durationMs)} ms`;
  },
  clockJump: (cluster) => {
    const machine = anyRunning(cluster);
    if (machine !== undefined) machine.clockOffsetMs += cluster.world.between(-1, 1) * 3_600_000;
    return `clock of ${machine?.name} jumps`;
  },
  loss: (cluster) => {
    cluster.network.loss = cluster.world.pick([0, 0.01, 0.05, 0.2]) ?? 0;
    return `loss ${cluster.network.loss}`;
  },
  hostileFrame: (cluster) => {
    const { world, network } = cluster;
    const machine = anyRunning(cluster);
    const target = machine && world.pick(network.linksOf(machine));
    if (machine === undefined || target === undefined) return 'nothing';
    const length = Math.floor(world.between(0, 200));
    const bytes = Uint8Array.from({ length }, () => Math.floor(world.random() * 256));
    network.send(machine, target.link, bytes);
    return `${machine.name} sends nonsense to ${target.peer.name}`;
  },
  forgedRecord: (cluster) => {
    const { world, network } = cluster;
    const machine = anyRunning(cluster);
    const victim = world.pick(cluster.members());
    const target = machine && world.pick(network.linksOf(machine));
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
    return `${machine.name} forges ${key}`;
  },
};

/** One write of somebody. */
export function work(cluster: SimCluster): void {
  const { world } = cluster;
  const machine = anyRunning(cluster);
  const node = machine?.isPaused === false ? machine.node : undefined;
  if (machine === undefined || node === undefined || !node.isMember(machine.machine)) return;
  const value = encodeJson({ at: Math.floor(world.nowMs), by: machine.name });
  const number = Math.floor(world.random() * 8);
  if (world.random() < 0.3) {
    node.write(`app/p${number}`, value);
    return;
  }
  const key = `c/${machine.machine}/${number}`;
  node.write(key, world.random() < 0.3 ? null : value);
}
