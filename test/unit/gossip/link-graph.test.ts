import { describe, expect, test } from 'vitest';
import { LinkGraph } from '../../../src/gossip/link-graph.ts';
import type { LinksBody } from '../../../src/gossip/liveness.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import { World } from '../../sim/world.ts';
import { machineId } from './builders.ts';

const [a, b, c, d] = ['a', 'b', 'c', 'd'].map(machineId) as [
  MachineId,
  MachineId,
  MachineId,
  MachineId,
];

function links(up: readonly MachineId[], headless: readonly MachineId[] = []): LinksBody {
  return { up: up.map((machine) => ({ machine, sinceMs: 0 })), able: true, headless };
}

type Lists = ReadonlyMap<MachineId, LinksBody>;

function connectivity(self: MachineId, members: readonly MachineId[], lists: Lists): LinkGraph {
  const graph = new LinkGraph(self);
  graph.setMembers(members);
  for (const [machine, body] of lists) graph.setLinks(machine, body);
  return graph;
}

describe('connectivity', () => {
  const members = [a, b, c, d];

  test('an edge needs both ends', () => {
    const found = connectivity(
      a,
      members,
      new Map([
        [a, links([b, c])],
        [b, links([a])],
        [c, links([])],
      ]),
    );
    expect([...found.reachable]).toEqual([a, b]);
  });

  test('goes over several hops, and not over strangers', () => {
    const lists = new Map([
      [a, links([b])],
      [b, links([a, c])],
      [c, links([b, d])],
      [d, links([c])],
    ]);
    expect(connectivity(a, members, lists).reachable.size).toBe(4);
    expect([...connectivity(a, [a, b, d], lists).reachable]).toEqual([a, b]);
  });

  test('a dead machine does not rise because its last list says so', () => {
    const lists = new Map([
      [a, links([b])],
      [b, links([a])],
      [c, links([a, b])],
    ]);
    expect(connectivity(a, members, lists).reachable.has(c)).toBe(false);
  });

  test('headless is who a reachable machine reports, unless it is reachable', () => {
    const lists = new Map([
      [a, links([b], [b])],
      [b, links([a], [c])],
      [d, links([], [d])],
    ]);
    expect([...connectivity(a, members, lists).headless]).toEqual([c]);
  });

  test('a list that is gone takes its edges along', () => {
    const graph = connectivity(
      a,
      members,
      new Map([
        [a, links([b])],
        [b, links([a])],
      ]),
    );
    graph.setLinks(b, undefined);
    expect([...graph.reachable]).toEqual([a]);
  });
});

describe('links of this machine that are in no list yet', () => {
  const members = [a, b, c, d];
  const lists = new Map([
    [b, links([c])],
    [c, links([b], [d])],
  ]);

  test('who answers here lives, and so does whom the lists lead to from there', () => {
    const graph = connectivity(a, members, lists);
    expect(graph.setLinked([b])).toBe(true);
    expect([...graph.reachable]).toEqual([a, b, c]);
    expect([...graph.headless]).toEqual([d]);
    expect(graph.isFoundByLists(b)).toBe(false);
    expect(graph.takeChanged()).toBe(true);
    expect(graph.setLinked([])).toBe(false);
    expect([...graph.reachable]).toEqual([a]);
    expect(graph.takeChanged()).toBe(true);
  });

  test('count for nothing where the lists lead there, or with a stranger', () => {
    const graph = connectivity(a, [a, b, c], lists);
    expect(graph.setLinked([d])).toBe(false);
    graph.setLinks(a, links([c]));
    graph.setLinks(c, links([a, b]));
    graph.takeChanged();
    expect(graph.setLinked([b])).toBe(false);
    expect(graph.takeChanged()).toBe(false);
    expect([...graph.reachable].sort()).toEqual([a, b, c]);
  });
});

/** The definition: a search over all edges that both ends list, and over own links. */
function searched(
  self: MachineId,
  members: readonly MachineId[],
  lists: Lists,
  linked: readonly MachineId[],
): string {
  const isNode = (machine: MachineId): boolean => machine === self || members.includes(machine);
  const lists2 = new Map([...lists].map(([id, { up }]) => [id, up.map(({ machine }) => machine)]));
  const found = new Set([self, ...linked.filter(isNode)]);
  for (const machine of found) {
    for (const peer of lists2.get(machine) ?? []) {
      if (isNode(peer) && lists2.get(peer)?.includes(machine)) found.add(peer);
    }
  }
  return [...found].sort().join();
}

test('kept change by change, it is what a search over everything finds', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const world = new World(seed);
    const machines = 'abcdefghijklmnop'
      .slice(0, 3 + (seed % 13))
      .split('')
      .map(machineId);
    let members = machines;
    const self = machines[0] as MachineId;
    const lists = new Map<MachineId, LinksBody>();
    const graph = connectivity(self, members, lists);
    let linked: readonly MachineId[] = [];
    for (let step = 0; step < 200; step++) {
      const machine = world.pick(machines) as MachineId;
      const dice = world.random();
      if (dice < 0.05) {
        members = machines.filter(() => world.random() < 0.8);
        graph.setMembers(members);
      } else if (dice < 0.1) {
        lists.delete(machine);
        graph.setLinks(machine, undefined);
      } else if (dice < 0.3) {
        linked = machines.filter((id) => id !== self && world.random() < 0.15);
      } else {
        const share = world.pick([0.05, 0.2, 0.5, 0.9]) ?? 0;
        const body = links(machines.filter((id) => id !== machine && world.random() < share));
        lists.set(machine, body);
        graph.setLinks(machine, body);
      }
      graph.setLinked(linked);
      expect([...graph.reachable].sort().join()).toBe(searched(self, members, lists, linked));
      expect(
        [...graph.reachable]
          .filter((id) => graph.isFoundByLists(id))
          .sort()
          .join(),
      ).toBe(searched(self, members, lists, []));
    }
  }
});
