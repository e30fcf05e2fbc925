/**
 * Names that containers may ask for, and their addresses. Which project asks is known from the
 * asker's address, so two projects may use the same names.
 *
 * Names of a service, its aliases and `<service>.<network>` lead to the usable replicas;
 * `tasks.<service>`, slots, host and container names to all running ones, because clustered
 * software must find its peers before it is healthy. A defined service always has an entry.
 * The names `rr.<service>`, `nearest.<service>` and `<machine>.m.<service>` are Uncloud's.
 */
import type { MachineId } from '../model/ids.ts';
import type { ContainerView, ServiceView, View } from '../model/view.ts';
import { secondResolverIp } from './addresses.ts';
import type { DnsAsker, DnsEndpoint, DnsName, DnsPort, DnsTable } from './dns-table.ts';
import {
  hasAddress,
  indexEndpoints,
  networkKey,
  networksOf,
  type ServiceEndpoints,
} from './endpoints.ts';
import { compareText } from './text.ts';
import { usableXPorts } from './x-ports.ts';

/** Renders the table; null while this machine is not a member. */
export function renderDns(view: View, self: MachineId): DnsTable | null {
  const own = view.machines.get(self);
  if (own === undefined) return null;
  const index = indexEndpoints(view);
  const names: Record<string, Record<string, DnsName>> = {};
  for (const [project, services] of index) {
    const book = new NameBook();
    for (const [service, endpoints] of services) {
      const definition = view.projects.get(project)?.services.get(service);
      addService(book, view, { project, service, definition, endpoints });
    }
    names[project] = book.finish();
  }
  return {
    gatewayIp: own.gatewayIp,
    subnet: own.subnet,
    range: own.range,
    secondIp: secondResolverIp,
    askers: listAskers(view),
    names,
    machines: listMachines(view),
    reverse: listReverse(view),
  };
}

interface NamedService {
  readonly project: string;
  readonly service: string;
  readonly definition: ServiceView | undefined;
  readonly endpoints: ServiceEndpoints;
}

function addService(book: NameBook, view: View, named: NamedService): void {
  const { project, service, definition, endpoints } = named;
  const everywhere = (containers: readonly ContainerView[]) =>
    oneOfEachAddress(containers.map((container) => endpointOf(view, container)));
  const usable = everywhere(endpoints.usable);
  const ports = portsOf(definition);

  book.add(service, 'usable', usable, ports);
  book.add(`rr.${service}`, 'usable', usable, ports);
  book.add(`nearest.${service}`, 'usable', usable, ports);
  book.add(`tasks.${service}`, 'running', everywhere(endpoints.running), ports);

  for (const [network, aliases] of networkAliases(definition, endpoints)) {
    const key = networkKey(definition, project, network);
    const here = oneOfEachAddress(
      endpoints.usable
        .filter((container) => network in container.networks)
        .map((container) => ({ ...endpointOf(view, container), networks: [key] })),
    );
    for (const alias of aliases) book.add(alias, 'usable', here, ports);
    book.add(`${service}.${network}`, 'usable', here, ports);
    if (key !== network) book.add(`${service}.${key}`, 'usable', here, ports);
  }

  const { hostname, container_name: fixedName } = definition?.spec ?? {};
  if (hostname !== undefined) book.add(hostname, 'running', [], []);
  if (fixedName !== undefined) book.add(fixedName, 'running', [], []);
  for (const container of endpoints.running) {
    const endpoint = [endpointOf(view, container)];
    book.add(container.name, 'running', endpoint, []);
    book.add(`${service}-${container.slot}`, 'running', endpoint, []);
    book.add(`${container.slot}.${service}`, 'running', endpoint, []);
    for (const alias of container.aliases) book.add(alias, 'running', endpoint, []);
    if (hostname !== undefined) book.add(hostname, 'running', endpoint, []);
    const machine = view.machines.get(container.machine);
    for (const name of [machine?.name, machine?.id]) {
      if (name !== undefined) book.add(`${name}.m.${service}`, 'running', endpoint, ports);
    }
  }
}

/** Aliases by network, from the definition (known before any container) and from containers. */
function networkAliases(
  definition: ServiceView | undefined,
  endpoints: ServiceEndpoints,
): ReadonlyMap<string, ReadonlySet<string>> {
  const found = new Map<string, Set<string>>();
  const add = (network: string, aliases: readonly string[]) => {
    const set = found.get(network) ?? new Set();
    found.set(network, set);
    for (const alias of aliases) set.add(alias);
  };
  for (const [network, options] of Object.entries(definition?.spec.networks ?? {})) {
    add(network, options?.aliases ?? []);
  }
  for (const container of endpoints.usable) {
    for (const [network, aliases] of Object.entries(container.networks)) add(network, aliases);
  }
  return found;
}

function endpointOf(view: View, container: ContainerView): DnsEndpoint {
  return {
    ip: container.ip,
    networks: networksOf(view, container),
    target: `${container.name}.internal`.toLowerCase(),
  };
}

function portsOf(definition: ServiceView | undefined): readonly DnsPort[] {
  if (definition === undefined) return [];
  const ports = new Map<string, DnsPort>();
  const add = (port: number, protocol: string, names: readonly (string | undefined)[]) => {
    if (!(port > 0) || (protocol !== 'tcp' && protocol !== 'udp')) return;
    const key = `${port}/${protocol}`;
    const all = [...(ports.get(key)?.names ?? []), ...names.filter((name) => name !== undefined)];
    ports.set(key, { port, protocol, names: [...new Set(all)] });
  };
  for (const port of definition.spec.ports ?? []) {
    add(port.target, port.protocol ?? 'tcp', [port.name, port.app_protocol]);
  }
  for (const text of definition.spec.expose ?? []) {
    const [port = '', protocol = 'tcp'] = text.split('/');
    add(Number(port), protocol, []);
  }
  for (const port of usableXPorts(definition.spec['x-ports'])) {
    const isHttp = port.protocol === 'http' || port.protocol === 'https';
    add(port.targetPort, isHttp ? 'tcp' : port.protocol, isHttp ? ['http'] : []);
  }
  return [...ports.values()].sort((a, b) => a.port - b.port || compareText(a.protocol, b.protocol));
}

function listAskers(view: View): Readonly<Record<string, DnsAsker>> {
  const askers: Record<string, DnsAsker> = {};
  for (const container of [...view.containers, ...(view.hookContainers ?? [])]) {
    if (!hasAddress(container)) continue;
    const service = view.projects.get(container.project)?.services.get(container.service);
    askers[container.ip] = {
      project: container.project,
      networks: networksOf(view, container),
      upstreams: service?.spec.dns ?? [],
    };
  }
  return askers;
}

function listMachines(view: View): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const machine of view.machines.values()) {
    for (const name of [machine.id, machine.name]) {
      found[`${name}.m`.toLowerCase()] ??= machine.gatewayIp;
    }
  }
  return found;
}

function listReverse(view: View): Readonly<Record<string, DnsEndpoint>> {
  const found: Record<string, DnsEndpoint> = {};
  for (const container of view.containers) {
    if (hasAddress(container)) found[container.ip] = endpointOf(view, container);
  }
  for (const machine of view.machines.values()) {
    const target = `${machine.name}.m.internal`.toLowerCase();
    found[machine.gatewayIp] = { ip: machine.gatewayIp, networks: [], target };
  }
  return found;
}

interface NamedEndpoints {
  readonly endpoints: DnsEndpoint[];
  readonly ports: readonly DnsPort[];
}

/**
 * Collects the names of one project. A name of usable endpoints is never widened by one of running
 * ones: a hostname equal to the service's name must not bring replicas into traffic that are not
 * ready.
 */
class NameBook {
  readonly #usable = new Map<string, NamedEndpoints>();
  readonly #running = new Map<string, NamedEndpoints>();

  /** @param endpoints none twice with one address */
  add(
    name: string,
    kind: 'usable' | 'running',
    endpoints: readonly DnsEndpoint[],
    ports: readonly DnsPort[],
  ): void {
    const book = kind === 'usable' ? this.#usable : this.#running;
    const key = name.toLowerCase();
    const entry = book.get(key);
    if (entry === undefined) book.set(key, { endpoints: [...endpoints], ports });
    else for (const endpoint of endpoints) addEndpoint(entry.endpoints, endpoint);
  }

  /** In no order: names are asked for one by one. */
  finish(): Readonly<Record<string, DnsName>> {
    return Object.fromEntries([...this.#running, ...this.#usable]);
  }
}

/** Containers that share an address are one endpoint, in the networks of all of them. */
function oneOfEachAddress(endpoints: readonly DnsEndpoint[]): readonly DnsEndpoint[] {
  const found = new Map<string, DnsEndpoint>();
  for (const endpoint of endpoints) {
    const other = found.get(endpoint.ip);
    found.set(endpoint.ip, other === undefined ? endpoint : inNetworksOfBoth(other, endpoint));
  }
  return found.size === endpoints.length ? endpoints : [...found.values()];
}

/** The same for one more. */
function addEndpoint(endpoints: DnsEndpoint[], endpoint: DnsEndpoint): void {
  const at = endpoints.findIndex((other) => other.ip === endpoint.ip);
  const other = endpoints[at];
  if (other === undefined) endpoints.push(endpoint);
  else endpoints[at] = inNetworksOfBoth(other, endpoint);
}

function inNetworksOfBoth(one: DnsEndpoint, other: DnsEndpoint): DnsEndpoint {
  const networks = [...new Set([...one.networks, ...other.networks])].sort(compareText);
  return { ...one, networks };
}
