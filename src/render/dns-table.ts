/** What the resolver knows, as plain data: it may be sent to a worker or written to disk. */

/** An address, and the networks whose members may be told of it. */
export interface DnsEndpoint {
  readonly ip: string;
  /** Identities of networks (render/endpoints.ts), sorted. */
  readonly networks: readonly string[];
  /** Name that SRV and PTR answers give for the address. */
  readonly target: string;
}

export interface DnsName {
  /** Known by definition: an empty answer is never "does not exist". */
  readonly endpoints: readonly DnsEndpoint[];
  /** Ports for SRV answers; only names of services have them. */
  readonly ports: readonly DnsPort[];
}

export interface DnsPort {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  /** Names by which SRV may ask for it, besides the number. */
  readonly names: readonly string[];
}

export interface DnsAsker {
  readonly project: string;
  readonly networks: readonly string[];
  /** The service's own `dns:` servers, asked for names that are not ours. */
  readonly upstreams: readonly string[];
}

export interface DnsTable {
  /** Where the server listens. */
  readonly gatewayIp: string;
  /** The machine's own /24 and the cluster's range: who may ask, whose addresses are ours. */
  readonly subnet: string;
  readonly range: string;
  readonly secondIp: string;
  /** By address. */
  readonly askers: Readonly<Record<string, DnsAsker>>;
  /** By project, then by name in lower case, without `.internal`. */
  readonly names: Readonly<Record<string, Readonly<Record<string, DnsName>>>>;
  /** Machines by `<machine>.m`. */
  readonly machines: Readonly<Record<string, string>>;
  /** By address: the container, or the machine at its gateway address. */
  readonly reverse: Readonly<Record<string, DnsEndpoint>>;
}

export interface DnsQuestion {
  readonly name: string;
  /** "A", "AAAA", "PTR", "SRV", …; others of a known name are answered empty. */
  readonly type: string;
}

export type DnsRecord =
  | { readonly type: 'A'; readonly name: string; readonly address: string }
  | { readonly type: 'PTR'; readonly name: string; readonly target: string }
  | { readonly type: 'SRV'; readonly name: string; readonly target: string; readonly port: number };

export type DnsAnswer =
  | {
      readonly type: 'records';
      /** Empty: the name exists, but not with this type or not at this moment. */
      readonly records: readonly DnsRecord[];
      readonly additionals: readonly DnsRecord[];
    }
  | { readonly type: 'nxdomain' }
  /** Not ours. The servers given, else the machine's own, are to be asked. */
  | { readonly type: 'forward'; readonly upstreams: readonly string[] }
  /** A container that no record names yet: ask again when the next table comes. */
  | { readonly type: 'unknown-asker' }
  | { readonly type: 'refuse' };

/** One second: endpoints leave within it. */
export const dnsTtlSeconds = 1;
