/** What is measured on a cluster, the same way for all contenders. */
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../figure.ts';
import { type Cluster, cpuMs, residentMb, writtenBytes } from './cluster.ts';
import type { Namespace } from './namespace.ts';
import { monotonicMs } from './sightings.ts';

/** 25 updates, each from another machine: enough that the slowest says something. */
const updateCount = 25;
const lossyUpdateCount = 15;
/** 200 ms between updates, so that none is measured behind the one before. */
const updatePauseMs = 200;
/** 3 s: a link that came back is no longer news to anybody. */
const settleMs = 3_000;
/**
 * 100 s, and then it is the state for months: links that were in time for 30 s are asked less often,
 * and those that only the forming of the cluster needed are closed a minute after they were opened.
 */
const quietMs = 100_000;
/** 45 s: long enough for serf's longest period, its push and pull of 30 s. */
const idleMs = 45_000;
/** 20 s of loss without anything else, in which nobody may count as gone. */
const lossyWatchMs = 20_000;

/** Milliseconds until all machines knew. */
export interface Spread {
  readonly p50Ms: number;
  readonly maxMs: number;
}

export interface Idle {
  /** Sent by one machine, with IP headers. */
  readonly bytesPerS: number;
  /** Percent of one core. */
  readonly cpuPercent: number;
  readonly residentMb: number;
  readonly writtenBytesPerHour: number;
}

export interface Measured {
  readonly update: Spread;
  readonly killed: Spread;
  readonly stopped: Spread;
  readonly idle: Idle;
  readonly falseLossCount: number;
}

export type MeasuredLossy = Pick<Measured, 'update' | 'killed' | 'falseLossCount'>;

/** The whole programme on a network that loses nothing. */
export async function measure(namespace: Namespace, cluster: Cluster): Promise<Measured> {
  await sleep(quietMs);
  const idle = await measureIdle(namespace, cluster);
  const update = await measureUpdates(cluster, updateCount);
  // Once, and before anything else is lost: a link that was lost twice in a minute is given more
  // time, and the machine that was stopped had lost its links too.
  const stopped = await measureStops(cluster, [1]);
  const killed = await measureKills(cluster, [3, 4, 0]);
  return { update, killed, stopped, idle, falseLossCount: cluster.sightings.falseLossCount };
}

/** What a lossy network changes. */
export async function measureLossy(
  namespace: Namespace,
  cluster: Cluster,
  percent: number,
): Promise<MeasuredLossy> {
  await namespace.drop(percent);
  try {
    const before = cluster.sightings.falseLossCount;
    await sleep(lossyWatchMs);
    const update = await measureUpdates(cluster, lossyUpdateCount);
    const killed = await measureKills(cluster, [1, 2]);
    return { update, killed, falseLossCount: cluster.sightings.falseLossCount - before };
  } finally {
    await namespace.drop(0);
  }
}

async function measureIdle(namespace: Namespace, { pids, size }: Cluster): Promise<Idle> {
  const before = { bytes: namespace.sentBytes(), cpu: sum(pids.map(cpuMs)) };
  const writtenBefore = sum(pids.map(writtenBytes));
  const startMs = monotonicMs();
  await sleep(idleMs);
  const elapsedS = (monotonicMs() - startMs) / 1000;
  return {
    bytesPerS: (namespace.sentBytes() - before.bytes) / elapsedS / size,
    cpuPercent: (sum(pids.map(cpuMs)) - before.cpu) / elapsedS / 10 / size,
    residentMb: Math.max(...pids.map(residentMb)),
    writtenBytesPerHour: ((sum(pids.map(writtenBytes)) - writtenBefore) / elapsedS / size) * 3600,
  };
}

async function measureUpdates(cluster: Cluster, count: number): Promise<Spread> {
  const times: number[] = [];
  for (let index = 0; index < count; index++) {
    const writer = (index * 7) % cluster.size;
    const { update, startMs } = await cluster.update(writer);
    times.push((await cluster.sightings.everyoneSaw(update, writer)) - startMs);
    await sleep(updatePauseMs);
  }
  return spread(times);
}

async function measureKills(cluster: Cluster, machines: readonly number[]): Promise<Spread> {
  const times: number[] = [];
  for (const machine of machines) {
    const { sightings } = cluster;
    sightings.setAway(machine, true);
    const startMs = monotonicMs();
    process.kill(pidOf(cluster, machine), 'SIGKILL');
    times.push((await sightings.everyoneKnows(machine, false)) - startMs);
    await cluster.restart(machine);
    await sightings.everyoneKnows(machine, true);
    await sightings.everyoneAlive();
    await sleep(settleMs);
    sightings.setAway(machine, false);
  }
  return spread(times);
}

async function measureStops(cluster: Cluster, machines: readonly number[]): Promise<Spread> {
  const times: number[] = [];
  for (const machine of machines) {
    const { sightings } = cluster;
    sightings.setAway(machine, true);
    const startMs = monotonicMs();
    process.kill(pidOf(cluster, machine), 'SIGSTOP');
    try {
      times.push((await sightings.everyoneKnows(machine, false)) - startMs);
    } finally {
      process.kill(pidOf(cluster, machine), 'SIGCONT');
    }
    await sightings.everyoneKnows(machine, true);
    await sightings.everyoneAlive();
    await sleep(settleMs);
    sightings.setAway(machine, false);
  }
  return spread(times);
}

function pidOf({ pids }: Cluster, machine: number): number {
  const pid = pids[machine];
  // Signals to 0 or -1 would go to many processes.
  if (pid === undefined || pid <= 1) throw new Error(`machine ${machine} has no process`);
  return pid;
}

function spread(times: readonly number[]): Spread {
  return { p50Ms: median(times), maxMs: Math.max(...times) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
