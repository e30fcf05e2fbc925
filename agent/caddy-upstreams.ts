/**
 * The files in which Caddy reads, for every request, where the replicas are. Each is replaced whole,
 * so Caddy never sees half an address. It decides nothing about which addresses these are.
 */
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export class UpstreamFiles {
  readonly #folder: string;
  readonly #written = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Writes what has changed; files that are not wanted any more stay. */
  async write(wanted: ReadonlyMap<string, string>): Promise<void> {
    for (const [name, text] of wanted) {
      if (this.#written.get(name) === text) continue;
      if (this.#written.size === 0) await mkdir(this.#folder, { recursive: true });
      await this.#replace(name, text);
      this.#written.set(name, text);
    }
  }

  async #replace(name: string, text: string): Promise<void> {
    const path = join(this.#folder, name);
    try {
      await writeFile(`${path}.new`, text);
      await rename(`${path}.new`, path);
    } catch (error) {
      // Somebody may have removed the folder: the next try makes it and all files anew.
      this.#written.clear();
      throw error;
    }
  }

  /** Removes all other files, also those of an earlier agent: no configuration reads them now. */
  async removeOthers(wanted: ReadonlyMap<string, string>): Promise<void> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    });
    for (const name of names) {
      if (wanted.has(name)) continue;
      await rm(join(this.#folder, name), { force: true });
      this.#written.delete(name);
    }
  }
}
