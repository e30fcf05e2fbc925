/**
 * The engine's network over this machine's /24: which options it must have for an engine of a given
 * age, and whether an existing one has them. Since 28.0 (API 1.48) Docker drops packets to containers
 * that do not come in over their own bridge, unless the network is `nat-unprotected`. Its protection
 * is our own ruleset, which knows who is who (src/render/firewall.ts). 28.2 (API 1.50) can name
 * interfaces that it trusts instead, at the price of four more runs of iptables for each container
 * that comes or goes; networks that earlier versions made so stay. Older engines need nothing.
 */
import type Docker from 'dockerode';
import { apiAtLeast } from '../src/render/container-api.ts';

export interface NetworkSpec {
  readonly name: string;
  /** "tsc-br" */
  readonly bridge: string;
  /** "10.210.3.0/24" */
  readonly subnet: string;
  readonly gateway: string;
  readonly mtu: number;
  /** The device from which packets for containers come in: "tsc-wg". */
  readonly trustedInterface: string;
  readonly labels: Readonly<Record<string, string>>;
}

export type NetworkOutcome =
  /** It was there, as wanted. */
  | { readonly type: 'unchanged' }
  | { readonly type: 'created' }
  /** It was there with other options and nothing on it. */
  | { readonly type: 'recreated'; readonly differences: readonly string[] }
  /** It has other options, and containers are attached: left alone, to be reported. */
  | {
      readonly type: 'in-use';
      readonly differences: readonly string[];
      readonly containers: readonly string[];
    };

const trustedOption = 'com.docker.network.bridge.trusted_host_interfaces';
const gatewayModeOption = 'com.docker.network.bridge.gateway_mode_ipv4';

/** Driver options by engine age. */
export function networkOptions(spec: NetworkSpec, apiVersion: string): Record<string, string> {
  return {
    'com.docker.network.bridge.name': spec.bridge,
    'com.docker.network.bridge.enable_ip_masquerade': 'false',
    'com.docker.network.driver.mtu': String(spec.mtu),
    ...(apiAtLeast(apiVersion, '1.48') ? { [gatewayModeOption]: 'nat-unprotected' } : {}),
  };
}

/** Those of networks that earlier versions made; undefined where the engine would not know them. */
function earlierOptions(spec: NetworkSpec, apiVersion: string): Record<string, string> | undefined {
  if (!apiAtLeast(apiVersion, '1.50')) return undefined;
  const { [gatewayModeOption]: _, ...common } = networkOptions(spec, apiVersion);
  return { ...common, [trustedOption]: spec.trustedInterface };
}

/** The create call of the network. */
export function networkBody(spec: NetworkSpec, apiVersion: string): Docker.NetworkCreateOptions {
  return {
    Name: spec.name,
    Driver: 'bridge',
    CheckDuplicate: true,
    Options: networkOptions(spec, apiVersion),
    IPAM: { Driver: 'default', Config: [{ Subnet: spec.subnet, Gateway: spec.gateway }] },
    Labels: { ...spec.labels },
  };
}

/** How an existing network differs from the wanted one: sentences, empty when it does not. */
export function networkDifferences(
  found: Docker.NetworkInspectInfo,
  spec: NetworkSpec,
  apiVersion: string,
): readonly string[] {
  const differences: string[] = [];
  const compare = (what: string, is: string | undefined, wanted: string | undefined) => {
    if (is !== wanted) differences.push(`${what} is ${is ?? 'unset'}, not ${wanted ?? 'unset'}`);
  };
  const options: Readonly<Record<string, string>> = found.Options ?? {};
  const earlier =
    options[trustedOption] === undefined ? undefined : earlierOptions(spec, apiVersion);
  const wanted = earlier ?? networkOptions(spec, apiVersion);
  compare('driver', found.Driver, 'bridge');
  for (const option of new Set([...Object.keys(wanted), trustedOption, gatewayModeOption])) {
    compare(option, options[option], wanted[option]);
  }
  compare('subnet', found.IPAM?.Config?.[0]?.Subnet, spec.subnet);
  compare('gateway', found.IPAM?.Config?.[0]?.Gateway, spec.gateway);
  return differences;
}
