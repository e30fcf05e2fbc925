/**
 * The `x-caddy` extension in Uncloud's form: a Caddyfile of a service's own, with `{{upstreams}}`
 * where its replicas are meant. The accepting agent lets Caddy translate and check it, once; what is
 * left is routes by port, which every machine's ingress takes in beside its own. So a Caddyfile that
 * is wrong is refused before anything changes, and none can touch what belongs to all: global
 * options, listeners of other addresses, logs and certificates from files are not taken.
 */
import { TscError } from '../lib/errors.ts';
import type { Json, JsonObject, Service } from '../model/project.ts';
import type { CaddySite, CaddySites } from '../model/record.ts';
import { usableXPorts } from './x-ports.ts';

/** Names under this one stand for the replicas of a service until they are written as addresses. */
const upstreamSuffix = '.upstreams.tsc-compose.invalid';

export interface CaddyTarget {
  readonly service: string;
  readonly port: number;
}

/**
 * The Caddyfile of a service; undefined when it has none. A single line is the path of a file, which
 * only the command can read: it must have been replaced by the content.
 * @throws TscError E_COMPOSE_X_CADDY
 */
export function caddyfileOf(name: string, spec: Service): string | undefined {
  const value: unknown = spec['x-caddy'];
  if (value === undefined || value === null) return undefined;
  const config: unknown = typeof value === 'object' ? Reflect.get(value, 'config') : value;
  if (typeof config !== 'string') {
    throw wrong(name, 'it is a Caddyfile, the path of one, or a mapping with "config"');
  }
  const hasRoutes = usableXPorts(spec['x-ports']).some(({ protocol }) =>
    protocol.startsWith('http'),
  );
  if (hasRoutes) throw wrong(name, 'it excludes http and https entries of x-ports');
  return config;
}

/** The path that `x-caddy` names; undefined when it holds the Caddyfile itself. */
export function caddyfilePathOf(name: string, spec: Service): string | undefined {
  const text = caddyfileOf(name, spec);
  return text === undefined || text.includes('\n') ? undefined : text.trim();
}

/**
 * Writes names of upstreams in the place of `{{upstreams [service] [port]}}` and `{{.Name}}`.
 * @throws TscError E_COMPOSE_X_CADDY for other templates, and services that do not exist
 */
export function expandCaddyfile(name: string, text: string, services: readonly string[]): string {
  return text.replace(/\{\{-?\s*(.*?)\s*-?\}\}/gs, (whole, inner: string) => {
    if (inner === '.Name') return name;
    const match = /^upstreams(?:\s+"?([A-Za-z][\w.-]*)"?)?(?:\s+(\d+))?$/.exec(inner);
    if (match === null) throw wrong(name, `the template ${whole} is not known`);
    const [, service = name, port = '80'] = match;
    if (!services.includes(service))
      throw wrong(name, `${whole}: there is no service "${service}"`);
    return `${service}${upstreamSuffix}:${port}`;
  });
}

/**
 * Reads what Caddy made of a Caddyfile.
 * @throws TscError E_COMPOSE_X_CADDY for what would concern more than these routes
 */
export function readAdapted(name: string, adapted: unknown): CaddySites {
  const fail = (what: string): never => {
    throw wrong(name, `${what} cannot be set by one service`);
  };
  const root = objectOf(adapted);
  only(root, ['apps'], fail);
  const apps = objectOf(root['apps']);
  only(apps, ['http', 'tls'], fail);
  const http = objectOf(apps['http']);
  only(http, ['servers'], fail);
  const sites: CaddySite[] = [];
  for (const server of Object.values(objectOf(http['servers'])).map(objectOf)) {
    only(server, ['listen', 'routes', 'automatic_https'], fail);
    const automatic = objectOf(server['automatic_https']);
    const isPlain = automatic['disable'] === true || listOf(automatic['skip']).length > 0;
    for (const address of listOf(server['listen'])) {
      const text = typeof address === 'string' ? address : JSON.stringify(address);
      const port = /^:(\d+)$/.exec(text)?.[1];
      if (port === undefined) return fail(`the address ${text}`);
      const isSecure = port !== '80' && !isPlain;
      sites.push({ port: Number(port), isSecure, routes: listOf(server['routes']) });
    }
  }
  const tls = objectOf(apps['tls']);
  only(tls, ['automation'], fail);
  const automation = objectOf(tls['automation']);
  only(automation, ['policies'], fail);
  const policies = listOf(automation['policies']);
  if (policies.some((policy) => listOf(objectOf(policy)['subjects']).length === 0)) {
    return fail('how all certificates are made');
  }
  return { sites, policies };
}

/** The hosts that the sites of a service answer for, in lower case. */
export function hostsOfSites({ sites }: CaddySites): readonly string[] {
  const hosts = sites.flatMap(({ routes }) => routes.flatMap(hostsOfRoute));
  return [...new Set(hosts.map((host) => host.toLowerCase()))];
}

export function hostsOfRoute(route: Json): readonly string[] {
  return listOf(objectOf(route)['match']).flatMap((match) =>
    listOf(objectOf(match)['host']).map(String),
  );
}

/** Which services, at which ports, the sites pass requests to. */
export function targetsOfSites({ sites }: CaddySites): readonly CaddyTarget[] {
  const found = new Map<string, CaddyTarget>();
  const visit = (value: Json | undefined): void => {
    if (Array.isArray(value)) value.forEach(visit);
    else if (typeof value === 'object' && value !== null) {
      for (const [key, member] of Object.entries(value)) {
        const target = key === 'dial' ? targetOf(member) : undefined;
        if (target !== undefined) found.set(`${target.service}:${target.port}`, target);
        else visit(member);
      }
    }
  };
  for (const { routes } of sites) routes.forEach(visit);
  return [...found.values()];
}

/**
 * Writes the upstreams of a site's routes as they are on this machine.
 * @param dialsOf what stands for one name of upstreams
 * @param balancing for proxies that say nothing about it themselves
 */
export function withUpstreams(
  value: Json,
  dialsOf: (target: CaddyTarget) => readonly string[],
  balancing: Json,
): Json {
  const walk = (part: Json): Json => {
    if (Array.isArray(part)) return part.map(walk);
    if (typeof part !== 'object' || part === null) return part;
    const members = Object.entries(part).flatMap(([key, member]): [string, Json][] => {
      if (member === undefined) return [];
      return [[key, key === 'upstreams' ? upstreams(member) : walk(member)]];
    });
    const result: Record<string, Json> = Object.fromEntries(members);
    if (result['handler'] === 'reverse_proxy') result['load_balancing'] ??= balancing;
    return result;
  };
  const upstreams = (list: Json): Json =>
    listOf(list).flatMap((entry): readonly Json[] => {
      const target = targetOf(objectOf(entry)['dial']);
      if (target === undefined) return [entry];
      return dialsOf(target).map((dial) => ({ ...objectOf(entry), dial }));
    });
  return walk(value);
}

function targetOf(dial: Json | undefined): CaddyTarget | undefined {
  if (typeof dial !== 'string') return undefined;
  const [host = '', port = ''] = dial.split(':');
  if (!host.endsWith(upstreamSuffix)) return undefined;
  return { service: host.slice(0, -upstreamSuffix.length), port: Number(port) };
}

function only(object: JsonObject, known: readonly string[], fail: (what: string) => never): void {
  const other = Object.keys(object).find((key) => !known.includes(key));
  if (other !== undefined) fail(`"${other}"`);
}

/** Caddy leaves out what is empty. */
function objectOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject) // JSON that was parsed: its members are JSON
    : {};
}

function listOf(value: unknown): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : []; // as above
}

function wrong(name: string, why: string): TscError {
  return new TscError('E_COMPOSE_X_CADDY', `services.${name}.x-caddy: ${why}`);
}
