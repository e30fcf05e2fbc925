import { describe, expect, test } from 'vitest';
import {
  confirmFlappingMs,
  confirmMs,
  flapMemoryMs,
  holdDownMs,
  linkTimeoutMs,
  maxHoldDownMs,
  maxTimeoutFactor,
  oldLinkMs,
} from '../../../src/gossip/limits.ts';
import {
  confirmWindowOf,
  countLoss,
  holdDownOf,
  isBetterLink,
  type Link,
  linkTimeoutOf,
  newPeer,
} from '../../../src/gossip/link.ts';
import { machineId } from './builders.ts';

describe('patience with a link', () => {
  test('one loss is no flapping', () => {
    const peer = newPeer(machineId('b'));
    countLoss(peer, 0);
    expect([linkTimeoutOf(peer, 1), confirmWindowOf(peer, 1), holdDownOf(peer, 1)]).toEqual([
      linkTimeoutMs,
      confirmMs,
      0,
    ]);
  });

  test('grows with losses, up to a bound', () => {
    const peer = newPeer(machineId('b'));
    countLoss(peer, 0);
    countLoss(peer, 1);
    expect([linkTimeoutOf(peer, 2), confirmWindowOf(peer, 2), holdDownOf(peer, 2)]).toEqual([
      2 * linkTimeoutMs,
      confirmFlappingMs,
      2 * holdDownMs,
    ]);
    for (let index = 0; index < 20; index++) countLoss(peer, 3);
    expect(linkTimeoutOf(peer, 4)).toBe(maxTimeoutFactor * linkTimeoutMs);
    expect(holdDownOf(peer, 4)).toBe(maxHoldDownMs);
  });

  test('a minute without loss is forgiven', () => {
    const peer = newPeer(machineId('b'));
    for (let index = 0; index < 5; index++) countLoss(peer, 0);
    expect(holdDownOf(peer, flapMemoryMs)).toBe(0);
    countLoss(peer, flapMemoryMs);
    expect(peer.flapCount).toBe(1);
  });
});

describe('two links between the same machines', () => {
  const [low, high] = [machineId('a'), machineId('b')];
  const link = (peer: typeof low, isDialler: boolean): Link => ({
    id: 1,
    peer,
    isDialler,
    upMs: 0,
    heardMs: 0,
  });

  test('both ends keep the one that the lower id dialled', () => {
    expect(isBetterLink(link(high, true), link(high, false), low)).toBe(true);
    expect(isBetterLink(link(high, false), link(high, true), low)).toBe(false);
    expect(isBetterLink(link(low, false), link(low, true), high)).toBe(true);
    expect(isBetterLink(link(low, true), link(low, false), high)).toBe(false);
  });

  test('a link of long ago gives way, whoever dialled it', () => {
    const late = { ...link(high, false), upMs: oldLinkMs };
    expect(isBetterLink(late, link(high, true), low)).toBe(true);
    expect(isBetterLink({ ...late, upMs: oldLinkMs - 1 }, link(high, true), low)).toBe(false);
  });

  test('of two by the same end, the newer', () => {
    expect(isBetterLink(link(high, true), link(high, true), low)).toBe(true);
    expect(isBetterLink(link(high, false), link(high, false), low)).toBe(true);
  });
});
