/**
 * Service to container: the body of the engine's create call for one replica. It decides every
 * field from its arguments alone, so the same service gives the same container on any machine. It
 * must never look at the engine, and never publish `mode: ingress` ports: nftables does that on
 * every machine. Docker's restart policy is always "no", because the agent restarts; names resolve
 * through our own resolv.conf, because Docker's resolver leaks names between projects and dies with
 * the engine. Field by field it follows what `docker compose` sends.
 */
import { TscError } from '../lib/errors.ts';
import type { ClusterId, Slot } from '../model/ids.ts';
import { containerName, engineNetwork } from '../model/names.ts';
import type { Port, Service } from '../model/project.ts';
import type { MachineView, ServiceView } from '../model/view.ts';
import { apiAtLeast, engineGaps, since } from './container-api.ts';
import type { ContainerBody, EndpointBody, HostBody, PortBindingBody } from './container-body.ts';
import { containerLabels } from './container-labels.ts';
import { type BoundFile, renderMounts } from './container-mounts.ts';
import {
  compact,
  flagAt,
  mapAt,
  nanosecondsAt,
  numberAt,
  textAt,
  textsAt,
} from './container-read.ts';
import { renderResources } from './container-resources.ts';
import { healthcheck } from './healthcheck.ts';
import { usableXPorts } from './x-ports.ts';

export interface ContainerInput {
  readonly service: ServiceView;
  readonly slot: Slot;
  readonly cluster: ClusterId;
  /** Its lasting name, or a passing one while a predecessor still has that. */
  readonly name: string;
  /** What to create from: the reference, or the image's id when the tag has moved on. */
  readonly image: string;
  readonly imageId: string | undefined;
  /** "1.41" */
  readonly apiVersion: string;
  /** Our own resolv.conf for this container; undefined leaves Docker's. */
  readonly resolvConfPath: string | undefined;
  /** Secrets and configs that the agent has written. */
  readonly files: readonly BoundFile[];
  /** Where copies of bind-mounted files lie on this machine, by hash. */
  readonly copies?: Readonly<Record<string, string>>;
  /** Containers of this machine by service, for `network_mode: service:x` and its like. */
  readonly companions: Readonly<Record<string, string>>;
  readonly inheritedVolumes: Readonly<Record<string, string>>;
}

/** 10 MB in 3 files: a container that nobody watches must not fill the disk. */
const defaultLogging = { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } };

/**
 * The create call for one replica.
 * @throws TscError E_ENGINE_TOO_OLD when the service needs what this engine cannot do,
 *   E_COMPANION_MISSING when a service whose namespace it shares has no container here
 */
export function renderContainer(input: ContainerInput): ContainerBody {
  const { spec } = input.service;
  refuseGaps(input);
  const networkMode = renderNetworkMode(input);
  const isGuest = networkMode.startsWith('container:');
  return compact<ContainerBody>({
    name: input.name,
    platform: textAt(spec, 'platform'),
    Image: input.image,
    Cmd: spec.command ?? undefined,
    Entrypoint: spec.entrypoint ?? undefined,
    Env: environment(spec),
    Labels: containerLabels(input),
    // The engine refuses names, ports and hosts for a container in another one's namespace.
    Hostname: isGuest ? undefined : textAt(spec, 'hostname'),
    Domainname: isGuest ? undefined : textAt(spec, 'domainname'),
    User: textAt(spec, 'user'),
    WorkingDir: textAt(spec, 'working_dir'),
    Tty: flagAt(spec, 'tty'),
    OpenStdin: flagAt(spec, 'stdin_open'),
    StopSignal: textAt(spec, 'stop_signal'),
    StopTimeout: stopTimeout(spec),
    Healthcheck: healthcheck(spec, input.apiVersion),
    ExposedPorts: isGuest ? undefined : exposedPorts(spec),
    HostConfig: hostConfig(input, networkMode),
    ...macAddress(input, networkMode),
  });
}

/** The name that the container has for good; `container_name` wins. */
export function lastingName(service: ServiceView, slot: Slot, machine: MachineView): string {
  const own = service.spec.container_name;
  if (own !== undefined && own !== '') return own;
  return containerName(
    service.project,
    service.name,
    service.mode === 'global' ? machine.name : slot,
  );
}

function refuseGaps({ service, apiVersion }: ContainerInput): void {
  const refused = engineGaps(service.spec, apiVersion).find((gap) => gap.effect === 'refused');
  if (refused === undefined) return;
  throw new TscError(
    'E_ENGINE_TOO_OLD',
    `${refused.key} of ${service.name} needs Docker with API ${refused.neededVersion}, here is ${apiVersion}`,
    { hint: 'upgrade Docker on this machine, or keep the service away from it with x-machines' },
  );
}

function environment(spec: Service): readonly string[] | undefined {
  const entries = Object.entries(spec.environment ?? {});
  if (entries.length === 0) return undefined;
  // A name without "=" takes the variable away from what the image sets.
  return entries.map(([name, value]) => (value === null ? name : `${name}=${value}`));
}

/** Whole seconds, rounded up, so that a grace period is never shorter than asked for. */
function stopTimeout(spec: Service): number | undefined {
  const nanoseconds = nanosecondsAt(spec, 'stop_grace_period');
  return nanoseconds === undefined ? undefined : Math.ceil(nanoseconds / 1e9);
}

function exposedPorts(spec: Service): Readonly<Record<string, object>> | undefined {
  const ports: Record<string, object> = {};
  for (const expose of spec.expose ?? []) {
    for (const port of expandExpose(expose)) ports[port] = {};
  }
  for (const port of spec.ports ?? []) ports[portKey(port)] = {};
  for (const port of hostXPorts(spec)) ports[portKey(port)] = {};
  return Object.keys(ports).length === 0 ? undefined : ports;
}

/** "3000", "53/udp" or "3000-3005": each port with its protocol. */
function expandExpose(text: string): readonly string[] {
  const [range = '', protocol = 'tcp'] = text.split('/');
  const [first = 0, last = first] = range.split('-').map(Number);
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol}`);
}

/** Entries of `x-ports` that end in "@host", as the ports they mean. */
function hostXPorts(spec: Service): readonly Port[] {
  return usableXPorts(spec['x-ports'])
    .filter((port) => port.mode === 'host')
    .map((port) =>
      compact<Port>({
        mode: 'host',
        target: port.targetPort,
        published: String(port.publishedPort ?? port.targetPort),
        protocol: port.protocol,
        host_ip: port.hostIp,
      }),
    );
}

function portKey({ target, protocol }: Port): string {
  return `${target}/${protocol ?? 'tcp'}`;
}

function portBindings(spec: Service): HostBody['PortBindings'] | undefined {
  const bindings: Record<string, PortBindingBody[]> = {};
  const hostPorts = (spec.ports ?? []).filter((port) => port.mode === 'host');
  for (const port of [...hostPorts, ...hostXPorts(spec)]) {
    const binding = compact<PortBindingBody>({
      HostIp: textAt(port, 'host_ip'),
      HostPort: textAt(port, 'published'),
    });
    (bindings[portKey(port)] ??= []).push(binding);
  }
  return Object.keys(bindings).length === 0 ? undefined : bindings;
}

function hostConfig(input: ContainerInput, networkMode: string): HostBody {
  const { spec, definition } = input.service;
  const isGuest = networkMode.startsWith('container:');
  const isBridged = networkMode === engineNetwork;
  return compact<HostBody>({
    NetworkMode: networkMode,
    RestartPolicy: { Name: 'no' },
    PortBindings: isBridged ? portBindings(spec) : undefined,
    ...renderMounts({
      spec,
      definition,
      apiVersion: input.apiVersion,
      files: withResolvConf(input, networkMode),
      inheritedVolumes: input.inheritedVolumes,
      copies: input.copies ?? {},
    }),
    VolumesFrom: volumesFrom(input),
    CapAdd: textsAt(spec, 'cap_add'),
    CapDrop: textsAt(spec, 'cap_drop'),
    Privileged: flagAt(spec, 'privileged'),
    ReadonlyRootfs: flagAt(spec, 'read_only'),
    Sysctls: mapAt(spec, 'sysctls'),
    ExtraHosts: isGuest ? undefined : extraHosts(spec),
    LogConfig: logConfig(spec),
    Init: flagAt(spec, 'init'),
    SecurityOpt: textsAt(spec, 'security_opt'),
    GroupAdd: textsAt(spec, 'group_add'),
    IpcMode: namespaceOf(input, 'ipc'),
    PidMode: namespaceOf(input, 'pid'),
    UTSMode: namespaceOf(input, 'uts'),
    UsernsMode: textAt(spec, 'userns_mode'),
    CgroupnsMode: textAt(spec, 'cgroup'),
    ShmSize: numberAt(spec, 'shm_size'),
    StorageOpt: mapAt(spec, 'storage_opt'),
    Runtime: textAt(spec, 'runtime'),
    Isolation: textAt(spec, 'isolation'),
    Annotations: apiAtLeast(input.apiVersion, since.annotations)
      ? mapAt(spec, 'annotations')
      : undefined,
    ...renderResources(spec),
  });
}

/** `dns`, `dns_search` and `dns_opt` are in the file, so they are not given to the engine. */
function withResolvConf(input: ContainerInput, networkMode: string): readonly BoundFile[] {
  const { resolvConfPath, files } = input;
  if (resolvConfPath === undefined || networkMode === 'none') return files;
  return [{ hostPath: resolvConfPath, target: '/etc/resolv.conf' }, ...files];
}

function renderNetworkMode(input: ContainerInput): string {
  const mode = textAt(input.service.spec, 'network_mode');
  // Docker's own bridge is not routed between machines; ours takes its place.
  if (mode === undefined || mode === 'bridge' || mode === 'default') return engineNetwork;
  return namespaceOf(input, 'network_mode') ?? engineNetwork;
}

/** `service:x` becomes the container of x on this machine; the group is placed as one. */
function namespaceOf(input: ContainerInput, key: string): string | undefined {
  const mode = textAt(input.service.spec, key);
  if (mode === undefined || !mode.startsWith('service:')) return mode;
  return `container:${companion(input, mode.slice('service:'.length), key)}`;
}

/** "db:ro" is a service, "container:cache" a container of that name. */
function volumesFrom(input: ContainerInput): readonly string[] | undefined {
  return textsAt(input.service.spec, 'volumes_from')?.map((source) => {
    if (source.startsWith('container:')) return source.slice('container:'.length);
    const [service = '', ...mode] = source.split(':');
    return [companion(input, service, 'volumes_from'), ...mode].join(':');
  });
}

function companion(input: ContainerInput, service: string, key: string): string {
  const id = input.companions[service];
  if (id !== undefined) return id;
  throw new TscError(
    'E_COMPANION_MISSING',
    `${input.service.name} shares ${key} with ${service}, which has no container on this machine`,
  );
}

function extraHosts(spec: Service): readonly string[] | undefined {
  return textsAt(spec, 'extra_hosts')?.map((entry) => {
    const equals = entry.indexOf('=');
    // The engine wants "host:address" and splits at the first colon, so IPv6 is safe.
    return equals < 0 ? entry : `${entry.slice(0, equals)}:${entry.slice(equals + 1)}`;
  });
}

function logConfig(spec: Service): HostBody['LogConfig'] {
  const { logging } = spec;
  if (logging === undefined) return defaultLogging;
  // An empty driver is the engine's default one.
  return { Type: logging.driver ?? '', Config: { ...logging.options } };
}

type MacAddress = Pick<ContainerBody, 'MacAddress' | 'NetworkingConfig'>;

/** Set on the network's end point since API 1.44, on the container before. */
function macAddress(input: ContainerInput, networkMode: string): MacAddress {
  if (networkMode !== engineNetwork) return {};
  const { spec } = input.service;
  const perNetwork = Object.values(spec.networks ?? {})
    .map((network) => textAt(network ?? {}, 'mac_address'))
    .find((address) => address !== undefined);
  const address = perNetwork ?? textAt(spec, 'mac_address');
  if (address === undefined) return {};
  if (!apiAtLeast(input.apiVersion, since.endpointMacAddress)) return { MacAddress: address };
  const endpoint: EndpointBody = { MacAddress: address };
  return { NetworkingConfig: { EndpointsConfig: { [engineNetwork]: endpoint } } };
}
