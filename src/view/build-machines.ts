/**
 * Who is a member and what it is called. A machine counts when its own record is there, names the
 * admission that let it in, and no `x/` record removed it. Two rules break ties, both by the order
 * of admission, which never changes: of two equal names the later one is shown with a number, of
 * two equal subnets the later machine gets no containers until it has been renumbered.
 * Weights count once every member's agent knows them.
 */
import { meshIp } from '../lib/mesh-address.ts';
import type { MachineId } from '../model/ids.ts';
import type {
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

/** All members by id, in order of id. */
export function buildMachines(
  records: RecordReader,
  context: ViewContext,
  report: Report,
): ReadonlyMap<MachineId, MachineView> {
  const machines: MachineView[] = [];
  for (const entry of records.entries('m/')) {
    const { value, origin } = entry;
    if (value === null) continue;
    if (!isMachineRecord(value)) {
      report(entry.key, 'is not a machine');
    } else if (entry.key !== recordKey.machine(origin) || value.admission.machine !== origin) {
      report(entry.key, 'was not written by the machine it names');
    } else if ((records.get(recordKey.removed(origin))?.value ?? null) === null) {
      const links = readLinks(records, origin, report);
      machines.push(
        machineView(origin, value, {
          options: readOptions(records, origin, report),
          liveness: livenessOf(context, origin),
          isAble: links?.able ?? true,
          unableSinceMs: links?.able === false ? links.unableSinceMs : undefined,
          connectedSinceMs: connectedSince(records, origin),
        }),
      );
    }
  }
  machines.sort((left, right) => compareText(left.id, right.id));
  const settled = settleWeights(settleTies(machines));
  return new Map(settled.map((machine) => [machine.id, machine]));
}

interface Parts {
  readonly options: MachineOptionsRecord;
  readonly liveness: Liveness;
  readonly isAble: boolean;
  readonly unableSinceMs: number | undefined;
  readonly connectedSinceMs: number;
}

function machineView(id: MachineId, record: MachineRecord, parts: Parts): MachineView {
  const { options, liveness, isAble, unableSinceMs, connectedSinceMs } = parts;
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
    liveness,
    isAble,
    ...(unableSinceMs === undefined ? {} : { unableSinceMs }),
    connectedSinceMs,
  };
}

/** Agents that know no weights would place the same slots elsewhere: then all machines are equal. */
function settleWeights(machines: readonly MachineView[]): readonly MachineView[] {
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

function readLinks(
  records: RecordReader,
  id: MachineId,
  report: Report = () => undefined,
): LinksRecord | undefined {
  const key = recordKey.links(id);
  const value = records.get(key)?.value ?? null;
  if (value === null) return undefined;
  if (isLinks(value)) return value;
  report(key, 'is not a list of links');
  return undefined;
}

/**
 * The age of the machine's oldest link that both ends list; a link is as young as its younger end
 * says, so that both ends of an only link are the same age.
 */
function connectedSince(records: RecordReader, id: MachineId): number {
  const ages = (readLinks(records, id)?.up ?? []).flatMap(({ machine, sinceMs }) => {
    const other = readLinks(records, machine)?.up.find((link) => link.machine === id);
    return other === undefined ? [] : [Math.max(sinceMs, other.sinceMs)];
  });
  return ages.length === 0 ? 0 : Math.min(...ages);
}

function settleTies(machines: readonly MachineView[]): readonly MachineView[] {
  const names = new Map<string, number>();
  const subnets = new Set<string>();
  const settled = new Map<MachineId, MachineView>();
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
