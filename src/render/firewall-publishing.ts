/**
 * Published ports as rules of a nat chain: each leads to a usable replica, chosen at random for
 * every new connection. Replicas on this machine come first, because the caller's address is kept
 * there; one on another machine sees this machine's gateway instead, as the answer must come back.
 */
import type { MachineView, View } from '../model/view.ts';
import type { EndpointIndex } from './endpoints.ts';
import { listPublishedPorts, type PublishedPort } from './published-ports.ts';
import { compareText } from './text.ts';

export interface PublishingRules {
  readonly rules: readonly string[];
}

/** Renders one rule for each published port that has a replica to lead to. */
export function renderPublishing(
  view: View,
  own: MachineView,
  endpoints: EndpointIndex,
): PublishingRules {
  const rules = listPublishedPorts(view).flatMap((port) => {
    const ips = backends(port, own, endpoints);
    return ips.length === 0 ? [] : [ruleFor(port, ips)];
  });
  return { rules };
}

function backends(
  port: PublishedPort,
  own: MachineView,
  endpoints: EndpointIndex,
): readonly string[] {
  if (port.mode === 'ingress' && !own.publishes) return [];
  if (port.hostIp !== undefined && port.hostIp.includes(':')) return [];
  const usable = endpoints.get(port.project)?.get(port.service)?.usable ?? [];
  const local = usable.filter((container) => container.machine === own.id);
  const chosen = local.length > 0 || port.mode === 'host' ? local : usable;
  return [...new Set(chosen.map((container) => container.ip))].sort(compareText);
}

function ruleFor(port: PublishedPort, ips: readonly string[]): string {
  const address = port.hostIp === undefined ? '' : `ip daddr ${port.hostIp} `;
  const match = `${address}${port.protocol} dport ${port.publishedPort}`;
  const [only] = ips;
  const target =
    ips.length === 1
      ? `${only}`
      : `numgen random mod ${ips.length} map { ${ips.map((ip, i) => `${i} : ${ip}`).join(', ')} }`;
  return `meta nfproto ipv4 ${match} dnat ip to ${target} : ${port.targetPort} comment "${port.project}/${port.service}"`;
}
