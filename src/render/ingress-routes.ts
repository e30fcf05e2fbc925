/** The HTTP routes that services ask for by `x-ports`, before they become Caddy's configuration. */
import type { CaddySites } from '../model/record.ts';
import type { View } from '../model/view.ts';
import { compareText } from './text.ts';
import { usableXPorts } from './x-ports.ts';

export interface IngressRoute {
  readonly project: string;
  readonly service: string;
  readonly protocol: 'http' | 'https';
  /** undefined: every host that no other route names. */
  readonly hostname: string | undefined;
  readonly listenPort: number;
  readonly targetPort: number;
}

/** All routes; of two for the same host and port the first by project and service is kept. */
export function listRoutes(view: View): readonly IngressRoute[] {
  const routes = new Map<string, IngressRoute>();
  for (const project of view.projects.values()) {
    for (const service of project.services.values()) {
      for (const port of usableXPorts(service.spec['x-ports'])) {
        const { protocol, hostname, targetPort } = port;
        if (protocol === 'tcp' || protocol === 'udp') continue;
        const listenPort = port.publishedPort ?? (protocol === 'https' ? 443 : 80);
        const key = `${listenPort} ${hostname ?? ''}`;
        if (routes.has(key)) continue;
        const names = { project: project.name, service: service.name };
        routes.set(key, { ...names, protocol, hostname, listenPort, targetPort });
      }
    }
  }
  return [...routes.values()].sort(
    (a, b) =>
      a.listenPort - b.listenPort ||
      breadth(a.hostname) - breadth(b.hostname) ||
      compareText(a.hostname ?? '', b.hostname ?? ''),
  );
}

/** Caddy takes the first route that matches: exact names, then wildcards, then everything. */
function breadth(hostname: string | undefined): number {
  return hostname === undefined ? 2 : hostname.startsWith('*') ? 1 : 0;
}

/** Sites of a service's own Caddyfile, and what their upstreams stand for. */
export interface OwnSites {
  readonly project: string;
  readonly service: string;
  readonly caddy: CaddySites;
}

/** All of them, in order of project and service. */
export function listOwnSites(view: View): readonly OwnSites[] {
  return [...view.projects.values()].flatMap((project) =>
    [...project.services.values()].flatMap(({ name, revision, spec }) => {
      const caddy = spec['x-caddy'] === undefined ? undefined : revision.caddy?.[name];
      return caddy === undefined ? [] : [{ project: project.name, service: name, caddy }];
    }),
  );
}

/** TCP ports that the ingress listens on; https brings port 80 for redirects and challenges. */
export function ingressPorts(view: View): readonly number[] {
  const routes = listRoutes(view);
  const ports = new Set(routes.map((route) => route.listenPort));
  if (routes.some((route) => route.protocol === 'https')) ports.add(80);
  for (const { caddy } of listOwnSites(view)) {
    for (const { port, isSecure } of caddy.sites) {
      ports.add(port);
      if (isSecure) ports.add(80);
    }
  }
  return [...ports].sort((a, b) => a - b);
}
