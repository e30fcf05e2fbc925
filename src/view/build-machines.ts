/**
 * Who is a member and what it is called. A machine counts when its own record is there, names the
 * admission that let it in, and no `x/` record removed it. Two rules break ties, both by the order
 * of admission, which never changes: of two equal names the later one is shown with a number, of
 * two equal subnets the later machine gets no containers until it has been renumbered.
 * Weights count once every member's agent knows them.
 *
 * Most ticks change nothing of this. Who the members are is read anew when a list of the records that
 * say so is another object, and a machine that is as it was at the last tick is the same object.
 */
import { meshIp } from '../lib/mesh-address.ts';
import type { MachineId } from '../model/ids.ts';
import type {
  Entry,
  LinksRecord,
  MachineOptionsRecord,
  MachineRecord,
  RecordReader,
} from '../model/record.ts';
import { recordKey } from '../model/record.ts';
import type { Liveness, MachineView, ViewContext } from '../model/view.ts';
import { compareText } from './order.ts';
import { firstAddress, isLinks, isMachineOptions, isMachineRecord } from './record-checks.ts';
import { weightOf, weightPlanVersion } from './weight.ts';

type Report = (key: string, why: string) => void;

type Machines = ReadonlyMap<MachineId, MachineView>;

/** What changes from moment to moment. */
type Presence = Pick<MachineView, 'liveness' | 'isAble' | 'unableSinceMs' | 'connectedSinceMs'>;

/** What the machine and its operators say. */
type Member = Omit<MachineView, keyof Presence>;

/** The last answer for a set of records, and the lists that its members were read from. */
interface Built {
  readonly lists: readonly Iterable<Entry>[];
  readonly members: readonly Member[];
  readonly problems: readonly Parameters<Report>[];
  machines: Machines;
}

const built = new WeakMap<RecordReader, Built>();

/** All members by id, in order of id; the same object as long as nothing of them has changed. */
export function buildMachines(
  records: RecordReader,
  context: ViewContext,
  report: Report,
): Machines {
  const lists = ['m/', 'mo/', 'x/'].map((prefix) => records.entries(prefix));
  let known = built.get(records);
  if (known === undefined || known.lists.some((list, at) => list !== lists[at])) {
    const problems: Parameters<Report>[] = [];
    const members = readMembers(records, lists[0] ?? [], (...problem) => problems.push(problem));
    known = { lists, members, problems, machines: new Map() };
    built.set(records, known);
  }
  for (const problem of known.problems) report(...problem);
  const before = known.machines;
  const links = readLinks(records.entries('links/'));
  const machines = known.members.map((member) => {
    const { id } = member;
    const list = links.get(id);
    if (list === 'malformed') report(recordKey.links(id), 'is not a list of links');
    const presence = presenceOf(id, links, livenessOf(context, id));
    const last = before.get(id);
    return last !== undefined && isAsBefore(last, presence) ? last : { ...member, ...presence };
  });
  const isSame = machines.every((machine) => before.get(machine.id) === machine);
  if (!isSame) known.machines = new Map(machines.map((machine) => [machine.id, machine]));
  return known.machines;
}

function isAsBefore(last: MachineView, presence: Presence): boolean {
  return (
    last.liveness === presence.liveness &&
    last.isAble === presence.isAble &&
    last.unableSinceMs === presence.unableSinceMs &&
    last.connectedSinceMs === presence.connectedSinceMs
  );
}

function presenceOf(id: MachineId, links: Links, liveness: Liveness): Presence {
  const own = links.get(id);
  const { able = true, unableSinceMs } = own === undefined || own === 'malformed' ? {} : own;
  return {
    liveness,
    isAble: able,
    ...(able || unableSinceMs === undefined ? {} : { unableSinceMs }),
    connectedSinceMs: connectedSince(links, id),
  };
}

function readMembers(
  records: RecordReader,
  entries: Iterable<Entry>,
  report: Report,
): readonly Member[] {
  const members: Member[] = [];
  for (const entry of entries) {
    const { value, origin } = entry;
    if (value === null) continue;
    if (!isMachineRecord(value)) {
      report(entry.key, 'is not a machine');
    } else if (entry.key !== recordKey.machine(origin) || value.admission.machine !== origin) {
      report(entry.key, 'was not written by the machine it names');
    } else if ((records.get(recordKey.removed(origin))?.value ?? null) === null) {
      members.push(memberOf(origin, value, readOptions(records, origin, report)));
    }
  }
  members.sort((left, right) => compareText(left.id, right.id));
  return settleWeights(settleTies(members));
}

function memberOf(id: MachineId, record: MachineRecord, options: MachineOptionsRecord): Member {
  return {
    id,
    name: options.name ?? record.name,
    labels: options.labels ?? {},
    publicKey: record.publicKey,
    wgPublicKey: record.wgPublicKey,
    meshIp: meshIp(record.wgPublicKey),
    endpoints: record.endpoints,
    subnet: record.admission.subnet,
    gatewayIp: firstAddress(record.admission.subnet) ?? '',
    range: record.admission.range,
    platform: record.platform,
    cpuCount: record.cpuCount,
    memoryBytes: record.memoryBytes,
    versions: record.versions,
    engineLabels: record.engineLabels ?? {},
    resources: { ...record.resources, ...options.resources },
    weight: options.weight ?? weightOf(record.cpuCount, record.memoryBytes),
    bootedAtMs: record.bootedAtMs ?? 0,
    admittedHlc: record.admission.hlc,
    isDrained: options.drain ?? false,
    hasIngress: options.ingress ?? true,
    publishes: options.publish ?? true,
  };
}

/** Agents that know no weights would place the same slots elsewhere: then all machines are equal. */
function settleWeights(machines: readonly Member[]): readonly Member[] {
  const areKnown = machines.every((machine) => machine.versions.plan >= weightPlanVersion);
  return areKnown ? machines : machines.map((machine) => ({ ...machine, weight: 1 }));
}

/** A member nobody has heard of yet is silent, but has not been so for long. */
function livenessOf(context: ViewContext, id: MachineId): Liveness {
  return id === context.self ? 'reachable' : (context.liveness.get(id) ?? 'unreachable');
}

function readOptions(records: RecordReader, id: MachineId, report: Report): MachineOptionsRecord {
  const key = recordKey.machineOptions(id);
  const value = records.get(key)?.value ?? null;
  if (value === null) return {};
  if (isMachineOptions(value)) return value;
  report(key, 'is not a set of machine options');
  return {};
}

/** Lists of links by machine, members or not. */
type Links = ReadonlyMap<string, LinksRecord | 'malformed'>;

/** A list of entries never changes (RecordReader). */
const knownLinks = new WeakMap<Iterable<Entry>, Links>();

function readLinks(entries: Iterable<Entry>): Links {
  const known = knownLinks.get(entries);
  if (known !== undefined) return known;
  const links = new Map<string, LinksRecord | 'malformed'>();
  for (const { key, value } of entries) {
    if (value !== null) links.set(key.slice('links/'.length), isLinks(value) ? value : 'malformed');
  }
  knownLinks.set(entries, links);
  return links;
}

/**
 * The age of the machine's oldest link that both ends list; a link is as young as its younger end
 * says, so that both ends of an only link are the same age.
 */
function connectedSince(links: Links, id: MachineId): number {
  let oldestMs = Number.POSITIVE_INFINITY;
  for (const [machine, sinceMs] of sinceByPeer(links.get(id))) {
    const otherSinceMs = sinceByPeer(links.get(machine)).get(id);
    if (otherSinceMs !== undefined) oldestMs = Math.min(oldestMs, Math.max(sinceMs, otherSinceMs));
  }
  return oldestMs === Number.POSITIVE_INFINITY ? 0 : oldestMs;
}

type SinceByPeer = ReadonlyMap<MachineId, number>;

const noLinks: SinceByPeer = new Map();
const knownSince = new WeakMap<LinksRecord, SinceByPeer>();

/** Since when a list has each link: every machine on it asks for its own. */
function sinceByPeer(links: LinksRecord | 'malformed' | undefined): SinceByPeer {
  if (links === undefined || links === 'malformed') return noLinks;
  let since = knownSince.get(links);
  if (since === undefined) {
    // From the end, so that of two of one machine the first one counts.
    since = new Map(links.up.map((link) => [link.machine, link.sinceMs] as const).reverse());
    knownSince.set(links, since);
  }
  return since;
}

function settleTies(machines: readonly Member[]): readonly Member[] {
  const names = new Map<string, number>();
  const subnets = new Set<string>();
  const settled = new Map<MachineId, Member>();
  const byAdmission = [...machines].sort(
    (left, right) => left.admittedHlc - right.admittedHlc || compareText(left.id, right.id),
  );
  const taken = new Set(machines.map((machine) => machine.name));
  for (const machine of byAdmission) {
    let count = (names.get(machine.name) ?? 0) + 1;
    let name = machine.name;
    while (count > 1 && taken.has(`${machine.name}-${count}`)) count += 1;
    if (count > 1) name = `${machine.name}-${count}`;
    names.set(machine.name, count);
    taken.add(name);
    const isSecond = subnets.has(machine.subnet);
    subnets.add(machine.subnet);
    settled.set(machine.id, { ...machine, name, isDrained: machine.isDrained || isSecond });
  }
  return machines.map((machine) => settled.get(machine.id) ?? machine);
}
