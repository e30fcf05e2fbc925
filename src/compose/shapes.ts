/**
 * The shape of a project: every key that Compose knows, how its value is read and when it is
 * printed. The order of keys is that of the reference's own types, because the configuration hash
 * of a service is taken over its JSON text. Nothing else in the loader lists the keys of a service.
 */
import {
  always,
  bytes,
  cpus,
  type Decoder,
  duration,
  type Field,
  filled,
  flag,
  float32,
  given,
  integer,
  list,
  mapOf,
  struct,
  text,
  texts,
  textsOrNumbers,
  toJson,
  unsigned,
} from './decode.ts';
import {
  command,
  deviceCount,
  fileMode,
  healthTest,
  hosts,
  labels,
  multiOptions,
  options,
  ulimit,
  variables,
} from './decode-forms.ts';
import { isDict, printValue } from './value.ts';

const aText: Field = filled(text);
const aFlag: Field = filled(flag);
const aNumber: Field = filled(integer);
const aSize: Field = filled(bytes, '0');
const someTexts: Field = filled(list(text));
const ulimits: Field = filled(mapOf(ulimit, null));
const namedTexts: Field = filled(mapOf(text, ''));

const hook = struct({
  command: always(command, null),
  user: aText,
  privileged: aFlag,
  working_dir: aText,
  environment: filled(variables),
});

const fileReference = struct({
  source: aText,
  target: aText,
  uid: aText,
  gid: aText,
  mode: given(fileMode),
});

/** Keys for ssh are printed as `id` or `id: path`. */
const sshKeys: Decoder = (value, scope) => {
  if (!isDict(value)) return toJson(value);
  return Object.entries(value).map(([id, path]) => {
    const shown = path === null || path === undefined ? '' : printValue(path);
    return text(shown === '' ? id : `${id}: ${shown}`, scope);
  });
};

const build = struct({
  context: aText,
  dockerfile: aText,
  dockerfile_inline: aText,
  entitlements: someTexts,
  args: filled(variables),
  provenance: aText,
  sbom: aText,
  ssh: filled(sshKeys),
  labels: filled(labels),
  cache_from: filled(texts),
  cache_to: filled(texts),
  no_cache: aFlag,
  additional_contexts: filled(labels),
  pull: aFlag,
  extra_hosts: filled(hosts),
  isolation: aText,
  network: aText,
  target: aText,
  secrets: filled(list(fileReference, {})),
  shm_size: aSize,
  tags: filled(texts),
  ulimits,
  platforms: filled(texts),
  privileged: aFlag,
});

const develop = struct({
  watch: filled(
    list(
      struct({
        path: always(text, ''),
        action: always(text, ''),
        target: aText,
        exec: always(hook, { command: null }),
        include: someTexts,
        ignore: someTexts,
        initial_sync: aFlag,
      }),
      { path: '', action: '', exec: { command: null } },
    ),
  ),
});

/** The reference prints these with capital letters, for want of names in its own types. */
function throttle(kind: 'Rate' | 'Weight', decode: Decoder, zero: string | number): Decoder {
  return (value, scope) => {
    const entry = isDict(value) ? value : {};
    const amount = entry[kind.toLowerCase()] ?? null;
    return {
      Path: entry.path === undefined || entry.path === null ? '' : text(entry.path, scope),
      [kind]: amount === null ? zero : decode(amount, scope),
    };
  };
}

const rates: Field = filled(list(throttle('Rate', bytes, '0'), { Path: '', Rate: '0' }));

const blkioConfig = struct({
  weight: filled(weight),
  weight_device: filled(list(throttle('Weight', weight, 0), { Path: '', Weight: 0 })),
  device_read_bps: rates,
  device_read_iops: rates,
  device_write_bps: rates,
  device_write_iops: rates,
});

/** Sixteen bits; what is more is cut off. */
function weight(...[value, scope]: Parameters<Decoder>): ReturnType<Decoder> {
  const number = unsigned(value, scope);
  return typeof number === 'number' ? number % 65_536 : number;
}

const deviceRequest = struct({
  capabilities: someTexts,
  driver: aText,
  count: filled(deviceCount),
  device_ids: someTexts,
  options: filled(labels),
});

const resource = struct({
  cpus: filled(cpus),
  memory: aSize,
  pids: aNumber,
  devices: filled(list(deviceRequest, {})),
  generic_resources: filled(
    list(
      struct({
        discrete_resource_spec: given(
          struct({ kind: always(text, ''), value: always(integer, 0) }),
        ),
      }),
      {},
    ),
  ),
});

const updateConfig = struct({
  parallelism: given(unsigned),
  delay: filled(duration, '0s'),
  failure_action: aText,
  monitor: filled(duration, '0s'),
  max_failure_ratio: filled(float32),
  order: aText,
});

const deploy = struct({
  mode: aText,
  replicas: given(integer),
  labels: filled(labels),
  update_config: given(updateConfig),
  rollback_config: given(updateConfig),
  resources: always(struct({ limits: given(resource), reservations: given(resource) }), {}),
  restart_policy: given(
    struct({
      condition: aText,
      delay: given(duration),
      max_attempts: given(unsigned),
      window: given(duration),
    }),
  ),
  placement: always(
    struct({
      constraints: someTexts,
      preferences: filled(list(struct({ spread: aText }), {})),
      max_replicas_per_node: filled(unsigned),
    }),
    {},
  ),
  endpoint_mode: aText,
});

const healthcheck = struct({
  test: filled(healthTest),
  timeout: given(duration),
  interval: given(duration),
  retries: given(unsigned),
  start_period: given(duration),
  start_interval: given(duration),
  disable: aFlag,
});

const serviceNetwork = struct({
  aliases: someTexts,
  driver_opts: filled(options),
  gw_priority: aNumber,
  interface_name: aText,
  ipv4_address: aText,
  ipv6_address: aText,
  link_local_ips: someTexts,
  mac_address: aText,
  priority: aNumber,
});

const port = struct({
  name: aText,
  mode: aText,
  host_ip: aText,
  target: filled(unsigned),
  published: aText,
  protocol: aText,
  app_protocol: aText,
});

const mount = struct({
  type: aText,
  source: aText,
  target: aText,
  read_only: aFlag,
  consistency: aText,
  bind: given(
    struct({ selinux: aText, propagation: aText, create_host_path: aFlag, recursive: aText }),
  ),
  volume: given(struct({ labels: filled(labels), nocopy: aFlag, subpath: aText })),
  tmpfs: given(struct({ size: aSize, mode: filled(unsigned) })),
  image: given(struct({ subpath: aText })),
});

/** The keys of a service, in order. */
export const serviceFields: Readonly<Record<string, Field>> = {
  profiles: someTexts,
  annotations: filled(labels),
  attach: given(flag),
  build: given(build),
  develop: given(develop),
  blkio_config: given(blkioConfig),
  cap_add: someTexts,
  cap_drop: someTexts,
  cgroup_parent: aText,
  cgroup: aText,
  cpu_count: aNumber,
  cpu_percent: filled(float32),
  cpu_period: aNumber,
  cpu_quota: aNumber,
  cpu_rt_period: aNumber,
  cpu_rt_runtime: aNumber,
  cpus: filled(float32),
  cpuset: aText,
  cpu_shares: aNumber,
  command: always(command, null),
  configs: filled(list(fileReference, {})),
  container_name: aText,
  credential_spec: given(struct({ config: aText, file: aText, registry: aText })),
  depends_on: filled(
    mapOf(struct({ condition: aText, restart: aFlag, required: always(flag, false) }), {
      required: false,
    }),
  ),
  deploy: given(deploy),
  device_cgroup_rules: someTexts,
  devices: filled(list(struct({ source: aText, target: aText, permissions: aText }), {})),
  dns: filled(texts),
  dns_opt: someTexts,
  dns_search: filled(texts),
  dockerfile: aText,
  domainname: aText,
  entrypoint: always(command, null),
  provider: given(struct({ type: aText, options: filled(multiOptions) })),
  environment: filled(variables),
  env_file: filled(
    list(struct({ path: aText, required: always(flag, false), format: aText }), {
      required: false,
    }),
  ),
  expose: filled(textsOrNumbers),
  extends: given(struct({ file: aText, service: aText })),
  external_links: someTexts,
  extra_hosts: filled(hosts),
  group_add: someTexts,
  gpus: filled(list(deviceRequest, {})),
  hostname: aText,
  healthcheck: given(healthcheck),
  image: aText,
  init: given(flag),
  ipc: aText,
  isolation: aText,
  labels: filled(labels),
  label_file: someTexts,
  links: someTexts,
  logging: given(struct({ driver: aText, options: filled(options) })),
  log_driver: aText,
  log_opt: namedTexts,
  mem_limit: aSize,
  mem_reservation: aSize,
  memswap_limit: aSize,
  mem_swappiness: aSize,
  mac_address: aText,
  models: filled(mapOf(struct({ endpoint_var: aText, model_var: aText }), null)),
  net: aText,
  network_mode: aText,
  networks: filled(mapOf(serviceNetwork, null)),
  oom_kill_disable: aFlag,
  oom_score_adj: aNumber,
  pid: aText,
  pids_limit: aNumber,
  platform: aText,
  ports: filled(list(port, {})),
  privileged: aFlag,
  pull_policy: aText,
  read_only: aFlag,
  restart: aText,
  runtime: aText,
  scale: given(integer),
  secrets: filled(list(fileReference, {})),
  security_opt: someTexts,
  shm_size: aSize,
  stdin_open: aFlag,
  stop_grace_period: given(duration),
  stop_signal: aText,
  storage_opt: namedTexts,
  sysctls: filled(labels),
  tmpfs: filled(texts),
  tty: aFlag,
  ulimits,
  use_api_socket: aFlag,
  user: aText,
  userns_mode: aText,
  uts: aText,
  volume_driver: aText,
  volumes: filled(list(mount, {})),
  volumes_from: someTexts,
  working_dir: aText,
  post_start: filled(list(hook, { command: null })),
  pre_stop: filled(list(hook, { command: null })),
};

export const decodeService: Decoder = struct(serviceFields);

export const decodeNetwork: Decoder = struct({
  name: aText,
  driver: aText,
  driver_opts: filled(options),
  ipam: always(
    struct({
      driver: aText,
      config: filled(
        list(
          struct({
            subnet: aText,
            gateway: aText,
            ip_range: aText,
            aux_addresses: filled(labels),
          }),
          null,
        ),
      ),
    }),
    {},
  ),
  external: aFlag,
  internal: aFlag,
  attachable: aFlag,
  labels: filled(labels),
  enable_ipv4: given(flag),
  enable_ipv6: given(flag),
});

export const decodeVolume: Decoder = struct({
  name: aText,
  driver: aText,
  driver_opts: filled(options),
  external: aFlag,
  labels: filled(labels),
});

/** A secret or a config. */
export const decodeFileObject: Decoder = struct({
  name: aText,
  file: aText,
  environment: aText,
  content: aText,
  external: aFlag,
  labels: filled(labels),
  driver: aText,
  driver_opts: namedTexts,
  template_driver: aText,
});

export const decodeModel: Decoder = struct({
  name: aText,
  model: aText,
  context_size: aNumber,
  runtime_flags: someTexts,
});
