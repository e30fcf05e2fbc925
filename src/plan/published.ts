/**
 * What a service opens to the outside, in one form for `ports` and `x-ports`: ports on every
 * publishing machine (ingress), ports on the replica's own machine (host), and hostnames that
 * Caddy answers for. Used to refuse what two projects cannot both have, and to keep replicas with
 * host ports on different machines.
 */
import type { Service } from '../model/project.ts';
import { usableXPorts, type XPort } from '../render/x-ports.ts';

export interface OpenPort {
  readonly mode: 'ingress' | 'host';
  readonly protocol: string;
  readonly port: number;
  /** "" stands for every address. */
  readonly hostIp: string;
}

/** Every published port; ranges are written out. */
export function openPortsOf(spec: Service): readonly OpenPort[] {
  const ports: OpenPort[] = [];
  for (const port of spec.ports ?? []) {
    for (const number of publishedNumbers(port.published)) {
      ports.push({
        mode: port.mode === 'host' ? 'host' : 'ingress',
        protocol: port.protocol ?? 'tcp',
        port: number,
        hostIp: isEveryAddress(port.host_ip) ? '' : (port.host_ip ?? ''),
      });
    }
  }
  for (const { mode, protocol, publishedPort, hostIp } of extensionPortsOf(spec)) {
    // Ports of http and https are Caddy's, which many services share by their hostnames.
    if (protocol === 'http' || protocol === 'https' || publishedPort === undefined) continue;
    const isEvery = isEveryAddress(hostIp);
    ports.push({ mode, protocol, port: publishedPort, hostIp: isEvery ? '' : (hostIp ?? '') });
  }
  return ports;
}

/** Ports that the engine itself binds on the replica's machine. */
export function hostPortsOf(spec: Service): readonly OpenPort[] {
  return openPortsOf(spec).filter((port) => port.mode === 'host');
}

/** Hostnames under which Caddy is asked to answer for the service, in lower case. */
export function hostnamesOf(spec: Service): readonly string[] {
  const names = extensionPortsOf(spec).flatMap(({ hostname }) => hostname ?? []);
  return [...new Set(names)];
}

/** Container ports of `x-ports` that take connections. */
export function extensionTargetsOf(spec: Service): readonly number[] {
  return extensionPortsOf(spec).flatMap(({ protocol, targetPort }) =>
    protocol === 'udp' ? [] : [targetPort],
  );
}

function extensionPortsOf(spec: Service): readonly XPort[] {
  return usableXPorts(spec['x-ports']);
}

/** Whether two ports cannot be open at the same time where both are open. */
export function clash(left: OpenPort, right: OpenPort): boolean {
  return (
    left.port === right.port &&
    left.protocol === right.protocol &&
    (left.hostIp === '' || right.hostIp === '' || left.hostIp === right.hostIp)
  );
}

export function portText(port: OpenPort): string {
  const host = port.hostIp.includes(':') ? `[${port.hostIp}]` : port.hostIp;
  return `${host === '' ? '' : `${host}:`}${port.port}/${port.protocol}`;
}

function isEveryAddress(hostIp: string | undefined): boolean {
  return hostIp === undefined || ['', '0.0.0.0', '::', '[::]'].includes(hostIp);
}

/** "8080" and "8000-8002"; an empty text publishes on a port that the machine chooses. */
function publishedNumbers(published: string | undefined): readonly number[] {
  const match = /^(\d+)(?:-(\d+))?$/.exec(published ?? '');
  if (match === null) return [];
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first === 0 || last > 65_535) return [];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}
