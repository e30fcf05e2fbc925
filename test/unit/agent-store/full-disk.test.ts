import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const run = promisify(execFile);
const program = join(import.meta.dirname, 'full-disk.ts');

/** A disk of 2 MiB that only the program sees and that goes with it. */
const script = 'mount -t tmpfs -o size=2m tsc-compose-test /mnt && exec "$0" "$1" "$2" /mnt';

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

/** What a scene of full-disk.ts tells. */
async function play(scene: string): Promise<unknown> {
  const inside = ['--mount', 'sh', '-c', script, process.execPath, program, scene];
  const { stdout } = await run('unshare', inside);
  return JSON.parse(stdout);
}

test.skipIf(reason !== undefined)(
  'a full disk is an error, loses nothing that was acknowledged, and is over when there is room',
  { timeout: 60_000 },
  async () => {
    const result = await play('storeAlone');
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

test.skipIf(reason !== undefined)(
  'a store opens on a full disk, and does not take its file for damaged',
  { timeout: 60_000 },
  async () => {
    expect(await play('startOnFull')).toEqual({
      keysWhenFull: ['app/kept'],
      problem: null,
      failure: 'E_STORE_FULL',
      keysAfter: ['app/kept', 'app/more'],
    });
  },
);

test.skipIf(reason !== undefined)(
  'an agent takes back what a full disk refuses, and writes down the rest when there is room',
  { timeout: 60_000 },
  async () => {
    expect(await play('replicaAbove')).toEqual({
      failure: 'E_STORE_FULL',
      versionWhenFull: { version: 1 },
      isCounted: true,
      isSeenKept: true,
      versionAfter: { version: 3 },
      problem: null,
    });
  },
);
