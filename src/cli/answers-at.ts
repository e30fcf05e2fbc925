/**
 * Where an app answers, for the last lines of `up`: URLs of `x-ports` and `ports:` of the services
 * that were changed. Pure; what it prints is what the machines of the snapshot serve now.
 */
import type { Port, Project } from '../model/project.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { MachineView } from '../model/view.ts';
import { usableXPorts, type XPort } from '../render/x-ports.ts';

/** @returns a line per way in: "web  http://guestbook.example.com  through m1, m2, m3" */
export function answersAt(
  project: Project,
  services: readonly string[],
  snapshot: Snapshot,
): readonly string[] {
  const reachable = snapshot.machines.filter(({ liveness }) => liveness === 'reachable');
  const entrances = reachable.filter(({ hasIngress }) => hasIngress);
  const publishers = reachable.filter(({ publishes }) => publishes);
  const lines: string[] = [];
  for (const name of services) {
    const service = project.services[name];
    if (service === undefined) continue;
    for (const port of usableXPorts(service['x-ports'])) {
      lines.push(`${name}  ${xPortLine(port, { entrances, publishers })}`);
    }
    for (const port of service.ports ?? []) {
      const line = portLine(port, publishers);
      if (line !== undefined) lines.push(`${name}  ${line}`);
    }
  }
  return lines;
}

/**
 * Where an `x-ports` entry is answered, without the machines: a URL where there is a hostname, else
 * the port on every machine that is open for it.
 */
export function wayIn({ protocol, hostname, hostIp, publishedPort, targetPort }: XPort): string {
  if (protocol !== 'http' && protocol !== 'https') {
    return `${hostText(hostIp)}:${publishedPort ?? targetPort} -> ${targetPort}/${protocol}`;
  }
  const usualPort = protocol === 'http' ? 80 : 443;
  const port = publishedPort ?? usualPort;
  if (hostname === undefined) return `*:${port} -> ${targetPort}/${protocol}`;
  return `${protocol}://${hostname}${port === usualPort ? '' : `:${port}`}`;
}

interface Doors {
  readonly entrances: readonly MachineView[];
  readonly publishers: readonly MachineView[];
}

function xPortLine(port: XPort, { entrances, publishers }: Doors): string {
  const { mode, protocol } = port;
  if (mode === 'host') return `${wayIn(port)}  on the replica’s machine`;
  const isHttp = protocol === 'http' || protocol === 'https';
  const where = isHttp ? `through ${namesOf(entrances)}` : `on ${namesOf(publishers)}`;
  return `${wayIn(port)}  ${where}`;
}

function hostText(hostIp: string | undefined): string {
  if (hostIp === undefined || hostIp === '') return '*';
  return hostIp.includes(':') ? `[${hostIp}]` : hostIp;
}

function portLine(port: Port, publishers: readonly MachineView[]): string | undefined {
  if (port.published === undefined || port.published === '') return undefined;
  const where = port.mode === 'host' ? 'on the replica’s machine' : `on ${namesOf(publishers)}`;
  return `${hostText(port.host_ip)}:${port.published} -> ${port.target}/${port.protocol ?? 'tcp'}  ${where}`;
}

function namesOf(machines: readonly MachineView[]): string {
  if (machines.length === 0) return 'no machine (none is reachable and open for it)';
  if (machines.length > 5) return `${machines.length} machines`;
  return machines.map(({ name }) => name).join(', ');
}
