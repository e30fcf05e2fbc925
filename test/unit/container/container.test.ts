import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { MachineId } from '../../../src/model/ids.ts';
import type { Project, Service } from '../../../src/model/project.ts';
import { lastingName, renderContainer } from '../../../src/render/container.ts';
import type { ContainerBody } from '../../../src/render/container-body.ts';
import { aMachine, anInput, aService } from './builders.ts';

const golden = join(import.meta.dirname, 'golden');

/** The body without what every container has. */
function rendered(spec: Service, apiVersion = '1.51'): Partial<ContainerBody> {
  const {
    name: _name,
    Image: _image,
    Labels: _labels,
    ...rest
  } = renderContainer(anInput(spec, { apiVersion }));
  return rest;
}

/** The smallest host configuration, for cases that add to it. */
const plainHost = {
  NetworkMode: 'tsc-compose',
  RestartPolicy: { Name: 'no' },
  LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
};

test('an empty service is a container on the cluster network, never restarted by Docker', () => {
  expect(rendered({ image: 'nginx:1' })).toEqual({ HostConfig: plainHost });
});

describe('fields of the container', () => {
  const cases: readonly [string, Service, Partial<ContainerBody>][] = [
    [
      'command and entrypoint as lists',
      { command: ['a', 'b c'], entrypoint: [] },
      { Cmd: ['a', 'b c'], Entrypoint: [] },
    ],
    ['no command when it is null', { command: null, entrypoint: null }, {}],
    [
      'a variable without a value takes it from the image',
      { environment: { A: '1', B: null, C: '', D: 'x=$y' } },
      { Env: ['A=1', 'B', 'C=', 'D=x=$y'] },
    ],
    [
      'names, user and folder',
      { hostname: 'h', domainname: 'd', user: '1:1', working_dir: '/w' },
      { Hostname: 'h', Domainname: 'd', User: '1:1', WorkingDir: '/w' },
    ],
    ['a terminal', { tty: true, stdin_open: true }, { Tty: true, OpenStdin: true }],
    [
      'grace periods are rounded up to seconds',
      { stop_signal: 'SIGINT', stop_grace_period: '1m0.2s' },
      { StopSignal: 'SIGINT', StopTimeout: 61 },
    ],
    [
      'a health check in nanoseconds',
      {
        healthcheck: {
          test: ['CMD', 'x'],
          interval: '1m30s',
          timeout: '3s',
          retries: 3,
          start_period: '1.5s',
          start_interval: '500ms',
        },
      },
      {
        Healthcheck: {
          Test: ['CMD', 'x'],
          Interval: 90e9,
          Timeout: 3e9,
          Retries: 3,
          StartPeriod: 1.5e9,
          StartInterval: 5e8,
        },
      },
    ],
    [
      'a disabled health check',
      { healthcheck: { disable: true, interval: '1s' } },
      { Healthcheck: { Test: ['NONE'] } },
    ],
    [
      'exposed ports, ranges and protocols',
      { expose: ['3000-3002', '53/udp'] },
      { ExposedPorts: { '3000/tcp': {}, '3001/tcp': {}, '3002/tcp': {}, '53/udp': {} } },
    ],
  ];
  test.each(cases)('%s', (_title, spec, expected) => {
    expect(rendered(spec)).toEqual({ HostConfig: plainHost, ...expected });
  });
});

describe('host configuration', () => {
  const cases: readonly [string, Service, object][] = [
    [
      'logging as asked for',
      { logging: { driver: 'syslog', options: { tag: 'x' } } },
      { LogConfig: { Type: 'syslog', Config: { tag: 'x' } } },
    ],
    [
      'logging options without a driver go to the default driver of the engine',
      { logging: { options: { tag: 'x' } } },
      { LogConfig: { Type: '', Config: { tag: 'x' } } },
    ],
    [
      'extra hosts with one colon, IPv6 too',
      { extra_hosts: ['a=1.1.1.1', 'b=::1', 'c:2.2.2.2'] },
      { ExtraHosts: ['a:1.1.1.1', 'b:::1', 'c:2.2.2.2'] },
    ],
    [
      'rights',
      {
        cap_add: ['NET_ADMIN'],
        cap_drop: ['ALL'],
        privileged: true,
        read_only: true,
        security_opt: ['no-new-privileges'],
        group_add: ['mail'],
        sysctls: { 'net.core.somaxconn': '1024' },
      },
      {
        CapAdd: ['NET_ADMIN'],
        CapDrop: ['ALL'],
        Privileged: true,
        ReadonlyRootfs: true,
        SecurityOpt: ['no-new-privileges'],
        GroupAdd: ['mail'],
        Sysctls: { 'net.core.somaxconn': '1024' },
      },
    ],
    [
      'limits of the service',
      { mem_limit: '67108864', cpus: 0.5, pids_limit: 10, mem_reservation: '1024' },
      { Memory: 67108864, NanoCpus: 5e8, PidsLimit: 10, MemoryReservation: 1024 },
    ],
    [
      'limits of deploy',
      {
        deploy: {
          resources: {
            limits: { memory: '64', cpus: '0.1', pids: 5 },
            reservations: { memory: '32' },
          },
        },
      },
      { Memory: 64, NanoCpus: 1e8, PidsLimit: 5, MemoryReservation: 32 },
    ],
    [
      'ulimits of one number and of two',
      { ulimits: { nproc: 5, nofile: { soft: 1, hard: 2 } } },
      {
        Ulimits: [
          { Name: 'nproc', Soft: 5, Hard: 5 },
          { Name: 'nofile', Soft: 1, Hard: 2 },
        ],
      },
    ],
    [
      'devices by path and by CDI name',
      {
        devices: [
          { source: '/dev/a', target: '/dev/b', permissions: 'r' },
          { source: 'vendor.com/gpu=all', target: 'vendor.com/gpu=all' },
        ],
      },
      {
        Devices: [{ PathOnHost: '/dev/a', PathInContainer: '/dev/b', CgroupPermissions: 'r' }],
        DeviceRequests: [{ Driver: 'cdi', DeviceIDs: ['vendor.com/gpu=all'], Capabilities: [] }],
      },
    ],
    [
      'all GPUs',
      { gpus: [{ count: -1 }] },
      { DeviceRequests: [{ Count: -1, Capabilities: [['gpu']] }] },
    ],
    ['unlimited swap', { memswap_limit: '-1' }, { MemorySwap: -1 }],
    ['the host network', { network_mode: 'host' }, { NetworkMode: 'host' }],
    ['no network', { network_mode: 'none' }, { NetworkMode: 'none' }],
    ['the bridge of Docker is ours', { network_mode: 'bridge' }, { NetworkMode: 'tsc-compose' }],
    [
      'another container by name',
      { network_mode: 'container:vpn', pid: 'host' },
      { NetworkMode: 'container:vpn', PidMode: 'host' },
    ],
  ];
  test.each(cases)('%s', (_title, spec, expected) => {
    expect(rendered(spec).HostConfig).toEqual({ ...plainHost, ...expected });
  });
});

describe('ports', () => {
  test('only ports in host mode are bound by Docker; the others are only exposed', () => {
    const body = rendered({
      ports: [
        { mode: 'ingress', target: 80, published: '8080', protocol: 'tcp' },
        { mode: 'host', target: 53, published: '5353', protocol: 'udp', host_ip: '1.2.3.4' },
        { mode: 'host', target: 53, published: '5354', protocol: 'udp' },
        { mode: 'host', target: 90 },
      ],
    });
    expect(body.ExposedPorts).toEqual({ '80/tcp': {}, '53/udp': {}, '90/tcp': {} });
    expect(body.HostConfig?.PortBindings).toEqual({
      '53/udp': [{ HostIp: '1.2.3.4', HostPort: '5353' }, { HostPort: '5354' }],
      '90/tcp': [{}],
    });
  });

  test('x-ports with @host are bound, the others are left to nftables and Caddy', () => {
    const body = rendered({ 'x-ports': ['shop.example:80/https', '127.0.0.1:9100:9000/tcp@host'] });
    expect(body.HostConfig?.PortBindings).toEqual({
      '9000/tcp': [{ HostIp: '127.0.0.1', HostPort: '9100' }],
    });
  });

  test('ports of a container in the host network are not bound', () => {
    const ports = [{ mode: 'host', target: 80, published: '80' }];
    expect(rendered({ network_mode: 'host', ports }).HostConfig?.PortBindings).toBeUndefined();
  });
});

describe('namespaces shared with another service', () => {
  const spec: Service = {
    network_mode: 'service:vpn',
    ipc: 'service:vpn',
    volumes_from: ['vpn:ro', 'container:cache'],
    hostname: 'h',
    expose: ['80'],
    extra_hosts: ['a=1.1.1.1'],
    ports: [{ mode: 'host', target: 80, published: '80' }],
  };

  test('become the container of that service on this machine', () => {
    const body = renderContainer(anInput(spec, { companions: { vpn: 'abc' } }));
    expect(body.HostConfig).toEqual({
      ...plainHost,
      NetworkMode: 'container:abc',
      IpcMode: 'container:abc',
      VolumesFrom: ['abc:ro', 'cache'],
    });
  });

  test('leave out the fields that the engine refuses for a guest', () => {
    const body = renderContainer(anInput(spec, { companions: { vpn: 'abc' } }));
    expect(body).not.toHaveProperty('Hostname');
    expect(body).not.toHaveProperty('ExposedPorts');
  });

  test('are refused while that service has no container here', () => {
    expect(() => renderContainer(anInput(spec))).toThrow(
      'web shares network_mode with vpn, which has no container on this machine',
    );
  });
});

describe('resolv.conf', () => {
  const withFile = (spec: Service) =>
    renderContainer(anInput(spec, { resolvConfPath: '/d/resolv.conf' })).HostConfig.Binds;

  test('is bound read-only and first, and dns keys are not given to Docker', () => {
    expect(withFile({ dns: ['8.8.8.8'], dns_search: ['x'], dns_opt: ['y'] })).toEqual([
      '/d/resolv.conf:/etc/resolv.conf:ro',
    ]);
    const host = rendered({ dns: ['8.8.8.8'], dns_search: ['x'], dns_opt: ['y'] }).HostConfig;
    expect(host).toEqual(plainHost);
  });

  test('is not bound where there is no network', () => {
    expect(withFile({ network_mode: 'none' })).toBeUndefined();
  });

  test('is bound for guests, whose namespace has the file of another', () => {
    const input = anInput(
      { network_mode: 'service:vpn' },
      { resolvConfPath: '/d/resolv.conf', companions: { vpn: 'abc' } },
    );
    expect(renderContainer(input).HostConfig.Binds).toHaveLength(1);
  });
});

describe('engines of different age', () => {
  test('an old one gets no start_interval and no annotations', () => {
    const spec: Service = {
      healthcheck: { test: ['CMD', 'x'], start_interval: '1s' },
      annotations: { a: 'b' },
    };
    expect(rendered(spec, '1.41')).toEqual({
      Healthcheck: { Test: ['CMD', 'x'] },
      HostConfig: plainHost,
    });
    expect(rendered(spec, '1.44').Healthcheck?.StartInterval).toBe(1e9);
    expect(rendered(spec, '1.43').HostConfig?.Annotations).toEqual({ a: 'b' });
  });

  test('a MAC address stands where the engine looks for it', () => {
    const spec: Service = { networks: { default: { mac_address: '02:00:00:00:00:01' } } };
    expect(rendered(spec, '1.43')).toMatchObject({ MacAddress: '02:00:00:00:00:01' });
    expect(rendered(spec, '1.44')).toMatchObject({
      NetworkingConfig: {
        EndpointsConfig: { 'tsc-compose': { MacAddress: '02:00:00:00:00:01' } },
      },
    });
    expect(rendered(spec, '1.44')).not.toHaveProperty('MacAddress');
    expect(rendered({ ...spec, network_mode: 'host' })).toEqual({
      HostConfig: { ...plainHost, NetworkMode: 'host' },
    });
  });

  test('what would change the content of a container is refused with the version it needs', () => {
    const volumes = [{ type: 'volume', source: 'd', target: '/d', volume: { subpath: 'x' } }];
    expect(() => rendered({ volumes }, '1.44')).toThrow(
      'volumes[/d].volume.subpath of web needs Docker with API 1.45, here is 1.44',
    );
    expect(() => rendered({ volumes }, '1.45')).not.toThrow();
  });
});

describe('names', () => {
  const machine = aMachine({ name: 'berlin', id: 'bbbbbbbbbbbbbbbb' as MachineId });
  test.each([
    ['a replica ends in its slot', aService({}), '3', 'shop-web-3'],
    [
      'a replica of a global service ends in the machine',
      aService({}, { view: { mode: 'global' } }),
      machine.id,
      'shop-web-berlin',
    ],
    ['container_name wins', aService({ container_name: 'fixed' }), '1', 'fixed'],
  ])('%s', (_title, service, slot, expected) => {
    expect(lastingName(service, slot, machine)).toBe(expected);
  });
});

test('a service that uses nearly every key becomes the container that it always was', () => {
  const project = JSON.parse(readFileSync(join(golden, 'big-project.json'), 'utf8')) as Project;
  const spec = project.services['web'] as Service;
  const service = { ...aService(spec), definition: project };
  const body = renderContainer({
    ...anInput(spec),
    service,
    imageId: 'sha256:0123',
    resolvConfPath: '/data/resolv.conf',
    files: [{ hostPath: '/data/secret-0', target: '/run/secrets/s1' }],
    companions: { db: 'dbdbdb' },
    inheritedVolumes: { '/anon': 'f'.repeat(64), '/from-image': 'e'.repeat(64) },
  });
  const text = `${JSON.stringify(body, null, 2)}\n`;
  const file = join(golden, 'big-container.json');
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
  expect(text).toBe(readFileSync(file, 'utf8'));
});
