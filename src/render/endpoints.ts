/**
 * Which addresses a service may be reached at, and which networks they belong to. The one place
 * where the rule "never answer with nothing" lives, so that DNS, published ports and the ingress
 * always agree. It decides nothing about placement and never invents an address.
 */
import type { ContainerView, ServiceView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { compareText } from './text.ts';

/** Containers of one service: all that run and those that should get traffic. */
export interface ServiceEndpoints {
  /** Best first in no particular order: ready ones, else running ones, else the last known. */
  readonly usable: readonly ContainerView[];
  /** All that run, ready or not: clustered software must find its peers before it is healthy. */
  readonly running: readonly ContainerView[];
}

/** Endpoints by `project`, then by service. */
export type EndpointIndex = ReadonlyMap<string, ReadonlyMap<string, ServiceEndpoints>>;

/** True when the container holds its address now: it may send and receive packets. */
export function hasAddress(container: ContainerView): boolean {
  if (container.ip === '') return false;
  return (
    container.state === 'running' ||
    container.state === 'paused' ||
    container.state === 'restarting' ||
    container.state === 'created'
  );
}

/**
 * Sorts a service's containers by usefulness.
 *
 * Ready and not draining on machines in traffic; else running there; else what is still believed
 * to run on silent machines, because a stale address is a chance and an empty answer is none.
 */
export function selectUsable(
  view: View,
  containers: readonly ContainerView[],
): readonly ContainerView[] {
  const running = containers.filter(
    (c) => c.state === 'running' && c.ip !== '' && view.machines.has(c.machine),
  );
  const near = running.filter((c) => isInTraffic(view, c.machine));
  const tiers = [
    near.filter((c) => c.ready && !c.draining),
    near.filter((c) => !c.draining),
    near,
    running.filter((c) => c.ready),
    running,
  ];
  return tiers.find((tier) => tier.length > 0) ?? [];
}

/** Endpoints of every service that is defined or has containers. */
export function indexEndpoints(view: View): EndpointIndex {
  const grouped = new Map<string, Map<string, ContainerView[]>>();
  for (const project of view.projects.values()) {
    const services = new Map<string, ContainerView[]>();
    for (const name of project.services.keys()) services.set(name, []);
    grouped.set(project.name, services);
  }
  for (const container of view.containers) {
    const services = grouped.get(container.project) ?? new Map<string, ContainerView[]>();
    grouped.set(container.project, services);
    const list = services.get(container.service) ?? [];
    services.set(container.service, list);
    list.push(container);
  }
  const index = new Map<string, ReadonlyMap<string, ServiceEndpoints>>();
  for (const [project, services] of grouped) {
    const entries = new Map<string, ServiceEndpoints>();
    for (const [service, containers] of services) {
      entries.set(service, {
        usable: selectUsable(view, containers),
        running: selectRunning(view, containers),
      });
    }
    index.set(project, entries);
  }
  return index;
}

function selectRunning(view: View, containers: readonly ContainerView[]): readonly ContainerView[] {
  const near = containers.filter(
    (c) => c.state === 'running' && c.ip !== '' && isInTraffic(view, c.machine),
  );
  return near.length > 0 ? near : selectUsable(view, containers);
}

/**
 * The cluster-wide identity of a Compose network. Networks with a name of their own or `external`
 * are shared by all projects that name them; others belong to their project.
 */
export function networkKey(
  service: ServiceView | undefined,
  project: string,
  network: string,
): string {
  return service?.definition.networks?.[network]?.name ?? `${project}_${network}`;
}

/** Identities of the networks a container is a member of, sorted. */
export function networksOf(view: View, container: ContainerView): readonly string[] {
  const service = view.projects.get(container.project)?.services.get(container.service);
  return Object.keys(container.networks)
    .map((network) => networkKey(service, container.project, network))
    .sort(compareText);
}

/** True when every network the container is on has `internal: true`: there is no way out. */
export function isInternalOnly(view: View, container: ContainerView): boolean {
  const service = view.projects.get(container.project)?.services.get(container.service);
  const networks = Object.keys(container.networks);
  return (
    networks.length > 0 &&
    networks.every((network) => service?.definition.networks?.[network]?.internal === true)
  );
}
