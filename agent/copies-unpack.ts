/**
 * Unpacks the tar of a copy. The tar comes from a client or another member: names that lead out of
 * the folder, through a link or otherwise, and entries that are neither file, folder nor link are
 * refused, so that a copy can never write anything but itself.
 */
import { chmod, lchown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { extract } from 'tar-stream';
import { TscError } from '../src/lib/errors.ts';

/**
 * @param folder empty, and nobody else's
 * @throws TscError E_COPY_BROKEN
 */
export async function unpackCopy(tar: Buffer, folder: string): Promise<void> {
  const entries = extract();
  entries.end(tar);
  const folders = new Set<string>(['.']);
  const modes: (readonly [string, number])[] = [];
  try {
    for await (const entry of entries) {
      const { name, type, mode, uid, gid, linkname } = entry.header;
      const clean = name.replace(/\/$/, '');
      // A parent that is a folder of this tar is neither a link nor outside.
      if (!/^data(\/|$)/.test(clean) || clean.split('/').some((part) => part === '..')) {
        throw broken(name);
      }
      if (!folders.has(dirname(clean))) throw broken(name);
      const path = join(folder, clean);
      if (type === 'directory') {
        await mkdir(path, { mode: 0o700 });
        folders.add(clean);
        modes.push([path, mode]);
      } else if (type === 'file') {
        const chunks: Buffer[] = [];
        for await (const chunk of entry) chunks.push(chunk as Buffer);
        await writeFile(path, Buffer.concat(chunks), { mode: 0o600, flag: 'wx' });
        modes.push([path, mode]);
      } else if (type === 'symlink' && typeof linkname === 'string') {
        await symlink(linkname, path);
      } else {
        throw broken(name);
      }
      await lchown(path, uid, gid);
      entry.resume();
    }
  } catch (cause) {
    if (cause instanceof TscError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TscError('E_COPY_BROKEN', `a copy cannot be unpacked: ${why}`, { cause });
  }
  // Last: a folder without the right to write could not be filled; a change of owner clears bits.
  for (const [path, mode] of modes) await chmod(path, mode);
}

function broken(name: string): TscError {
  return new TscError('E_COPY_BROKEN', `a copy holds an entry that is not allowed: ${name}`);
}
