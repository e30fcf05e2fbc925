/**
 * Where Caddy finds the replicas: in one small file a slot, which Caddy reads for every request and
 * every retry. So a replica that comes or goes changes a file and not Caddy's configuration: each
 * reload of that costs requests (what waits for a retry ends with 502, what has connected and not
 * sent yet is closed without an answer; measured, docs/decisions.md).
 *
 * A service has as many slots as it should have replicas, so their number changes only with the
 * service. With fewer usable replicas addresses repeat, with more some wait outside.
 */
import type { MachineId } from '../model/ids.ts';
import type { ServiceView, View } from '../model/view.ts';
import { type EndpointIndex, indexEndpoints } from './endpoints.ts';
import { type IngressRoute, listOwnSites, listRoutes } from './ingress-routes.ts';
import { compareText } from './text.ts';
import { targetsOfSites } from './x-caddy.ts';

/** The folder of the files inside Caddy's container; it survives a reboot, as Caddy does. */
export const caddyUpstreamFolder = '/data/upstreams';

/** File name to its text, `address:port`; for all routes whose service has a usable replica. */
export function renderUpstreams(view: View, self: MachineId): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  if (view.machines.get(self)?.hasIngress !== true) return files;
  const index = indexEndpoints(view);
  for (const route of upstreamRoutes(view)) {
    const ips = usableIps(route, index);
    for (const [slot, name] of upstreamNames(view, route).entries()) {
      const ip = ips[slot % ips.length];
      if (ip !== undefined) files.set(name, `${ip}:${route.targetPort}`);
    }
  }
  return files;
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

/** Addresses that a route may be served from, in a fixed order. */
export function usableIps(route: UpstreamRoute, index: EndpointIndex): readonly string[] {
  const usable = index.get(route.project)?.get(route.service)?.usable ?? [];
  return [...new Set(usable.map((container) => container.ip))].sort(compareText);
}

function slotCount(view: View, service: ServiceView): number {
  return Math.max(1, service.mode === 'global' ? view.machines.size : service.replicaCount);
}
