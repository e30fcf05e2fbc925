import { describe, expect, test } from 'vitest';
import {
  formatProgramChange,
  formatSocketChange,
  parseDump,
  parseSocketState,
} from '../../../agent/wireguard-control.ts';

const key = (byte: number): string => Buffer.alloc(32, byte).toString('base64');
const hex = (byte: number): string => Buffer.alloc(32, byte).toString('hex');

const change = {
  privateKey: key(1),
  listenPort: 51820,
  peers: [
    { publicKey: key(2), remove: true, endpoint: 'ignored:1' },
    {
      publicKey: key(3),
      endpoint: '192.0.2.1:51820',
      allowedIps: ['fd00::1/128', '10.210.1.0/24'],
      keepaliveSeconds: 25,
    },
    { publicKey: key(4), keepaliveSeconds: 0 },
  ],
};

describe('the text protocol', () => {
  test('carries keys in hexadecimal and replaces lists of addresses', () => {
    expect(formatSocketChange(change).split('\n')).toEqual([
      `private_key=${hex(1)}`,
      'listen_port=51820',
      `public_key=${hex(2)}`,
      'remove=true',
      `public_key=${hex(3)}`,
      'endpoint=192.0.2.1:51820',
      'persistent_keepalive_interval=25',
      'replace_allowed_ips=true',
      'allowed_ip=fd00::1/128',
      'allowed_ip=10.210.1.0/24',
      `public_key=${hex(4)}`,
      'persistent_keepalive_interval=0',
      '',
    ]);
  });

  test('is read back, with handshakes in milliseconds', () => {
    const text = [
      `private_key=${hex(1)}`,
      'listen_port=51820',
      `public_key=${hex(2)}`,
      'endpoint=[fd00::5]:51820',
      'last_handshake_time_sec=1700000000',
      'last_handshake_time_nsec=250000000',
      'rx_bytes=10',
      'tx_bytes=20',
      'persistent_keepalive_interval=25',
      'allowed_ip=fd00::2/128',
      'allowed_ip=10.210.2.0/24',
      `public_key=${hex(3)}`,
      'errno=0',
      '',
    ].join('\n');
    expect(parseSocketState(text)).toEqual({
      privateKey: key(1),
      listenPort: 51820,
      peers: [
        {
          publicKey: key(2),
          endpoint: '[fd00::5]:51820',
          allowedIps: ['fd00::2/128', '10.210.2.0/24'],
          keepaliveSeconds: 25,
          latestHandshakeMs: 1_700_000_000_250,
          receivedBytes: 10,
          sentBytes: 20,
        },
        {
          publicKey: key(3),
          endpoint: undefined,
          allowedIps: [],
          keepaliveSeconds: 0,
          latestHandshakeMs: 0,
          receivedBytes: 0,
          sentBytes: 0,
        },
      ],
    });
  });

  test('tells a device without a key', () => {
    expect(parseSocketState(`private_key=${'0'.repeat(64)}\nerrno=0\n`).privateKey).toBeUndefined();
    expect(parseSocketState('errno=0\n').privateKey).toBeUndefined();
  });
});

describe('the program wg', () => {
  test('gets the private key on its input, never as an argument', () => {
    const commands = formatProgramChange('tsc-wg', change);
    expect(commands).toEqual([
      ['wg', 'set', 'tsc-wg', 'private-key', '/dev/stdin'],
      [
        `wg set tsc-wg listen-port 51820 peer ${key(2)} remove`,
        `peer ${key(3)} endpoint 192.0.2.1:51820 persistent-keepalive 25`,
        'allowed-ips fd00::1/128,10.210.1.0/24',
        `peer ${key(4)} persistent-keepalive 0`,
      ]
        .join(' ')
        .split(' '),
    ]);
    expect(commands.flat()).not.toContain(key(1));
  });

  test('is not run when nothing changes', () => {
    expect(formatProgramChange('tsc-wg', { peers: [] })).toEqual([]);
  });

  test('prints a dump that is read', () => {
    const dump = [
      `${key(1)}\t${key(9)}\t51820\toff`,
      `${key(2)}\t(none)\t192.0.2.1:51820\tfd00::2/128,10.210.2.0/24\t1700000000\t10\t20\t25`,
      `${key(3)}\t(none)\t(none)\t(none)\t0\t0\t0\toff`,
      '',
    ].join('\n');
    const state = parseDump(dump);
    expect(state.privateKey).toBe(key(1));
    expect(state.peers[0]).toEqual({
      publicKey: key(2),
      endpoint: '192.0.2.1:51820',
      allowedIps: ['fd00::2/128', '10.210.2.0/24'],
      keepaliveSeconds: 25,
      latestHandshakeMs: 1_700_000_000_000,
      receivedBytes: 10,
      sentBytes: 20,
    });
    expect(state.peers[1]).toMatchObject({
      endpoint: undefined,
      allowedIps: [],
      keepaliveSeconds: 0,
      latestHandshakeMs: 0,
    });
    expect(parseDump('(none)\t(none)\t0\toff\n')).toEqual({
      privateKey: undefined,
      listenPort: 0,
      peers: [],
    });
  });
});
