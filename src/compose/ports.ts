/**
 * The short form of a port: `[IP:][PUBLISHED[-END]:]TARGET[-END][/PROTOCOL]`. A range of targets
 * becomes one entry each; a published range for one target stays a range, from which the engine
 * may choose. The result is ordered by target as text, since the reference sorts it so.
 */
import ipaddr from 'ipaddr.js';
import { TscError } from '../lib/errors.ts';
import { compareText } from './value.ts';

export interface PortSpec {
  readonly mode: 'ingress';
  readonly host_ip?: string;
  readonly target: number;
  readonly published?: string;
  readonly protocol: string;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a short port.
 * @param announce called with the number of ports before they are made; may throw
 */
export function parsePort(
  spec: string,
  announce: (count: number) => void = () => undefined,
): PortSpec[] {
  const parts = spec.split(':');
  const container = parts.pop() ?? '';
  const host = parts.pop() ?? '';
  const hostIp = parseAddress(parts.join(':'));
  // What follows a second slash is ignored.
  const [targets = '', suffix = ''] = container.split('/');
  const protocol = suffix.toLowerCase() || 'tcp';
  if (targets === '') throw fault(`no port specified: ${spec}<empty>`);
  if (!['tcp', 'udp', 'sctp'].includes(protocol)) throw fault(`invalid proto: ${protocol}`);
  const target = parseRange(targets, 'containerPort');
  const published = host === '' ? undefined : parseRange(host, 'hostPort');
  const count = target.end - target.start + 1;
  if (published !== undefined && published.end - published.start + 1 !== count && count > 1) {
    throw fault(`invalid ranges specified for container and host Ports: ${targets} and ${host}`);
  }
  if (count > 1) announce(count);
  const ports: PortSpec[] = [];
  for (let i = 0; i < count; i++) {
    ports.push({
      mode: 'ingress',
      ...(hostIp === '' ? {} : { host_ip: hostIp }),
      target: target.start + i,
      ...(published === undefined ? {} : { published: showPublished(published, i, count) }),
      protocol,
    });
  }
  return ports.sort((a, b) => compareText(`${a.target}/`, `${b.target}/`));
}

function showPublished(range: Range, index: number, count: number): string {
  const port = range.start + index;
  return count === 1 && range.start !== range.end ? `${port}-${range.end}` : String(port);
}

function parseAddress(text: string): string {
  if (text === '') return '';
  let address = text;
  if (text.startsWith('[')) {
    if (!text.endsWith(']')) throw fault(`invalid IP address ${text}`);
    address = text.slice(1, -1);
    if (address === '') return '';
  } else if (text.includes(':')) throw fault(`invalid IP address ${text}: write it as [${text}]`);
  if (!isAddress(address)) throw fault(`invalid IP address: ${address}`);
  return address;
}

/** An IPv4 address in four decimal parts, or an IPv6 address without a zone. */
export function isAddress(text: string): boolean {
  if (text.includes(':')) return ipaddr.IPv6.isValid(text) && !text.includes('%');
  return ipaddr.IPv4.isValidFourPartDecimal(text);
}

function parseRange(text: string, what: string): Range {
  const [first = '', second] = text.split('-');
  const start = parsePortNumber(first);
  const end = second === undefined ? start : parsePortNumber(second);
  if (start === undefined || end === undefined || end < start)
    throw fault(`invalid ${what}: ${text}`);
  return { start, end };
}

function parsePortNumber(text: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

function fault(message: string): TscError {
  return new TscError('E_COMPOSE_PARSE', message);
}
