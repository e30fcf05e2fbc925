/**
 * The loader's view of the disk of this machine. Answers "not there" for what does not exist and
 * throws for everything else, so that a file without permission is never taken for a missing one.
 */
import { closeSync, openSync, readSync, realpathSync, statSync } from 'node:fs';
import type { ProjectReader } from '../compose/index.ts';
import { maxFileBytes } from '../compose/limits.ts';

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code))
  );
}

export class FsReader implements ProjectReader {
  readFile(path: string): Uint8Array | undefined {
    try {
      const file = openSync(path, 'r');
      try {
        return readStart(file);
      } finally {
        closeSync(file);
      }
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  isDirectory(path: string): boolean {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  }

  realPath(path: string): string | undefined {
    try {
      return realpathSync(path);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  readStdin(): Uint8Array {
    return readStart(0);
  }
}

/** A file up to one byte more than the loader takes: some devices have no end. */
function readStart(file: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (let left = maxFileBytes + 1; left > 0; ) {
    const chunk = Buffer.alloc(Math.min(left, 65_536));
    const length = readSync(file, chunk);
    if (length === 0) break;
    chunks.push(chunk.subarray(0, length));
    left -= length;
  }
  return Buffer.concat(chunks);
}
