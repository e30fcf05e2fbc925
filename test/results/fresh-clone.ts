/**
 * What a newcomer does, on a clone of the committed state in a folder of its own with an environment
 * of its own: `npm test`, the demo, and its end. Prints their last lines; exit code 1 if one failed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../scripts/lib/steps.ts';

const folder = mkdtempSync(join(tmpdir(), 'tsc-compose-clone-'));
const clone = join(folder, 'tsc-compose');
// Cases that are kept beside the project are found beside the clone as well.
const beside = join(root, '../shared');
if (existsSync(beside)) symlinkSync(beside, join(folder, 'shared'));

const env = { HOME: process.env.HOME, PATH: process.env.PATH, CI: 'true' };

function run(program: string, args: readonly string[], cwd: string): boolean {
  process.stderr.write(`== ${program} ${args.join(' ')}\n`);
  const { status } = spawnSync(program, args, {
    cwd,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return status === 0;
}

try {
  const isOk =
    run('git', ['clone', '--quiet', root, clone], folder) &&
    run('npm', ['test', '--silent'], clone) &&
    run('npm', ['run', '--silent', 'demo', '--', '--auto'], clone) &&
    run('npm', ['run', '--silent', 'demo', '--', 'down'], clone);
  process.exitCode = isOk ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
