/**
 * To whom something has happened lately. Most invariants speak about machines that nothing has
 * happened to: what a fault did to the others is what they are there to survive.
 */
import type { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';

/**
 * 30 s without any disturbance: a link that flapped has been up for its hold-down or another way
 * leads there, and who restarted has been heard by all.
 */
export const settledMs = 30_000;

/** Can do something now. */
export function isAwake(machine: SimMachine): boolean {
  return machine.isRunning && !machine.isPaused && !machine.isAsleep;
}

/** The same, and nobody else has its name: two live machines of one identity take each other's links. */
export function isSound(cluster: SimCluster, machine: SimMachine): boolean {
  return isAwake(machine) && !cluster.hasTwin(machine);
}

/** What others send is not queued. */
export function readsAtOnce({ readBytesPerMs }: SimMachine): boolean {
  return readBytesPerMs === Number.POSITIVE_INFINITY;
}

/** Nothing happened to it for a while, nor to the network but loss, resets and delay. */
export function isCalm(cluster: SimCluster, machine: SimMachine, sinceMs = settledMs): boolean {
  const { world, network, removed } = cluster;
  return (
    network.cutCount === 0 &&
    isSound(cluster, machine) &&
    !removed.has(machine.machine) &&
    readsAtOnce(machine) &&
    world.nowMs - Math.max(machine.disturbedMs, machine.wakesAtMs) > sinceMs
  );
}
