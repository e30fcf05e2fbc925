import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  decodeToken,
  encodeToken,
  issueToken,
  PendingTokens,
  tokenLifeMs,
} from '../../../agent/token.ts';
import type { ClusterId, MachineId } from '../../../src/model/ids.ts';

const key = Buffer.alloc(32, 7).toString('base64');
const ours = {
  cluster: 'c1' as ClusterId,
  range: '10.210.0.0/16',
  issuer: {
    id: 'm1' as MachineId,
    publicKey: key,
    wgPublicKey: key,
    meshIp: 'fd00::1',
    endpoints: ['192.0.2.1:51820'],
    port: 51821,
  },
};

describe('a token', () => {
  test('comes back as it was made, also with blanks around it', () => {
    const { token } = issueToken(ours, 1_000);
    const word = encodeToken(token);
    expect(word).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(decodeToken(` ${word}\n`, 2_000)).toEqual(token);
    expect(token.expiresMs).toBe(1_000 + tokenLifeMs);
  });

  test('carries a one-time key that belongs to the peer to admit, and is new each time', () => {
    const first = issueToken(ours, 0);
    const second = issueToken(ours, 0);
    const d = Buffer.from(first.token.oneTimeKey, 'base64');
    const prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');
    const privateKey = createPrivateKey({
      key: Buffer.concat([prefix, d]),
      format: 'der',
      type: 'pkcs8',
    });
    const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
    expect(Buffer.from(x, 'base64url').toString('base64')).toBe(first.pending.oneTimePublicKey);
    expect(second.token.oneTimeKey).not.toBe(first.token.oneTimeKey);
    expect(second.token.secret).not.toBe(first.token.secret);
    expect(JSON.stringify(first.pending)).not.toContain(first.token.secret);
  });

  test('is refused when it is cut off, changed, of another version, or expired', () => {
    const { token } = issueToken(ours, 0);
    const word = encodeToken(token);
    const code = (text: string, nowMs = 1) => {
      try {
        decodeToken(text, nowMs);
        return 'accepted';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    const wrap = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
    expect(code(word.slice(0, -9))).toBe('E_TOKEN_SYNTAX');
    expect(code('not a token')).toBe('E_TOKEN_SYNTAX');
    expect(code('')).toBe('E_TOKEN_SYNTAX');
    expect(code(wrap([]))).toBe('E_TOKEN_SYNTAX');
    expect(code(wrap({ ...token, v: 2 }))).toBe('E_TOKEN_VERSION');
    expect(code(wrap({ ...token, v: 1, oneTimeKey: 'short' }))).toBe('E_TOKEN_SYNTAX');
    expect(code(wrap({ ...token, v: 1, issuer: {} }))).toBe('E_TOKEN_SYNTAX');
    const issuer = { ...token.issuer, endpoints: [] };
    expect(code(wrap({ ...token, v: 1, issuer }))).toBe('E_TOKEN_SYNTAX');
    const nowhere = { ...token.issuer, meshIp: 'nowhere' };
    expect(code(wrap({ ...token, v: 1, issuer: nowhere }))).toBe('E_TOKEN_SYNTAX');
    expect(code(word, tokenLifeMs - 1)).toBe('accepted');
    expect(code(word, tokenLifeMs)).toBe('E_TOKEN_EXPIRED');
  });
});

describe('tokens that wait to be used', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tsc-token-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('are used once, also after a restart, and kept from others', async () => {
    const { token, pending } = issueToken(ours, 0);
    const first = await PendingTokens.open(folder, () => 1);
    await first.add(pending);
    expect(statSync(join(folder, 'tokens.json')).mode & 0o777).toBe(0o600);
    const second = await PendingTokens.open(folder, () => 2);
    expect(second.list()).toEqual([pending]);
    expect(await second.use(token.secret)).toEqual(pending);
    await expect(second.use(token.secret)).rejects.toMatchObject({ code: 'E_TOKEN_UNKNOWN' });
    const third = await PendingTokens.open(folder, () => 3);
    await expect(third.use(token.secret)).rejects.toMatchObject({ code: 'E_TOKEN_UNKNOWN' });
  });

  test('expire', async () => {
    let nowMs = 0;
    const tokens = await PendingTokens.open(folder, () => nowMs);
    const { token, pending } = issueToken(ours, 0);
    await tokens.add(pending);
    nowMs = tokenLifeMs;
    expect(tokens.list()).toEqual([]);
    await expect(tokens.use(token.secret)).rejects.toMatchObject({ code: 'E_TOKEN_UNKNOWN' });
  });

  test('made at the same time are all kept, up to a limit', async () => {
    const tokens = await PendingTokens.open(folder, () => 1);
    await Promise.all(Array.from({ length: 32 }, () => tokens.add(issueToken(ours, 0).pending)));
    await expect(tokens.add(issueToken(ours, 0).pending)).rejects.toMatchObject({
      code: 'E_TOKEN_TOO_MANY',
    });
    expect((await PendingTokens.open(folder, () => 1)).list()).toHaveLength(32);
  });

  test('in a damaged file are an error, not silently none', async () => {
    writeFileSync(join(folder, 'tokens.json'), '{"broken');
    await expect(PendingTokens.open(folder, () => 1)).rejects.toMatchObject({
      code: 'E_TOKEN_FILE',
    });
  });
});
