/**
 * Layers of test images: one tar each, made from a list of files, the same bytes every time (sorted,
 * no times, root owns all), kept in the cache under their digest.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, statSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Pack, pack } from 'tar-stream';
import { cacheDir } from './paths.ts';

/** A file of an image: text or bytes (mode 644), or said in full. */
export type ImageFile =
  | string
  | Uint8Array
  | { readonly content: string | Uint8Array; readonly mode?: number }
  | { readonly source: string; readonly mode?: number }
  | { readonly link: string }
  | { readonly isDir: true; readonly mode?: number };

/** Absolute path in the image to file. Folders on the way are made by themselves. */
export type ImageFiles = Readonly<Record<string, ImageFile>>;

export interface Layer {
  /** Digest of the tar, which is the layer's identity: `sha256:…`. */
  readonly diffId: string;
  readonly file: string;
  readonly sizeBytes: number;
}

/** Makes the layer of these files, or finds it in the cache. */
export async function makeLayer(files: ImageFiles): Promise<Layer> {
  const keyFile = join(cacheDir('images', 'keys'), layerKey(files));
  if (existsSync(keyFile)) {
    const layer = findLayer(await readFile(keyFile, 'utf8'));
    if (layer !== undefined) return layer;
  }
  const dir = cacheDir('images', 'layers');
  const temporary = join(dir, `.${process.pid}-${performance.now()}`);
  const hash = createHash('sha256');
  const tee = new PassThrough();
  tee.on('data', (chunk: Buffer) => hash.update(chunk));
  const tar = pack();
  await Promise.all([pipeline(tar, tee, createWriteStream(temporary)), writeEntries(tar, files)]);
  const diffId = `sha256:${hash.digest('hex')}`;
  await rename(temporary, layerFile(diffId));
  await writeFile(keyFile, diffId);
  return { diffId, file: layerFile(diffId), sizeBytes: statSync(layerFile(diffId)).size };
}

/** A layer of the cache by its digest. */
export function findLayer(diffId: string): Layer | undefined {
  const file = layerFile(diffId);
  return existsSync(file) ? { diffId, file, sizeBytes: statSync(file).size } : undefined;
}

function layerFile(diffId: string): string {
  return join(cacheDir('images', 'layers'), `${diffId.replace('sha256:', '')}.tar`);
}

/** Equal keys mean equal layers; a file of this machine counts by place, size and time. */
function layerKey(files: ImageFiles): string {
  const hash = createHash('sha256').update('2');
  for (const [path, file] of sorted(files)) {
    hash.update(`\0${path}\0`);
    if (typeof file === 'string' || file instanceof Uint8Array) hash.update(file);
    else if ('content' in file) hash.update(`${file.mode}\0`).update(file.content);
    else if ('source' in file) {
      const { size, mtimeMs } = statSync(file.source);
      hash.update(JSON.stringify([file.source, file.mode, size, mtimeMs]));
    } else hash.update(JSON.stringify(file));
  }
  return hash.digest('hex');
}

async function writeEntries(tar: Pack, files: ImageFiles): Promise<void> {
  const entries = new Map(sorted(files));
  for (const path of Object.keys(files)) {
    for (let dir = parent(path); dir !== ''; dir = parent(dir)) {
      if (!entries.has(dir)) entries.set(dir, { isDir: true });
    }
  }
  for (const [path, file] of [...entries].sort(byPath)) await writeEntry(tar, path.slice(1), file);
  tar.finalize();
}

async function writeEntry(tar: Pack, name: string, file: ImageFile): Promise<void> {
  const common = { name, uid: 0, gid: 0, mtime: new Date(0) };
  if (typeof file === 'string' || file instanceof Uint8Array) {
    tar.entry({ ...common, mode: 0o644 }, Buffer.from(file));
  } else if ('content' in file) {
    tar.entry({ ...common, mode: file.mode ?? 0o644 }, Buffer.from(file.content));
  } else if ('link' in file) {
    tar.entry({ ...common, mode: 0o777, type: 'symlink', linkname: file.link });
  } else if ('isDir' in file) {
    tar.entry({ ...common, name: `${name}/`, mode: file.mode ?? 0o755, type: 'directory' });
  } else {
    const { size, mode } = statSync(file.source);
    const entry = tar.entry({ ...common, size, mode: file.mode ?? mode & 0o777 });
    await pipeline(createReadStream(file.source), entry);
  }
}

function sorted(files: ImageFiles): readonly [string, ImageFile][] {
  return Object.entries(files).sort(byPath);
}

/** By code unit: a folder precedes what is in it, and no locale has a say. */
function byPath(a: readonly [string, ImageFile], b: readonly [string, ImageFile]): number {
  return a[0] < b[0] ? -1 : 1;
}

function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
