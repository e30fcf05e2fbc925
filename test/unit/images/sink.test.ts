import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PushSink } from '../../../src/client/push-sink.ts';
import { Spool } from '../../../src/client/push-spool.ts';
import { type Digest, digestOf } from '../../../src/images/digest.ts';

const known = digestOf('known');
let spool: Spool;
let sink: PushSink;

beforeEach(async () => {
  spool = await Spool.create();
  sink = await PushSink.open(spool, (digest: Digest) => (digest === known ? 77 : undefined));
});

afterEach(async () => {
  await sink.close();
  await spool.remove();
});

function at(path: string): string {
  const [host = '', name = ''] = sink.repository.split('/');
  return `http://${host}/v2/${name}/${path}`;
}

async function upload(pieces: readonly string[], digest: string): Promise<Response> {
  const begun = await fetch(at('blobs/uploads/'), { method: 'POST' });
  expect(begun.status).toBe(202);
  const place = new URL(begun.headers.get('location') ?? '', begun.url);
  for (const body of pieces) {
    expect((await fetch(place, { method: 'PATCH', body })).status).toBe(202);
  }
  place.searchParams.set('digest', digest);
  return fetch(place, { method: 'PUT' });
}

test('an engine is told that blobs which nobody needs are there, with their true size', async () => {
  const head = await fetch(at(`blobs/${known}`), { method: 'HEAD' });
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '77']);
  const other = await fetch(at(`blobs/${digestOf('other')}`), { method: 'HEAD' });
  expect(other.status).toBe(404);
  const mount = await fetch(at(`blobs/uploads/?mount=${known}&from=x`), { method: 'POST' });
  expect(mount.status).toBe(201);
});

test('a blob that comes in pieces is kept under its digest', async () => {
  const digest = digestOf('abcdef');
  expect((await upload(['abc', 'def'], digest)).status).toBe(201);
  const blob = spool.get(digest);
  expect(blob).toMatchObject({ digest, sizeBytes: 6, compression: 'none' });
  expect(readFileSync(blob?.path ?? '', 'utf8')).toBe('abcdef');
  const head = await fetch(at(`blobs/${digest}`), { method: 'HEAD' });
  expect([head.status, head.headers.get('content-length')]).toEqual([200, '6']);
});

test('a blob that is not what it says is refused', async () => {
  const digest = digestOf('abcdef');
  expect((await upload(['abc', 'deF'], digest)).status).toBe(400);
  expect(spool.get(digest)).toBeUndefined();
});

test('only the manifest of its own random tag is taken, and nothing can be read', async () => {
  const put = (tag: string) => fetch(at(`manifests/${tag}`), { method: 'PUT', body: '{"a":1}' });
  expect((await put('latest')).status).toBe(404);
  expect(sink.manifest).toBeUndefined();
  expect((await put(sink.tag)).status).toBe(201);
  expect(sink.manifest).toBe('{"a":1}');
  expect((await fetch(at(`manifests/${sink.tag}`))).status).toBe(404);
  expect((await fetch(at(`blobs/${known}`))).status).toBe(404);
});

test('a second sink finds another port', async () => {
  const second = await PushSink.open(spool, () => undefined);
  expect(second.repository).not.toBe(sink.repository);
  expect(second.wasReached).toBe(false);
  await fetch(`http://${second.repository.split('/')[0]}/v2/`);
  expect(second.wasReached).toBe(true);
  await second.close();
});

test('a spool is private, unpacks zstd only, and goes with all that is in it', async () => {
  const add = (bytes: Uint8Array) =>
    spool.add(
      (async function* () {
        yield bytes;
      })(),
    );
  const zipped = await add(gzipSync('layer'));
  expect(zipped.compression).toBe('gzip');
  expect(await spool.withoutZstd(zipped)).toBe(zipped);
  const plain = await spool.withoutZstd(await add(zstdCompressSync('layer')));
  expect(plain).toMatchObject({ digest: digestOf('layer'), compression: 'none', sizeBytes: 5 });
  await spool.drop(zipped);
  expect(existsSync(zipped.path)).toBe(false);
  await spool.remove();
  expect(existsSync(dirname(plain.path))).toBe(false);
});
