/** What the project's scripts share: where the root is, running programs, timed steps. */
import { spawn } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** Runs a program with our own Node first in PATH and waits for it. Rejects unless it exits 0. */
export async function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  const code = await exitCode(command, args, env);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with exit code ${code}`);
}

/**
 * Like `run`, but gives the exit code; a signal counts as 1. With `onOutput` its standard output goes
 * there, and only there.
 */
export function exitCode(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  onOutput?: (chunk: Buffer) => void,
): Promise<number> {
  return new Promise((done, failed) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ['ignore', onOutput === undefined ? 'inherit' : 'pipe', 'inherit'],
      env: { ...process.env, ...env, PATH: `${root}/node_modules/.bin:${process.env.PATH ?? ''}` },
    });
    if (onOutput !== undefined) child.stdout?.on('data', onOutput);
    const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
    process.once('SIGINT', forward);
    process.once('SIGTERM', forward);
    child.on('error', failed);
    child.on('close', (code) => {
      process.off('SIGINT', forward);
      process.off('SIGTERM', forward);
      done(code ?? 1);
    });
  });
}

/** Prints the name of a step, runs it, prints how long it took. */
export async function step(name: string, work: () => Promise<void>): Promise<void> {
  const startMs = performance.now();
  process.stdout.write(`== ${name}\n`);
  await work();
  process.stdout.write(
    `== ${name}: done in ${((performance.now() - startMs) / 1000).toFixed(1)} s\n`,
  );
}
