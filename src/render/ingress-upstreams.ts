/**
 * Where Caddy finds the replicas: in one small file a slot, which Caddy reads for every request and
 * every retry. So a replica that comes or goes changes a file and not Caddy's configuration: each
 * reload of that costs requests (what waits for a retry ends with 502, what has connected and not
 * sent yet is closed without an answer; measured, docs/decisions.md).
 *
 * A service has as many slots as it should have replicas, so their number changes only with the
 * service. With fewer usable replicas addresses repeat, with more some wait outside. A file keeps its
 * address where it can: writing thirty files anew for each of thirty replicas that start costs more
 * than starting some of them.
 */
import { fnv1a } from '../lib/hash.ts';
import type { MachineId } from '../model/ids.ts';
import type { ContainerView, ServiceView, View } from '../model/view.ts';
import { slotNumber } from '../view/order.ts';
import { type EndpointIndex, indexEndpoints } from './endpoints.ts';
import { type IngressRoute, listOwnSites, listRoutes } from './ingress-routes.ts';
import { compareText } from './text.ts';
import { targetsOfSites } from './x-caddy.ts';

/**
 * The folder of the files inside Caddy's container, in memory: no disk holds up a change of traffic.
 * After a boot they are gone, and so is every address in them until the agent makes the mesh.
 */
export const caddyUpstreamFolder = '/run/tsc-compose/caddy/upstreams';

/** File name to its text, `address:port`; for all routes whose service has a usable replica. */
export function renderUpstreams(view: View, self: MachineId): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  if (view.machines.get(self)?.hasIngress !== true) return files;
  const index = indexEndpoints(view);
  for (const route of upstreamRoutes(view)) {
    const names = upstreamNames(view, route);
    for (const [slot, ip] of addressesOfSlots(usableOf(route, index), names.length).entries()) {
      const name = names[slot];
      if (name !== undefined) files.set(name, `${ip}:${route.targetPort}`);
    }
  }
  return files;
}

/**
 * The address in each slot's file: the one of the slot's own replica, else a borrowed one. Borrowed
 * ones are spread evenly, and so that a replica that comes or goes changes few of them: rendezvous
 * hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016). From 3 to 30 replicas, one
 * by one, 100 files change instead of 580 by counting round.
 * @returns as many as there are slots; none without a usable replica
 */
function addressesOfSlots(usable: readonly ContainerView[], slotCount: number): readonly string[] {
  const ips = addressesOf(usable);
  if (ips.length === 0) return [];
  const own = new Map<number, string>();
  const loads = new Map(ips.map((ip) => [ip, 0]));
  const take = (slot: number, ip: string): void => {
    own.set(slot, ip);
    loads.set(ip, (loads.get(ip) ?? 0) + 1);
  };
  for (const { slot, ip } of usable) {
    const index = (slotNumber(slot) ?? 0) - 1;
    if (index >= 0 && index < slotCount && !own.has(index) && loads.get(ip) === 0) take(index, ip);
  }
  const limit = Math.ceil(slotCount / ips.length);
  return Array.from({ length: slotCount }, (_, slot) => {
    const ip = own.get(slot) ?? firstOf(slot, ips, (one) => (loads.get(one) ?? 0) < limit);
    if (!own.has(slot)) take(slot, ip);
    return ip;
  });
}

/** The address of the highest rank for a slot, among those that may. */
function firstOf(slot: number, ips: readonly string[], may: (ip: string) => boolean): string {
  let best = '';
  let bestRank = -1;
  for (const ip of ips) {
    const rank = fnv1a(`${slot} ${ip}`);
    if (rank > bestRank && may(ip)) [best, bestRank] = [ip, rank];
  }
  return best;
}

/** What leads to a service's replicas. */
export type UpstreamRoute = Pick<IngressRoute, 'project' | 'service' | 'targetPort'>;

/** Routes of `x-ports`, and upstreams that own Caddyfiles name. */
function upstreamRoutes(view: View): readonly UpstreamRoute[] {
  const own = listOwnSites(view).flatMap(({ project, caddy }) =>
    targetsOfSites(caddy).map(({ service, port }) => ({ project, service, targetPort: port })),
  );
  return [...listRoutes(view), ...own];
}

/** The files of a route's slots; the project has no dot in its name, so no two routes share one. */
export function upstreamNames(view: View, route: UpstreamRoute): readonly string[] {
  const service = view.projects.get(route.project)?.services.get(route.service);
  const count = service === undefined ? 1 : slotCount(view, service);
  return Array.from(
    { length: count },
    (_, slot) => `${route.project}.${route.service}.${route.targetPort}.${slot + 1}`,
  );
}

/** Whether a route may be served from anywhere. */
export function hasUpstream(route: UpstreamRoute, index: EndpointIndex): boolean {
  return usableOf(route, index).length > 0;
}

function usableOf(route: UpstreamRoute, index: EndpointIndex): readonly ContainerView[] {
  return index.get(route.project)?.get(route.service)?.usable ?? [];
}

/** In a fixed order. */
function addressesOf(containers: readonly ContainerView[]): readonly string[] {
  return [...new Set(containers.map(({ ip }) => ip))].sort(compareText);
}

function slotCount(view: View, service: ServiceView): number {
  return Math.max(1, service.mode === 'global' ? view.machines.size : service.replicaCount);
}
