/**
 * Caddy's configuration for this machine's ingress: hosts to slots, whose files hold the addresses
 * of usable replicas (ingress-upstreams.ts). They are addresses, never names, so Caddy needs no
 * resolver. A dead replica costs no failed request: what cannot connect is tried elsewhere within
 * `tryDurationMs`.
 *
 * A host matcher on any port but 80 makes Caddy turn TLS on, so it is told for each server whether
 * it speaks TLS. Certificates come from ACME, except for names that no authority would certify:
 * those get Caddy's internal issuer.
 */
import type { MachineId } from '../model/ids.ts';
import type { Json } from '../model/project.ts';
import type { View } from '../model/view.ts';
import { indexEndpoints } from './endpoints.ts';
import { type IngressRoute, listOwnSites, listRoutes } from './ingress-routes.ts';
import { caddyUpstreamFolder, hasUpstream, upstreamNames } from './ingress-upstreams.ts';
import { compareText } from './text.ts';
import { type CaddyTarget, hostsOfRoute, withUpstreams } from './x-caddy.ts';

export type CaddyConfig = { readonly [key: string]: Json };

/** Paths inside Caddy's container; the driver mounts folders of the machine there. */
export const caddyAdminSocket = '/run/tsc-compose/caddy/admin.sock';
export const caddyStorageFolder = '/data/storage';

/** 8 s: twice as long as a machine takes to be noticed as silent, when what waits for it is ended. */
const tryDurationMs = 8_000;
/** 100 ms between tries when no replica answers. */
const tryIntervalMs = 100;
/** 1 s to connect inside the mesh; a machine without power does not refuse, it is silent. */
const dialTimeoutMs = 1_000;
/** 2 s without traffic for a replica that failed; records take it out for good by then. */
const failDurationMs = 2_000;
/** 10 s for open requests when a configuration is replaced. */
const gracePeriodMs = 10_000;

/** Names that public authorities do not certify (RFC 6761, RFC 9476 and common practice). */
const privateSuffixes: readonly string[] = ['localhost', 'internal', 'test', 'local', 'home.arpa'];

/**
 * Renders the configuration; null when no service asks for it or this machine has no ingress.
 * @param leavesOutOwn without the services' own Caddyfiles, for a Caddy that refuses one of them
 */
export function renderIngress(
  view: View,
  self: MachineId,
  leavesOutOwn = false,
): CaddyConfig | null {
  const own = view.machines.get(self);
  if (own === undefined || !own.hasIngress) return null;
  const routes = listRoutes(view);
  const ownSites = leavesOutOwn ? [] : placeSites(view);
  if (routes.length === 0 && listOwnSites(view).length === 0) return null;
  const index = indexEndpoints(view);
  const proxy = (route: IngressRoute): Json =>
    hasUpstream(route, index) ? proxyRoute(view, route) : emptyRoute(route);
  const byPort = new Map<number, IngressRoute[]>();
  for (const route of routes) {
    byPort.set(route.listenPort, [...(byPort.get(route.listenPort) ?? []), route]);
  }
  const secured = routes.filter((route) => route.protocol === 'https');
  const isAnySecure = secured.length > 0 || ownSites.some(({ isSecure }) => isSecure);
  for (const { port } of ownSites) if (!byPort.has(port)) byPort.set(port, []);
  if (isAnySecure && !byPort.has(80)) byPort.set(80, []);

  const servers: Record<string, Json> = {};
  for (const [port, list] of [...byPort].sort(([a], [b]) => a - b)) {
    // One port speaks one protocol; where both are asked for, TLS wins and http hosts move into it.
    const sites = ownSites.filter((site) => site.port === port);
    const isSecure =
      list.some((route) => route.protocol === 'https') || sites.some((site) => site.isSecure);
    const ownRoutes = sites.flatMap((site) => site.routes);
    servers[`port-${port}`] = {
      listen: [`:${port}`],
      routes: [
        ...list.filter(isNamed).map(proxy),
        ...ownRoutes.filter((route) => hostsOfRoute(route).length > 0),
        ...(port === 80 ? redirects(secured, list) : []),
        ...(port === 80 ? ownRedirects(ownSites) : []),
        ...list.filter((route) => !isNamed(route)).map(proxy),
        ...ownRoutes.filter((route) => hostsOfRoute(route).length === 0),
        notFound,
      ],
      automatic_https: isSecure ? { disable_redirects: true } : { disable: true },
    };
  }
  return {
    admin: {
      listen: `unix/${caddyAdminSocket}`,
      origins: ['localhost'],
      config: { persist: false },
    },
    logging: { logs: { default: { level: 'WARN' } } },
    storage: { module: 'file_system', root: caddyStorageFolder },
    apps: {
      http: { grace_period: nanoseconds(gracePeriodMs), servers },
      ...(isAnySecure ? certificates(secured, policiesOf(view, leavesOutOwn)) : {}),
    },
  };
}

interface PlacedSite {
  readonly port: number;
  readonly isSecure: boolean;
  readonly routes: readonly Json[];
}

/** Sites of services' own, with this cluster's upstreams in them. */
function placeSites(view: View): readonly PlacedSite[] {
  return listOwnSites(view).flatMap(({ project, caddy }) => {
    const dialsOf = ({ service, port }: CaddyTarget): readonly string[] =>
      upstreamNames(view, { project, service, targetPort: port }).map(dialOf);
    return caddy.sites.map((site) => ({
      ...site,
      routes: site.routes.map((route) => withUpstreams(route, dialsOf, retries)),
    }));
  });
}

function policiesOf(view: View, leavesOutOwn: boolean): readonly Json[] {
  return leavesOutOwn ? [] : listOwnSites(view).flatMap(({ caddy }) => caddy.policies);
}

function ownRedirects(sites: readonly PlacedSite[]): readonly Json[] {
  const plain = new Set(
    sites.filter(({ isSecure }) => !isSecure).flatMap(({ routes }) => routes.flatMap(hostsOfRoute)),
  );
  const hosts = sites
    .filter(({ isSecure, port }) => isSecure && port === 443)
    .flatMap(({ routes }) => routes.flatMap(hostsOfRoute))
    .filter((host) => !plain.has(host));
  return [...new Set(hosts)].sort(compareText).map((host) => hostRoute(host, toHttps));
}

function dialOf(name: string): string {
  return `{file.${caddyUpstreamFolder}/${name}}`;
}

function isNamed(route: IngressRoute): boolean {
  return route.hostname !== undefined;
}

const retries = {
  try_duration: nanoseconds(tryDurationMs),
  try_interval: nanoseconds(tryIntervalMs),
};

const toHttps: Json = {
  handler: 'static_response',
  status_code: 308,
  headers: { Location: ['https://{http.request.host}{http.request.uri}'] },
};

const passive: Json = { fail_duration: nanoseconds(failDurationMs), max_fails: 1 };

function emptyRoute({ hostname, service }: IngressRoute): Json {
  return hostRoute(hostname, textResponse(503, `tsc-compose: ${service} has no running replica\n`));
}

function proxyRoute(view: View, route: IngressRoute): Json {
  const names = upstreamNames(view, route);
  return hostRoute(route.hostname, {
    handler: 'reverse_proxy',
    upstreams: names.map((name) => ({ dial: dialOf(name) })),
    load_balancing: { selection_policy: { policy: 'round_robin' }, ...retries },
    // Of a single slot nothing is won by avoiding it, and its next address would wait.
    ...(names.length === 1 ? {} : { health_checks: { passive } }),
    transport: { protocol: 'http', dial_timeout: nanoseconds(dialTimeoutMs) },
  });
}

function redirects(secured: readonly IngressRoute[], plain: readonly IngressRoute[]): Json[] {
  const taken = new Set(plain.map((route) => route.hostname));
  // Only the usual port can be redirected to: a browser would not guess another one.
  return secured
    .filter((route) => route.listenPort === 443 && !taken.has(route.hostname))
    .map((route) => hostRoute(route.hostname, toHttps));
}

function hostRoute(hostname: string | undefined, handler: Json): Json {
  return {
    ...(hostname === undefined ? {} : { match: [{ host: [hostname] }] }),
    handle: [handler],
    terminal: true,
  };
}

function textResponse(status: number, body: string): Json {
  return {
    handler: 'static_response',
    status_code: status,
    headers: { 'Content-Type': ['text/plain; charset=utf-8'] },
    body,
  };
}

const notFound: Json = { handle: [textResponse(404, 'tsc-compose: no service for this host\n')] };

function certificates(
  secured: readonly IngressRoute[],
  ownPolicies: readonly Json[],
): { readonly [app: string]: Json } {
  const names = [...new Set(secured.flatMap((route) => route.hostname ?? []))].sort(compareText);
  const internal = names.filter(isPrivateName);
  const policies = [
    ...(internal.length === 0 ? [] : [{ subjects: internal, issuers: [{ module: 'internal' }] }]),
    ...ownPolicies,
  ];
  if (policies.length === 0) return {};
  return {
    tls: { automation: { policies } },
    // The authority's root stays in its storage: the machine's own trust store is not ours.
    pki: { certificate_authorities: { local: { install_trust: false } } },
  };
}

function isPrivateName(name: string): boolean {
  return (
    !name.includes('.') ||
    privateSuffixes.some((suffix) => name === suffix || name.endsWith(`.${suffix}`))
  );
}

/** Caddy's JSON takes durations as nanoseconds. */
function nanoseconds(durationMs: number): number {
  return durationMs * 1_000_000;
}
