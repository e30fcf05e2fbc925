/**
 * The nftables ruleset of one machine, as text for one atomic `nft -f`: it deletes and makes anew
 * the tables `tsc_compose` of the families inet and bridge, and touches nothing else.
 *
 * What it decides:
 * 1. Containers reach on machines only the resolver and ping; never gossip, agent or engine.
 * 2. Containers reach each other only when they share a Compose network. The check is made by the
 *    machine of the destination, on every packet and without connection state: sharing is
 *    symmetric, so answers pass, and a change takes effect at once.
 * 3. Sources are true: the bridge may send only from its own /24, a peer (pinned by WireGuard) only
 *    from its own; outsiders cannot route into the /24.
 * 4. Container addresses are kept inside the mesh and hidden behind the machine's outside it.
 * 5. Published ports are led to a usable replica, a local one first.
 * 6. The second resolver address is led to another machine's resolver.
 * 7. What is sent towards a silent machine is refused here at once: a connection that was open when
 *    it went off would otherwise wait for minutes, and a new one for the caller's time-out.
 *
 * An `accept` here is not final: other tables of the machine are asked as well, and the driver
 * sees to it that Docker's lets mesh traffic through.
 */
import type { MachineId } from '../model/ids.ts';
import { bridgeDevice, meshPort, wgDevice } from '../model/names.ts';
import type { MachineView, View } from '../model/view.ts';
import { isInTraffic, reachableMachines } from '../view/endpoints.ts';
import { secondResolverIp } from './addresses.ts';
import { indexEndpoints } from './endpoints.ts';
import { renderMembership } from './firewall-membership.ts';
import { renderPublishing } from './firewall-publishing.ts';
import { ingressPorts } from './ingress-routes.ts';
import { compareText } from './text.ts';

/** Name of the tables, in the families inet and bridge. */
export const firewallTable = 'tsc_compose';

/**
 * A container may use a published port whose replica is its neighbour. Where br_netfilter is on,
 * such a packet is redirected inside the bridge, whose table knows no connections: this bit of the
 * packet's mark tells it. A bit that neither Kubernetes, Tailscale nor Docker uses.
 */
const ledMark = '0x00100000';

/** Renders the ruleset; null while this machine is not a member. */
export function renderFirewall(view: View, self: MachineId): string | null {
  const own = view.machines.get(self);
  if (own === undefined) return null;
  const gateways = [...view.machines.values()]
    .map((machine) => machine.gatewayIp)
    .sort(compareText);
  const membership = renderMembership(view, own);
  const publishing = renderPublishing(view, own, indexEndpoints(view));
  const openPorts = own.hasIngress ? ingressPorts(view) : [];
  const resolver = secondResolver(view, own);
  const silent = silentMachines(view).map((machine) => machine.subnet);

  return `# Written by tsc-compose for ${own.name}; changes are overwritten.
table inet ${firewallTable}
delete table inet ${firewallTable}
table bridge ${firewallTable}
delete table bridge ${firewallTable}

table inet ${firewallTable} {
  # The machines themselves, as containers see them.
  set gateways {
    type ipv4_addr
    elements = { ${[...new Set(gateways)].join(', ')} }
  }

  # Containers of machines that are silent.
  set silent {
    type ipv4_addr
    flags interval
${silent.length > 0 ? `    elements = { ${silent.sort(compareText).join(', ')} }\n` : ''}  }

${indent(membership.sets)}

  # Sources are true, and nobody reaches a loopback address through a device.
  chain sources {
    type filter hook prerouting priority raw; policy accept;
    iifname { "${bridgeDevice}", "${wgDevice}" } ip daddr 127.0.0.0/8 drop
    iifname "${bridgeDevice}" meta nfproto ipv6 drop
    iifname "${bridgeDevice}" ip saddr ${own.gatewayIp} drop
    iifname "${bridgeDevice}" ip saddr != ${own.subnet} drop
    iifname "${wgDevice}" ip saddr ${own.subnet} drop
    iifname "${wgDevice}" meta nfproto ipv4 ip saddr != ${own.range} drop
    iifname != { "${bridgeDevice}", "${wgDevice}", "lo" } ip saddr ${own.range} drop
    iifname != { "${bridgeDevice}", "${wgDevice}", "lo" } ip daddr ${own.range} drop
  }

  # What may reach this machine itself.
  chain input {
    type filter hook input priority filter - 10; policy accept;
    iifname "${bridgeDevice}" jump input_bridge
    iifname "${wgDevice}" jump input_mesh
    iifname != { "${wgDevice}", "lo" } tcp dport ${meshPort} drop
  }
  chain input_bridge {
    ct state established,related accept
    ip daddr ${own.gatewayIp} meta l4proto { tcp, udp } th dport 53 accept
    icmp type echo-request accept
${openPorts.length > 0 ? `    fib daddr type local ip daddr != ${own.gatewayIp} tcp dport { ${openPorts.join(', ')} } accept\n` : ''}    drop
  }
  chain input_mesh {
    ct state established,related accept
    ip6 saddr fd00::/8 tcp dport ${meshPort} accept
    ip6 saddr fd00::/8 meta l4proto ipv6-icmp accept
    ip saddr ${own.range} ip daddr ${own.gatewayIp} meta l4proto { tcp, udp } th dport 53 accept
    ip saddr ${own.range} icmp type echo-request accept
    drop
  }

  # What this machine itself sends, and what has nobody to receive it.
  chain output {
    type filter hook output priority filter - 10; policy accept;
    ip daddr @silent jump refuse
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmp type host-unreachable
  }

  # What passes through this machine.
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    ip daddr @silent jump refuse
    iifname "${wgDevice}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
    oifname "${wgDevice}" tcp flags syn / syn,rst tcp option maxseg size set rt mtu
    oifname "${bridgeDevice}" jump to_containers
    iifname "${bridgeDevice}" jump from_containers
    iifname "${wgDevice}" oifname != "${wgDevice}" ct state established,related accept
    iifname "${wgDevice}" oifname != "${wgDevice}" drop
    oifname "${wgDevice}" iifname != "${wgDevice}" ct state established,related accept
    oifname "${wgDevice}" iifname != "${wgDevice}" ct status dnat accept
    oifname "${wgDevice}" iifname != "${wgDevice}" drop
  }
  chain to_containers {
    ip saddr @gateways accept
    ct status dnat accept
    ip saddr != ${own.range} ct state established,related accept
    ip saddr ${own.range} ip daddr vmap @members
    drop
  }
  chain from_containers {
    oifname "${wgDevice}" accept
    ct state established,related accept
    ip saddr @no_way_out drop
    accept
  }

${indent(membership.chains)}

  # The second resolver address, and published ports.
  chain lead_arriving {
    type nat hook prerouting priority dstnat - 5; policy accept;
    iifname "${bridgeDevice}" ip daddr ${secondResolverIp} meta l4proto { tcp, udp } th dport 53 dnat ip to ${resolver}
    iifname != "${wgDevice}" fib daddr type local ip daddr != @gateways jump published
  }
  chain note_led {
    type filter hook prerouting priority dstnat + 10; policy accept;
    iifname "${bridgeDevice}" ct status dnat ip daddr ${own.subnet} meta mark set meta mark or ${ledMark}
  }
  chain lead_own {
    type nat hook output priority -105; policy accept;
    fib daddr type local ip daddr != @gateways jump published
  }
  chain published {
${publishing.rules.map((rule) => `    ${rule}\n`).join('')}  }

  # Which source address a packet leaves with.
  chain leaving {
    type nat hook postrouting priority srcnat - 5; policy accept;
    oifname { "${bridgeDevice}", "${wgDevice}" } ip saddr 127.0.0.0/8 snat ip to ${own.gatewayIp}
    oifname "${wgDevice}" ip saddr ${own.range} ip daddr @gateways snat ip to ip saddr
    oifname { "${bridgeDevice}", "${wgDevice}" } ip saddr ${own.subnet} ct status dnat snat ip to ${own.gatewayIp}
    oifname "${wgDevice}" meta nfproto ipv4 ip saddr != ${own.range} snat ip to ${own.gatewayIp}
    oifname { "${bridgeDevice}", "${wgDevice}" } ip saddr ${own.range} snat ip to ip saddr
    ip saddr ${own.subnet} oifname != { "${bridgeDevice}", "${wgDevice}", "lo" } masquerade
  }
}

# Containers on one bridge speak without routing: the same check, one layer below.
table bridge ${firewallTable} {
${indent(membership.sets)}

  chain forward {
    type filter hook forward priority filter; policy accept;
    meta mark & ${ledMark} == ${ledMark} accept
    ip daddr ${own.subnet} ip saddr != ${own.subnet} drop
    ip saddr ${own.subnet} ip daddr ${own.subnet} jump to_containers
  }
  chain to_containers {
    ip daddr vmap @members
    drop
  }

${indent(membership.chains)}
}
`;
}

/**
 * Machines whose containers nothing can be sent to. None while this agent has only just started or
 * slept: it has not heard the others yet, and must not cut connections that work.
 */
export function silentMachines(view: View): readonly MachineView[] {
  if (view.guards.includes('booting') || view.guards.includes('stale')) return [];
  return [...view.machines.values()].filter(
    (machine) => machine.id !== view.self && !isInTraffic(view, machine.id),
  );
}

/** The resolver of the next reachable machine in a ring by id, so that the load is spread. */
function secondResolver(view: View, own: MachineView): string {
  // Not a headless one: its kernel forwards, but nobody answers there.
  const others = reachableMachines(view).filter((machine) => machine.id !== own.id);
  const next = others.find((machine) => machine.id > own.id) ?? others[0];
  return next?.gatewayIp ?? own.gatewayIp;
}

function indent(lines: readonly string[]): string {
  return lines.map((line) => (line === '' ? '' : `  ${line}`)).join('\n');
}
