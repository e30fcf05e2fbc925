/**
 * Who is linked with whom. Up to nine machines: everybody with everybody. Beyond, four rings, each
 * in the order of another hash; a machine is linked with its two neighbours on every ring, which
 * makes an expander of degree eight. Computed from the member list alone, so all machines agree
 * without a word. Idea: Rapid's K rings (Suresh et al., USENIX ATC 2018).
 */
import { stableHash } from '../lib/hash.ts';
import type { MachineId } from '../model/ids.ts';
import { fullMeshCount, largeClusterCount, largeRingCount, ringCount } from './limits.ts';

/**
 * The machines that `self` holds links with.
 * @param members all members, `self` included, in any order
 */
export function neighboursOf(self: MachineId, members: readonly MachineId[]): Set<MachineId> {
  const neighbours = new Set<MachineId>();
  if (!members.includes(self)) return neighbours;
  if (members.length <= fullMeshCount) {
    for (const member of members) if (member !== self) neighbours.add(member);
    return neighbours;
  }
  const rings = members.length > largeClusterCount ? largeRingCount : ringCount;
  for (let ring = 0; ring < rings; ring++) {
    const order = ringOrder(ring, members);
    const position = order.indexOf(self);
    const count = order.length;
    for (const step of [1, count - 1]) {
      const neighbour = order[(position + step) % count];
      if (neighbour !== undefined && neighbour !== self) neighbours.add(neighbour);
    }
  }
  return neighbours;
}

function ringOrder(ring: number, members: readonly MachineId[]): MachineId[] {
  return members
    .map((id) => ({ id, place: stableHash(`ring ${ring} ${id}`) }))
    .sort((a, b) => a.place - b.place || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
}
