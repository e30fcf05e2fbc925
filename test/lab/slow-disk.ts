/**
 * A disk on which every flush takes long, for one program: a library of ours (slow-disk.c) stands
 * before the C library's `fsync` and `fdatasync`. Node and its SQLite call them there.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePackages, type Toolset, toolPath } from './packages.ts';
import { cacheDir } from './paths.ts';
import { runOrThrow } from './run.ts';

/**
 * The environment of a program whose flushes take so long. Compiles the library when it is not there.
 * @throws TscError E_LAB_PACKAGES when there is no compiler to be had
 */
export async function slowDisk(flushMs: number): Promise<Readonly<Record<string, string>>> {
  const source = join(import.meta.dirname, 'slow-disk.c');
  const hash = createHash('sha256').update(readFileSync(source)).update(process.arch).digest('hex');
  const library = join(cacheDir('slow-disk'), `${hash.slice(0, 12)}.so`);
  if (!existsSync(library)) {
    const tools = await ensurePackages('compiler');
    const temporary = `${library}.${process.pid}`;
    const words = ['-shared', '-nostdlib', '-o', temporary, source];
    await runOrThrow([toolPath(tools, 'tcc'), '-B', ownFolder(tools), ...words]);
    renameSync(temporary, library);
  }
  return { LD_PRELOAD: library, TSC_COMPOSE_FLUSH_MS: String(flushMs) };
}

/** Where the compiler's own files lie; it would look for them in the system. */
function ownFolder({ root }: Toolset): string {
  const lib = join(root, 'usr/lib');
  const folders = readdirSync(lib).map((name) => join(lib, name, 'tcc'));
  return folders.find((folder) => existsSync(folder)) ?? join(lib, 'tcc');
}
