/**
 * Answers one question from the table: pure, so that the server only moves packets.
 *
 * Order of search: the asker's own project; `<name>.<project>` of another; other projects that
 * share a network with the asker. An address is told only to those who share a network with it, as
 * the firewall would drop the packets of others. Machines themselves are told everything.
 */
import { isInSubnet, parseSubnet } from './addresses.ts';
import type {
  DnsAnswer,
  DnsAsker,
  DnsEndpoint,
  DnsName,
  DnsQuestion,
  DnsRecord,
  DnsTable,
} from './dns-table.ts';

const forwardToMachine: DnsAnswer = { type: 'forward', upstreams: [] };
const suffix = '.internal';

/**
 * Answers a question.
 * @param random from 0 up to 1: where the rotation of the addresses starts
 */
export function answer(
  table: DnsTable,
  askerIp: string,
  question: DnsQuestion,
  random: number,
): DnsAnswer {
  const asker = entryOf(table.askers, askerIp);
  const isMachine = isMachineAddress(table, askerIp);
  const range = parseSubnet(table.range);
  if (asker === undefined && !isMachine) {
    return isInSubnet(range, askerIp) ? { type: 'unknown-asker' } : { type: 'refuse' };
  }
  const name = question.name.toLowerCase().replace(/\.$/, '');
  const reverseIp = parseReverse(name);
  if (reverseIp !== undefined && isInSubnet(range, reverseIp)) {
    return answerReverse(table, asker, { ...question, name }, reverseIp);
  }
  const plain = name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
  const machineIp = entryOf(table.machines, plain);
  if (machineIp !== undefined) {
    const isAsked = question.type === 'A';
    return records(isAsked ? [{ type: 'A', name: question.name, address: machineIp }] : []);
  }
  const service = parseService(plain);
  const found = findName(table, asker, service?.name ?? plain);
  if (found === undefined) return forward(asker);
  const visible = found.endpoints.filter((endpoint) => mayKnow(asker, endpoint));
  if (visible.length === 0 && found.endpoints.length > 0) return { type: 'nxdomain' };
  const order = plain.startsWith('nearest.')
    ? nearestFirst(table, visible, random)
    : rotate(visible, random);
  if (question.type === 'A' && service === undefined) {
    return records(
      order.map((endpoint) => ({ type: 'A', name: question.name, address: endpoint.ip })),
    );
  }
  if (question.type === 'SRV') return answerService(found, order, question.name, service);
  return records([]);
}

/** Forwarding to the asker's own servers, if its service names some. */
function forward(asker: DnsAsker | undefined): DnsAnswer {
  if (asker === undefined || asker.upstreams.length === 0) return forwardToMachine;
  return { type: 'forward', upstreams: asker.upstreams };
}

/** A machine asks from its gateway address: its own resolver for that, others over the mesh. */
function isMachineAddress(table: DnsTable, ip: string): boolean {
  return ip === table.gatewayIp || Object.values(table.machines).includes(ip);
}

function findName(table: DnsTable, asker: DnsAsker | undefined, name: string): DnsName | undefined {
  const own = asker === undefined ? undefined : nameIn(table, asker.project, name);
  if (own !== undefined && (own.endpoints.length === 0 || isVisible(asker, own))) return own;
  const hidden: DnsName[] = own === undefined ? [] : [own];
  const qualified = findQualified(table, name);
  if (qualified !== undefined) {
    if (isVisible(asker, qualified)) return qualified;
    hidden.push(qualified);
  }
  for (const project of Object.keys(table.names)) {
    const entry = project === asker?.project ? undefined : nameIn(table, project, name);
    // A bare name of another project is shared by a common network only; machines must qualify it.
    if (entry !== undefined && asker !== undefined && isVisible(asker, entry)) return entry;
  }
  return hidden[0];
}

/** `web.shop` and `tasks.web.shop`; a service's name may itself contain dots. */
function findQualified(table: DnsTable, name: string): DnsName | undefined {
  for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1)) {
    const entry = nameIn(table, name.slice(dot + 1), name.slice(0, dot));
    if (entry !== undefined) return entry;
  }
  return undefined;
}

function nameIn(table: DnsTable, project: string, name: string): DnsName | undefined {
  const names = entryOf(table.names, project);
  return names === undefined ? undefined : entryOf(names, name);
}

/** Names come from the wire: "constructor" must not find what every object inherits. */
function entryOf<T>(entries: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(entries, key) ? entries[key] : undefined;
}

function isVisible(asker: DnsAsker | undefined, entry: DnsName): boolean {
  return entry.endpoints.some((endpoint) => mayKnow(asker, endpoint)) || asker === undefined;
}

function mayKnow(asker: DnsAsker | undefined, endpoint: DnsEndpoint): boolean {
  return (
    asker === undefined || endpoint.networks.some((network) => asker.networks.includes(network))
  );
}

function answerReverse(
  table: DnsTable,
  asker: DnsAsker | undefined,
  question: DnsQuestion,
  ip: string,
): DnsAnswer {
  const endpoint = entryOf(table.reverse, ip);
  const isGateway = endpoint?.networks.length === 0 && Object.values(table.machines).includes(ip);
  if (endpoint === undefined || !(isGateway || mayKnow(asker, endpoint))) {
    return { type: 'nxdomain' };
  }
  if (question.type !== 'PTR') return records([]);
  return records([{ type: 'PTR', name: question.name, target: endpoint.target }]);
}

interface ServiceQuestion {
  readonly port: string;
  readonly protocol: string;
  readonly name: string;
}

/** `_http._tcp.web`: the port's name or number, the protocol, the service. */
function parseService(name: string): ServiceQuestion | undefined {
  const match = /^_([^.]+)\._(tcp|udp)\.(.+)$/.exec(name);
  if (match === null) return undefined;
  return { port: match[1] ?? '', protocol: match[2] ?? '', name: match[3] ?? '' };
}

function answerService(
  found: DnsName,
  endpoints: readonly DnsEndpoint[],
  name: string,
  asked: ServiceQuestion | undefined,
): DnsAnswer {
  const ports = found.ports.filter(
    (port) =>
      asked === undefined ||
      (port.protocol === asked.protocol &&
        (port.names.includes(asked.port) || `${port.port}` === asked.port)),
  );
  const answers = ports.flatMap(({ port }) =>
    endpoints.map(({ target }): DnsRecord => ({ type: 'SRV', name, target, port })),
  );
  const additionals = endpoints.map(
    ({ target, ip }): DnsRecord => ({ type: 'A', name: target, address: ip }),
  );
  return {
    type: 'records',
    records: answers,
    additionals: answers.length > 0 ? additionals : [],
  };
}

function records(list: readonly DnsRecord[]): DnsAnswer {
  return { type: 'records', records: list, additionals: [] };
}

function rotate<T>(list: readonly T[], random: number): readonly T[] {
  const start = Math.floor(random * list.length);
  return [...list.slice(start), ...list.slice(0, start)];
}

function nearestFirst(
  table: DnsTable,
  endpoints: readonly DnsEndpoint[],
  random: number,
): readonly DnsEndpoint[] {
  const subnet = parseSubnet(table.subnet);
  const here = endpoints.filter((endpoint) => isInSubnet(subnet, endpoint.ip));
  const there = endpoints.filter((endpoint) => !isInSubnet(subnet, endpoint.ip));
  return [...rotate(here, random), ...rotate(there, random)];
}

/** The address in `4.3.2.1.in-addr.arpa`. */
function parseReverse(name: string): string | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  return match === null ? undefined : `${match[4]}.${match[3]}.${match[2]}.${match[1]}`;
}
