/**
 * Files of containers on this machine: resolv.conf, secrets, configs, one folder a container. They
 * are written before the container is created, so the folder is named after what will be in the
 * container's labels, and a folder that no container's labels lead to is garbage. A folder is
 * written beside its place and renamed into it: a container never sees half of its files.
 */
import { createHash } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RolloutId, ServiceHash, Slot } from '../src/model/ids.ts';
import { label } from '../src/model/names.ts';
import type { ContainerFile } from '../src/render/container-files.ts';
import type { BoundFile } from '../src/render/container-mounts.ts';

/** What makes a container's folder its own. */
export interface ContainerKey {
  readonly project: string;
  readonly service: string;
  readonly slot: Slot;
  readonly hash: ServiceHash;
  readonly rollout: RolloutId;
}

export interface WrittenFiles {
  readonly resolvConfPath: string | undefined;
  readonly files: readonly BoundFile[];
}

const resolvConfName = 'resolv.conf';
const draftSuffix = /\.draft$/;

export class ContainerFiles {
  readonly #root: string;

  /** @param dataDir outlives reboots, because containers are started again without being made anew */
  constructor(dataDir: string) {
    this.#root = join(dataDir, 'containers');
  }

  /** Writes a container's folder, replacing what an earlier attempt left there. */
  async write(
    key: ContainerKey,
    files: readonly ContainerFile[],
    resolvConf: string | undefined,
  ): Promise<WrittenFiles> {
    const folder = join(this.#root, folderName(key));
    const draft = `${folder}.draft`;
    await this.#makeEmpty(draft);
    for (const file of files) {
      const path = join(draft, file.name);
      await writeFile(path, Buffer.from(file.content, 'base64'), { mode: 0o400 });
      await chown(path, file.uid, file.gid);
      // Last, because a change of owner clears bits of the mode.
      await chmod(path, file.mode);
    }
    if (resolvConf !== undefined) await writeResolvConf(draft, resolvConf);
    await replaceFolder(draft, folder);
    return {
      resolvConfPath: resolvConf === undefined ? undefined : join(folder, resolvConfName),
      files: files.map(({ name, target }) => ({ hostPath: join(folder, name), target })),
    };
  }

  /** An empty folder there; mostly nothing is in its place, and that costs one call. */
  async #makeEmpty(folder: string): Promise<void> {
    // Only root may list the folder; the single files are bound into containers by the engine.
    const mode = 0o700;
    try {
      await mkdir(folder, { mode });
    } catch (error) {
      if (!hasCode(error, 'EEXIST', 'ENOENT')) throw error;
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true, mode });
    }
  }

  /** Removes every folder that belongs to none of these containers. */
  async collect(inUse: readonly ContainerKey[]): Promise<void> {
    const keep = new Set(inUse.map(folderName));
    const found = await readdir(this.#root).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    });
    for (const name of found) {
      // The draft of a folder that is being written just now is none of the garbage either.
      if (keep.has(name) || keep.has(name.replace(draftSuffix, ''))) continue;
      await rm(join(this.#root, name), { recursive: true, force: true });
    }
  }
}

/** The key that stands in a container's labels; undefined when they are not all there. */
export function keyOfLabels(labels: Readonly<Record<string, string>>): ContainerKey | undefined {
  const [project, service, slot, hash, rollout] = [
    labels[label.project],
    labels[label.service],
    labels[label.slot],
    labels[label.hash],
    labels[label.rollout],
  ];
  if (project === undefined || service === undefined || slot === undefined) return undefined;
  if (hash === undefined || rollout === undefined) return undefined;
  return { project, service, slot, hash, rollout };
}

/** Readable, and unique whatever stands in the parts. */
function folderName(key: ContainerKey): string {
  const { project, service, slot, hash, rollout } = key;
  const parts = JSON.stringify([project, service, slot, hash, rollout]);
  const digest = createHash('sha256').update(parts).digest('hex').slice(0, 16);
  return `${project}-${service}-${digest}`;
}

/** Puts a folder in the place of another, or where none is. */
async function replaceFolder(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    await rm(to, { recursive: true, force: true });
    await rename(from, to);
  }
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && codes.includes(String(Reflect.get(error, 'code')));
}

async function writeResolvConf(folder: string, text: string): Promise<void> {
  const path = join(folder, resolvConfName);
  await writeFile(path, text, { mode: 0o444 });
  // The mode above is cut down by the umask.
  await chmod(path, 0o444);
}
