/**
 * What must change on a device to be as configured, as a pure function of both: peers that are as
 * they should be are not mentioned, which keeps their sessions. Endpoints are not part of it once a
 * peer talks: the address it is heard from is better than the one it declared.
 */
import type { MeshConfig } from '../src/render/mesh.ts';
import type { DevicePeer, DeviceState, PeerChange } from './wireguard-control.ts';

/** WireGuard refuses keys older than this (Reject-After-Time); a live peer renews every 120 s. */
const sessionLifeMs = 180_000;

/** True while packets can be exchanged with the peer, as far as this end knows. */
export function isEstablished(peer: DevicePeer, nowMs: number): boolean {
  return peer.latestHandshakeMs > 0 && nowMs - peer.latestHandshakeMs < sessionLifeMs;
}

/** Changes from the state of a device to its configuration. */
export function planPeers(state: DeviceState, config: MeshConfig): readonly PeerChange[] {
  const wanted = new Map(config.peers.map((peer) => [peer.publicKey, peer]));
  const present = new Map(state.peers.map((peer) => [peer.publicKey, peer]));
  const changes: PeerChange[] = [];
  // Removals first: an address that moves to another peer must be free before.
  for (const publicKey of present.keys()) {
    if (!wanted.has(publicKey)) changes.push({ publicKey, remove: true });
  }
  for (const peer of config.peers) {
    const found = present.get(peer.publicKey);
    if (found === undefined) {
      const [endpoint] = peer.endpoints;
      changes.push({
        publicKey: peer.publicKey,
        ...(endpoint === undefined ? {} : { endpoint }),
        allowedIps: peer.allowedIps,
        keepaliveSeconds: peer.keepaliveSeconds,
      });
      continue;
    }
    const hasSameIps = sameSet(found.allowedIps, peer.allowedIps);
    const hasSameKeepalive = found.keepaliveSeconds === peer.keepaliveSeconds;
    if (hasSameIps && hasSameKeepalive) continue;
    changes.push({
      publicKey: peer.publicKey,
      ...(hasSameIps ? {} : { allowedIps: peer.allowedIps }),
      ...(hasSameKeepalive ? {} : { keepaliveSeconds: peer.keepaliveSeconds }),
    });
  }
  return changes;
}

/** What the rotation remembers of a peer. */
export interface Attempt {
  /** Which candidate was tried last. */
  readonly index: number;
  readonly receivedBytes: number;
  /** When more had been received than at the look before; of a clock that never jumps. */
  readonly receivedAtMs: number;
  /** Where it was last heard from; survives the peer being made anew. */
  readonly heardFrom: string | undefined;
}

export interface Rotation {
  readonly changes: readonly PeerChange[];
  readonly attempts: ReadonlyMap<string, Attempt>;
}

/** Notes peers as they are added, so that the rotation's first look can already move them on. */
export function firstAttempts(
  changes: readonly PeerChange[],
  attempts: ReadonlyMap<string, Attempt>,
  monotonicMs: number,
): ReadonlyMap<string, Attempt> {
  const next = new Map(attempts);
  for (const { publicKey, remove } of changes) {
    if (remove === true) next.delete(publicKey);
    else if (!next.has(publicKey)) {
      next.set(publicKey, {
        index: 0,
        receivedBytes: 0,
        receivedAtMs: monotonicMs,
        heardFrom: undefined,
      });
    }
  }
  return next;
}

/** Keepalives come every 25 s from both ends: a peer silent for longer than this has gone. */
const silenceMs = 40_000;

/**
 * Moves every silent peer to its next endpoint. WireGuard starts at most one handshake in 5 s per
 * peer, so the peer is made anew: it has no session that could be lost. One from which anything
 * came in since the last look is left alone, as a handshake may be under way.
 * @param nowMs wall clock, as WireGuard tells its handshakes
 * @param monotonicMs a clock that never jumps
 */
export function rotateEndpoints(
  state: DeviceState,
  config: MeshConfig,
  attempts: ReadonlyMap<string, Attempt>,
  { nowMs, monotonicMs }: { readonly nowMs: number; readonly monotonicMs: number },
): Rotation {
  const changes: PeerChange[] = [];
  const next = new Map<string, Attempt>();
  const present = new Map(state.peers.map((peer) => [peer.publicKey, peer]));
  for (const peer of config.peers) {
    const { publicKey, allowedIps, keepaliveSeconds } = peer;
    const found = present.get(publicKey);
    if (found === undefined) continue;
    const before = attempts.get(publicKey);
    const { receivedBytes } = found;
    if (before === undefined || receivedBytes !== before.receivedBytes) {
      const index = before?.index ?? 0;
      const heardFrom = receivedBytes > 0 ? found.endpoint : before?.heardFrom;
      next.set(publicKey, { index, receivedBytes, receivedAtMs: monotonicMs, heardFrom });
      continue;
    }
    next.set(publicKey, before);
    const isSilent = monotonicMs - before.receivedAtMs > silenceMs;
    if (isEstablished(found, nowMs) && !isSilent) continue;
    // An address that the peer was heard from is worth a try although nobody declared it.
    const heard = before.heardFrom === undefined ? [] : [before.heardFrom];
    const candidates = [...new Set([...peer.endpoints, ...heard])];
    const index = (before.index + 1) % Math.max(1, candidates.length);
    const endpoint = candidates[index];
    if (endpoint === undefined) continue;
    changes.push({ publicKey, remove: true });
    changes.push({ publicKey, endpoint, allowedIps, keepaliveSeconds });
    next.set(publicKey, { ...before, index, receivedBytes: 0 });
  }
  return { changes, attempts: next };
}

function sameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((item) => right.includes(item));
}
