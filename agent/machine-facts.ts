/**
 * What this machine tells the accepting agent about itself when data has to be placed: which paths
 * exist, how much room there is. And whether a command that talks to this agent runs on this machine
 * and sees the same files: it shows a token that lies beside the socket (a forwarded socket has none
 * there) and how it sees its folder (a container with the socket mounted sees another).
 */
import { randomBytes } from 'node:crypto';
import { stat, statfs, writeFile } from 'node:fs/promises';
import { freemem } from 'node:os';
import { join } from 'node:path';
import type { FactsAnswer, HereAnswer, HereRequest } from '../src/model/api.ts';
import { hereFileName } from '../src/model/names.ts';

/** Where engines keep their data unless they say something else. */
const usualEngineRoot = '/var/lib/docker';

export interface MachineFactsOptions {
  readonly runDir: string;
  /** The engine's own folder; undefined while it does not answer. */
  readonly engineRoot: () => Promise<string | undefined>;
}

export class MachineFactsReader {
  readonly #options: MachineFactsOptions;
  readonly #token = randomBytes(16).toString('hex');

  constructor(options: MachineFactsOptions) {
    this.#options = options;
  }

  /** Puts the token beside the socket. Whoever may read it may not use the socket for that. */
  async start(): Promise<void> {
    await writeFile(join(this.#options.runDir, hereFileName), this.#token, { mode: 0o644 });
  }

  async isHere({ token, folder, identity }: HereRequest): Promise<HereAnswer> {
    if (token !== this.#token) return { isHere: false };
    return { isHere: (await identityOf(folder)) === identity };
  }

  /** Which of the paths exist, and how much is free. */
  async read(paths: readonly string[]): Promise<FactsAnswer> {
    const found = await Promise.all(
      paths.map(async (path) => ((await identityOf(path)) === undefined ? [] : [path])),
    );
    const engineRoot = await this.#options.engineRoot().catch(() => undefined);
    return {
      existing: found.flat(),
      freeDiskBytes: await freeBytes(engineRoot ?? usualEngineRoot),
      freeMemoryBytes: freemem(),
    };
  }
}

/** The same text on the same machine for the same file; undefined when there is none. */
async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** 0 when it cannot be told: such a machine is the last to be given data. */
async function freeBytes(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return 0;
  }
}
