import { describe, expect, test } from 'vitest';
import { neighboursOf } from '../../../src/gossip/overlay.ts';
import { encodeBase32 } from '../../../src/lib/base32.ts';
import { sha256 } from '../../../src/lib/hash.ts';
import type { MachineId } from '../../../src/model/ids.ts';

function members(count: number): MachineId[] {
  return Array.from(
    { length: count },
    (_, index) => encodeBase32(sha256(`machine ${index}`).subarray(0, 10)) as MachineId,
  );
}

describe('the overlay', () => {
  test('links everybody up to nine machines', () => {
    const all = members(9);
    for (const self of all) expect(neighboursOf(self, all).size).toBe(8);
  });

  test('a machine that is no member has no neighbours', () => {
    const [stranger, ...rest] = members(4);
    expect(neighboursOf(stranger as MachineId, rest).size).toBe(0);
  });

  test.each([10, 57, 200])(
    'of %i machines gives at most eight links, wanted by both ends',
    (count) => {
      const all = members(count);
      const neighbours = new Map(all.map((self) => [self, neighboursOf(self, all)]));
      for (const [self, peers] of neighbours) {
        expect(peers.size).toBeGreaterThanOrEqual(2);
        expect(peers.size).toBeLessThanOrEqual(8);
        expect(peers.has(self)).toBe(false);
        for (const peer of peers) expect(neighbours.get(peer)?.has(self)).toBe(true);
      }
    },
  );

  test('does not depend on the order of the members', () => {
    const all = members(30);
    const [self] = all as [MachineId];
    expect([...neighboursOf(self, all)]).toEqual([...neighboursOf(self, all.toReversed())]);
  });

  test('reaches all in few hops', () => {
    const all = members(200);
    const depth = new Map<MachineId, number>([[all[0] as MachineId, 0]]);
    for (const [machine, hops] of depth) {
      for (const peer of neighboursOf(machine, all)) {
        if (!depth.has(peer)) depth.set(peer, hops + 1);
      }
    }
    expect(depth.size).toBe(200);
    expect(Math.max(...depth.values())).toBeLessThanOrEqual(5);
  });
});
