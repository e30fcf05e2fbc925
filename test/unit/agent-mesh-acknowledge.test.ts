/** On how many disks a change is when its author is told: real agents' gossip, real files. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { storedOnCount } from '../../agent/acknowledge.ts';
import { facts, type TestAgent, TestCluster, until } from './agent-mesh-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = new TestCluster();
});
afterEach(() => cluster.end());

/** Agents with their folders, all linked with all. */
async function meshed(
  count: number,
): Promise<{ readonly agents: TestAgent[]; readonly dirs: string[] }> {
  const dirs: string[] = [];
  const agents: TestAgent[] = [];
  for (let index = 0; index < count; index++) {
    const dir = await cluster.newDir();
    const agent = await cluster.agent(dir);
    const [first] = agents;
    if (first === undefined) await agent.replica.found({ ...facts('a'), range: '10.210.0.0/16' });
    else await agent.replica.join(first.replica.admit(agent.identity), facts(`m${index}`));
    dirs.push(dir);
    agents.push(agent);
  }
  await until('meshed', () =>
    agents.every(({ replica }) => replica.linkedMachines().length === count - 1),
  );
  return { agents, dirs };
}

/** Writes a change at an agent. @returns on how many disks it was when the author was told */
async function change({ replica }: TestAgent, value: unknown): Promise<number> {
  const { hlc } = await replica.write('app/shop', value);
  const states = [...replica.liveness().values()];
  const reachableCount = states.filter((state) => state === 'reachable').length;
  return storedOnCount(replica, [{ key: 'app/shop', hlc }], reachableCount);
}

test.each([
  [1, 1],
  [2, 2],
  [3, 3],
  [5, 3],
])('of %i machines a change is on %i disks when its author is told', async (count, expected) => {
  const { agents } = await meshed(count);
  const [first] = agents as [TestAgent];
  await until('all seen', () => [...first.replica.liveness().values()].length === count);
  await until('reachable', () =>
    [...first.replica.liveness().values()].every((state) => state === 'reachable'),
  );
  expect(await change(first, { version: 1 })).toBe(expected);
});

test('a machine whose disk hangs holds nobody up, and is not counted until it has the change', async () => {
  const { agents, dirs } = await meshed(3);
  const [first, , last] = agents as [TestAgent, TestAgent, TestAgent];
  await until('reachable', () =>
    [...first.replica.liveness().values()].every((state) => state === 'reachable'),
  );
  // Somebody else holds the file: no commit gets through.
  // Its agent may be about to write: that is waited for.
  const file = new DatabaseSync(join(dirs[2] ?? '', 'records.db'), { timeout: 10_000 });
  file.exec('BEGIN IMMEDIATE');
  try {
    expect(await change(first, { version: 2 })).toBe(2);
    await until('known', () => last.replica.get('app/shop') !== undefined);
    expect(last.replica.gossipStatus().undurableCount).toBeGreaterThan(0);
  } finally {
    file.exec('ROLLBACK');
    file.close();
  }
  const hlc = first.replica.get('app/shop')?.hlc ?? 0;
  expect(await first.replica.replicated('app/shop', hlc, 2, 30_000)).toBe(2);
});

test('a change is as safe as the least safe of its records', async () => {
  const answers = new Map([
    ['app/shop', 2],
    ['rev/shop/1', 1],
  ]);
  const replica = { replicated: async (key: string) => answers.get(key) ?? 0 };
  const records = [...answers.keys()].map((key) => ({ key, hlc: 1 }));
  expect(await storedOnCount(replica, records, 5)).toBe(2);
});
