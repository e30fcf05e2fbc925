/**
 * Arithmetic on IPv4 subnets of the cluster range. Pure; the texts come from admissions, which
 * were checked when they were signed, so a malformed one is a fault of ours.
 */
import ipaddr from 'ipaddr.js';
import { assert } from '../lib/assert.ts';

export interface Subnet {
  readonly base: number;
  readonly prefix: number;
}

/** Reads "10.210.3.0/24". */
export function parseSubnet(text: string): Subnet {
  assert(ipaddr.IPv4.isValidCIDR(text), `"${text}" is an IPv4 subnet`);
  const [address, prefix] = ipaddr.IPv4.parseCIDR(text);
  const size = 2 ** (32 - prefix);
  const value = toNumber(address.toByteArray());
  return { base: value - (value % size), prefix };
}

function toNumber(bytes: readonly number[]): number {
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** True when the dotted address lies in the subnet. */
export function isInSubnet(subnet: Subnet, address: string): boolean {
  if (!ipaddr.IPv4.isValidFourPartDecimal(address)) return false;
  const value = toNumber(ipaddr.IPv4.parse(address).toByteArray());
  return value >= subnet.base && value < subnet.base + 2 ** (32 - subnet.prefix);
}

/** True when the two subnets share an address. */
export function overlaps(a: Subnet, b: Subnet): boolean {
  const prefix = Math.min(a.prefix, b.prefix);
  const size = 2 ** (32 - prefix);
  return Math.floor(a.base / size) === Math.floor(b.base / size);
}

/**
 * The second resolver address that every container knows. It exists nowhere: each machine's
 * firewall leads it to another machine's resolver. Link-local, so that it can be on no machine's
 * subnet, and none of those that clouds and Kubernetes use.
 */
export const secondResolverIp = '169.254.210.53';
