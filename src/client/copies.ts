/**
 * A file or folder as a copy that travels with a change: a tar that depends on content, names,
 * modes and owners alone, so that the same files have the same name from wherever they come. Times
 * are left out. Whether something may travel at all is decided by who asks (src/cli/binds.ts).
 */
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink, stat } from 'node:fs/promises';
import * as http from 'node:http';
import { join } from 'node:path';
import { type Pack, pack } from 'tar-stream';
import { TscError } from '../lib/errors.ts';
import { maxCopyBytes, maxCopyFileCount } from '../model/limits.ts';
import { readAnswer, unreachable } from './request.ts';

export interface Copy {
  /** SHA-256 of the tar, in hex. */
  readonly hash: string;
  readonly tar: Buffer;
  readonly fileCount: number;
  readonly sizeBytes: number;
}

/**
 * Reads a file or a folder with all that is in it.
 * @throws TscError E_BIND_NOT_FOUND, E_BIND_TOO_LARGE, E_BIND_KIND
 */
export async function packCopy(path: string): Promise<Copy> {
  const tar = pack();
  const chunks: Buffer[] = [];
  tar.on('data', (chunk) => {
    // A pack without an encoding yields buffers.
    chunks.push(chunk as Buffer);
  });
  const ended = new Promise<void>((resolve, reject) => {
    tar.once('end', resolve);
    tar.once('error', reject);
  });
  const total = { fileCount: 0, sizeBytes: 0 };
  await addEntry(tar, path, 'data', total, true);
  tar.finalize();
  await ended;
  const bytes = Buffer.concat(chunks);
  return { hash: createHash('sha256').update(bytes).digest('hex'), tar: bytes, ...total };
}

interface Total {
  fileCount: number;
  sizeBytes: number;
}

async function addEntry(
  tar: Pack,
  path: string,
  name: string,
  total: Total,
  isRoot: boolean,
): Promise<void> {
  // A link that is mounted is followed, as the engine does; one inside a folder stays a link.
  const found = await (isRoot ? stat(path) : lstat(path)).catch((cause: unknown) => {
    throw new TscError('E_BIND_NOT_FOUND', `${path} does not exist here`, { cause });
  });
  const { uid, gid } = found;
  const header = { name, uid, gid, mode: found.mode & 0o7777, mtime: new Date(0) };
  total.fileCount += 1;
  if (found.isDirectory()) {
    tar.entry({ ...header, type: 'directory' });
    const names = (await readdir(path)).sort();
    if (total.fileCount + names.length > maxCopyFileCount) throw tooLarge(path, 'files');
    for (const child of names) {
      await addEntry(tar, join(path, child), `${name}/${child}`, total, false);
    }
  } else if (found.isSymbolicLink()) {
    tar.entry({ ...header, type: 'symlink', linkname: await readlink(path) });
  } else if (found.isFile()) {
    total.sizeBytes += found.size;
    if (total.sizeBytes > maxCopyBytes) throw tooLarge(path, 'bytes');
    const content = await readFile(path);
    tar.entry({ ...header, type: 'file', size: content.length }, content);
  } else {
    throw new TscError('E_BIND_KIND', `${path} is neither a file nor a folder`);
  }
}

function tooLarge(path: string, what: 'files' | 'bytes'): TscError {
  const limit =
    what === 'bytes' ? `${maxCopyBytes / 1024 ** 2} MiB` : `${maxCopyFileCount} files and folders`;
  return new TscError('E_BIND_TOO_LARGE', `with ${path} it is more than ${limit}`);
}

/**
 * Gives a machine a copy, unless it has it.
 * @throws TscError E_AGENT_…, or the agent's own
 */
export async function uploadCopy(
  socketPath: string,
  machine: string,
  copy: Copy,
  signal: AbortSignal,
): Promise<void> {
  const path = `/v1/machines/${encodeURIComponent(machine)}/copies/${copy.hash}`;
  const has = await call({ socketPath, path, method: 'HEAD', signal });
  if (has.status === 200) return;
  const { status, text } = await call({ socketPath, path, method: 'PUT', body: copy.tar, signal });
  readAnswer(status, text);
}

interface CopyCall {
  readonly socketPath: string;
  readonly path: string;
  readonly method: 'HEAD' | 'PUT';
  readonly body?: Buffer;
  readonly signal: AbortSignal;
}

function call(given: CopyCall): Promise<{ readonly status: number; readonly text: string }> {
  const { socketPath, path, method, body, signal } = given;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void =>
      reject(signal.aborted ? error : unreachable(socketPath, error));
    const outgoing = http.request({
      socketPath,
      path,
      method,
      agent: false,
      signal,
      headers: {
        host: 'tsc-compose',
        ...(body === undefined ? {} : { 'content-length': body.length }),
      },
    });
    outgoing.on('error', fail);
    outgoing.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('error', fail);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    outgoing.end(body);
  });
}
