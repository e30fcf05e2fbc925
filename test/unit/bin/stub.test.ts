import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const bin = resolve(import.meta.dirname, '../../../bin');

/** Runs a stub as a Node that says it is of this version. */
function runAs(
  version: string,
  stub: string,
  args: readonly string[],
): ReturnType<typeof spawnSync> {
  const script =
    `Object.defineProperty(process.versions, 'node', { value: ${JSON.stringify(version)} });` +
    `process.argv = ['node', 'stub', ...${JSON.stringify(args)}]; require(${JSON.stringify(join(bin, stub))});`;
  return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
}

test.each(['tsc-compose', 'tsc-compose-agent'])(
  '%s on an old Node says which one it needs',
  (name) => {
    const result = runAs('20.20.2', `${name}.cjs`, ['ps']);
    expect(result.status).toBe(1);
    expect(result.stderr).toBe(`${name} needs Node >= 24, found v20.20.2\n`);
    expect(result.stdout).toBe('');
  },
);

test.each(['tsc-compose', 'tsc-compose-agent'])('%s answers --version by itself', (name) => {
  const result = runAs('24.0.0', `${name}.cjs`, ['--version']);
  expect(result.status).toBe(0);
  expect(result.stdout).toMatch(new RegExp(`^${name} version \\d+\\.\\d+\\.\\d+\n$`));
});
