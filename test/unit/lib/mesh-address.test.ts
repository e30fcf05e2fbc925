import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { meshIp } from '../../../src/lib/mesh-address.ts';

const key = Buffer.alloc(32, 7).toString('base64');

test('the mesh address is fd and the first 15 bytes of the hash of the key', () => {
  const hex = `fd${createHash('sha256').update(Buffer.alloc(32, 7)).digest('hex').slice(0, 30)}`;
  const groups = (hex.match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16));
  expect(meshIp(key)).toBe(groups.join(':'));
});

test('another key gives another address', () => {
  expect(meshIp(Buffer.alloc(32, 8).toString('base64'))).not.toBe(meshIp(key));
});
