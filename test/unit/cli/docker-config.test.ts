import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Io } from '../../../src/cli/cli.ts';
import { credentialsFor } from '../../../src/cli/docker-config.ts';

let folder: string;
let said: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsc-config-'));
  said = '';
});
afterEach(() => rmSync(folder, { recursive: true }));

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function credentials(images: readonly string[], config?: unknown) {
  if (config !== undefined) writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const sink = { write: (text: string | Uint8Array) => (said += text) };
  const io: Io = {
    stdin: process.stdin,
    stdout: sink,
    stderr: sink,
    env: { DOCKER_CONFIG: folder, PATH: `${folder}:/usr/bin:/bin` },
    cwd: folder,
    now: () => 0,
  };
  return credentialsFor({ io }, images);
}

/** A credential helper that prints this for every registry and notes what it was asked. */
function helper(name: string, output: string, code = 0): void {
  const path = join(folder, `docker-credential-${name}`);
  writeFileSync(
    path,
    `#!/bin/sh\ncat > ${folder}/asked\ncat <<'END'\n${output}\nEND\nexit ${code}\n`,
  );
  chmodSync(path, 0o755);
}

describe('credentials of the user', () => {
  test('are those of the registries that are used, and of no other', async () => {
    const auths = {
      'r.example:5000': { auth: base64('me:pass:word') },
      'https://other.example/v2/': { auth: base64('other:x') },
      'https://index.docker.io/v1/': { auth: base64('hub:y') },
    };
    expect(await credentials(['r.example:5000/a/b:1@sha256:' + 'a'.repeat(64)], { auths })).toEqual(
      {
        'r.example:5000': { username: 'me', password: 'pass:word' },
      },
    );
    expect(await credentials(['other.example/x', 'library/redis', 'web'], { auths })).toEqual({
      'other.example': { username: 'other', password: 'x' },
      'docker.io': { username: 'hub', password: 'y' },
    });
  });

  test('are none without a configuration', async () => {
    expect(await credentials(['web'])).toEqual({});
    expect(await credentials(['web'], { auths: { 'https://index.docker.io/v1/': {} } })).toEqual(
      {},
    );
  });

  test('a configuration that cannot be read is an error', async () => {
    writeFileSync(join(folder, 'config.json'), '{');
    await expect(credentials(['web'])).rejects.toMatchObject({ code: 'E_DOCKER_CONFIG' });
  });

  test('come from a helper, which is asked as Docker asks it', async () => {
    helper('test', JSON.stringify({ ServerURL: 'x', Username: 'me', Secret: 'hidden' }));
    expect(await credentials(['r.example/a'], { credHelpers: { 'r.example': 'test' } })).toEqual({
      'r.example': { username: 'me', password: 'hidden' },
    });
    helper('store', JSON.stringify({ ServerURL: 'x', Username: '<token>', Secret: 't0ken' }));
    expect(await credentials(['web'], { credsStore: 'store' })).toEqual({
      'docker.io': { username: '', password: '', identityToken: 't0ken' },
    });
  });

  test('a helper that has none is silent, one that fails is said, and neither is fatal', async () => {
    helper('none', 'credentials not found in native keychain', 1);
    expect(await credentials(['web'], { credsStore: 'none' })).toEqual({});
    expect(said).toBe('');
    expect(await credentials(['web'], { credsStore: 'absent' })).toEqual({});
    expect(said).toContain('credential helper "absent" has nothing for');
  });
});
