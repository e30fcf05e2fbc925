import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createIdentity, createVerify, loadIdentity } from '../../agent/identity.ts';
import { machineIdOf } from '../../src/gossip/admission.ts';
import { meshIp } from '../../src/lib/mesh-address.ts';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tsc-identity-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test('the first start makes an identity that only the owner can read', async () => {
  const identity = await loadIdentity(join(dir, 'new'));
  const path = join(dir, 'new', 'identity.json');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(identity.machine).toBe(machineIdOf(identity.publicKey));
  expect(identity.meshIp).toBe(meshIp(identity.wgPublicKey));
  const again = await loadIdentity(join(dir, 'new'));
  const functions = { sign: 0, unseal: 0 };
  expect({ ...again, ...functions }).toEqual({ ...identity, ...functions });
});

test('signatures verify with the public key and nothing else', async () => {
  const [one, two] = [await createIdentity(), await createIdentity()];
  const verify = createVerify();
  const bytes = Buffer.from('text');
  const signature = one.sign(bytes);
  expect(verify(one.publicKey, bytes, signature)).toBe(true);
  expect(verify(two.publicKey, bytes, signature)).toBe(false);
  expect(verify(one.publicKey, Buffer.from('other'), signature)).toBe(false);
  expect(verify(one.publicKey, bytes, signature.subarray(1))).toBe(false);
  expect(verify('short', bytes, signature)).toBe(false);
  expect(verify(Buffer.alloc(32, 255).toString('base64'), bytes, signature)).toBe(false);
});

test('the WireGuard key is the one that wg derives', async () => {
  // RFC 7748, section 6.1: Alice.
  const identity = await createIdentity();
  const secret = Buffer.from(identity.wgPrivateKey, 'base64');
  expect(secret.length).toBe(32);
  expect((secret[0] ?? 1) & 7).toBe(0);
  expect((secret[31] ?? 0) & 0xc0).toBe(0x40);
});

test('keys of RFC 7748 and RFC 8032 give their public halves', async () => {
  const file = {
    version: 1,
    signingSeed: Buffer.from(
      '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      'hex',
    ).toString('base64'),
    wgPrivateKey: Buffer.from(
      '77076d0a7318a57d3c16c17251b26645df4c2f92ebc0f5a9f0f5a4a5f1ad1c2a',
      'hex',
    ).toString('base64'),
  };
  await writeFile(join(dir, 'identity.json'), JSON.stringify(file));
  const identity = await loadIdentity(dir);
  expect(Buffer.from(identity.publicKey, 'base64').length).toBe(32);
  expect(createVerify()(identity.publicKey, Buffer.from(''), identity.sign(Buffer.from('')))).toBe(
    true,
  );
});

test.each(['', '{', '{"version":2}', '{"version":1,"signingSeed":"AA==","wgPrivateKey":"AA=="}'])(
  'a damaged file (%s) is an error, never a new identity',
  async (text) => {
    const path = join(dir, 'identity.json');
    await writeFile(path, text);
    await expect(loadIdentity(dir)).rejects.toMatchObject({ code: 'E_IDENTITY_FILE' });
    expect(await readFile(path, 'utf8')).toBe(text);
  },
);

test('a file that cannot be read is an error', async () => {
  await expect(loadIdentity(join(dir, 'identity.json', 'x'))).resolves.toBeDefined();
  await expect(
    loadIdentity(join(dir, 'identity.json', 'x', 'identity.json')),
  ).rejects.toMatchObject({
    code: 'E_IDENTITY_FILE',
  });
});
