/**
 * What a replica takes from its machine, read once per definition: reservations, host ports, things
 * that are counted. CPUs, memory and generic resources are used up by the replicas that reserve
 * them; devices are not: replicas share a GPU, as they do on one engine, so a machine only has to
 * have as many as one replica asks for.
 */
import { parseBytes } from '../lib/bytes.ts';
import type { Service } from '../model/project.ts';
import { hostPortsOf, type OpenPort } from './published.ts';

export interface Needs {
  readonly cpuCount: number;
  readonly memoryBytes: number;
  /** Generic resources by kind. */
  readonly resources: Readonly<Record<string, number>>;
  /** Devices by kind ("gpu"). */
  readonly devices: Readonly<Record<string, number>>;
  readonly hostPorts: readonly OpenPort[];
  /** `max_replicas_per_node`; 0: no limit. */
  readonly maxPerMachine: number;
}

/** Definitions never change, and are asked about at every decision. */
const known = new WeakMap<Service, Needs>();

export function needsOf(spec: Service): Needs {
  let needs = known.get(spec);
  if (needs === undefined) {
    needs = readNeeds(spec);
    known.set(spec, needs);
  }
  return needs;
}

/** Whether a machine may be too full for it. */
export function hasNeeds(spec: Service): boolean {
  const { cpuCount, memoryBytes, resources, hostPorts } = needsOf(spec);
  return (
    cpuCount > 0 || memoryBytes > 0 || hostPorts.length > 0 || Object.keys(resources).length > 0
  );
}

function readNeeds(spec: Service): Needs {
  const reserved = spec.deploy?.resources?.reservations ?? {};
  const cpuCount = Number(reserved['cpus'] ?? 0);
  const text = reserved['memory'];
  const memory = parseBytes(typeof text === 'string' ? text : '0');
  return {
    cpuCount: Number.isFinite(cpuCount) ? cpuCount : 0,
    memoryBytes: typeof memory === 'bigint' ? Number(memory) : 0,
    resources: sumOf(listOf(reserved['generic_resources']).flatMap(genericResource)),
    devices: mostOf([
      ...listOf(reserved['devices']).flatMap((device) => deviceRequest(device, [])),
      ...listOf(spec['gpus']).flatMap((device) => deviceRequest(device, ['gpu'])),
    ]),
    hostPorts: hostPortsOf(spec),
    maxPerMachine: spec.deploy?.placement?.max_replicas_per_node ?? 0,
  };
}

type Counted = readonly [kind: string, count: number];

function genericResource(entry: Fields): readonly Counted[] {
  const discrete = entry['discrete_resource_spec'];
  if (!isFields(discrete)) return [];
  const { kind, value } = discrete;
  const count = Number(value ?? 0);
  return typeof kind === 'string' && Number.isFinite(count) && count > 0 ? [[kind, count]] : [];
}

/** Of a device only its kind and how many; without a number, or with -1, all that there are. */
function deviceRequest(entry: Fields, always: readonly string[]): readonly Counted[] {
  const kind = deviceKind([...textsOf(entry['capabilities']), ...always], entry['driver']);
  if (kind === undefined) return [];
  const ids = textsOf(entry['device_ids']);
  const count = Number(entry['count'] ?? ids.length);
  return [[kind, Number.isFinite(count) && count > 1 ? count : 1]];
}

/** Capabilities such as "compute" only say what of a device is wanted. */
function deviceKind(capabilities: readonly string[], driver: unknown): string | undefined {
  if (capabilities.some((word) => word === 'gpu' || word === 'nvidia')) return 'gpu';
  if (capabilities.includes('tpu')) return 'tpu';
  return typeof driver === 'string' && driver !== '' ? driver : capabilities[0];
}

function sumOf(counted: readonly Counted[]): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const [kind, count] of counted) sums[kind] = (sums[kind] ?? 0) + count;
  return sums;
}

function mostOf(counted: readonly Counted[]): Readonly<Record<string, number>> {
  const most: Record<string, number> = {};
  for (const [kind, count] of counted) most[kind] = Math.max(most[kind] ?? 0, count);
  return most;
}

type Fields = Readonly<Record<string, unknown>>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly Fields[] {
  return Array.isArray(value) ? value.filter(isFields) : [];
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
