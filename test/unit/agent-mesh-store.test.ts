import { readdirSync } from 'node:fs';
import { copyFile, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Store, type StoreBatch } from '../../agent/store.ts';
import type { ReplicatedRecord } from '../../src/model/record.ts';
import { aRecord } from './gossip/builders.ts';

let dir = '';
let path = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tsc-store-'));
  path = join(dir, 'data', 'records.db');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function batch(records: readonly ReplicatedRecord[], rest: Partial<StoreBatch> = {}): StoreBatch {
  return { records, forgotten: [], lastHlc: 0, isDurable: true, ...rest };
}

/** What the file holds, bytes as lists. */
async function content(): Promise<readonly unknown[]> {
  const store = await Store.open({ path });
  await store.close(0);
  return store.opened.records
    .map(({ key, origin, hlc, schema, body, signature }) => [
      key,
      origin,
      hlc,
      schema,
      body && [...body],
      [...signature],
    ])
    .sort((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1));
}

test('records come back byte for byte, the newest of each key', async () => {
  const store = await Store.open({ path });
  expect(store.opened).toMatchObject({ records: [], lastHlc: 0, problem: undefined });
  const newest = aRecord({ key: 'app/x', hlc: 3.6e15, value: { v: 2 } });
  const tombstone = aRecord({ key: 'c/a/1', value: null });
  await store.put(batch([aRecord({ key: 'app/x' }), tombstone]));
  await store.put(batch([newest], { isDurable: false }));
  await store.close(0);
  expect(await content()).toEqual(
    [newest, tombstone].map(({ key, origin, hlc, schema, body, signature }) => [
      key,
      origin,
      hlc,
      schema,
      body && [...body],
      [...signature],
    ]),
  );
});

test('forgotten keys are gone', async () => {
  const store = await Store.open({ path });
  await store.put(batch([aRecord({ key: 'app/x' }), aRecord({ key: 'app/y' })]));
  await store.put(batch([], { forgotten: ['app/x', 'app/none'] }));
  await store.close(0);
  expect((await content()).length).toBe(1);
});

test('the high-water mark never goes back', async () => {
  const store = await Store.open({ path });
  await store.put(batch([], { lastHlc: 500 }));
  await store.put(batch([], { lastHlc: 400 }));
  await store.close(100);
  const again = await Store.open({ path });
  expect(again.opened.lastHlc).toBe(500);
  await again.close(0);
});

test('what piles up is committed in order', async () => {
  const store = await Store.open({ path });
  const puts = Array.from({ length: 300 }, (_, index) =>
    store.put(batch([aRecord({ key: `app/${index % 10}`, hlc: index })], { isDurable: false })),
  );
  await Promise.all(puts);
  await store.close(0);
  const hlcs = (await content()).map((row) => (row as unknown[])[2]);
  expect(hlcs).toEqual([290, 291, 292, 293, 294, 295, 296, 297, 298, 299]);
});

test('a closed store refuses', async () => {
  const store = await Store.open({ path });
  await store.close(0);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await expect(store.put(batch([]))).rejects.toMatchObject({ code: 'E_STORE_FULL' });
  await store.close(0);
});

test('a place that cannot hold a file is an error', async () => {
  await writeFile(join(dir, 'file'), '');
  const opened = Store.open({ path: join(dir, 'file', 'records.db') });
  await expect(opened).rejects.toMatchObject({ code: 'E_STORE_OPEN' });
  await expect(Store.open({ path: dir })).rejects.toMatchObject({ code: 'E_STORE_OPEN' });
  expect(readdirSync(dir)).toEqual(['file']);
});

test('a file of garbage is moved aside, and the machine records survive in their own file', async () => {
  const store = await Store.open({ path });
  await store.put(batch([aRecord({ key: 'm/a' }), aRecord({ key: 'app/x' })]));
  await store.close(0);
  await writeFile(path, Buffer.alloc(50_000, 1));
  const again = await Store.open({ path });
  expect(again.opened.problem).toContain('damaged');
  expect(again.opened.records.map(({ key }) => key)).toEqual(['m/a']);
  expect(again.opened.records[0]?.signature).toHaveLength(64);
  await again.put(batch([aRecord({ key: 'app/y' })]));
  await again.close(0);
  expect(readdirSync(join(dir, 'data')).filter((name) => name.includes('damaged-'))).toHaveLength(
    1,
  );
});

test('a torn file gives out what can still be read', async () => {
  const store = await Store.open({ path });
  const records = Array.from({ length: 2000 }, (_, index) =>
    aRecord({ key: `app/${String(index).padStart(5, '0')}`, value: { text: 'x'.repeat(100) } }),
  );
  await store.put(batch(records));
  await store.close(0);
  await truncate(path, 200_000);
  const again = await Store.open({ path });
  expect(again.opened.problem).toContain('damaged');
  for (const { key } of again.opened.records) expect(key).toMatch(/^app\/\d{5}$/);
  await again.close(0);
});

test('both files damaged is an empty memory, not a crash', async () => {
  const store = await Store.open({ path });
  await store.put(batch([aRecord({ key: 'm/a' })]));
  await store.close(0);
  await writeFile(path, Buffer.alloc(50_000, 1));
  await writeFile(join(dir, 'data', 'machines.json'), 'not json');
  const again = await Store.open({ path });
  expect(again.opened.records).toEqual([]);
  await again.close(0);
});

test('a lost file is an empty memory that still knows the machines', async () => {
  const store = await Store.open({ path });
  await store.put(batch([aRecord({ key: 'm/a', hlc: 7 }), aRecord({ key: 'app/x' })]));
  await store.close(0);
  for (const suffix of ['', '-wal', '-shm']) await rm(`${path}${suffix}`, { force: true });
  const again = await Store.open({ path });
  expect(again.opened.problem).toContain('missing');
  expect(again.opened.records.map(({ key }) => key)).toEqual(['m/a']);
  expect(again.opened.lastHlc).toBe(7);
  // A machine that comes later does not push the known ones out of the second file.
  await again.put(batch([aRecord({ key: 'm/b' })]));
  await again.close(0);
  await rm(path);
  const third = await Store.open({ path });
  expect(third.opened.records.map(({ key }) => key)).toEqual(['m/a', 'm/b']);
  await third.close(0);
});

test('an old copy of the file is completed with the machines of today', async () => {
  const store = await Store.open({ path });
  await store.put(batch([aRecord({ key: 'm/a', hlc: 7 })]));
  await store.close(0);
  await copyFile(path, `${path}.copy`);
  const later = await Store.open({ path });
  await later.put(batch([aRecord({ key: 'm/a', hlc: 9 }), aRecord({ key: 'm/b', hlc: 8 })]));
  await later.close(0);
  await copyFile(`${path}.copy`, path);
  const again = await Store.open({ path });
  expect(again.opened.problem).toBeUndefined();
  expect(again.opened.records.map(({ key, hlc }) => [key, hlc])).toEqual([
    ['m/a', 9],
    ['m/b', 8],
  ]);
  await again.close(0);
});
