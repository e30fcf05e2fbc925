import { describe, expect, test } from 'vitest';
import { renderMesh } from '../../../src/render/mesh.ts';
import { aMachine, aView, machineId } from './view-builder.ts';

const a = machineId('a');

describe('the mesh', () => {
  test('has every other member as a peer, with its mesh address and its subnet', () => {
    const mesh = renderMesh(aView({ machines: [aMachine('a'), aMachine('b')] }), a, []);
    expect(mesh).toEqual({
      device: 'tsc-wg',
      listenPort: 51820,
      addresses: ['fd00::1/128', '10.210.1.1/32'],
      mtu: 1420,
      peers: [
        {
          publicKey: 'wg-b',
          endpoints: ['192.0.2.2:51820'],
          allowedIps: ['fd00::2/128', '10.210.2.0/24'],
          keepaliveSeconds: 25,
        },
      ],
      routes: [
        { destination: '10.210.2.0/24', source: '10.210.1.1' },
        { destination: 'fd00::2/128', source: 'fd00::1' },
      ],
    });
  });

  test('keeps machines that are lost, so that they are heard when they come back', () => {
    const machines = [aMachine('a'), aMachine('b', { liveness: 'lost' })];
    expect(renderMesh(aView({ machines }), a, [])?.peers).toHaveLength(1);
  });

  test('is nothing while this machine is not a member', () => {
    expect(renderMesh(aView({ machines: [aMachine('b')] }), a, [])).toBeNull();
  });

  test('takes the peer of a running join, with its mesh address only', () => {
    const view = aView({ machines: [aMachine('a')] });
    const mesh = renderMesh(view, a, [{ publicKey: 'one-time', meshIp: 'fd00::99' }]);
    expect(mesh?.peers).toEqual([
      { publicKey: 'one-time', endpoints: [], allowedIps: ['fd00::99/128'], keepaliveSeconds: 25 },
    ]);
    expect(mesh?.routes).toEqual([{ destination: 'fd00::99/128', source: 'fd00::1' }]);
  });

  test('leaves a key that belongs to a member, or to itself, to its owner', () => {
    const view = aView({ machines: [aMachine('a'), aMachine('b')] });
    const extra = [
      { publicKey: 'wg-b', meshIp: 'fd00::99' },
      { publicKey: 'wg-a', meshIp: 'fd00::98' },
    ];
    expect(renderMesh(view, a, extra)).toEqual(renderMesh(view, a, []));
  });

  test('routes a subnet that two machines hold to the earlier admission', () => {
    const machines = [
      aMachine('a'),
      aMachine('b', { subnet: '10.210.7.0/24', admittedHlc: 9 }),
      aMachine('c', { subnet: '10.210.7.0/24', admittedHlc: 5 }),
    ];
    const peers = renderMesh(aView({ machines }), a, [])?.peers;
    expect(peers?.map((peer) => peer.allowedIps)).toEqual([
      ['fd00::2/128'],
      ['fd00::3/128', '10.210.7.0/24'],
    ]);
  });

  test('never routes its own subnet away, even to an earlier admission', () => {
    const machines = [
      aMachine('a', { admittedHlc: 9 }),
      aMachine('b', { subnet: '10.210.1.0/24', admittedHlc: 1 }),
    ];
    const mesh = renderMesh(aView({ machines }), a, []);
    expect(mesh?.routes).toEqual([{ destination: 'fd00::2/128', source: 'fd00::1' }]);
  });
});
