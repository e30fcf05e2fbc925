/** Names that more than one part must agree on: labels, devices, ports, container names. */
import type { ClusterId, Slot } from './ids.ts';

/** Labels of this cluster's own on containers, volumes and networks. */
export const label = {
  cluster: 'tsc-compose.cluster',
  project: 'tsc-compose.project',
  service: 'tsc-compose.service',
  slot: 'tsc-compose.slot',
  hash: 'tsc-compose.hash',
  rollout: 'tsc-compose.rollout',
  /** The run of a pre-deploy hook; replicas do not have it. */
  hook: 'tsc-compose.hook',
  /** JSON of `pre_stop`: a container is stopped when its definition has long been replaced. */
  preStop: 'tsc-compose.pre-stop',
  /** JSON {aliases, networks}: what the container's record says of its names. */
  names: 'tsc-compose.names',
  /** On containers that the agent runs for itself ("caddy"); never in records. */
  system: 'tsc-compose.system',
} as const;

/** A file beside the agent's socket that shows a command that it runs on the same machine. */
export const hereFileName = 'here';

/**
 * The source of a bind mount whose files came with the change, as the cluster's own copy named by
 * its content. No engine takes such a path, so an agent that knows no copies fails with a reason
 * instead of mounting something else.
 */
const copyPrefix = 'tsc-compose-copy:';

export function copySource(hash: string): string {
  return `${copyPrefix}${hash}`;
}

/** The hash that a mount's source names; undefined when it is a path. */
export function copyHashOf(source: string | undefined): string | undefined {
  return source?.startsWith(copyPrefix) === true ? source.slice(copyPrefix.length) : undefined;
}

/** Labels of `docker compose`, which other tools read. */
export const composeLabel = {
  project: 'com.docker.compose.project',
  service: 'com.docker.compose.service',
  containerNumber: 'com.docker.compose.container-number',
  configHash: 'com.docker.compose.config-hash',
  oneOff: 'com.docker.compose.oneoff',
  workingDir: 'com.docker.compose.project.working_dir',
  configFiles: 'com.docker.compose.project.config_files',
  dependsOn: 'com.docker.compose.depends_on',
  version: 'com.docker.compose.version',
  image: 'com.docker.compose.image',
  volume: 'com.docker.compose.volume',
  network: 'com.docker.compose.network',
} as const;

/** The WireGuard device and the bridge of the machine's /24. */
export const wgDevice = 'tsc-wg';
export const bridgeDevice = 'tsc-br';
/** The engine's network over the bridge. */
export const engineNetwork = 'tsc-compose';
/** UDP port of WireGuard; the only port that must be open between machines. */
export const wgPort = 51820;
/** TCP port of gossip and RPC on the mesh address. */
export const meshPort = 51821;

/** `<project>-<service>-<slot>`; a global service's containers end in the machine's name. */
export function containerName(project: string, service: string, slot: Slot): string {
  return `${project}-${service}-${slot}`;
}

/** What an operator runs on a machine that is no member any more. */
export function removeContainersCommand(cluster: ClusterId): string {
  return `docker rm -f $(docker ps -aq --filter label=${label.cluster}=${cluster})`;
}
