/**
 * Takes layers out of an engine by `docker save`: works everywhere, but the engine hands out the
 * whole image, so this is for engines that cannot reach our loopback. Layers that no target needs
 * are passed over as they stream by. `manifest.json` may come last and 20.10 names layers by other
 * ids, so a layer is known by the digest of its bytes.
 */

import { posix } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type Docker from 'dockerode';
import { type Extract, extract } from 'tar-stream';
import type { Digest } from '../images/digest.ts';
import { classifySavedEntry, parseSavedManifest, type SavedImage } from '../images/saved.ts';
import { TscError } from '../lib/errors.ts';
import type { Spool, SpooledBlob } from './push-spool.ts';

export interface SavedBlobs {
  readonly config: SpooledBlob;
  /** One per layer, in order; undefined where it was passed over. */
  readonly layers: readonly (SpooledBlob | undefined)[];
}

export interface SaveOptions {
  readonly engineId: string;
  /** Whether a blob with this digest need not be kept. */
  readonly isUnneeded: (digest: Digest) => boolean;
  readonly spool: Spool;
  readonly signal?: AbortSignal | undefined;
}

/** @throws TscError E_IMAGE_EXPORT when the archive is not what engines write */
export async function saveImage(docker: Docker, options: SaveOptions): Promise<SavedBlobs> {
  const archive = await docker.getImage(options.engineId).get();
  const entries = extract();
  const arriving = pipeline(
    archive,
    entries,
    options.signal === undefined ? {} : { signal: options.signal },
  ).catch((cause: unknown) => {
    entries.destroy(cause instanceof Error ? cause : new Error(String(cause)));
  });
  try {
    return await readArchive(entries, options);
  } finally {
    // Ends the engine's work when we gave up in the middle.
    (archive as Readable).destroy();
    await arriving;
  }
}

async function readArchive(
  entries: Extract,
  { isUnneeded, spool }: SaveOptions,
): Promise<SavedBlobs> {
  const blobs = new Map<string, SpooledBlob>();
  const links = new Map<string, string>();
  let image: SavedImage | undefined;
  for await (const entry of entries) {
    const { name, type, linkname } = entry.header;
    const chunks = entry as AsyncIterable<Uint8Array>;
    const kind = classifySavedEntry(name);
    if (type === 'symlink' && kind.type === 'blob') {
      // 20.10 writes a layer that an image has twice once, and a link.
      links.set(name, posix.join(posix.dirname(name), linkname));
    } else if (kind.type === 'manifest') {
      image = parseSavedManifest(await textOf(chunks));
    } else if (kind.type === 'blob' && !(kind.digest !== undefined && isUnneeded(kind.digest))) {
      const blob = await spool.add(chunks);
      if (kind.digest === undefined && isUnneeded(blob.digest)) await spool.drop(blob);
      else blobs.set(name, blob);
    }
    entry.resume();
  }
  const config = image === undefined ? undefined : blobs.get(image.config);
  if (image === undefined || config === undefined) {
    throw new TscError('E_IMAGE_EXPORT', 'the archive of the image names no config');
  }
  const layers = image.layers.map((name) => blobs.get(links.get(name) ?? name));
  const wanted = new Set([config, ...layers]);
  for (const blob of blobs.values()) if (!wanted.has(blob)) await spool.drop(blob);
  return { config, layers };
}

async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString('utf8');
}
