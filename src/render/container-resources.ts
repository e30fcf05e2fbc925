/**
 * Limits, devices and scheduling of a container: the `Resources` part of the engine's host
 * configuration. Keys of the service win over `deploy.resources`; the loader has made sure that
 * they do not contradict each other.
 */
import type { Service } from '../model/project.ts';
import type { DeviceRequestBody, RateBody, ResourcesBody } from './container-body.ts';
import {
  compact,
  flagAt,
  mapAt,
  numberAt,
  objectAt,
  objectsAt,
  textAt,
  textsAt,
} from './container-read.ts';

/** Everything about a container's share of the machine. */
export function renderResources(service: Service): ResourcesBody {
  const limits = service.deploy?.resources?.limits ?? {};
  const reservations = service.deploy?.resources?.reservations ?? {};
  const cpus = numberAt(service, 'cpus') ?? numberAt(limits, 'cpus');
  return compact<ResourcesBody>({
    Memory: numberAt(service, 'mem_limit') ?? numberAt(limits, 'memory'),
    MemoryReservation: numberAt(service, 'mem_reservation') ?? numberAt(reservations, 'memory'),
    MemorySwap: numberAt(service, 'memswap_limit'),
    MemorySwappiness: numberAt(service, 'mem_swappiness'),
    NanoCpus: cpus === undefined ? undefined : Math.round(cpus * 1e9),
    CpuCount: numberAt(service, 'cpu_count'),
    CpuPercent: numberAt(service, 'cpu_percent'),
    CpuShares: numberAt(service, 'cpu_shares'),
    CpuPeriod: numberAt(service, 'cpu_period'),
    CpuQuota: numberAt(service, 'cpu_quota'),
    CpuRealtimePeriod: numberAt(service, 'cpu_rt_period'),
    CpuRealtimeRuntime: numberAt(service, 'cpu_rt_runtime'),
    CpusetCpus: textAt(service, 'cpuset'),
    PidsLimit: numberAt(service, 'pids_limit') ?? numberAt(limits, 'pids'),
    OomKillDisable: flagAt(service, 'oom_kill_disable'),
    OomScoreAdj: numberAt(service, 'oom_score_adj'),
    CgroupParent: textAt(service, 'cgroup_parent'),
    Ulimits: ulimits(service),
    Devices: devices(service),
    DeviceCgroupRules: textsAt(service, 'device_cgroup_rules'),
    DeviceRequests: deviceRequests(service, reservations),
    ...blockDevices(objectAt(service, 'blkio_config') ?? {}),
  });
}

function ulimits(service: Service): ResourcesBody['Ulimits'] | undefined {
  const entries = Object.entries(service.ulimits ?? {});
  if (entries.length === 0) return undefined;
  return entries.map(([name, limit]) =>
    typeof limit === 'number'
      ? { Name: name, Soft: limit, Hard: limit }
      : { Name: name, Soft: limit.soft, Hard: limit.hard },
  );
}

/** Devices by path; names with "=" are CDI devices, which are requested, not mapped. */
function devices(service: Service): ResourcesBody['Devices'] | undefined {
  const mapped = objectsAt(service, 'devices').filter((device) => !isCdi(device));
  if (mapped.length === 0) return undefined;
  return mapped.map((device) => {
    const source = textAt(device, 'source') ?? '';
    return {
      PathOnHost: source,
      PathInContainer: textAt(device, 'target') ?? source,
      CgroupPermissions: textAt(device, 'permissions') ?? 'rwm',
    };
  });
}

function isCdi(device: object): boolean {
  const source = textAt(device, 'source') ?? '';
  return source.includes('=') && source === (textAt(device, 'target') ?? source);
}

function deviceRequests(
  service: Service,
  reservations: object,
): readonly DeviceRequestBody[] | undefined {
  const cdi = objectsAt(service, 'devices').filter(isCdi);
  const requests = [
    ...objectsAt(reservations, 'devices').map((device) => deviceRequest(device, [])),
    ...objectsAt(service, 'gpus').map((device) => deviceRequest(device, ['gpu'])),
    ...(cdi.length === 0
      ? []
      : [
          {
            Driver: 'cdi',
            DeviceIDs: cdi.map((device) => textAt(device, 'source') ?? ''),
            Capabilities: [],
          },
        ]),
  ];
  return requests.length === 0 ? undefined : requests;
}

function deviceRequest(device: object, always: readonly string[]): DeviceRequestBody {
  const capabilities = new Set([...(textsAt(device, 'capabilities') ?? []), ...always]);
  return compact<DeviceRequestBody>({
    Driver: textAt(device, 'driver'),
    Count: numberAt(device, 'count'),
    DeviceIDs: textsAt(device, 'device_ids'),
    Capabilities: [[...capabilities]],
    Options: mapAt(device, 'options'),
  });
}

type BlockDevices = Pick<
  ResourcesBody,
  | 'BlkioWeight'
  | 'BlkioWeightDevice'
  | 'BlkioDeviceReadBps'
  | 'BlkioDeviceWriteBps'
  | 'BlkioDeviceReadIOps'
  | 'BlkioDeviceWriteIOps'
>;

function blockDevices(config: object): BlockDevices {
  const weights = objectsAt(config, 'weight_device').map((device) => ({
    Path: eitherCase(device, 'Path', 'path', textAt) ?? '',
    Weight: eitherCase(device, 'Weight', 'weight', numberAt) ?? 0,
  }));
  return compact<BlockDevices>({
    BlkioWeight: numberAt(config, 'weight'),
    BlkioWeightDevice: weights.length === 0 ? undefined : weights,
    BlkioDeviceReadBps: rates(config, 'device_read_bps'),
    BlkioDeviceWriteBps: rates(config, 'device_write_bps'),
    BlkioDeviceReadIOps: rates(config, 'device_read_iops'),
    BlkioDeviceWriteIOps: rates(config, 'device_write_iops'),
  });
}

function rates(config: object, key: string): readonly RateBody[] | undefined {
  const found = objectsAt(config, key).map((device) => ({
    Path: eitherCase(device, 'Path', 'path', textAt) ?? '',
    Rate: eitherCase(device, 'Rate', 'rate', numberAt) ?? 0,
  }));
  return found.length === 0 ? undefined : found;
}

/** The reference implementation prints the keys of `blkio_config` devices with a capital. */
function eitherCase<T>(
  from: object,
  capital: string,
  small: string,
  read: (from: object, key: string) => T | undefined,
): T | undefined {
  return read(from, capital) ?? read(from, small);
}
