import { describe, expect, test } from 'vitest';
import type { DevicePeer, DeviceState } from '../../../agent/wireguard-control.ts';
import {
  type Attempt,
  firstAttempts,
  isEstablished,
  planPeers,
  rotateEndpoints,
} from '../../../agent/wireguard-plan.ts';
import type { MeshConfig, MeshPeer } from '../../../src/render/mesh.ts';

const nowMs = 1_700_000_000_000;
const wanted: MeshPeer = {
  publicKey: 'b',
  endpoints: ['one:1', 'two:2'],
  allowedIps: ['fd00::2/128', '10.210.2.0/24'],
  keepaliveSeconds: 25,
};
const found: DevicePeer = {
  publicKey: 'b',
  endpoint: 'one:1',
  allowedIps: ['10.210.2.0/24', 'fd00::2/128'],
  keepaliveSeconds: 25,
  latestHandshakeMs: 0,
  receivedBytes: 0,
  sentBytes: 0,
};
const config = (...peers: readonly MeshPeer[]): MeshConfig => ({
  device: 'tsc-wg',
  listenPort: 51820,
  addresses: [],
  mtu: 1420,
  peers,
  routes: [],
});
const state = (...peers: readonly DevicePeer[]): DeviceState => ({
  privateKey: 'key',
  listenPort: 51820,
  peers,
});

describe('the plan', () => {
  test('does not mention a peer that is as it should be, wherever it talks from', () => {
    expect(planPeers(state({ ...found, endpoint: 'roamed:9' }), config(wanted))).toEqual([]);
  });

  test('adds a missing peer with its first endpoint', () => {
    expect(planPeers(state(), config(wanted))).toEqual([
      {
        publicKey: 'b',
        endpoint: 'one:1',
        allowedIps: wanted.allowedIps,
        keepaliveSeconds: 25,
      },
    ]);
    const [change] = planPeers(state(), config({ ...wanted, endpoints: [] }));
    expect(change).not.toHaveProperty('endpoint');
  });

  test('removes what is not wanted before it adds, so that addresses are free', () => {
    const changes = planPeers(state({ ...found, publicKey: 'old' }), config(wanted));
    expect(changes.map((change) => [change.publicKey, change.remove])).toEqual([
      ['old', true],
      ['b', undefined],
    ]);
  });

  test('changes only what differs', () => {
    const moved = { ...found, allowedIps: ['fd00::2/128'] };
    expect(planPeers(state(moved), config(wanted))).toEqual([
      { publicKey: 'b', allowedIps: wanted.allowedIps },
    ]);
    const quiet = { ...found, keepaliveSeconds: 0 };
    expect(planPeers(state(quiet), config(wanted))).toEqual([
      { publicKey: 'b', keepaliveSeconds: 25 },
    ]);
  });
});

describe('the rotation', () => {
  const at = (monotonicMs: number) => ({ nowMs, monotonicMs });
  const before = (changes: Partial<Attempt> = {}): ReadonlyMap<string, Attempt> =>
    new Map([
      ['b', { index: 0, receivedBytes: 0, receivedAtMs: 0, heardFrom: undefined, ...changes }],
    ]);

  test('gives a new peer one interval with its first endpoint', () => {
    const { changes, attempts } = rotateEndpoints(state(found), config(wanted), new Map(), at(0));
    expect(changes).toEqual([]);
    expect(attempts.get('b')?.index).toBe(0);
  });

  test('moves a peer on at the first look when it was noted as it was added', () => {
    const noted = firstAttempts(planPeers(state(), config(wanted)), new Map(), 0);
    const { changes } = rotateEndpoints(state(found), config(wanted), noted, at(2_000));
    expect(changes[1]?.endpoint).toBe('two:2');
    expect(firstAttempts([{ publicKey: 'b', remove: true }], noted, 0).size).toBe(0);
  });

  test('makes a silent peer anew with the next endpoint, and starts over after the last', () => {
    const first = rotateEndpoints(state(found), config(wanted), before(), at(2_000));
    expect(first.changes).toEqual([
      { publicKey: 'b', remove: true },
      { publicKey: 'b', endpoint: 'two:2', allowedIps: wanted.allowedIps, keepaliveSeconds: 25 },
    ]);
    const second = rotateEndpoints(state(found), config(wanted), first.attempts, at(4_000));
    expect(second.changes[1]?.endpoint).toBe('one:1');
  });

  test('leaves a peer alone while something comes in from it', () => {
    const talking = { ...found, receivedBytes: 148 };
    expect(rotateEndpoints(state(talking), config(wanted), before(), at(2_000)).changes).toEqual(
      [],
    );
  });

  test('leaves an established peer alone', () => {
    const up = { ...found, latestHandshakeMs: nowMs - 60_000, receivedBytes: 10 };
    const attempts = before({ receivedBytes: 10, receivedAtMs: 1_000 });
    expect(rotateEndpoints(state(up), config(wanted), attempts, at(30_000)).changes).toEqual([]);
  });

  test('does not wait for the session to expire when even keepalives stay away', () => {
    const up = { ...found, latestHandshakeMs: nowMs - 60_000, receivedBytes: 10 };
    const attempts = before({ receivedBytes: 10, receivedAtMs: 1_000 });
    const { changes } = rotateEndpoints(state(up), config(wanted), attempts, at(42_000));
    expect(changes[1]?.endpoint).toBe('two:2');
  });

  test('tries the address a peer was heard from beside those that it declared', () => {
    const attempts = before({ index: 1, heardFrom: 'nat:3' });
    const { changes } = rotateEndpoints(state(found), config(wanted), attempts, at(2_000));
    expect(changes[1]?.endpoint).toBe('nat:3');
  });

  test('does nothing for a peer that must call us', () => {
    const mute = config({ ...wanted, endpoints: [] });
    expect(rotateEndpoints(state(found), mute, before(), at(2_000)).changes).toEqual([]);
  });
});

test('a session older than 180 s is none', () => {
  expect(isEstablished({ ...found, latestHandshakeMs: nowMs - 179_000 }, nowMs)).toBe(true);
  expect(isEstablished({ ...found, latestHandshakeMs: nowMs - 181_000 }, nowMs)).toBe(false);
  expect(isEstablished(found, nowMs)).toBe(false);
});
