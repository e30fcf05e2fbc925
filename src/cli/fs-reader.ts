/**
 * The loader's view of the disk of this machine. Answers "not there" for what does not exist and
 * throws for everything else, so that a file without permission is never taken for a missing one.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import type { ProjectReader } from '../compose/index.ts';

function isMissing(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code))
  );
}

export class FsReader implements ProjectReader {
  readFile(path: string): Uint8Array | undefined {
    try {
      return readFileSync(path);
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
    return readFileSync(0);
  }
}
