import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import * as http from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Copies, copiesOf } from '../../../agent/copies.ts';
import { unpackCopy } from '../../../agent/copies-unpack.ts';
import { createLog } from '../../../agent/log.ts';
import { type Copy, packCopy, uploadCopy } from '../../../src/client/copies.ts';
import { maxCopyBytes } from '../../../src/model/limits.ts';
import { aProject, machineId } from '../../lib/builders.ts';

let folder: string;
let nowMs: number;
const servers: http.Server[] = [];
const [m1, m2] = [machineId('m1'), machineId('m2')];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsc-copies-'));
  nowMs = Date.now();
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A machine's store; the others are reached at their sockets. */
async function machine(name: string, peers: readonly string[] = []): Promise<Copies> {
  const copies = new Copies({
    dataDir: join(folder, name),
    connectRpc: async (id) => connect(socketOf(id.slice('id-'.length))),
    peers: () => peers.map(machineId),
    now: () => nowMs,
    log: createLog(() => undefined),
  });
  const server = http.createServer((request, response) => {
    const path = /\/copies(\/.*)$/.exec(request.url ?? '')?.[1] ?? '';
    copies.handle(request, response, path).catch((error: Error) => {
      const code: unknown = Reflect.get(error, 'code');
      response.writeHead(404).end(JSON.stringify({ code, message: error.message }));
    });
  });
  await new Promise<void>((resolve) => server.listen(socketOf(name), resolve));
  servers.push(server);
  return copies;
}

const socketOf = (name: string): string => join(folder, `${name}.sock`);

function settings(name = 'conf'): string {
  const path = join(folder, name);
  mkdirSync(join(path, 'sub'), { recursive: true });
  writeFileSync(join(path, 'app.conf'), 'port 80\n');
  writeFileSync(join(path, 'sub', 'run.sh'), '#!/bin/sh\n');
  chmodSync(join(path, 'sub', 'run.sh'), 0o750);
  symlinkSync('app.conf', join(path, 'link'));
  return path;
}

async function give(name: string, copy: Copy): Promise<void> {
  await uploadCopy(socketOf(name), name, copy, new AbortController().signal);
}

describe('a copy', () => {
  test('has one name for one content, whenever it was written', async () => {
    const first = await packCopy(settings('one'));
    const again = settings('two');
    utimesSync(join(again, 'app.conf'), 1, 1);
    expect((await packCopy(again)).hash).toBe(first.hash);
    writeFileSync(join(again, 'app.conf'), 'port 81\n');
    expect((await packCopy(again)).hash).not.toBe(first.hash);
  });

  test('is unpacked with modes and links as they were', async () => {
    const copies = await machine('m1');
    const copy = await packCopy(settings());
    await give('m1', copy);
    const path = await copies.path(copy.hash);
    expect(readFileSync(join(path, 'app.conf'), 'utf8')).toBe('port 80\n');
    expect(statSync(join(path, 'sub', 'run.sh')).mode & 0o7777).toBe(0o750);
    expect(readlinkSync(join(path, 'link'))).toBe('app.conf');
    expect(await copies.path(copy.hash)).toBe(path);
  });

  test('of a single file is that file', async () => {
    const copies = await machine('m1');
    const copy = await packCopy(join(settings(), 'app.conf'));
    await give('m1', copy);
    expect(readFileSync(await copies.path(copy.hash), 'utf8')).toBe('port 80\n');
  });

  test('is fetched from a machine that has it', async () => {
    await machine('m1');
    const away = await machine('m2', ['m1']);
    const copy = await packCopy(settings());
    await give('m1', copy);
    const path = await away.path(copy.hash);
    expect(readFileSync(join(path, 'app.conf'), 'utf8')).toBe('port 80\n');
  });

  test('is handed on, and missed with a reason where it was never given', async () => {
    const copies = await machine('m1', ['m2', 'm9']);
    await machine('m2');
    const copy = await packCopy(settings());
    await expect(copies.spread([copy.hash], [])).rejects.toMatchObject({
      code: 'E_COPY_NOT_FOUND',
    });
    await give('m1', copy);
    await copies.spread([copy.hash], [m2, m1]);
    expect(readdirSync(join(folder, 'm2', 'copies'))).toEqual([`${copy.hash}.tar`]);
  });

  test('that is not what its name says is refused', async () => {
    await machine('m1');
    const copy = await packCopy(settings());
    const other = { ...copy, hash: 'f'.repeat(64) };
    await expect(give('m1', other)).rejects.toMatchObject({ code: 'E_COPY_BROKEN' });
    expect(readdirSync(folder)).not.toContain('m1');
  });

  test('that is too large is refused by name and limit', async () => {
    const path = settings();
    writeFileSync(join(path, 'movie'), Buffer.alloc(maxCopyBytes));
    await expect(packCopy(path)).rejects.toMatchObject({ code: 'E_BIND_TOO_LARGE' });
    await expect(packCopy(join(folder, 'nothing'))).rejects.toMatchObject({
      code: 'E_BIND_NOT_FOUND',
    });
  });

  test.each([
    ['a name that leads out', [{ name: '../x' }]],
    ['a name beside the content', [{ name: 'other' }]],
    [
      'a folder that is a link',
      [
        { name: 'data', type: 'directory' as const },
        { name: 'data/out', type: 'symlink' as const, linkname: '/tmp' },
        { name: 'data/out/x' },
      ],
    ],
    ['a device', [{ name: 'data', type: 'character-device' as const }]],
  ])('with %s is not unpacked', async (_title, entries) => {
    const tar = pack();
    for (const entry of entries) tar.entry(entry, '');
    tar.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of tar) chunks.push(chunk as Buffer);
    const target = join(folder, 'target');
    mkdirSync(target);
    await expect(unpackCopy(Buffer.concat(chunks), target)).rejects.toMatchObject({
      code: 'E_COPY_BROKEN',
    });
  });

  test('is removed an hour after its last use, when no revision names it', async () => {
    const copies = await machine('m1');
    const kept = await packCopy(settings('one'));
    writeFileSync(join(settings('two'), 'more'), 'x');
    const left = await packCopy(join(folder, 'two'));
    await give('m1', kept);
    await give('m1', left);
    await copies.path(left.hash);
    await copies.collect(new Set([kept.hash]));
    expect(readdirSync(join(folder, 'm1', 'copies'))).toHaveLength(3);
    nowMs += 3_700_000;
    await copies.collect(new Set([kept.hash]));
    expect(readdirSync(join(folder, 'm1', 'copies'))).toEqual([`${kept.hash}.tar`]);
  });

  test('is found in the services that mount it', () => {
    const mount = (hash: string) => ({
      type: 'bind',
      source: `tsc-compose-copy:${hash}`,
      target: '/x',
    });
    const project = aProject({
      web: { volumes: [mount('b'), mount('a')] },
      db: { volumes: [mount('c')] },
    });
    expect(copiesOf(project)).toEqual(['a', 'b', 'c']);
    expect(copiesOf(project, ['db'])).toEqual(['c']);
  });
});
