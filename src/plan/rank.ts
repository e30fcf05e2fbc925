/**
 * Rendezvous hashing (Thaler and Ravishankar, 1996): every (slot, machine) pair has a fixed score,
 * and the highest wins. It breaks ties the same way on every machine, without a coordinator, and a
 * machine that comes or goes moves nothing but its own share.
 */
import { createHash } from 'node:crypto';
import type { MachineId } from '../model/ids.ts';
import { compareText } from '../view/order.ts';

/** 48 bits: exact in a double. */
export function rank(subject: string, machine: MachineId): number {
  return createHash('sha256').update(`${subject}\0${machine}`).digest().readUIntBE(0, 6);
}

/** Agents from this plan version on place by `quickRanking`. */
export const quickRankPlanVersion = 4;

/** Ids of machines live as long as their process's cluster: a few thousand at most. */
const machineHashes = new Map<MachineId, number>();

/**
 * The same idea for many machines at once: subject and machine are hashed once each, and a pair only
 * mixes the two (the finaliser of MurmurHash3, Appleby, 2011). 53 bits.
 */
export function quickRanking(subject: string): (machine: MachineId) => number {
  const [high, low] = hashWords(subject);
  return (machine) => {
    let own = machineHashes.get(machine);
    if (own === undefined) {
      own = hashWords(machine)[0];
      machineHashes.set(machine, own);
    }
    return (mix(high ^ own) >>> 0) * 2 ** 21 + (mix(low ^ own) >>> 11);
  };
}

function hashWords(text: string): readonly [number, number] {
  const digest = createHash('sha256').update(text).digest();
  return [digest.readInt32BE(0), digest.readInt32BE(4)];
}

function mix(word: number): number {
  let mixed = word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** The best of the machines for a subject, by the quick ranking; undefined when there is none. */
export function firstRanked(subject: string, machines: Iterable<MachineId>): MachineId | undefined {
  const scoreOf = quickRanking(subject);
  let best: MachineId | undefined;
  let bestScore = -1;
  for (const machine of machines) {
    const score = scoreOf(machine);
    if (score < bestScore || (score === bestScore && best !== undefined && machine > best))
      continue;
    best = machine;
    bestScore = score;
  }
  return best;
}

/** Orders machines for a subject, best first. */
export function compareRank(subject: string, left: MachineId, right: MachineId): number {
  return rank(subject, right) - rank(subject, left) || compareText(left, right);
}
