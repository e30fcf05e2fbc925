import { describe, expect, test } from 'vitest';
import { faultOf, load, service } from './memory-project.ts';

describe('ports', () => {
  const port = (target: number, published?: string, more: object = {}): object => ({
    mode: 'ingress',
    target,
    ...(published === undefined ? {} : { published }),
    protocol: 'tcp',
    ...more,
  });

  test.each<[string, object[]]>([
    ['80', [port(80)]],
    ['"8080:80"', [port(80, '8080')]],
    ['"127.0.0.1:8080:80/UDP"', [port(80, '8080', { host_ip: '127.0.0.1', protocol: 'udp' })]],
    ['"127.0.0.1::80"', [port(80, undefined, { host_ip: '127.0.0.1' })]],
    ['"[::1]:80:80"', [port(80, '80', { host_ip: '::1' })]],
    ['"9000-9001:80"', [port(80, '9000-9001')]],
    ['"4000-4001:5000-5001"', [port(5000, '4000'), port(5001, '4001')]],
    ['"9-10"', [port(10), port(9)]],
    [
      '{target: 80, published: 81, mode: host, name: web}',
      [port(80, '81', { mode: 'host', name: 'web' })],
    ],
  ])('%s', (entry, ports) => {
    expect(service(`ports: [${entry}]`).ports).toEqual(
      ports.map((expected) => expect.objectContaining(expected)),
    );
  });

  test.each([
    '"x"',
    '"80:x"',
    '"70000"',
    '"80:90-80"',
    '"80-82:90-91"',
    '"1.2.3:80:80"',
    '"::1:80:80"',
    '"80/icmp"',
    '":"',
    '"0"',
    '{published: 80}',
    '{target: 80, host_ip: nowhere}',
  ])('%s is refused', (entry) => {
    faultOf(() => service(`ports: [${entry}]`));
  });

  test('the later of two equal ports stays, and a range may hide one', () => {
    expect(service('ports: ["80:80", "0.0.0.0:80:80", "127.0.0.1:80:80"]').ports).toHaveLength(2);
    expect(service('ports: ["8000-8001:8000-8001", "8001:8001"]').ports).toHaveLength(2);
  });
});

describe('volumes', () => {
  test.each<[string, object]>([
    ['/data', { type: 'volume', target: '/data', volume: {} }],
    ['v:/data', { type: 'volume', target: 'v:/data', volume: {} }],
    ['vol:/data/../x/', { type: 'volume', source: 'vol', target: '/x', volume: {} }],
    [
      'vol:/d:ro,nocopy',
      { type: 'volume', source: 'vol', target: '/d', read_only: true, volume: { nocopy: true } },
    ],
    [
      './a:/d',
      { type: 'bind', source: '/home/me/shop/a', target: '/d', bind: { create_host_path: true } },
    ],
    [
      '~/a:/d:z',
      {
        type: 'bind',
        source: '/home/me/a',
        target: '/d',
        bind: { selinux: 'z', create_host_path: true },
      },
    ],
    [
      '/a:/d:rslave,rw,what',
      {
        type: 'bind',
        source: '/a',
        target: '/d',
        bind: { propagation: 'rslave', create_host_path: true },
      },
    ],
    [
      'C:\\\\a:/d',
      { type: 'bind', source: 'C:\\a', target: '/d', bind: { create_host_path: true } },
    ],
  ])('%s', (entry, volume) => {
    const { project } = load(
      `services: {t: {image: i, volumes: ["${entry}"]}}\nvolumes: {vol: }\n`,
    );
    expect(project.services.t?.volumes).toEqual([volume]);
  });

  test.each([
    '""',
    '"ab::c"',
    '"ab:b1:c1:d1"',
    '"nowhere:/d"',
    '{type: bind, target: /d}',
    '{type: disk}',
  ])('%s is refused', (entry) => {
    faultOf(() => service(`volumes: [${entry}]`));
  });

  test('two mounts cannot have one target', () => {
    const fault = faultOf(() => service('tmpfs: /a\nvolumes: ["/x:/a"]'));
    expect(fault.message).toContain('target /a already mounted as services.t.tmpfs[0]');
    expect(service('volumes: ["/x:/a", "/y:/a/"]').volumes).toHaveLength(1);
  });
});

describe('short forms of other keys', () => {
  test.each<[string, object]>([
    ['command: a "b c"', { command: ['a', 'b c'] }],
    ['command: ""', { command: [] }],
    ['entrypoint: []', { entrypoint: [] }],
    ['environment: [A=1, B, "C=x=y"]', { environment: { A: '1', B: null, C: 'x=y' } }],
    ['environment: {A: 1.10, B: , C: true}', { environment: { A: '1.1', B: null, C: 'true' } }],
    ['labels: [a=b, c]', { labels: { a: 'b', c: '' } }],
    [
      'healthcheck: {test: curl x, interval: 90s}',
      { healthcheck: { test: ['CMD-SHELL', 'curl x'], interval: '1m30s' } },
    ],
    ['healthcheck: {disable: true}', { healthcheck: { disable: true } }],
    ['mem_limit: 64m', { mem_limit: '67108864' }],
    ['mem_limit: 1.9', {}],
    ['cpus: 0.3333333333', { cpus: 0.33333334 }],
    ['init: false\ntty: false\nscale: 0', { init: false, scale: 0 }],
    ['user: "0"', { user: '0' }],
    ['extra_hosts: ["b:2", "a=[::1],3"]', { extra_hosts: ['a=3', 'a=::1', 'b=2'] }],
    ['extra_hosts: {a: [x, y], b: z}', { extra_hosts: ['a=x', 'a=y', 'b=z'] }],
    [
      'ulimits: {nofile: 10, nproc: {soft: 1, hard: 2}}',
      { ulimits: { nofile: 10, nproc: { soft: 1, hard: 2 } } },
    ],
    [
      'devices: ["/a", "/b:/c:r"]',
      {
        devices: [
          { source: '/a', target: '/a', permissions: 'rwm' },
          { source: '/b', target: '/c', permissions: 'r' },
        ],
      },
    ],
    ['gpus: all', { gpus: [{ count: -1 }] }],
    ['dns: ["", 1.1.1.1]', { dns: ['1.1.1.1'] }],
    ['stop_grace_period: 1d', { stop_grace_period: '24h0m0s' }],
    [
      'deploy: {update_config: {delay: 0s, parallelism: 0}}',
      { deploy: { update_config: { parallelism: 0 }, resources: {}, placement: {} } },
    ],
    [
      'logging: {driver: x, options: {a: 1, b: }}',
      { logging: { driver: 'x', options: { a: '1', b: '' } } },
    ],
    ['x-own: {a: [1, 1.5]}', { 'x-own': { a: [1, 1.5] } }],
    ['pull_policy: if_not_present', { pull_policy: 'missing' }],
    ['build: ./b', { build: { context: '/home/me/shop/b', dockerfile: 'Dockerfile' } }],
    [
      'build: {args: [A, B=1], ssh: [default], additional_contexts: [r=./r, q=service:q]}\ndepends_on: []',
      {
        build: {
          context: '/home/me/shop',
          dockerfile: 'Dockerfile',
          args: { B: '1' },
          ssh: ['default'],
          additional_contexts: { r: '/home/me/shop/r', q: 'service:q' },
        },
      },
    ],
    [
      'blkio_config: {weight: 70000, weight_device: [{path: /a, weight: 5}], device_read_bps: [{path: /b, rate: 1k}]}',
      {
        blkio_config: {
          weight: 4464,
          weight_device: [{ Path: '/a', Weight: 5 }],
          device_read_bps: [{ Path: '/b', Rate: '1024' }],
        },
      },
    ],
  ])('%s', (lines, expected) => {
    expect(service(lines, { skipConsistency: true })).toEqual(expected);
  });

  test('secrets and configs: targets, modes, values from the environment', () => {
    const { project, secretValues } = load(
      `services:
  t: {image: i, secrets: [s, {source: f, target: x, mode: 440}], configs: [{source: c, mode: "440"}]}
secrets: {s: {environment: TOKEN}, f: {file: ./f}}
configs: {c: {content: "hi"}}
`,
      { environment: { TOKEN: 't0' } },
    );
    expect(project.services.t?.secrets).toEqual([
      { source: 's', target: '/run/secrets/s' },
      { source: 'f', target: 'x', mode: '0670' },
    ]);
    expect(project.services.t?.configs).toEqual([{ source: 'c', mode: '0440' }]);
    expect(project.secrets).toEqual({
      s: { name: 'shop_s', environment: 'TOKEN' },
      f: { name: 'shop_f', file: '/home/me/shop/f' },
    });
    expect([...secretValues]).toEqual([['s', 't0']]);
  });

  test.each([
    'command: "a \\"b"',
    'mem_limit: 64Mi',
    'mem_limit: "-1"',
    'stop_grace_period: "10"',
    'environment: ["A =1"]',
    'extra_hosts: [nowhere]',
    'extra_hosts: ["=1"]',
    'devices: ["a:b:c:d"]',
    'build: {additional_contexts: [x]}',
    'build: {ssh: [x]}',
    'storage_opt: {a: 1.5}',
    'storage_opt: {a: [b]}',
    'tmpfs: {a: b}',
    'deploy: {resources: {limits: {cpus: x}}}',
    'deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: x}]}}}',
    'volumes: [{type: tmpfs, target: /a, tmpfs: {mode: "777"}}]',
    'healthcheck: {retries: -1}',
    'cpus: .inf',
    'secrets: [{source: s, mode: "0o440"}]',
    'labels: {a: 2001-12-14}',
  ])('%s is refused', (line) => {
    faultOf(() => service(line, { skipConsistency: true }));
  });

  test('an old external name is taken over with a warning, unless it contradicts', () => {
    const text = (name: string): string =>
      `services: {t: {image: i, networks: [n]}}\nnetworks: {n: {${name} external: {name: far}}}\n`;
    const { project, warnings } = load(text(''));
    expect(project.networks).toEqual({ n: { name: 'far', external: true, ipam: {} } });
    expect(warnings[0]).toContain('external.name is deprecated');
    expect(faultOf(() => load(text('name: near,'))).message).toContain('conflict');
  });
});
