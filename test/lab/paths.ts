/**
 * Where the lab keeps what it downloads. One folder, never inside the system: nothing is installed
 * and a `rm -r` of it is a complete uninstall. Machines keep their disks elsewhere (state.ts).
 */
import { mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds package.json. */
export const projectDir = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** The cache folder: `$TSC_COMPOSE_CACHE`, else `.cache` in the project. Created when missing. */
export function cacheDir(...below: readonly string[]): string {
  const dir = join(process.env['TSC_COMPOSE_CACHE'] ?? join(projectDir, '.cache'), ...below);
  mkdirSync(dir, { recursive: true });
  return dir;
}

/** Where Node keeps compiled code, for `NODE_COMPILE_CACHE`: without it in the temporary folder. */
export function compileCache(): string {
  return cacheDir('node-compile-cache');
}
