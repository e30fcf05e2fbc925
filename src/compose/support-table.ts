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

/** Honoured for the values that pass; with a note, refused for the others. */
function only(when: (value: Json) => boolean, note?: string): readonly SupportRule[] {
  return [{ verdict: 'honoured', when }, ...(note === undefined ? [] : refused(note))];
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
const isService = startsWith('service:');

const foreignContainer =
  'a container outside the file is on one machine only: name a service of the file, as service:NAME';

/** Of a service of the file: both run on the same machine, replica beside replica. */
const namespace: readonly SupportRule[] = [
  ...refused(foreignContainer, startsWith('container:')),
  ...honoured,
];

function namesContainer(value: Json): boolean {
  const sources: readonly unknown[] = Array.isArray(value) ? value : [];
  return sources.some((source) => String(source).startsWith('container:'));
}

function namesRole(value: Json): boolean {
  const constraints: readonly unknown[] = Array.isArray(value) ? value : [];
  return constraints.some((constraint) => /^\s*node\.role\b/i.test(String(constraint)));
}

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
     device_cgroup_rules isolation attach blkio_config mac_address gpus`,
  ),
  [
    'services.*.pull_policy',
    [
      ...only(oneOf('missing', 'if_not_present', 'never', 'always')),
      ...translated('taken as it was built: nothing is built here', oneOf('build')),
      ...translated('pulled at every up, not on a schedule'),
    ],
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
  ['services.*.pid', namespace],
  ['services.*.ipc', namespace],
  ['services.*.volumes_from', [...refused(foreignContainer, namesContainer), ...honoured]],
  [
    'services.*.network_mode',
    [
      ...only((value) => oneOf('host', 'none', 'bridge', 'default')(value) || isService(value)),
      ...refused(foreignContainer, startsWith('container:')),
      ...refused('only host, none, bridge and service:NAME: list other networks under networks'),
    ],
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
    'ipv4_address ipv6_address link_local_ips',
    refused(machinesAddress),
  ),
  [
    'services.*.networks.*.mac_address',
    translated('a container has one interface for all its networks, which gets the first address'),
  ],
  ['services.*.networks.*.interface_name', refused('a container has one interface, eth0')],
  [
    'services.*.networks.*.driver_opts',
    refused('options of the interface are not set: a container has one, made by the cluster'),
  ],
  ['services.*.volumes', 'members'],
  ['services.*.volumes.*', 'members'],
  [
    'services.*.volumes.*.type',
    only(
      oneOf('volume', 'bind', 'tmpfs'),
      'only volume, bind and tmpfs: npipe is for Windows, cluster for Swarm, and images of mounts are not brought to the machines',
    ),
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
  ...each('services.*.deploy', 'update_config rollback_config', 'members'),
  ...each('services.*.deploy.update_config', 'parallelism delay order monitor max_failure_ratio'),
  [
    'services.*.deploy.update_config.failure_action',
    only(oneOf('pause', 'continue', 'rollback'), 'only pause, continue and rollback'),
  ],
  ...each('services.*.deploy.rollback_config', 'parallelism delay order monitor max_failure_ratio'),
  [
    'services.*.deploy.rollback_config.failure_action',
    only(oneOf('pause', 'continue'), 'a rollback that fails pauses: use pause or continue'),
  ],
  [
    'services.*.deploy.mode',
    only(
      oneOf('replicated', 'global', 'replicated-job', 'global-job'),
      'only replicated, global, replicated-job and global-job',
    ),
  ],
  [
    'services.*.deploy.x-max-concurrent',
    only(
      (value) => typeof value === 'number' && Number.isInteger(value) && value > 0,
      'the number of runs of a job that may go on at a time: 1 or more',
    ),
  ],
  ['services.*.deploy.resources', 'members'],
  ['services.*.deploy.resources.limits', honoured],
  ['services.*.deploy.resources.reservations', 'members'],
  ...each('services.*.deploy.resources.reservations', 'memory cpus devices generic_resources'),
  ['services.*.deploy.placement', 'members'],
  ...each('services.*.deploy.placement', 'preferences max_replicas_per_node'),
  [
    'services.*.deploy.placement.constraints',
    [
      ...translated('every machine is manager and worker: there is no leader', namesRole),
      ...honoured,
    ],
  ],

  // Read by programs for one machine, before or beside the cluster.
  [
    'services.*.build',
    translated(
      'not built here: the image that `docker compose build` makes is taken from the Docker engine here and brought to the machines',
    ),
  ],
  [
    'services.*.develop',
    translated('files are watched by `docker compose watch`; up goes by the image'),
  ],

  // What is not carried out.
  ['services.*.provider', refused('providers are programs of one machine')],
  ['services.*.models', refused('models are not run by the cluster')],
  ['services.*.credential_spec', refused('credential specs are for Windows')],
  [
    'services.*.use_api_socket',
    translated(
      'the socket of the engine where a replica runs is mounted; credentials of registries are not copied',
      isTrue,
    ),
  ],
  ...each('services.*', 'post_start pre_stop'),
  ['services.*.external_links', refused('a service is reached as SERVICE.PROJECT instead')],

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
