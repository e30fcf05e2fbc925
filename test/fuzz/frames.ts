/**
 * Hostile members and strangers against a connected agent, in process: random and mutated frames
 * after the handshake, and changed messages during it. A case is a fresh victim and 10,000 frames.
 * It fails when anything throws, when a record is accepted that its origin did not sign, when a
 * stranger becomes a member, when the victim does not work any more, or when it keeps more memory
 * than its limits allow. `--count N` counts frames.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { encodeFrame } from '../../src/gossip/frame.ts';
import { maxOriginBytes, maxOriginRecordCount } from '../../src/gossip/limits.ts';
import { emptyPools, makeAttack } from './frames/attack.ts';
import { type Cast, theCast } from './frames/cast.ts';
import { attackHandshake } from './frames/handshake.ts';
import { Victim } from './frames/victim.ts';
import type { Fuzz } from './fuzz.ts';
import { Random } from './random.ts';

/** Frames of one case. */
export const inputsPerCase = 10_000;

/** 10 s of ban and a little. */
const banMs = 10_100;
/** One frame in 250 is followed by an attacked handshake. */
const handshakeShare = 0.004;
/** 64 MB: the hostile members wrote far less than their quotas, and all of it is ours to keep. */
const maxGrowthBytes = 64 << 20;

interface Tally {
  frameCount: number;
  handshakeMessageCount: number;
  bannedCount: number;
  readonly kinds: Map<string, number>;
  readonly types: Map<string, number>;
  acceptedCount: number;
  maxGrowthBytes: number;
}

/** Nothing counted yet. */
export function newTally(): Tally {
  return {
    frameCount: 0,
    handshakeMessageCount: 0,
    bannedCount: 0,
    kinds: new Map(),
    types: new Map(),
    acceptedCount: 0,
    maxGrowthBytes: 0,
  };
}

export const fuzz: Fuzz = async ({ seconds, caseCount, seed, progress }) => {
  const endMs = performance.now() + seconds * 1000;
  const collect = collector();
  const failedSeeds: number[] = [];
  const tally = newTally();
  theCast();
  const firstMb = process.memoryUsage.rss() / 1e6;
  let count = 0;
  for (; count < caseCount && performance.now() < endMs; count++) {
    const faults = runCase(seed + count, tally, collect);
    if (faults.length > 0) {
      failedSeeds.push(seed + count);
      progress(`seed ${seed + count}: ${faults.join('\n')}`);
    }
    if ((count + 1) % 20 === 0) progress(`${tally.frameCount} frames: ${rssText(firstMb)}`);
    // Timers of handshakes and the collector get their turn.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return {
    caseCount: count,
    failedSeeds,
    notes: [
      `${tally.frameCount} frames, ${tally.bannedCount} bans, ${tally.handshakeMessageCount} messages of handshakes, ${tally.acceptedCount} records accepted, all signed by whom they name`,
      `made by: ${textOf(tally.kinds)}`,
      `began as: ${textOf(tally.types)}`,
      `memory: ${rssText(firstMb)}, largest growth of the heap in a case ${(tally.maxGrowthBytes / 1e6).toFixed(1)} MB`,
    ],
  };
};

/** @returns what went wrong */
export function runCase(
  seed: number,
  tally: Tally,
  collect: () => void,
  inputCount = inputsPerCase,
): readonly string[] {
  const random = new Random(seed);
  const cast = theCast();
  emptyPools();
  collect();
  const before = process.memoryUsage().heapUsed;
  const victim = new Victim(cast, seed);
  const links = cast.hostile.map(({ machine }) => victim.connect(machine));
  for (let index = 0; index < inputCount && victim.faults.length === 0; index++) {
    const which = random.below(links.length);
    const attacker = cast.hostile[which];
    const link = links[which];
    if (attacker === undefined || link === undefined) break;
    const { kind, type, bytes } = makeAttack(random, cast, attacker);
    count(tally.kinds, kind);
    count(tally.types, type ?? 'nothing');
    tally.frameCount++;
    victim.receive(link, bytes);
    // The same once more, as a network never does and a hostile peer may.
    if (random.chance(0.05)) victim.receive(link, bytes);
    if (random.chance(0.2)) victim.pass(random.below(100));
    if (random.chance(0.01)) victim.cut(link);
    if (random.chance(handshakeShare)) {
      const { messageCount, fault } = attackHandshake(random, victim);
      tally.handshakeMessageCount += messageCount;
      if (fault !== undefined) victim.fault(fault);
    }
    if (links.some((each) => victim.isOpen(each))) continue;
    // All are banned or cut: they come back when they may.
    tally.bannedCount += links.length;
    victim.pass(banMs);
    for (const [place, { machine }] of cast.hostile.entries())
      links[place] = victim.connect(machine);
  }
  tally.acceptedCount += victim.acceptedCount;
  checkAfterwards(victim, cast);
  collect();
  const growthBytes = process.memoryUsage().heapUsed - before;
  tally.maxGrowthBytes = Math.max(tally.maxGrowthBytes, growthBytes);
  if (growthBytes > maxGrowthBytes) victim.fault(`the heap grew by ${growthBytes} bytes`);
  return victim.faults;
}

/** The victim is as it was, and works. */
function checkAfterwards(victim: Victim, cast: Cast): void {
  const members = new Set([cast.victim, ...cast.honest, ...cast.hostile].map((x) => x.machine));
  const found = victim.node.membership?.members ?? [];
  if (found.length !== members.size || found.some((machine) => !members.has(machine))) {
    victim.fault(`the members are ${found.join(' ')}`);
  }
  for (const { machine } of cast.hostile) {
    const { recordCount, bytes } = victim.node.map.usage(machine);
    if (recordCount > maxOriginRecordCount || bytes > maxOriginBytes) {
      victim.fault(`${machine} has ${recordCount} records of ${bytes} bytes`);
    }
  }
  // An honest member comes, and gets and gives records as ever.
  victim.pass(banMs);
  const [honest] = cast.honest;
  if (honest === undefined) return;
  const link = victim.connect(honest.machine);
  victim.pass(1000);
  if (!victim.isOpen(link)) return victim.fault('an honest member cannot connect');
  victim.receive(link, encodeFrame({ type: 'records', records: cast.genuine }));
  const newest = new Map(cast.genuine.map((record) => [record.key, record]));
  for (const { key, hlc, body } of newest.values()) {
    // Hours have passed: a tombstone of a container may be over.
    if (body !== null && (victim.node.map.record(key)?.hlc ?? 0) < hlc)
      victim.fault(`${key} was not taken`);
  }
  const sentBytes = victim.sentBytes;
  victim.node.write('op/shop/after', Buffer.from('{}'));
  victim.pass(100);
  if (victim.sentBytes <= sentBytes) victim.fault('a write is not flooded any more');
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

function textOf(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, number]) => `${name} ${number}`)
    .join(', ');
}

function rssText(firstMb: number): string {
  return `${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB resident, ${firstMb.toFixed(0)} at the start`;
}

/** Node's collector, which must be asked for with a flag. */
export function collector(): () => void {
  setFlagsFromString('--expose-gc');
  // The flag puts exactly this function into new contexts.
  return runInNewContext('gc') as () => void;
}
