/**
 * The `x-ports` extension in Uncloud's syntax, so that its files run unchanged:
 *
 *     [hostname:][lb_port:]port[/http|https|tcp|udp]      every machine is an entrance
 *     [ip:]host_port:port[/tcp|udp]@host                  only where the replica is
 *
 * Names select HTTP services behind the ingress; `tcp` and `udp` become published ports. Without a
 * protocol it is https when there is a hostname to get a certificate for, else http.
 */
import { TscError } from '../lib/errors.ts';
import type { Json } from '../model/project.ts';

export type XPortProtocol = 'http' | 'https' | 'tcp' | 'udp';

export interface XPort {
  readonly mode: 'ingress' | 'host';
  readonly protocol: XPortProtocol;
  readonly hostname: string | undefined;
  readonly hostIp: string | undefined;
  /** Port that is open on the machines; undefined for the usual ports of http and https. */
  readonly publishedPort: number | undefined;
  readonly targetPort: number;
}

const hostnamePattern =
  /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i;

/**
 * Parses one entry.
 * @throws TscError E_COMPOSE_X_PORTS with what is wrong
 */
export function parseXPort(text: string): XPort {
  const fail = (why: string): never => {
    throw new TscError('E_COMPOSE_X_PORTS', `x-ports "${text}": ${why}`, {
      hint: 'write [hostname:][port:]container_port[/http|https|tcp|udp] or [ip:]port:container_port[/tcp|udp]@host',
    });
  };
  const [address = '', mode = 'ingress', ...extra] = text.trim().split('@');
  if (extra.length > 0 || (mode !== 'ingress' && mode !== 'host')) {
    return fail('the mode after "@" is "host" or "ingress"');
  }
  const { rest, protocol } = splitProtocol(address);
  if (!isProtocol(protocol)) return fail(`"${protocol ?? ''}" is not http, https, tcp or udp`);
  const parts = rest.match(/\[[^\]]*\]|[^:]+/g) ?? [];
  if (parts.join(':') !== rest || parts.length === 0 || parts.length > 3) {
    return fail('there are one to three parts between colons');
  }
  const targetPort = parsePort(parts.at(-1));
  if (targetPort === undefined) return fail('the container port is a number from 1 to 65535');
  const before = parts.slice(0, -1);
  const portBefore = parsePort(before.at(-1));
  const name = portBefore === undefined ? before : before.slice(0, -1);
  if (name.length > 1) return fail('the port before the container port is 1 to 65535');
  const host = name[0];

  if (mode === 'host') {
    if (protocol === 'http' || protocol === 'https') return fail('"@host" goes with tcp or udp');
    if (portBefore === undefined) return fail('"@host" needs a port of the machine');
    return {
      mode,
      protocol: protocol ?? 'tcp',
      hostname: undefined,
      hostIp: host?.replace(/^\[|\]$/g, ''),
      publishedPort: portBefore,
      targetPort,
    };
  }
  const chosen = protocol ?? (host === undefined ? 'http' : 'https');
  if (chosen === 'tcp' || chosen === 'udp') {
    if (host !== undefined) return fail('a hostname goes with http or https only');
    const publishedPort = portBefore ?? targetPort;
    return {
      mode,
      protocol: chosen,
      hostname: undefined,
      hostIp: undefined,
      publishedPort,
      targetPort,
    };
  }
  if (host !== undefined && !hostnamePattern.test(host)) return fail(`"${host}" is not a hostname`);
  if (host === undefined && chosen === 'https') return fail('https needs a hostname');
  return {
    mode,
    protocol: chosen,
    hostname: host?.toLowerCase(),
    hostIp: undefined,
    publishedPort: portBefore,
    targetPort,
  };
}

/**
 * Parses the value of `x-ports`.
 * @throws TscError E_COMPOSE_X_PORTS
 */
export function parseXPorts(value: Json | undefined): readonly XPort[] {
  if (value === undefined || value === null) return [];
  const list: readonly Json[] = Array.isArray(value) ? value : [value as Json];
  return list.map((entry) => {
    if (typeof entry === 'string' || typeof entry === 'number') return parseXPort(`${entry}`);
    throw new TscError('E_COMPOSE_X_PORTS', 'x-ports is a list of strings');
  });
}

/**
 * The entries that can be used. The loader has refused bad ones before they became a record; one
 * that a newer version wrote must not stop the others from being served.
 */
export function usableXPorts(value: Json | undefined): readonly XPort[] {
  const list: readonly Json[] = Array.isArray(value)
    ? value
    : value === undefined
      ? []
      : [value as Json];
  return list.flatMap((entry) => {
    try {
      return parseXPorts([entry]);
    } catch (error) {
      if (error instanceof TscError) return [];
      throw error;
    }
  });
}

function splitProtocol(text: string): { rest: string; protocol: string | undefined } {
  const match = /^(.*)\/([a-z]*)$/i.exec(text);
  if (match === null) return { rest: text, protocol: undefined };
  return { rest: match[1] ?? '', protocol: (match[2] ?? '').toLowerCase() };
}

function isProtocol(text: string | undefined): text is XPortProtocol | undefined {
  return (
    text === undefined || text === 'http' || text === 'https' || text === 'tcp' || text === 'udp'
  );
}

function parsePort(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,5}$/.test(text)) return undefined;
  const port = Number(text);
  return port >= 1 && port <= 65_535 ? port : undefined;
}
