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

/** Orders machines for a subject, best first. */
export function compareRank(subject: string, left: MachineId, right: MachineId): number {
  return rank(subject, right) - rank(subject, left) || compareText(left, right);
}
