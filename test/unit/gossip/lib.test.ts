import { describe, expect, test } from 'vitest';
import { encodeBase32, isBase32 } from '../../../src/lib/base32.ts';
import { fnv1a, sha256, stableHash } from '../../../src/lib/hash.ts';
import { hlcFromMs, hlcToMs, nextHlc } from '../../../src/lib/hlc.ts';
import { formatIpv6, meshIp } from '../../../src/lib/mesh-address.ts';

describe('hybrid logical clock', () => {
  test('holds milliseconds and stays a safe integer until 2109', () => {
    const ms = Date.UTC(2109, 0, 1);
    expect(Number.isSafeInteger(hlcFromMs(ms))).toBe(true);
    expect(hlcToMs(hlcFromMs(ms) + 2047)).toBe(ms);
  });

  test('a write is later than the clock, the last write and what it replaces', () => {
    expect(nextHlc({ nowMs: 10, last: 0, existing: 0 })).toBe(20_480);
    expect(nextHlc({ nowMs: 10, last: 30_000, existing: 0 })).toBe(30_001);
    expect(nextHlc({ nowMs: 10, last: 30_000, existing: 40_000 })).toBe(40_001);
  });
});

describe('base32', () => {
  test('encodes the vectors of RFC 4648 in lower case without padding', () => {
    const encode = (text: string): string => encodeBase32(Buffer.from(text));
    expect(['', 'f', 'fo', 'foo', 'foob', 'fooba', 'foobar'].map(encode)).toEqual([
      '',
      'my',
      'mzxq',
      'mzxw6',
      'mzxw6yq',
      'mzxw6ytb',
      'mzxw6ytboi',
    ]);
  });

  test('knows its own output', () => {
    expect(isBase32('mzxw6ytb', 8)).toBe(true);
    expect(isBase32('mzxw6ytb', 7)).toBe(false);
    expect(isBase32('MZXW6YTB', 8)).toBe(false);
    expect(isBase32('mzxw6yt1', 8)).toBe(false);
  });
});

describe('stable hashes', () => {
  // Other machines compute these numbers too: they may never change.
  test('are what they always were', () => {
    expect(stableHash('tsc-compose')).toBe(
      Number.parseInt(Buffer.from(sha256('tsc-compose')).toString('hex').slice(0, 12), 16),
    );
    expect(fnv1a('')).toBe(0x811c9dc5);
    expect(fnv1a('a')).toBe(0xe40c292c);
    expect(fnv1a('foobar')).toBe(0xbf9cf968);
  });
});

describe('mesh address', () => {
  test('is fd and the first 15 bytes of the hash of the key', () => {
    const key = Buffer.alloc(32, 1).toString('base64');
    const hex = Buffer.from(sha256(Buffer.alloc(32, 1))).toString('hex');
    const groups = `fd${hex.slice(0, 30)}`.match(/..../g) ?? [];
    expect(meshIp(key)).toBe(groups.map((x) => Number.parseInt(x, 16).toString(16)).join(':'));
  });

  test('differs for different keys', () => {
    const addresses = new Set(
      Array.from({ length: 100 }, (_, index) => meshIp(Buffer.alloc(32, index).toString('base64'))),
    );
    expect(addresses.size).toBe(100);
  });

  test.each([
    ['fd000000000000000000000000000001', 'fd00::1'],
    ['fd001234000000000000000000000000', 'fd00:1234::'],
    ['00000000000000000000000000000000', '::'],
    ['fd000000000000010000000000000001', 'fd00:0:0:1::1'],
    ['fd00000100020003000400050006000a', 'fd00:1:2:3:4:5:6:a'],
    ['fd000001000200030004000000060007', 'fd00:1:2:3:4:0:6:7'],
    ['fd000000000000020003000000000004', 'fd00::2:3:0:0:4'],
  ])('prints %s as the kernel does', (hex, text) => {
    expect(formatIpv6(Buffer.from(hex, 'hex'))).toBe(text);
  });
});
