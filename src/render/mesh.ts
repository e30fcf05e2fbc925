/**
 * The WireGuard configuration of one machine: one peer for every other member, whatever its
 * liveness, so that a machine that comes back is heard at once. It never contains private keys;
 * the driver adds this machine's own. Allowed addresses pin each peer to its mesh address and its
 * /24, which is what makes source addresses trustworthy to the firewall of the other machines.
 */
import type { MachineId } from '../model/ids.ts';
import { wgDevice, wgPort } from '../model/names.ts';
import type { MachineView, View } from '../model/view.ts';
import { overlaps, parseSubnet, type Subnet } from './addresses.ts';
import { compareText } from './text.ts';

/** WireGuard over an ordinary 1500-byte path: 1500 - 40 (IPv6) - 8 (UDP) - 32 (WireGuard). */
export const meshMtu = 1420;

/** Keeps mappings of usual NAT routers open; also what makes an idle peer handshake. */
export const keepaliveSeconds = 25;

export interface MeshPeer {
  /** WireGuard public key, base64. */
  readonly publicKey: string;
  /** `host:port` candidates, best first; none when the peer must call us. */
  readonly endpoints: readonly string[];
  readonly allowedIps: readonly string[];
  readonly keepaliveSeconds: number;
}

export interface MeshRoute {
  readonly destination: string;
  /** Source address of packets that this machine itself sends there. */
  readonly source: string;
}

export interface MeshConfig {
  readonly device: string;
  readonly listenPort: number;
  readonly addresses: readonly string[];
  readonly mtu: number;
  readonly peers: readonly MeshPeer[];
  readonly routes: readonly MeshRoute[];
}

/** A peer that is not a member yet: one-time keys of a running join. */
export interface ExtraPeer {
  readonly publicKey: string;
  readonly meshIp: string;
  readonly endpoints?: readonly string[];
}

/**
 * Renders the device, its peers and the routes into it.
 * @param extraPeers joins under way; a key that belongs to a member is left to the member
 */
export function renderMesh(
  view: View,
  self: MachineId,
  extraPeers: readonly ExtraPeer[],
): MeshConfig | null {
  const own = view.machines.get(self);
  if (own === undefined) return null;
  const holders = subnetHolders(view, self);
  const peers: MeshPeer[] = [];
  const routes: MeshRoute[] = [];
  for (const machine of view.machines.values()) {
    if (machine.id === self) continue;
    const allowedIps = [`${machine.meshIp}/128`];
    routes.push({ destination: `${machine.meshIp}/128`, source: own.meshIp });
    if (holders.has(machine.id)) {
      allowedIps.push(machine.subnet);
      routes.push({ destination: machine.subnet, source: own.gatewayIp });
    }
    peers.push({
      publicKey: machine.wgPublicKey,
      endpoints: machine.endpoints,
      allowedIps,
      keepaliveSeconds,
    });
  }
  const known = new Set([own.wgPublicKey, ...peers.map((peer) => peer.publicKey)]);
  for (const extra of extraPeers) {
    if (known.has(extra.publicKey)) continue;
    known.add(extra.publicKey);
    peers.push({
      publicKey: extra.publicKey,
      endpoints: extra.endpoints ?? [],
      allowedIps: [`${extra.meshIp}/128`],
      keepaliveSeconds,
    });
    routes.push({ destination: `${extra.meshIp}/128`, source: own.meshIp });
  }
  return {
    device: wgDevice,
    listenPort: wgPort,
    addresses: [`${own.meshIp}/128`, `${own.gatewayIp}/32`],
    mtu: meshMtu,
    peers: peers.sort((a, b) => compareText(a.publicKey, b.publicKey)),
    routes: routes.sort((a, b) => compareText(a.destination, b.destination)),
  };
}

/**
 * Machines whose subnet is routed to them. Of two that overlap the earlier admission wins, and
 * nothing that overlaps this machine's own bridge is ever routed away from it.
 */
function subnetHolders(view: View, self: MachineId): ReadonlySet<MachineId> {
  const byAdmission = [...view.machines.values()].sort(
    (a: MachineView, b: MachineView) =>
      Number(b.id === self) - Number(a.id === self) ||
      a.admittedHlc - b.admittedHlc ||
      compareText(a.id, b.id),
  );
  const taken: Subnet[] = [];
  const holders = new Set<MachineId>();
  for (const machine of byAdmission) {
    const subnet = parseSubnet(machine.subnet);
    if (taken.some((other) => overlaps(other, subnet))) continue;
    taken.push(subnet);
    holders.add(machine.id);
  }
  return holders;
}
