/** What a command shows an agent so that the agent can tell whether both see the same files. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HereRequest } from '../model/api.ts';
import { hereFileName } from '../model/names.ts';

/** @param folder where the project's files are */
export async function hereRequest(socketPath: string, folder: string): Promise<HereRequest> {
  const { dev, ino } = await stat(folder, { bigint: true });
  const token = await tokenBeside(socketPath);
  return {
    folder,
    identity: `${dev}:${ino}`,
    ...(token === undefined ? {} : { token }),
  };
}

/** A socket that was forwarded from another machine has no token beside it. */
async function tokenBeside(socketPath: string): Promise<string | undefined> {
  try {
    return await readFile(join(dirname(await realpath(socketPath)), hereFileName), 'utf8');
  } catch {
    return undefined;
  }
}
