/**
 * What earlier pushes learnt about blobs, in a small file of the user's cache: which layer a blob
 * holds. With it an engine that asks about a blob it remembers need not compress the layer again.
 * Losing the file costs time, never correctness: what is sent is always checked by its digest.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Digest, isDigest } from '../images/digest.ts';
import type { BlobReference } from '../images/manifest.ts';
import { maxKnownBlobs } from './limits-push.ts';

interface KnownBlob {
  readonly diffId: Digest;
  readonly sizeBytes: number;
}

export class KnownBlobs {
  readonly #path: string;
  readonly #blobs: Map<Digest, KnownBlob>;
  readonly #configs: Map<string, Digest>;

  private constructor(path: string, blobs: Map<Digest, KnownBlob>, configs: Map<string, Digest>) {
    this.#path = path;
    this.#blobs = blobs;
    this.#configs = configs;
  }

  /** Reads the file; one that is missing or damaged is an empty one. */
  static async open(path: string): Promise<KnownBlobs> {
    let value: unknown;
    try {
      value = JSON.parse(await readFile(path, 'utf8'));
    } catch {
      // The first push, or a file that somebody cut: both begin anew.
      value = undefined;
    }
    const { blobs, configs } = (typeof value === 'object' && value !== null ? value : {}) as {
      readonly blobs?: unknown;
      readonly configs?: unknown;
    };
    return new KnownBlobs(
      path,
      new Map(entriesOf(blobs, blobOf)),
      new Map(entriesOf(configs, configOf)),
    );
  }

  get(digest: Digest): KnownBlob | undefined {
    return this.#blobs.get(digest);
  }

  add(diffId: Digest, { digest, sizeBytes }: BlobReference): void {
    // The last seen stay longest.
    this.#blobs.delete(digest);
    this.#blobs.set(digest, { diffId, sizeBytes });
  }

  /** The config of an image of the containerd store, by the engine's id and the platform. */
  configOf(image: string): Digest | undefined {
    return this.#configs.get(image);
  }

  addConfig(image: string, configDigest: Digest): void {
    this.#configs.delete(image);
    this.#configs.set(image, configDigest);
  }

  async save(): Promise<void> {
    const blobs = [...this.#blobs].slice(-maxKnownBlobs);
    const configs = [...this.#configs].slice(-maxKnownBlobs);
    await mkdir(dirname(this.#path), { recursive: true });
    const temporary = `${this.#path}.${process.pid}`;
    await writeFile(temporary, JSON.stringify({ blobs, configs }), { mode: 0o600 });
    await rename(temporary, this.#path);
  }
}

/** Where the file is: the user's cache folder, by the rules of the XDG base directories. */
export function knownBlobsPath(env: Readonly<Record<string, string | undefined>>): string {
  const cache = env.XDG_CACHE_HOME || join(env.HOME || homedir(), '.cache');
  return join(cache, 'tsc-compose', 'blobs.json');
}

function* entriesOf<K, V>(
  value: unknown,
  read: (key: unknown, value: unknown) => readonly [K, V] | undefined,
): Generator<readonly [K, V]> {
  for (const entry of Array.isArray(value) ? value : []) {
    const pair = Array.isArray(entry) ? read(entry[0], entry[1]) : undefined;
    if (pair !== undefined) yield pair;
  }
}

function blobOf(key: unknown, value: unknown): readonly [Digest, KnownBlob] | undefined {
  const { diffId, sizeBytes } = (typeof value === 'object' && value !== null ? value : {}) as {
    readonly diffId?: unknown;
    readonly sizeBytes?: unknown;
  };
  if (!isDigest(key) || !isDigest(diffId) || typeof sizeBytes !== 'number') return undefined;
  return [key, { diffId, sizeBytes }];
}

function configOf(key: unknown, value: unknown): readonly [string, Digest] | undefined {
  return typeof key === 'string' && isDigest(value) ? [key, value] : undefined;
}
