/**
 * The ports that services publish on machines, from `ports:` and from the tcp and udp entries of
 * `x-ports`. Two claims of the same port are settled by order of name: the planner refuses them,
 * but a merge of two partitions can still bring both.
 */
import type { ServiceView, View } from '../model/view.ts';
import { compareText } from './text.ts';
import { usableXPorts } from './x-ports.ts';

export interface PublishedPort {
  readonly project: string;
  readonly service: string;
  /** ingress: open on every publishing machine; host: only where a replica is. */
  readonly mode: 'ingress' | 'host';
  readonly protocol: 'tcp' | 'udp';
  /** The only local address it is open on; undefined for all. */
  readonly hostIp: string | undefined;
  readonly publishedPort: number;
  readonly targetPort: number;
}

const anyAddress: readonly string[] = ['', '0.0.0.0', '::'];

/** All published ports, those bound to one address first, without duplicates. */
export function listPublishedPorts(view: View): readonly PublishedPort[] {
  const seen = new Set<string>();
  const all: PublishedPort[] = [];
  for (const project of view.projects.values()) {
    for (const service of project.services.values()) {
      for (const port of portsOfService(service)) {
        const key = `${port.protocol} ${port.hostIp ?? ''} ${port.publishedPort}`;
        if (seen.has(key)) continue;
        seen.add(key);
        all.push(port);
      }
    }
  }
  return all.sort(
    (a, b) =>
      Number(a.hostIp === undefined) - Number(b.hostIp === undefined) ||
      compareText(a.hostIp ?? '', b.hostIp ?? '') ||
      compareText(a.protocol, b.protocol) ||
      a.publishedPort - b.publishedPort,
  );
}

function portsOfService(service: ServiceView): readonly PublishedPort[] {
  const { project, name, spec } = service;
  const found: PublishedPort[] = [];
  for (const port of spec.ports ?? []) {
    const protocol = port.protocol ?? 'tcp';
    // Of a range for one target ("8000-8010") the first is taken on every machine alike.
    const publishedPort = Number.parseInt(port.published ?? '', 10);
    // The engine binds the host ports of `ports:` itself, as it does for every container.
    if (port.mode === 'host') continue;
    if ((protocol !== 'tcp' && protocol !== 'udp') || !(publishedPort > 0)) continue;
    found.push({
      project,
      service: name,
      mode: 'ingress',
      protocol,
      hostIp: anyAddress.includes(port.host_ip ?? '') ? undefined : port.host_ip,
      publishedPort,
      targetPort: port.target,
    });
  }
  for (const port of usableXPorts(spec['x-ports'])) {
    if (port.protocol === 'http' || port.protocol === 'https') continue;
    found.push({
      project,
      service: name,
      mode: port.mode,
      protocol: port.protocol,
      hostIp: anyAddress.includes(port.hostIp ?? '') ? undefined : port.hostIp,
      publishedPort: port.publishedPort ?? port.targetPort,
      targetPort: port.targetPort,
    });
  }
  return found;
}
