/**
 * Labels of a container: the user's, those of `docker compose` (other tools key on them: Portainer,
 * Traefik, Watchtower, a plain `docker compose ps`), and this cluster's own, by which the agent
 * finds its containers again and rebuilds their records without knowing the revision any more.
 */

import type { ClusterId, Slot } from '../model/ids.ts';
import { composeLabel, label } from '../model/names.ts';
import type { Service } from '../model/project.ts';
import type { ServiceView } from '../model/view.ts';
import { objectsAt, textAt } from './container-read.ts';

/** The release of `docker compose` whose labels these are. */
const composeVersion = '2.40.3';

/** All own labels start like this; a user's labels of that form are not taken over. */
const ownPrefix = 'tsc-compose.';

export interface LabelsInput {
  readonly service: ServiceView;
  readonly slot: Slot;
  readonly cluster: ClusterId;
  readonly imageId: string | undefined;
}

/** Labels of one container. Later groups win: own over Compose over the user's. */
export function containerLabels(input: LabelsInput): Record<string, string> {
  return { ...userLabels(input.service.spec), ...composeLabels(input), ...ownLabels(input) };
}

/** Labels of a named volume, as `docker compose` sets them, and the cluster's. */
export function volumeLabels(
  cluster: ClusterId,
  project: string,
  key: string,
  declared: Readonly<Record<string, string>> | undefined,
): Record<string, string> {
  return {
    ...declared,
    [composeLabel.project]: project,
    [composeLabel.volume]: key,
    [composeLabel.version]: composeVersion,
    [label.cluster]: cluster,
    [label.project]: project,
  };
}

/** Names under which the container is found beside service and container name. */
export function containerAliases(spec: Service): readonly string[] {
  const { hostname, domainname } = spec;
  if (hostname === undefined || hostname === '') return [];
  if (domainname === undefined || domainname === '') return [hostname];
  return [hostname, `${hostname}.${domainname}`];
}

/** Compose network to the aliases there: the networks that the container is a member of. */
export function containerNetworks(service: ServiceView): Readonly<Record<string, string[]>> {
  const networks: Record<string, string[]> = {};
  for (const [key, network] of Object.entries(service.spec.networks ?? {})) {
    networks[key] = [...(network?.aliases ?? [])];
  }
  return networks;
}

function userLabels(spec: Service): Record<string, string> {
  const entries = Object.entries(spec.labels ?? {});
  return Object.fromEntries(entries.filter(([key]) => !key.startsWith(ownPrefix)));
}

function composeLabels({ service, slot, imageId }: LabelsInput): Record<string, string> {
  const { revision, spec } = service;
  return {
    [composeLabel.project]: service.project,
    [composeLabel.service]: service.name,
    // A global service's slot is a machine; there it is the first and only container.
    [composeLabel.containerNumber]: service.mode === 'global' ? '1' : slot,
    [composeLabel.configHash]: service.hash,
    [composeLabel.oneOff]: 'False',
    [composeLabel.workingDir]: revision.workingDir,
    [composeLabel.configFiles]: revision.composeFiles.join(','),
    [composeLabel.dependsOn]: dependsOn(spec),
    [composeLabel.version]: composeVersion,
    ...(imageId === undefined ? {} : { [composeLabel.image]: imageId }),
  };
}

function ownLabels({ service, slot, cluster }: LabelsInput): Record<string, string> {
  return {
    [label.cluster]: cluster,
    [label.project]: service.project,
    [label.service]: service.name,
    [label.slot]: slot,
    [label.hash]: service.hash,
    [label.rollout]: service.rollout,
    ...(objectsAt(service.spec, 'pre_stop').length === 0
      ? {}
      : { [label.preStop]: JSON.stringify(service.spec['pre_stop']) }),
    [label.names]: JSON.stringify({
      aliases: isShared(service.spec) ? [] : containerAliases(service.spec),
      networks: isShared(service.spec) ? {} : containerNetworks(service),
    }),
  };
}

/** A container in somebody else's network namespace has no address to give names to. */
function isShared(spec: Service): boolean {
  const mode = textAt(spec, 'network_mode');
  return mode !== undefined && mode !== 'bridge' && mode !== 'default';
}

/** "db:service_healthy:true,cache:service_started:false" */
function dependsOn(spec: Service): string {
  return Object.entries(spec.depends_on ?? {})
    .map(([name, { condition, restart }]) => `${name}:${condition}:${restart === true}`)
    .sort()
    .join(',');
}
