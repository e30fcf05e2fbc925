/**
 * One machine of three whose disk takes its time to flush, while all of them write: what its
 * resolver's askers and its neighbours feel of it. Real processes with the shipping gossip, store
 * and resolver, in a namespace of their own.
 */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { slowDisk } from '../../lab/slow-disk.ts';
import { Namespace } from '../gossip/namespace.ts';
import { OurCluster } from '../gossip/ours.ts';

const machineCount = 3;
/** The one with the slow disk. */
const slow = 0;
/** 50 ms between two writes of a machine: its disk is never idle. */
const writePauseMs = 50;

export interface DiskResult {
  readonly lookupsMs: readonly number[];
  readonly failedLookupCount: number;
  /** How long the author of a change waited until it was safe on its disk. */
  readonly writesMs: readonly number[];
  /** Machines that some machine took for anything but reachable. */
  readonly falseLossCount: number;
  readonly lostLinkCount: number;
}

/**
 * @param flushMs how long each flush takes on the slow machine
 * @param seconds how long it is looked at
 */
export async function measureSlowDisk(flushMs: number, seconds: number): Promise<DiskResult> {
  const environment = await slowDisk(flushMs);
  const namespace = await Namespace.create();
  try {
    const dir = mkdtempSync(join(tmpdir(), 'tsc-compose-disk-'));
    const cluster = await OurCluster.form(namespace, dir, machineCount, [environment]);
    try {
      return await measure(namespace, cluster, seconds);
    } finally {
      await cluster.end();
    }
  } finally {
    await namespace.destroy();
  }
}

async function measure(
  namespace: Namespace,
  cluster: OurCluster,
  seconds: number,
): Promise<DiskResult> {
  await cluster.startResolver(slow);
  const before = {
    losses: cluster.sightings.falseLossCount,
    links: await cluster.lostLinkCount(),
  };
  const writesMs: number[] = [];
  let isOver = false;
  const write = async (machine: number): Promise<void> => {
    while (!isOver) {
      const tookMs = await cluster.write(machine);
      if (machine === slow) writesMs.push(tookMs);
      await sleep(writePauseMs);
    }
  };
  const writing = Promise.all(Array.from({ length: machineCount }, (_, index) => write(index)));
  const program = join(import.meta.dirname, 'asker.ts');
  const text = await namespace.run([process.execPath, program, String(seconds)]);
  isOver = true;
  await writing;
  // What our own program printed.
  const { tookMs, failedCount } = JSON.parse(text) as {
    readonly tookMs: readonly number[];
    readonly failedCount: number;
  };
  return {
    lookupsMs: tookMs,
    failedLookupCount: failedCount,
    writesMs,
    falseLossCount: cluster.sightings.falseLossCount - before.losses,
    lostLinkCount: (await cluster.lostLinkCount()) - before.links,
  };
}
