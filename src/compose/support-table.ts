/**
 * What the cluster does with each key of a Compose file: the one place where this is decided, as
 * data. `honoured` does what Compose says, `translated` reaches the same end by other means (the
 * note says which), `refused` is not carried out and stops `up` before anything changes.
 * A key that no line names is refused: nothing of a file is ever ignored in silence.
 */
import type { Json } from '../model/project.ts';

export type Verdict = 'honoured' | 'translated' | 'refused';

export interface SupportRule {
  readonly verdict: Verdict;
  /** Why, and what to write instead. */
  readonly note?: string;
  /** Holds only for values that pass; without it, for all. */
  readonly when?: (value: Json) => boolean;
}

/** The members of this key have lines of their own. */
export type SupportEntry = 'members' | readonly SupportRule[];

const honoured: readonly SupportRule[] = [{ verdict: 'honoured' }];

function translated(note: string, when?: (value: Json) => boolean): readonly SupportRule[] {
  return [{ verdict: 'translated', note, ...(when === undefined ? {} : { when }) }];
}

function refused(note: string, when?: (value: Json) => boolean): readonly SupportRule[] {
  return [{ verdict: 'refused', note, ...(when === undefined ? {} : { when }) }];
}

/** Honoured for the values that pass, else refused. */
function only(when: (value: Json) => boolean, note: string): readonly SupportRule[] {
  return [{ verdict: 'honoured', when }, ...refused(note)];
}

function oneOf(...texts: readonly string[]): (value: Json) => boolean {
  return (value) => typeof value === 'string' && texts.includes(value);
}

function startsWith(...prefixes: readonly string[]): (value: Json) => boolean {
  return (value) =>
    typeof value === 'string' && prefixes.some((prefix) => value.startsWith(prefix));
}

/** `SERVICE:OTHER`, the form that gives the service another name. */
function hasLinkAlias(value: Json): boolean {
  const links: readonly unknown[] = Array.isArray(value) ? value : [];
  return links.some((link) => {
    const [service, alias] = String(link).split(':');
    return alias !== undefined && alias !== service;
  });
}

const isTrue = (value: Json): boolean => value === true;

/** `service:NAME` and `container:NAME`. */
const sharesNamespace = refused(
  'sharing a namespace with another container is not carried out yet',
  startsWith('service:', 'container:'),
);

function each(
  prefix: string,
  keys: string,
  entry: SupportEntry = honoured,
): readonly [string, SupportEntry][] {
  return keys
    .trim()
    .split(/\s+/)
    .map((key) => [prefix === '' ? key : `${prefix}.${key}`, entry]);
}

const machinesAddress =
  'addresses of containers come from the range of their machine; use the service name instead';

/** Patterns are those of path-table.ts. */
export const supportTable: Readonly<Record<string, SupportEntry>> = Object.fromEntries([
  ...each('', 'name'),
  ...each('', 'services services.* networks networks.* volumes volumes.*', 'members'),
  ...each('', 'secrets secrets.* configs configs.*', 'members'),
  ...each(
    '',
    'models',
    refused('models are not run by the cluster: run a service that serves one'),
  ),

  // How a service is run: the same on any machine.
  ...each(
    'services.*',
    `image command entrypoint environment env_file labels label_file annotations container_name
     hostname domainname user working_dir healthcheck expose tmpfs restart scale profiles platform
     stop_signal stop_grace_period init tty stdin_open read_only privileged cap_add cap_drop
     security_opt sysctls ulimits extra_hosts dns dns_opt dns_search logging mem_limit
     mem_reservation memswap_limit mem_swappiness cpu_count cpu_percent cpu_period cpu_quota
     cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset pids_limit shm_size devices group_add uts
     userns_mode oom_kill_disable oom_score_adj runtime cgroup cgroup_parent storage_opt
     device_cgroup_rules isolation attach`,
  ),
  [
    'services.*.pull_policy',
    only(
      oneOf('missing', 'if_not_present', 'never', 'always'),
      'images are neither built nor refreshed on a schedule: use missing, never or always',
    ),
  ],
  [
    'services.*.links',
    [
      ...refused(
        'a link gives no second name: put it under aliases of a network of the other service',
        hasLinkAlias,
      ),
      ...translated('every service of a shared network is reached by its name'),
    ],
  ],
  ['services.*.pid', [...sharesNamespace, ...honoured]],
  ['services.*.ipc', [...sharesNamespace, ...honoured]],
  [
    'services.*.network_mode',
    only(
      oneOf('host', 'none', 'bridge'),
      'only host, none and bridge: what shares a namespace must run on one machine, which is not arranged yet',
    ),
  ],

  // What a service needs and offers.
  ...each('services.*', 'depends_on depends_on.*', 'members'),
  ...each('services.*.depends_on.*', 'condition required restart'),
  ['services.*.ports', honoured],
  ['services.*.networks', 'members'],
  ['services.*.networks.*', 'members'],
  ...each('services.*.networks.*', 'aliases priority gw_priority'),
  ...each(
    'services.*.networks.*',
    'ipv4_address ipv6_address link_local_ips mac_address interface_name',
    refused(machinesAddress),
  ),
  [
    'services.*.networks.*.driver_opts',
    refused('networks are made by the cluster, not by a driver'),
  ],
  ['services.*.volumes', 'members'],
  ['services.*.volumes.*', 'members'],
  [
    'services.*.volumes.*.type',
    only(oneOf('volume', 'bind', 'tmpfs'), 'only volume, bind and tmpfs can be mounted'),
  ],
  ...each('services.*.volumes.*', 'source target read_only consistency bind volume tmpfs'),
  ...each('services.*', 'secrets configs'),

  // How a service is spread and changed.
  ['services.*.deploy', 'members'],
  ...each('services.*.deploy', 'replicas labels restart_policy'),
  [
    'services.*.deploy.endpoint_mode',
    [
      ...translated('the name gives the addresses of the replicas, as dnsrr', oneOf('vip')),
      ...honoured,
    ],
  ],
  ['services.*.deploy.update_config', 'members'],
  ...each('services.*.deploy.update_config', 'parallelism delay order monitor'),
  [
    'services.*.deploy.update_config.failure_action',
    [
      ...translated(
        'a rollout that fails pauses; up of the earlier file goes back',
        oneOf('rollback'),
      ),
      ...honoured,
    ],
  ],
  [
    'services.*.deploy.update_config.max_failure_ratio',
    [
      ...translated('a rollout pauses at the first replica that fails', (value) => value !== 0),
      ...honoured,
    ],
  ],
  [
    'services.*.deploy.mode',
    only(oneOf('replicated', 'global'), 'jobs are not carried out yet: use replicated or global'),
  ],
  ['services.*.deploy.resources', 'members'],
  ['services.*.deploy.resources.limits', honoured],
  ['services.*.deploy.resources.reservations', 'members'],
  ...each(
    'services.*.deploy.resources.reservations',
    'memory cpus',
    translated('handed to the engine; machines are not chosen by what is free on them yet'),
  ),
  ...each(
    'services.*.deploy.resources.reservations',
    'devices generic_resources',
    refused('devices are not assigned to replicas yet: use devices and x-machines'),
  ),
  ['services.*.deploy.placement', 'members'],
  ...each(
    'services.*.deploy.placement',
    'constraints preferences max_replicas_per_node',
    refused('use x-machines to say which machines a service may run on'),
  ),
  [
    'services.*.deploy.rollback_config',
    refused('a rollback goes by update_config; leave this out'),
  ],

  // What is not carried out.
  [
    'services.*.build',
    refused('images are not built: build and tag it with docker, then name it under image'),
  ],
  ['services.*.develop', refused('files are not watched: develop belongs to one machine')],
  ['services.*.provider', refused('providers are programs of one machine')],
  ['services.*.models', refused('models are not run by the cluster')],
  ['services.*.gpus', refused('devices are not assigned to replicas yet: use devices')],
  ['services.*.credential_spec', refused('credential specs are for Windows')],
  [
    'services.*.use_api_socket',
    refused('containers never reach the engine through the cluster: mount the socket', isTrue),
  ],
  ...each('services.*', 'post_start pre_stop'),
  ['services.*.volumes_from', refused('name the volumes in both services instead')],
  ['services.*.external_links', refused('a service is reached as SERVICE.PROJECT instead')],
  ['services.*.blkio_config', refused('limits on block devices differ per machine')],
  ['services.*.mac_address', refused(machinesAddress)],

  // Resources of the project.
  ...each('networks.*', 'name internal labels'),
  [
    'networks.*.external',
    translated('taken for the network of that name that another project of this cluster defines'),
  ],
  [
    'networks.*.driver',
    [
      ...translated('a network of the cluster, over all machines', oneOf('bridge', 'overlay')),
      ...honoured.map((rule) => ({ ...rule, when: oneOf('default') })),
      ...refused('only bridge and overlay: other drivers bypass the cluster'),
    ],
  ],
  ['networks.*.attachable', translated('only containers of the cluster are in its networks')],
  ['networks.*.ipam', translated(machinesAddress, (value) => !isEmpty(value))],
  ['networks.*.driver_opts', translated('options of Docker networks have no meaning here')],
  ['networks.*.enable_ipv4', only(isTrue, 'containers always have an IPv4 address')],
  [
    'networks.*.enable_ipv6',
    translated('containers have IPv4 addresses inside the cluster', isTrue),
  ],
  ...each('volumes.*', 'name labels driver_opts external'),
  [
    'volumes.*.driver',
    [
      { verdict: 'honoured', when: oneOf('local', '') },
      ...translated('bound to no machine: each one that mounts it needs the driver'),
    ],
  ],
  ...each('secrets.*', 'name file environment content labels'),
  ...each('configs.*', 'name file environment content labels'),
  ...['secrets.*', 'configs.*'].flatMap((kind) => [
    ...each(
      kind,
      'external',
      refused('nothing outside the file holds it: give file, environment or content', isTrue),
    ),
    ...each(kind, 'driver driver_opts template_driver', refused('drivers of Swarm are not run')),
  ]),

  // Extensions: our own, those of peers that would change what runs, and all others.
  ...each('services.*', 'x-machines x-ports x-on-lost x-pre_deploy x-caddy'),
  ['secrets.*.x-command', refused('no command is run to get a secret: use environment')],
]);

function isEmpty(value: Json): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}
