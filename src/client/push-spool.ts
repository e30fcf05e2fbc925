/**
 * A private folder for what an engine hands out, until every target has it. Files are named by what
 * they hold only after their digest is known, and the folder goes with the push.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, open, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createZstdDecompress } from 'node:zlib';
import { type Digest, digestFromHex, hexOf } from '../images/digest.ts';
import { type BlobReference, sniffCompression } from '../images/manifest.ts';

export interface SpooledBlob extends BlobReference {
  readonly path: string;
}

export class Spool {
  readonly #dir: string;
  readonly #blobs = new Map<Digest, SpooledBlob>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** mkdtemp makes it readable by its owner alone: layers hold whatever an image holds. */
  static async create(): Promise<Spool> {
    return new Spool(await mkdtemp(join(tmpdir(), 'tsc-compose-push-')));
  }

  /** Writes chunks to a file and keeps it under its digest. */
  async add(chunks: AsyncIterable<Uint8Array>): Promise<SpooledBlob> {
    const path = this.newPath();
    const hash = createHash('sha256');
    const hashed = async function* () {
      for await (const chunk of chunks) {
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(hashed, createWriteStream(path, { mode: 0o600 }));
    return this.adopt(path, digestFromHex(hash.digest('hex')));
  }

  /** A path in the folder that nobody else has. */
  newPath(): string {
    return join(this.#dir, `part-${randomUUID()}`);
  }

  /** Keeps a file of this folder, whose digest the caller has computed. */
  async adopt(path: string, digest: Digest): Promise<SpooledBlob> {
    const kept = join(this.#dir, hexOf(digest));
    await rename(path, kept);
    const blob: SpooledBlob = {
      digest,
      path: kept,
      sizeBytes: (await stat(kept)).size,
      compression: sniffCompression(await firstBytes(kept)),
    };
    this.#blobs.set(digest, blob);
    return blob;
  }

  get(digest: Digest): SpooledBlob | undefined {
    return this.#blobs.get(digest);
  }

  /** Forgets a blob that turned out not to be needed. */
  async drop({ digest, path }: SpooledBlob): Promise<void> {
    this.#blobs.delete(digest);
    await rm(path, { force: true });
  }

  /** The same layer without zstd, which Docker before 23 does not read. */
  async withoutZstd(blob: SpooledBlob): Promise<SpooledBlob> {
    if (blob.compression !== 'zstd') return blob;
    return this.add(createReadStream(blob.path).pipe(createZstdDecompress()));
  }

  async remove(): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true });
  }
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(4), 0, 4, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
