/**
 * What gossip costs in clusters of many machines, on the virtual clock: only the machines' own
 * timers and the network's delay count, so these are figures of the protocol, not of this machine.
 * Bytes are those of the frames with WebSocket, TCP and IPv6 headers, without acknowledgements and
 * WireGuard.
 */
import { encodeJson } from '../../src/gossip/node.ts';
import type { MachineId } from '../../src/model/ids.ts';
import type { Liveness } from '../../src/model/view.ts';
import { SimCluster, type SimClusterOptions } from './cluster.ts';
import type { SimMachine } from './machine.ts';

/** WebSocket 6, TCP with timestamps 32, IPv6 40. */
const frameOverheadBytes = 78;
/** 10.0.0.0/13 has 2048 /24s. */
const range = '10.0.0.0/13';
/** Least and most milliseconds of one way. */
type Latency = readonly [number, number];
export const lan: Latency = [0.3, 1.5];
export const wan: Latency = [20, 80];

export interface ScaleOptions {
  readonly machineCount: number;
  /** The number of machines unless given. */
  readonly seed?: number;
  readonly loss?: number;
  readonly latencyMs?: Latency;
}

/** After a change of the network, before something is measured. */
const settleMs = 10_000;

/** Started and at rest. */
export function booted(
  { machineCount, seed = machineCount, loss = 0, latencyMs = lan }: ScaleOptions,
  further: SimClusterOptions = {},
): SimCluster {
  const cluster = new SimCluster(seed, { range, isWatched: false, ...further });
  cluster.network.loss = loss;
  cluster.network.latencyMs = latencyMs;
  cluster.boot(machineCount);
  cluster.world.runUntil(settleMs);
  return cluster;
}

/** The same machines on another network from now on. */
function onNetwork({ network, world }: SimCluster, loss: number, latencyMs: Latency): void {
  if (network.loss === loss && network.latencyMs === latencyMs) return;
  network.loss = loss;
  network.latencyMs = latencyMs;
  world.runUntil(world.nowMs + settleMs);
}

function wireBytes({ network }: SimCluster): number {
  return network.sentBytes + network.sentCount * frameOverheadBytes;
}

export interface Traffic {
  readonly bytesPerSecond: number;
  readonly framesPerSecond: number;
  /** Machines that some machine took for something else than reachable at some look. */
  readonly falseLosses: number;
  /** CPU of simulator and protocol together. */
  readonly cpuShare: number;
  readonly heapBytes: number;
}

/** Per machine, while nothing happens but loss. */
export function idleTraffic(cluster: SimCluster, loss: number, seconds: number): Traffic {
  onNetwork(cluster, loss, lan);
  const { world, network, machines } = cluster;
  const [bytes, frames, cpu] = [wireBytes(cluster), network.sentCount, process.cpuUsage()];
  let falseLosses = 0;
  for (let second = 0; second < seconds; second++) {
    world.runUntil(world.nowMs + 1000);
    falseLosses += countMistaken(machines);
  }
  const used = process.cpuUsage(cpu);
  const perMachineSecond = (value: number): number => value / seconds / machines.length;
  return {
    bytesPerSecond: perMachineSecond(wireBytes(cluster) - bytes),
    framesPerSecond: perMachineSecond(network.sentCount - frames),
    falseLosses,
    cpuShare: perMachineSecond((used.user + used.system) / 1e6),
    heapBytes: process.memoryUsage().heapUsed / machines.length,
  };
}

/** Pairs of running machines of which the first does not take the second for reachable. */
function countMistaken(machines: readonly SimMachine[]): number {
  let count = 0;
  for (const { node } of machines) {
    for (const state of node?.liveness().values() ?? []) if (state !== 'reachable') count++;
  }
  return count;
}

export interface Update {
  /** From the write until the last machine has it. */
  readonly toAllMs: number;
  /** Copies of it that were sent, per machine. */
  readonly copies: number;
  readonly bytes: number;
}

/** One change of a project, at some machine. */
export function updates(cluster: SimCluster, latencyMs: Latency, count: number): Update[] {
  onNetwork(cluster, 0, latencyMs);
  const { world, machines, network } = cluster;
  const found: Update[] = [];
  for (let index = 0; index < count; index++) {
    const key = `app/${latencyMs.join('-')}-${index}`;
    const [frames, bytes, startMs] = [network.sentCount, wireBytes(cluster), world.nowMs];
    world.pick(machines)?.node?.write(key, encodeJson({ index, filler: 'x'.repeat(200) }));
    const toAllMs = runUntil(cluster, 30_000, () =>
      machines.every(({ node }) => node?.map.record(key) !== undefined),
    );
    const spent = world.nowMs - startMs;
    // Heartbeats in the same time are not the update's.
    const heartbeats = (spent / 1000) * machines.length * 8;
    found.push({
      toAllMs,
      copies: (network.sentCount - frames - heartbeats) / machines.length,
      bytes: (wireBytes(cluster) - bytes) / machines.length,
    });
    world.runUntil(world.nowMs + 300);
  }
  return found;
}

/** @returns milliseconds until the condition held, to 1 ms; Infinity when it never did */
function runUntil({ world }: SimCluster, limitMs: number, isSo: () => boolean): number {
  const startMs = world.nowMs;
  for (let stepMs = 1; world.nowMs - startMs < limitMs; ) {
    if (isSo()) return world.nowMs - startMs;
    if (world.nowMs - startMs > 1000) stepMs = 50;
    world.runUntil(world.nowMs + stepMs);
  }
  return Number.POSITIVE_INFINITY;
}

export interface Healing {
  /** From the end of the partition until the first link across. */
  readonly toFirstLinkMs: number;
  /** From then until all have the same content and take all for reachable. */
  readonly toEqualMs: number;
  readonly bytes: number;
}

/** Halves for half a minute, with writes on both sides. */
export function partition(cluster: SimCluster): Healing {
  onNetwork(cluster, 0, lan);
  const { world, network, machines } = cluster;
  const half = machines.length / 2;
  const [left, right] = [machines.slice(0, half), machines.slice(half)];
  for (const a of left) {
    for (const b of right) {
      network.cut(a, b);
      network.cut(b, a);
    }
  }
  for (let index = 0; index < 20; index++) {
    for (const side of [left, right]) {
      world.pick(side)?.node?.write(`app/p${index}`, encodeJson({ index }));
    }
    world.runUntil(world.nowMs + 1500);
  }
  const bytes = wireBytes(cluster);
  network.healAll();
  const isRight = new Set(right.map(({ machine }) => machine));
  const toFirstLinkMs = runUntil(cluster, 30_000, () =>
    left.some(({ node }) => node?.linkedMachines().some((id) => isRight.has(id))),
  );
  const toEqualMs = runUntil(cluster, 60_000, () => isWhole(machines));
  return {
    toFirstLinkMs,
    toEqualMs,
    bytes: (wireBytes(cluster) - bytes) / machines.length,
  };
}

function isWhole(machines: readonly SimMachine[]): boolean {
  const first = machines[0]?.node?.map.hash.total() ?? new Uint8Array(0);
  return machines.every(({ node }) => {
    if (node === undefined || Buffer.compare(node.map.hash.total(), first) !== 0) return false;
    return [...node.liveness().values()].every((state) => state === 'reachable');
  });
}

/** Bytes over one link until a machine has a record again that it alone lost, among so many. */
export function repairBytes(recordCount: number): number {
  const cluster = booted({ machineCount: 2 });
  const { world, machines } = cluster;
  const [a, b] = machines as [SimMachine, SimMachine];
  for (let index = 0; index < recordCount / 2; index++) {
    for (const { node } of [a, b]) node?.write(`app/${node.self}-${index}`, encodeJson({ index }));
  }
  world.runUntil(world.nowMs + 20_000);
  const key = `app/${a.machine}-7`;
  const before = wireBytes(cluster);
  world.runUntil(world.nowMs + 10_000);
  const idle = wireBytes(cluster) - before;
  const start = wireBytes(cluster);
  b.node?.map.forget(key);
  world.runUntil(world.nowMs + 10_000);
  if (b.node?.map.record(key) === undefined) throw new Error('the lost record did not come back');
  return wireBytes(cluster) - start - idle;
}

/** How often a machine that ran took another one that ran for something else than reachable. */
export interface Mistakes {
  /** All of them, however short; one that ends and comes again counts twice. */
  count: number;
  /** Those that went on until replicas would have been placed anew. */
  lostCount: number;
}

export interface FalseLosses extends Mistakes {
  /** Links that broke and were made again: without any, loss has not been felt. */
  readonly linkCount: number;
}

/** What every machine thinks of every other one from now on, at each change. */
class MistakeWatch {
  readonly found: Mistakes = { count: 0, lostCount: 0 };
  readonly #wrong = new Map<SimMachine, Map<MachineId, Liveness>>();

  note(machine: SimMachine): void {
    const before = this.#wrong.get(machine);
    const now = new Map<MachineId, Liveness>();
    for (const [id, state] of machine.node?.liveness() ?? []) {
      if (state === 'reachable') continue;
      now.set(id, state);
      if (!before?.has(id)) this.found.count++;
      if (state === 'lost' && before?.get(id) !== 'lost') this.found.lostCount++;
    }
    this.#wrong.set(machine, now);
  }
}

export interface FalseLossOptions extends ScaleOptions {
  readonly seed: number;
  /** Of the virtual clock. */
  readonly hours: number;
  /** Something that happens after the start, for the test of this very count. */
  readonly disturb?: (cluster: SimCluster) => void;
}

/** Nothing happens but loss: each machine that is taken for anything but reachable is a mistake. */
export function falseLosses(options: FalseLossOptions): FalseLosses {
  let watch: MistakeWatch | undefined;
  const cluster = booted(options, { onLiveness: (machine) => watch?.note(machine) });
  const { world, network, machines } = cluster;
  watch = new MistakeWatch();
  for (const machine of machines) watch.note(machine);
  const linkCount = network.madeCount;
  options.disturb?.(cluster);
  world.runUntil(world.nowMs + options.hours * 3_600_000);
  return { ...watch.found, linkCount: network.madeCount - linkCount };
}
