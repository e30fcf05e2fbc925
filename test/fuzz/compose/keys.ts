/**
 * The forms that every key of a service and of the resources may take: mostly right ones, since a
 * file that is refused for one key shows nothing about the others.
 */
import { either, list, type Make, members, named, one, pairs, words } from './make.ts';

export const serviceNames: readonly string[] = ['a', 'b', 'c', 'd'];

const scalar = one('x', '"1"', '5', '1.10', 'true', '""', 'null', '"a b"', '0x1F', '0440', 'yes');
const text = one('x', '"a b"', 'y-z', '"5"', '"true"', 'A_b', '"é"', "'s''q'", '"tab\\t"');
const whole = one('1', '2', '5', '"3"', '0', '0x10', '010', '1_000');
const truth = one('true', 'false', '"true"', '"false"', 'yes', 'no', '"on"', 'True');
/** Where not even a variable may stand, the schema wants a real boolean. */
const plainTruth = one('true', 'false', 'True');
const bytes = one('64m', '1g', '"512k"', '1048576', '"2048"', '1.5gb', '32MiB', '100kb', '"7"');
const duration = one('5s', '1m30s', '"2h"', '250ms', '1d', '1.5s', '"10us"', '1w2d', '90s');
const cpus = one('1.5', '"0.5"', '2', '"2"', '0.25', '.5', '1e-1', '0.3333333333');
const path = one('./p', 'p/q', '../up', '/abs/p', '.', '"~/h"', './p/../q', './p/');
const hostAddress = one('10.0.0.5', '"::1"', '192.168.0.1');
const command = either(
  one('echo hi', '"a \\"b c\\" d"', "sh -c 'x y'", '""', 'a\\ b c', '"x $$Y"'),
  list(one('echo', '"a b"', '"-c"', '""', '"$$X"')),
);
const labels = pairs('l.a l-b lc l.d', scalar);
const environment = pairs('FOO A B_c D E1', scalar);
const ulimit = either(whole, members({}, { soft: one('1', '2', '5'), hard: one('7', '9', '20') }));
const deviceRequest = members(
  { driver: one('nvidia'), options: pairs('o p', text, false) },
  { capabilities: one('[gpu]', '[gpu, "tpu"]') },
);
const countedDevice: Make = (random) =>
  either(
    deviceRequest,
    members({}, { capabilities: one('[gpu]'), count: one('1', '"2"', 'all', '0') }),
    members({}, { capabilities: one('[gpu]'), device_ids: one('["0"]', '["1", "2"]') }),
  )(random);
const fileReference = (kind: string, prefix: string): Make =>
  list(
    either(
      words(kind),
      members(
        {
          target: one(`${prefix}t`, 'u', '/v/w'),
          uid: one('"1"', '"0"'),
          gid: one('"2"'),
          mode: one('0440', '"0400"', '256', '0o444'),
        },
        { source: words(kind) },
      ),
    ),
    2,
  );
const hook = members(
  {
    user: one('u', '"0"'),
    privileged: truth,
    working_dir: path,
    environment,
  },
  { command },
);
const rollout = members({
  parallelism: whole,
  delay: duration,
  failure_action: one('pause', 'continue', 'rollback'),
  monitor: duration,
  max_failure_ratio: one('0.3', '"0.5"', '1', '0'),
  order: one('start-first', 'stop-first'),
});

const volume = either(
  one(
    '"./b:/b"',
    '"./b:/b:ro"',
    '"v1:/v"',
    '"v2:/v:nocopy"',
    '/anon',
    '"../up:/u:z,ro"',
    '"/abs:/abs/"',
    '"~/h:/h:rw"',
    '"v1:/a/../c"',
    '"./s:/s:rshared"',
    '"./b:/v/:cached"',
    '".:/dot:Z"',
  ),
  members(
    {
      read_only: truth,
      bind: members({
        propagation: one('rshared', 'private'),
        create_host_path: truth,
        selinux: one('z', 'Z'),
        recursive: one('enabled', 'disabled', 'readonly'),
      }),
      consistency: one('cached', 'delegated'),
    },
    { type: one('bind'), source: path, target: one('/b', '/c/', '/m') },
  ),
  members(
    {
      read_only: truth,
      volume: members({ nocopy: truth, subpath: one('s/p', '"x"'), labels }),
    },
    { type: one('volume'), source: one('v1', 'v2', 'v3'), target: one('/v', '/b', '/d') },
  ),
  members(
    { tmpfs: members({ size: bytes, mode: one('448', '0700', '"1777"', '0o755') }) },
    { type: one('tmpfs'), target: one('/t', '/v', '/b') },
  ),
  members({ read_only: truth }, { type: one('volume'), target: one('/n', '/o') }),
);

const port = either(
  one(
    '80',
    '"80"',
    '"80:80"',
    '"8080:80"',
    '"127.0.0.1:81:81"',
    '"0.0.0.0:80:80"',
    '"3000-3002:3000-3002"',
    '"9000-9001:90"',
    '"53:53/udp"',
    '"[::1]:82:82"',
    '"5000-5001"',
    '"127.0.0.1::83"',
    '"8443:443/TCP"',
    '"::1:84:84"',
  ),
  members(
    {
      published: one('8080', '"80"', '"8000-8001"', '"0"'),
      host_ip: one('127.0.0.1', '0.0.0.0', '"::1"'),
      protocol: one('tcp', 'udp'),
      mode: one('host', 'ingress'),
      name: one('web', '"1"'),
      app_protocol: one('http'),
    },
    { target: one('80', '"81"', '443') },
  ),
);

const build = either(
  one('.', './dir', '"~/ctx"', '/abs/ctx', '"https://h/r.git#main:sub"', '"git@github.com:a/b"'),
  members(
    {
      dockerfile: one('Df', '../x/Df', '/abs/Df'),
      args: pairs('FOO ARG B', scalar),
      labels,
      cache_from: list(one('a', '"type=local,src=p"', 'b')),
      cache_to: list(one('c', 'd')),
      no_cache: truth,
      pull: truth,
      target: one('prod', 'dev'),
      network: one('host', 'none'),
      shm_size: bytes,
      extra_hosts: pairs('h k', hostAddress, false),
      additional_contexts: pairs(
        'x y z',
        one('./w', '"docker-image://i"', '"https://h/z"', '"oci-layout://p"'),
        false,
      ),
      isolation: one('default'),
      privileged: truth,
      platforms: one('[linux/amd64]', '[linux/arm64, linux/amd64]'),
      tags: list(one('t:1', 'u', 'v:2')),
      ulimits: named('nofile nproc', ulimit),
      secrets: fileReference('s1 s2', ''),
      ssh: one('[default]', '{default: }'),
      entitlements: list(one('network.host', 'security.insecure'), 2),
      provenance: one('true', '"mode=max"', 'false'),
      sbom: one('true', '"generator=x"'),
    },
    { context: one('.', './dir', '../up', '"~/c"') },
  ),
  members({}, { dockerfile_inline: one('"FROM x\\nRUN y"', '"FROM $$B"') }),
);

const watch = either(
  members(
    { ignore: list(one('a/', '"*.o"')), include: list(one('"*.go"')), initial_sync: plainTruth },
    { path, action: one('sync', 'sync+restart'), target: one('/s', 's') },
  ),
  members({ ignore: one('"x/"', '[y]') }, { path, action: one('rebuild', 'restart') }),
  members(
    {},
    {
      path,
      action: one('sync+exec'),
      target: one('/s'),
      exec: members({ user: one('u'), environment }, { command }),
    },
  ),
);

const blockRate = list(members({}, { path: one('/dev/sda', '/dev/sdb'), rate: bytes }), 2);
const blockOperations = list(
  members({}, { path: one('/dev/sda', '/dev/sdb'), rate: one('30', '"40"') }),
  2,
);

/** Keys whose value names other services are made with those that come later. */
export function serviceKeys(later: readonly string[]): Readonly<Record<string, Make>> {
  return { ...ordinaryKeys, ...(later.length === 0 ? {} : dependentKeys(later)) };
}

function dependentKeys(later: readonly string[]): Readonly<Record<string, Make>> {
  const names = later.join(' ');
  const service: Make = words(names);
  return {
    depends_on: either(
      list(service, 2),
      named(
        names,
        members(
          { restart: plainTruth, required: plainTruth },
          {
            condition: words('service_started service_healthy service_completed_successfully'),
          },
        ),
        2,
      ),
    ),
    links: list(words(later.map((name) => `${name} "${name}:al" "${name}:x${name}"`).join(' '))),
    volumes_from: list(words(later.map((name) => `${name} "${name}:ro"`).join(' ')), 2),
    network_mode: one('host', 'none', 'bridge', `"service:${later[0] ?? ''}"`, '"container:x"'),
    ipc: one('host', 'private', 'shareable', `"service:${later[0] ?? ''}"`),
    pid: one('host', `"service:${later[0] ?? ''}"`),
  };
}

const ordinaryKeys: Readonly<Record<string, Make>> = {
  annotations: labels,
  attach: truth,
  blkio_config: members({
    weight: one('100', '300'),
    weight_device: list(members({}, { path: one('/dev/sda'), weight: one('400', '10') }), 2),
    device_read_bps: blockRate,
    device_write_bps: blockRate,
    device_read_iops: blockOperations,
    device_write_iops: blockOperations,
  }),
  build,
  cap_add: list(one('ALL', 'NET_ADMIN', 'SYS_TIME')),
  cap_drop: list(one('MKNOD', 'CHOWN', 'ALL')),
  cgroup: one('host', 'private'),
  cgroup_parent: text,
  command,
  configs: fileReference('c1 c2', '/etc/'),
  container_name: one('cn', 'cn.2_x-y', '"5n"'),
  cpu_count: whole,
  cpu_percent: one('50', '"7"'),
  cpu_period: one('100000', '"50000"'),
  cpu_quota: one('50000', '"25000"'),
  cpu_rt_period: one('1000', '"2000"'),
  cpu_rt_runtime: one('400', '"950"'),
  cpu_shares: one('73', '"512"'),
  cpus,
  cpuset: one('"0-3"', '"0,1"'),
  credential_spec: members({}, { config: one('c1', 'c2') }),
  deploy: members({
    mode: one('global', 'replicated'),
    replicas: one('1', '2', '"3"', '0'),
    endpoint_mode: one('vip', 'dnsrr'),
    labels,
    update_config: rollout,
    rollback_config: rollout,
    restart_policy: members({
      condition: one('any', 'none', 'on-failure'),
      delay: duration,
      max_attempts: whole,
      window: duration,
    }),
    placement: members({
      constraints: list(one('"node.role == manager"', 'disk=ssd')),
      preferences: list(members({}, { spread: one('node.labels.z', '""') }), 2),
      max_replicas_per_node: whole,
    }),
    resources: members({
      limits: members({ cpus, memory: bytes, pids: whole }),
      reservations: members({
        cpus,
        memory: bytes,
        devices: list(countedDevice, 2),
        generic_resources: list(
          members(
            {},
            {
              discrete_resource_spec: members({}, { kind: one('gpu'), value: one('2', '"3"') }),
            },
          ),
          2,
        ),
      }),
    }),
  }),
  develop: members({}, { watch: list(watch, 2) }),
  device_cgroup_rules: list(one('"a 7:* rmw"', '"c 1:3 mr"')),
  devices: list(
    either(
      one('"/dev/a:/dev/b"', '/dev/c', '"/dev/d:/dev/b:r"', '"vendor/class=dev"', '"/dev/e:rw"'),
      members(
        { permissions: one('r', 'rwm') },
        { source: one('/dev/a', '/dev/c'), target: one('/dev/b', '/dev/x') },
      ),
    ),
  ),
  dns: either(one('8.8.8.8'), list(one('1.1.1.1', '9.9.9.9', '8.8.8.8'))),
  dns_opt: list(one('use-vc', 'no-tld-query')),
  dns_search: either(one('a.b', '.'), list(one('a.b', 'c.d'))),
  domainname: one('d', 'e.f'),
  entrypoint: command,
  env_file: either(
    one('e1.env', './e2.env'),
    list(
      either(
        one('e1.env', 'e2.env', 'sub/e3.env'),
        members(
          { required: truth, format: one('raw') },
          { path: one('e1.env', 'sub/e3.env', './e2.env') },
        ),
        members({}, { path: one('nope.env'), required: one('false') }),
      ),
    ),
  ),
  environment,
  expose: list(one('80', '"90/udp"', '"80"', '"7000-7002"')),
  external_links: list(one('"q"', '"q:r"')),
  extra_hosts: pairs('h k v6', hostAddress, false),
  gpus: either(one('all'), list(countedDevice, 2)),
  group_add: list(one('"5"', 'wheel', '7'), 2),
  healthcheck: members({
    test: either(
      one('"curl x || exit 1"', '""', '[NONE]', '[CMD, a, "b c"]', '[CMD-SHELL, "x $$Y"]'),
    ),
    interval: duration,
    timeout: duration,
    retries: whole,
    start_period: duration,
    start_interval: duration,
    disable: truth,
  }),
  hostname: one('h1', 'h2.x'),
  image: one('"img:${TAG:-t}"', 'nginx:1.2', 'r.io:5000/a/b', '"i@sha256:abc"'),
  init: truth,
  isolation: one('default', 'hyperv'),
  label_file: either(one('l1.lab'), list(one('l1.lab', './l2.lab'), 2)),
  labels,
  logging: members({
    driver: one('json-file', 'syslog'),
    options: named('max-size max-file tag', one('10m', '5', '"3"', 'null')),
  }),
  mac_address: one('"02:42:ac:11:65:43"'),
  mem_limit: bytes,
  mem_reservation: bytes,
  mem_swappiness: one('60', '"0"', '0'),
  memswap_limit: one('2g', '-1', '"1024"'),
  models: either(
    list(one('m1', 'm2'), 2),
    named('m1 m2', either(one('null'), members({ endpoint_var: one('U'), model_var: one('M') }))),
  ),
  networks: either(
    list(one('n1', 'n2', 'default'), 2),
    named(
      'n1 n2 default',
      either(
        one('null'),
        members({
          aliases: list(one('al', 'am')),
          ipv4_address: one('10.0.0.7', '"${IP:-10.0.0.8}"'),
          ipv6_address: one('"fd00::5"'),
          link_local_ips: list(one('169.254.1.1', '169.254.1.2')),
          priority: one('100', '7'),
          gw_priority: one('1', '2'),
          mac_address: one('"02:42:ac:11:00:01"'),
          interface_name: one('eth9'),
          driver_opts: named('o p', one('x', '5', '"y"')),
        }),
      ),
    ),
  ),
  oom_kill_disable: truth,
  oom_score_adj: one('100', '"-5"', '-1000'),
  pids_limit: one('10', '"20"', '-1'),
  platform: one('linux/amd64', 'linux/arm64/v8'),
  ports: list(port),
  post_start: list(hook, 2),
  pre_stop: list(hook, 2),
  privileged: truth,
  profiles: list(one('p1', 'p2', 'p3'), 2),
  pull_policy: one('always', 'never', 'missing', 'if_not_present', 'build', 'daily', 'every_12h'),
  read_only: truth,
  restart: one('always', '"no"', 'on-failure', '"on-failure:3"', 'unless-stopped'),
  runtime: one('runc'),
  scale: one('1', '2', '"3"'),
  secrets: fileReference('s1 s2', ''),
  security_opt: list(one('"no-new-privileges:true"', 'seccomp=x.json', '"label:disable"')),
  shm_size: bytes,
  stdin_open: truth,
  stop_grace_period: duration,
  stop_signal: one('INT', 'SIGUSR1'),
  storage_opt: named('size x', one('1G', '5', '"2"')),
  sysctls: pairs('net.a.b net.c', one('0', '"1024"', '5'), false),
  tmpfs: either(one('/run'), list(one('/run', '"/tmp:size=1m"', '/var'), 2)),
  tty: truth,
  ulimits: named('nofile nproc core', ulimit),
  use_api_socket: plainTruth,
  user: one('"1000:1000"', 'root', '"0"'),
  userns_mode: one('host', '""'),
  uts: one('host'),
  volumes: list(volume),
  working_dir: one('/w', '/w/', 'rel', '"/a/../b"'),
  'x-own': either(scalar, list(scalar), named('k l', scalar)),
};

const ipam = members({
  driver: one('default', 'other'),
  config: list(
    members(
      {
        ip_range: one('10.1.0.0/24'),
        gateway: one('10.1.0.1'),
        aux_addresses: named('h1 h2', one('10.1.0.9')),
      },
      { subnet: one('10.0.0.0/16', '10.1.0.0/16', '"fd00::/64"') },
    ),
    2,
  ),
  options: named('o p', one('x', '"1"')),
});

/** What a declared resource may hold, by kind; all names that services use are declared. */
export const resourceKinds: Readonly<
  Record<string, { readonly names: readonly string[]; readonly make: Make }>
> = {
  networks: {
    names: ['n1', 'n2', 'default'],
    make: either(
      one('null', '{}'),
      members({
        driver: one('bridge', 'overlay'),
        driver_opts: named('o p', one('x', '5', '"y"')),
        ipam,
        internal: truth,
        attachable: truth,
        enable_ipv4: truth,
        enable_ipv6: truth,
        labels,
        name: one('own', '"${NET:-n}"', '"7"'),
      }),
      members({ name: one('ext') }, { external: one('true', '"true"') }),
    ),
  },
  volumes: {
    names: ['v1', 'v2', 'v3'],
    make: either(
      one('null', '{}'),
      members({
        driver: one('local', 'nfs'),
        driver_opts: named('type o device', one('none', '"bind"', './dev', '5')),
        labels,
        name: one('vol', '"${VOL-x}"'),
      }),
      members({ name: one('ext') }, { external: truth }),
    ),
  },
  secrets: {
    names: ['s1', 's2'],
    make: either(
      members({ labels, name: one('sec') }, { file: path }),
      members({ name: one('sec') }, { environment: one('FOO', 'SECRET') }),
      members({ name: one('ext') }, { external: one('true') }),
    ),
  },
  configs: {
    names: ['c1', 'c2'],
    make: either(
      members({ labels, name: one('conf') }, { file: path }),
      members({}, { content: one('"x $${FOO} ${FOO}"', '"a\\nb"', 'plain') }),
      members({}, { environment: one('FOO') }),
      members({ name: one('ext') }, { external: one('true') }),
    ),
  },
  models: {
    names: ['m1', 'm2'],
    make: members(
      {
        context_size: one('1024', '2_048'),
        runtime_flags: list(one('"--x"', '"5"')),
        name: one('mod'),
      },
      { model: one('ai/m', '"ai/${TAG:-t}"') },
    ),
  },
};

/** In the place of any value, seldom: most of these are refused, and must be by both. */
export const wrongValue: Make = one('null', '{}', '[]', '""', '5', 'true', 'text', '[1]', '{k: v}');

export const lines = {
  env: [
    'FOO=file',
    'A=1',
    'export B_c="x y"',
    "D='lit $FOO'",
    'E1=${FOO}-${A:-none}',
    '# comment',
    '',
    'K=v # tail',
    'M="multi\nline"',
    'FOO',
    'P: yaml',
    'Q="esc\\n\\t\\"q\\""',
    'R=$$x',
    '  S = spaced  ',
    'T=a=b',
  ],
  labels: ['l.a=file', 'l.e=5', 'lf="q"', '# no'],
};
