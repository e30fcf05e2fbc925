/**
 * Reads the content store of containerd on this machine's disk. The engine's API tells neither the
 * layers of a manifest nor which bytes are here, so the agent, which is root, looks itself. It only
 * ever reads; where no content store is found, nothing counts as present and all layers are sent.
 */
import { readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf } from '../src/images/digest.ts';
import { maxConfigBytes } from '../src/images/protocol.ts';

export interface ContentStore {
  /** Text of a manifest, an index or a config; undefined when it is not here. */
  readText(digest: Digest): Promise<string | undefined>;
  /** Size of a blob that is here in full. containerd moves a blob here only when it is complete. */
  sizeOf(digest: Digest): Promise<number | undefined>;
}

/** The containerd that dockerd starts for itself, and the system's. */
function candidates(engineRoot: string): readonly string[] {
  return [join(engineRoot, 'containerd/daemon'), '/var/lib/containerd'].map((root) =>
    join(root, 'io.containerd.content.v1.content/blobs/sha256'),
  );
}

/** A store over all places where the engine's containerd may keep its blobs. */
export function contentStore(engineRoot: string): ContentStore {
  const find = async (digest: Digest): Promise<{ path: string; sizeBytes: number } | undefined> => {
    for (const folder of candidates(engineRoot)) {
      const path = join(folder, hexOf(digest));
      const found = await orAbsent(stat(path));
      if (found?.isFile() === true) return { path, sizeBytes: found.size };
    }
    return undefined;
  };
  return {
    async readText(digest) {
      const found = await find(digest);
      if (found === undefined || found.sizeBytes > maxConfigBytes) return undefined;
      return orAbsent(readFile(found.path, 'utf8'));
    },
    async sizeOf(digest) {
      return (await find(digest))?.sizeBytes;
    },
  };
}

/** Free space of the file system that holds the engine's data; null when it cannot be seen. */
export async function freeBytes(engineRoot: string): Promise<number | null> {
  const found = await orAbsent(statfs(engineRoot));
  return found === undefined ? null : found.bavail * found.bsize;
}

/** What is gone, was never there, or lies on a disk that the agent does not see is absent. */
async function orAbsent<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (cause) {
    const code = cause instanceof Error ? Reflect.get(cause, 'code') : undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined;
    throw cause;
  }
}
