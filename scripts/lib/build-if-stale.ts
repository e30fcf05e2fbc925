/** Builds dist/ when it is missing or older than what it is made of. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './steps.ts';

const results = ['dist/cli/main.cjs', 'dist/agent/main.js', 'dist/agent/store-worker.js'];
const sources = ['src', 'agent', 'scripts/build.ts', 'package-lock.json'];

/** Whether a build is needed. */
export function isBuildStale(): boolean {
  const paths = results.map((path) => join(root, path));
  if (!paths.every((path) => existsSync(path))) return true;
  const oldestMs = Math.min(...paths.map((path) => statSync(path).mtimeMs));
  return sources.some((path) => newestMs(join(root, path)) > oldestMs);
}

/** Earlier chunks stay: agents that still run may load them. */
export function buildIfStale(): Promise<void> {
  return isBuildStale() ? run('node', ['scripts/build.ts', '--keep']) : Promise.resolve();
}

function newestMs(path: string): number {
  const own = statSync(path);
  if (!own.isDirectory()) return own.mtimeMs;
  // A folder's own time tells that a file was added or removed.
  const below = readdirSync(path).map((name) => newestMs(join(path, name)));
  return Math.max(own.mtimeMs, ...below);
}
