/**
 * The hash that decides whether a container is out of date. It covers what a container is made of
 * and leaves out what may change around a running one: counts, placement, how updates proceed,
 * what is published. The list of left-out keys follows `docker compose` (ServiceHash) and adds our
 * own extensions that only the network reads.
 */
import type { Deploy, Project, Service } from '../model/project.ts';
import { isNamedVolume } from '../view/service-spec.ts';
import { canonicalJson, shortHash } from './canonical.ts';

const outsideKeys: readonly string[] = [
  'attach',
  'build',
  'depends_on',
  'develop',
  'profiles',
  'pull_policy',
  'scale',
  'x-caddy',
  'x-ingress',
  'x-machines',
  'x-on-lost',
  'x-ports',
];

const outsideDeployKeys: readonly string[] = [
  'labels',
  'placement',
  'replicas',
  'rollback_config',
  'update_config',
];

export interface HashInput {
  /** Identity of the image, so that a tag that moved replaces the containers. */
  readonly imageId: string;
  /** Base64 under "secret/<name>" or "config/<name>". */
  readonly contents: Readonly<Record<string, string>>;
  readonly project: Project;
}

/**
 * The service without what changes around its running containers although it is part of the hash:
 * `ports`, which the firewall publishes. Only where the engine itself publishes does a container
 * have to be made anew. Not left out of the hash, so that hashes of earlier versions stay valid.
 */
export function inPlaceSpec(service: Service): Service {
  if (service.ports === undefined || service.network_mode === 'bridge') return service;
  const { ports: _, ...rest } = service;
  return rest;
}

/** 16 hex characters; containers with another hash are replaced. */
export function serviceHash(service: Service, { imageId, contents, project }: HashInput): string {
  const usedContents: Record<string, string> = {};
  for (const [kind, references] of [
    ['secret', service.secrets],
    ['config', service.configs],
  ] as const) {
    for (const { source } of references ?? []) {
      const content = contents[`${kind}/${source}`];
      if (content !== undefined) usedContents[`${kind}/${source}`] = shortHash(content);
    }
  }
  return shortHash(
    canonicalJson({
      service: containerPart(service),
      imageId,
      contents: usedContents,
      volumes: usedVolumes(service, project),
      networks: usedNetworks(service, project),
    }),
  );
}

function containerPart(service: Service): Record<string, unknown> {
  const part: Record<string, unknown> = without(service, outsideKeys);
  if (service.deploy !== undefined) {
    const deploy = without<Deploy>(service.deploy, outsideDeployKeys);
    delete part['deploy'];
    if (Object.keys(deploy).length > 0) part['deploy'] = deploy;
  }
  return part;
}

function without<T extends object>(value: T, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));
}

function usedVolumes(service: Service, project: Project): Record<string, unknown> {
  const used: Record<string, unknown> = {};
  for (const mount of service.volumes ?? []) {
    if (isNamedVolume(mount)) used[mount.source] = project.volumes?.[mount.source] ?? null;
  }
  return used;
}

function usedNetworks(service: Service, project: Project): Record<string, unknown> {
  const used: Record<string, unknown> = {};
  for (const name of Object.keys(service.networks ?? {})) {
    used[name] = project.networks?.[name] ?? null;
  }
  return used;
}
