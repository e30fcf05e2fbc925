/**
 * Isolation by Compose network, as nftables sets and a verdict map: one set of all members for each
 * network, and for each combination of networks a chain that accepts the members of any of them.
 * A container's address leads to its chain in one look-up, however many there are; an address that
 * is in no record yet leads nowhere and is dropped, so nothing is open before it is known.
 */
import { createHash } from 'node:crypto';
import type { ContainerView, MachineView, View } from '../model/view.ts';
import { hasAddress, isInternalOnly, networksOf } from './endpoints.ts';
import { compareText } from './text.ts';

export interface MembershipRules {
  /** Sets and maps; chains that the map names follow after, as nft allows. */
  readonly sets: readonly string[];
  readonly chains: readonly string[];
}

/** nft takes 128 characters for a chain's name; names of networks may be longer. */
const nameLength = 100;

/** Renders the sets, the map `members` and its chains for the containers of one machine. */
export function renderMembership(view: View, own: MachineView): MembershipRules {
  const containers = holders(view);
  const members = new Map<string, string[]>();
  const groups = new Map<string, readonly string[]>();
  const verdicts: string[] = [];
  const noWayOut: string[] = [];
  for (const [ip, container] of containers) {
    const networks = networksOf(view, container);
    for (const network of networks) {
      const list = members.get(network) ?? [];
      members.set(network, list);
      list.push(ip);
    }
    if (container.machine !== own.id || networks.length === 0) continue;
    const group = groupName(networks);
    groups.set(group, networks);
    verdicts.push(`${ip} : goto ${group}`);
    if (isInternalOnly(view, container)) noWayOut.push(ip);
  }
  const used = new Set([...groups.values()].flat());
  const networks = [...members].filter(([network]) => used.has(network));
  networks.sort(([a], [b]) => compareText(a, b));
  const sets = [
    ...networks.flatMap(([network, ips]) => block(`set ${setName(network)}`, 'ipv4_addr', ips)),
    ...block('set no_way_out', 'ipv4_addr', noWayOut),
    ...block('map members', 'ipv4_addr : verdict', verdicts),
  ];
  const chains = [...groups]
    .sort(([a], [b]) => compareText(a, b))
    .flatMap(([group, list]) => [
      `chain ${group} {`,
      ...list.map((network) => `  ip saddr @${setName(network)} accept`),
      '  drop',
      '}',
    ]);
  return { sets, chains };
}

/** Who holds each address, in order of address; of two claims the later start is true. */
function holders(view: View): readonly (readonly [string, ContainerView])[] {
  const byIp = new Map<string, ContainerView>();
  for (const container of [...view.containers, ...(view.hookContainers ?? [])]) {
    if (!hasAddress(container) || !view.machines.has(container.machine)) continue;
    const other = byIp.get(container.ip);
    if (other !== undefined && other.startedMs >= container.startedMs) continue;
    byIp.set(container.ip, container);
  }
  return [...byIp].sort(([a], [b]) => compareText(a, b));
}

function block(head: string, type: string, elements: readonly string[]): readonly string[] {
  return [
    `${head} {`,
    `  type ${type}`,
    ...(elements.length > 0 ? [`  elements = { ${elements.join(', ')} }`] : []),
    '}',
  ];
}

function setName(network: string): string {
  return safeName('net', network);
}

function groupName(networks: readonly string[]): string {
  return safeName('to', networks.join('.'));
}

/** A name that nft takes, the same for the same text, readable when it can be. */
function safeName(prefix: string, text: string): string {
  const plain = `${prefix}_${text}`;
  if (/^[A-Za-z0-9_.-]+$/.test(plain) && plain.length <= nameLength) return plain;
  return `${prefix}_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}
