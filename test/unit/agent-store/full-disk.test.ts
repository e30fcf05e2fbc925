import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const program = join(import.meta.dirname, 'full-disk.ts');

/** A disk of 2 MiB that only the program sees and that goes with it. */
const script = 'mount -t tmpfs -o size=2m tsc-compose-test /mnt && exec "$0" "$1" /mnt';

async function whyNot(): Promise<string | undefined> {
  try {
    await run('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs tsc-compose-test /mnt']);
    return undefined;
  } catch {
    return 'a disk that fills up needs root and mount namespaces';
  }
}

const reason = await whyNot();
if (reason !== undefined) process.stdout.write(`skipped: ${reason}\n`);

test.skipIf(reason !== undefined)(
  'a full disk is an error, loses nothing that was acknowledged, and is over when there is room',
  { timeout: 60_000 },
  async () => {
    const { stdout } = await run('unshare', [
      '--mount',
      'sh',
      '-c',
      script,
      process.execPath,
      program,
    ]);
    const result: unknown = JSON.parse(stdout);
    expect(result).toMatchObject({
      failure: 'E_STORE_FULL',
      failureCount: 2,
      isRecovered: true,
      lost: [],
      problem: null,
    });
    expect((result as { readonly countWhenFull: number }).countWhenFull).toBeGreaterThan(20);
  },
);
