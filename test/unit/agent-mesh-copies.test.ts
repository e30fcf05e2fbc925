/** Machines whose disk is not what the others take it for: copied, old, or empty. */
import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { recordKey } from '../../src/model/record.ts';
import { facts, type TestAgent, TestCluster, until } from './agent-mesh-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = new TestCluster();
});
afterEach(() => cluster.end());

/** Three machines; the third one's folder is known. */
async function withFolder(): Promise<{
  readonly a: TestAgent;
  readonly b: TestAgent;
  readonly c: TestAgent;
  readonly dir: string;
}> {
  const [a, b] = (await cluster.of(2)) as [TestAgent, TestAgent];
  const dir = await cluster.newDir();
  const c = await cluster.agent(dir);
  await c.replica.join(a.replica.admit(c.identity), facts('c'));
  const all = [a, b, c];
  await until('meshed', () => all.every((one) => one.replica.linkedMachines().length === 2));
  return { a, b, c, dir };
}

const isReachable = (from: TestAgent, to: TestAgent): boolean =>
  from.replica.liveness().get(to.replica.self) === 'reachable';

function versionOf({ replica }: TestAgent): unknown {
  // Written by the test itself.
  const value = replica.get('app/shop')?.value as { readonly version: number } | undefined;
  return value?.version;
}

/** Everything but c's own list of links, which changes with every link. */
function contentOf({ replica }: TestAgent): unknown {
  return [...replica.entries('')].filter(({ key }) => !key.startsWith('links/'));
}

test('a cloned disk is found out and reported, and the others go on', {
  timeout: 90_000,
}, async () => {
  const { a, b, c, dir } = await withFolder();
  await c.kill();
  const copyDir = await cluster.newDir();
  await cp(dir, copyDir, { recursive: true });
  const original = await cluster.agent(dir);
  const clone = await cluster.agent(copyDir, true);
  const isHeld = (one: TestAgent): boolean => one.replica.guards().includes('duplicate');
  // Who dials whom depends on the ids: the copy has no link at all, or takes the original's away.
  await until('the copy or both know', () => isHeld(clone) || isHeld(original), 60_000);
  await until(
    'a peer says so',
    () => [a, b].some((one) => one.reports.join().includes('cloned disk')),
    60_000,
  );
  for (const one of [original, clone].filter(isHeld)) {
    expect(one.reports.filter((text) => text.includes('cloned disk'))).toHaveLength(1);
    expect(one.reports.join()).toContain('remove identity.json');
  }
  for (const one of [a, b]) {
    expect(isHeld(one)).toBe(false);
    expect(isReachable(one, one === a ? b : a)).toBe(true);
  }
  // The two do not fight any more: hardly anything moves.
  const before = a.replica.gossipStatus();
  const startMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const bytes = a.replica.gossipStatus().receivedBytes - before.receivedBytes;
  expect(bytes / ((performance.now() - startMs) / 1000)).toBeLessThan(50_000);
  // The remedy: the copy goes, the original is restarted.
  await clone.kill();
  await original.kill();
  const again = await cluster.agent(dir);
  await until('back', () => isReachable(a, again) && again.replica.linkedMachines().length === 2);
  expect(isHeld(again)).toBe(false);
});

test('an old snapshot of a disk takes part again with what is true now', {
  timeout: 60_000,
}, async () => {
  const { a, c, dir } = await withFolder();
  c.replica.observe(recordKey.container(c.replica.self, 'old'), { name: 'old' });
  await c.replica.write('app/shop', { version: 1 });
  await c.kill();
  const oldDir = await cluster.newDir();
  await cp(dir, oldDir, { recursive: true });
  const later = await cluster.agent(dir);
  await until('linked', () => later.replica.linkedMachines().length === 2);
  later.replica.observe(recordKey.container(c.replica.self, 'old'), null);
  later.replica.observe(recordKey.container(c.replica.self, 'new'), { name: 'new' });
  await later.replica.write('app/shop', { version: 2 });
  await until('known', () => versionOf(a) === 2);
  await later.kill();
  const restored = await cluster.agent(oldDir);
  await until('equal', () => JSON.stringify(contentOf(restored)) === JSON.stringify(contentOf(a)));
  expect(restored.replica.get('app/shop')?.value).toEqual({ version: 2 });
  expect(
    restored.replica.get(recordKey.container(c.replica.self, 'old'))?.value ?? null,
  ).toBeNull();
  expect(restored.replica.guards()).not.toContain('duplicate');
  // What it writes now counts: its clock is ahead of all that it wrote before.
  await restored.replica.write('app/shop', { version: 3 });
  await until('taken', () => versionOf(a) === 3);
});

test('a lost database comes back from the peers', { timeout: 60_000 }, async () => {
  const { a, c, dir } = await withFolder();
  await c.replica.write('app/shop', { version: 1 });
  await c.replica.write('app/blog', { version: 1 });
  await until('known', () => a.replica.get('app/blog') !== undefined);
  await c.kill();
  for (const name of await readdir(dir)) {
    if (name.startsWith('records.db')) await rm(join(dir, name));
  }
  const again = await cluster.agent(dir);
  expect(again.reports.join()).toContain('peers will repair it');
  await until('equal', () => JSON.stringify(contentOf(again)) === JSON.stringify(contentOf(a)));
  expect(again.replica.guards()).not.toContain('duplicate');
});
