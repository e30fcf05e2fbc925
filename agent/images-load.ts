/**
 * Feeds the engine an image while it arrives: the body of a `load` request is checked entry by
 * entry and handed on as a universal archive (src/images/archive.ts). Nothing is kept on disk here.
 *
 * What names the image is sent to the engine only after every digest was right, and no archive
 * carries a tag; so a stream that breaks, lies or stops leaves neither a tag nor an image.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as http from 'node:http';
import type { Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type Extract, extract, type Pack, pack } from 'tar-stream';
import { archiveTail, blobEntry } from '../src/images/archive.ts';
import { type Digest, digestFromHex } from '../src/images/digest.ts';
import { type Inventory, presentLayers } from '../src/images/inventory.ts';
import type { BlobReference } from '../src/images/manifest.ts';
import {
  configEntry,
  headerEntry,
  type LoadHeader,
  layerOfEntry,
  maxHeaderBytes,
  readLoadHeader,
} from '../src/images/protocol.ts';
import { writeEntry } from '../src/images/tar.ts';
import { TscError } from '../src/lib/errors.ts';
import { engineError } from './engine-errors.ts';
import { jsonLines } from './engine-image.ts';

export interface LoadContext {
  readonly socketPath: string;
  /** Called when the header has arrived; what the engine holds at that moment. */
  readonly begin: (header: LoadHeader) => Promise<Inventory>;
  /** Called when the engine got something that it did not take: it may hold a broken image. */
  readonly cleanUp: (manifestDigest: Digest) => Promise<void>;
}

export interface Loaded {
  readonly header: LoadHeader;
  /** By which the engine knows the image if it has the containerd store. */
  readonly manifestDigest: Digest;
}

/** The body ended or lied: everything that `load` may refuse has one of these codes. */
const broken = (why: string, cause?: unknown): TscError =>
  new TscError('E_IMAGE_STREAM_BROKEN', `the image did not arrive whole: ${why}`, {
    hint: 'nothing was changed on this machine; push it again',
    ...(cause === undefined ? {} : { cause }),
  });

/**
 * Reads the body and loads what it brings.
 * @param body the tar, already decompressed
 * @throws TscError E_IMAGE_STREAM_BROKEN, E_IMAGE_LAYERS_MISSING, E_ENGINE_…
 */
export async function loadImage(body: Readable, context: LoadContext): Promise<Loaded> {
  const entries = extract();
  // Not `pipeline`: the body must survive a refusal, or the client would not hear of it.
  const breakOff = (): void => {
    if (!body.readableEnded) entries.destroy(new Error('the connection was closed'));
  };
  body.once('error', (cause) => entries.destroy(cause));
  body.once('close', breakOff);
  body.pipe(entries);
  const iterator = entries[Symbol.asyncIterator]();
  try {
    const first = await nextEntry(iterator);
    if (first?.header.name !== headerEntry) throw broken('it does not begin with a header');
    const header = readLoadHeader(JSON.parse(await readSmall(first)));
    const layers = allLayers(header, await context.begin(header));
    const { configDigest, configSizeBytes } = header;
    const tail = archiveTail({ configDigest, configSizeBytes, layers });
    await feedEngine(context.socketPath, async (tar) => {
      await forwardBlobs(iterator, header, tar);
      for (const { name, content } of tail.entries) await writeEntry(tar, name, content);
      tar.finalize();
    }).catch(async (error: unknown) => {
      await context.cleanUp(tail.manifestDigest);
      throw error;
    });
    return { header, manifestDigest: tail.manifestDigest };
  } catch (error) {
    throw error instanceof TscError ? error : broken(asError(error).message, error);
  } finally {
    body.off('close', breakOff);
    body.unpipe(entries);
    entries.destroy();
  }
}

/** What each layer is in the archive's manifest: as it comes, else as it is here. */
function allLayers(header: LoadHeader, inventory: Inventory): readonly BlobReference[] {
  const sent = new Map(header.layers.map(({ diffId, blob }) => [diffId, blob]));
  const present = presentLayers(inventory, header.diffIds);
  const missing = header.diffIds.filter((id, index) => !sent.has(id) && present[index] !== true);
  if (missing.length > 0) {
    throw new TscError(
      'E_IMAGE_LAYERS_MISSING',
      `${missing.length} layers were not sent and are no longer on this machine`,
      { hint: 'an image was removed meanwhile; push it again' },
    );
  }
  return header.diffIds.map(
    (diffId) =>
      sent.get(diffId) ??
      inventory.blobs.get(diffId) ?? { digest: diffId, sizeBytes: 0, compression: 'none' },
  );
}

type Entry = Extract extends AsyncIterable<infer E> ? E : never;

async function nextEntry(entries: AsyncIterator<Entry>): Promise<Entry | undefined> {
  const next = await entries.next();
  return next.done === true ? undefined : next.value;
}

async function readSmall(entry: Entry): Promise<string> {
  if (entry.header.size > maxHeaderBytes) throw broken('its header is too large');
  const chunks: Uint8Array[] = [];
  for await (const chunk of entry as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** No times and no owners: the archive depends on the image alone. */
const plain = { mtime: new Date(0), mode: 0o644 };

/** Config and layers, each checked; all that the header announced and nothing else. */
async function forwardBlobs(
  entries: AsyncIterator<Entry>,
  header: LoadHeader,
  tar: Pack,
): Promise<void> {
  const config: BlobReference = {
    digest: header.configDigest,
    sizeBytes: header.configSizeBytes,
    compression: 'none',
  };
  const expected = new Map<string, BlobReference>([[configEntry, config]]);
  const layers = new Map(header.layers.map(({ diffId, blob }) => [diffId, blob]));
  for (;;) {
    const entry = await nextEntry(entries);
    if (entry === undefined) break;
    const { name } = entry.header;
    const diffId = layerOfEntry(name);
    const blob = diffId === undefined ? expected.get(name) : layers.get(diffId);
    if (blob === undefined) throw broken(`"${name}" was not announced or came twice`);
    if (diffId === undefined) expected.delete(name);
    else layers.delete(diffId);
    await forwardBlob(entry, { blob, diffId }, tar);
  }
  const left = expected.size + layers.size;
  if (left > 0) throw broken(`${left} parts of it did not come`);
}

async function forwardBlob(
  entry: Entry,
  { blob, diffId }: { readonly blob: BlobReference; readonly diffId: Digest | undefined },
  tar: Pack,
): Promise<void> {
  const { digest, sizeBytes, compression } = blob;
  if (entry.header.size !== sizeBytes) throw broken(`${digest} is not as long as announced`);
  const hash = createHash('sha256');
  const unpacked = compression === 'gzip' && diffId !== undefined ? new UnpackedHash() : undefined;
  const target = tar.entry({ ...plain, name: blobEntry(digest), size: sizeBytes });
  const checked = async function* () {
    for await (const chunk of entry as AsyncIterable<Uint8Array>) {
      hash.update(chunk);
      await unpacked?.add(chunk);
      yield chunk;
    }
  };
  await pipeline(checked, target);
  const found = digestFromHex(hash.digest('hex'));
  if (found !== digest) throw broken(`${digest} has the digest ${found}`);
  const layer = unpacked === undefined ? found : await unpacked.end();
  if (diffId !== undefined && layer !== diffId) throw broken(`layer ${diffId} is ${layer}`);
}

/** Digest of what a gzip stream holds: not every engine checks that a layer is the config's. */
class UnpackedHash {
  readonly #gunzip = createGunzip();
  readonly #hash = createHash('sha256');
  readonly #done: Promise<void>;

  constructor() {
    this.#gunzip.on('data', (chunk: Buffer) => this.#hash.update(chunk));
    this.#done = finished(this.#gunzip);
    // Waited for in `end`; a stream that breaks before is nobody's concern.
    this.#done.catch(() => undefined);
  }

  async add(chunk: Uint8Array): Promise<void> {
    if (!this.#gunzip.write(chunk)) await Promise.race([once(this.#gunzip, 'drain'), this.#done]);
  }

  async end(): Promise<Digest> {
    this.#gunzip.end();
    await this.#done;
    return digestFromHex(this.#hash.digest('hex'));
  }
}

/**
 * Gives the engine an archive as it is written, and waits for its verdict, which comes as text in
 * an answer with status 200. If writing fails the connection is cut in the middle of the archive.
 */
async function feedEngine(socketPath: string, write: (tar: Pack) => Promise<void>): Promise<void> {
  const tar = pack();
  const outgoing = http.request({
    socketPath,
    method: 'POST',
    path: '/images/load?quiet=1',
    headers: { 'content-type': 'application/x-tar', host: 'docker' },
    agent: false,
  });
  // Either side's end ends the other's; whose came first is the one that is told.
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
    tar.destroy(asError(error));
    outgoing.destroy(asError(error));
  };
  const verdict = new Promise<void>((resolve) => {
    outgoing.on('error', (cause) => {
      fail(engineError(cause, 'load the image'));
      resolve();
    });
    outgoing.once('response', (answer) => {
      refusalOf(answer)
        .then((refusal) => {
          if (refusal !== undefined) throw new Error(refusal);
        })
        .catch((cause: unknown) => fail(engineError(cause, 'load the image')))
        .finally(resolve);
    });
  });
  await Promise.all([write(tar).catch(fail), pipeline(tar, outgoing).catch(fail), verdict]);
  if (failure !== undefined) throw failure;
}

/** @returns why the engine refused, or undefined when it loaded the image */
async function refusalOf(answer: http.IncomingMessage): Promise<string | undefined> {
  if (answer.statusCode !== 200) {
    let text = '';
    for await (const chunk of answer) text += String(chunk);
    return text.trim();
  }
  let refusal: string | undefined;
  for await (const line of jsonLines(answer)) {
    const error: unknown = Reflect.get(line, 'error');
    const said: unknown = Reflect.get(line, 'stream');
    if (typeof error === 'string') refusal = error;
    // The containerd store says "Loaded image", keeps it, and tells in passing that it is broken.
    else if (typeof said === 'string' && said.startsWith('Error ')) refusal ??= said.trim();
  }
  return refusal;
}

function asError(cause: unknown): Error {
  return cause instanceof Error ? cause : new Error(String(cause));
}
