import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ContainerFiles, keyOfLabels } from '../../../agent/files.ts';
import { label } from '../../../src/model/names.ts';

let dataDir: string;
let files: ContainerFiles;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'tsc-compose-files-'));
  files = new ContainerFiles(dataDir);
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const key = { project: 'shop', service: 'web', slot: '1', hash: 'h', rollout: 'r' };
const secret = {
  name: 'secret-0',
  target: '/run/secrets/s',
  content: Buffer.from('pa$$').toString('base64'),
  mode: 0o440,
  uid: process.getuid?.() ?? 0,
  gid: process.getgid?.() ?? 0,
};

test('files are written with their modes into a folder that others cannot list', async () => {
  const written = await files.write(key, [secret], 'nameserver 1.1.1.1\n');
  const [file] = written.files;
  expect(file?.target).toBe('/run/secrets/s');
  expect(readFileSync(file?.hostPath ?? '', 'utf8')).toBe('pa$$');
  expect(statSync(file?.hostPath ?? '').mode & 0o777).toBe(0o440);
  expect(readFileSync(written.resolvConfPath ?? '', 'utf8')).toBe('nameserver 1.1.1.1\n');
  expect(statSync(written.resolvConfPath ?? '').mode & 0o777).toBe(0o444);
  expect(statSync(join(written.resolvConfPath ?? '', '..')).mode & 0o077).toBe(0);
});

test('a second attempt replaces what the first one left', async () => {
  await files.write(key, [secret, { ...secret, name: 'secret-1' }], 'old');
  const written = await files.write(key, [secret], undefined);
  expect(written.resolvConfPath).toBeUndefined();
  expect(readdirSync(join(written.files[0]?.hostPath ?? '', '..'))).toEqual(['secret-0']);
  expect(readdirSync(join(dataDir, 'containers'))).toHaveLength(1);
});

test('folders that no container leads to are removed, drafts too', async () => {
  await files.collect([]);
  const kept = await files.write(key, [secret], undefined);
  await files.write({ ...key, rollout: 'other' }, [secret], undefined);
  await files.collect([key]);
  expect(readdirSync(join(dataDir, 'containers'))).toHaveLength(1);
  expect(readFileSync(kept.files[0]?.hostPath ?? '', 'utf8')).toBe('pa$$');
  await files.collect([]);
  expect(readdirSync(join(dataDir, 'containers'))).toEqual([]);
});

test('a draft that is being written is kept with its container', async () => {
  const kept = await files.write(key, [secret], undefined);
  const folder = join(kept.files[0]?.hostPath ?? '', '..');
  mkdirSync(`${folder}.draft`);
  await files.collect([key]);
  expect(readdirSync(join(dataDir, 'containers'))).toHaveLength(2);
  await files.collect([]);
  expect(readdirSync(join(dataDir, 'containers'))).toEqual([]);
});

test('the key of a container stands in its labels', () => {
  const labels = {
    [label.project]: 'shop',
    [label.service]: 'web',
    [label.slot]: '1',
    [label.hash]: 'h',
    [label.rollout]: 'r',
  };
  expect(keyOfLabels(labels)).toEqual(key);
  for (const name of Object.keys(labels)) {
    const { [name]: _gone, ...rest } = labels as Record<string, string>;
    expect(keyOfLabels(rest)).toBeUndefined();
  }
});
