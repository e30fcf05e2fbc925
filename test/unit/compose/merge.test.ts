import { describe, expect, test } from 'vitest';
import { faultOf, load } from './memory-project.ts';

/** Service `t` of two files laid over each other. */
function merged(base: string, override: string): Readonly<Record<string, unknown>> {
  const { project } = load(
    {
      'a.yaml': `services: {t: {image: i, ${base}}}\nvolumes: {v1: , v2: }\nnetworks: {n: , m: }\n`,
      'b.yaml': `services: {t: {${override}}}\n`,
    },
    { files: ['a.yaml', 'b.yaml'] },
  );
  return { ...project.services.t };
}

describe('laying one file over another', () => {
  test.each<[string, string, object]>([
    ['command: [a, b]', 'command: c', { command: ['c'] }],
    ['command: [a]', 'command: null', { command: null }],
    ['user: a', 'user: b', { user: 'b' }],
    [
      'environment: {A: 1, B: 2}',
      'environment: [B=3, C=4]',
      { environment: { A: '1', B: '3', C: '4' } },
    ],
    ['labels: [a=1]', 'labels: {a: 2}', { labels: { a: '2' } }],
    ['cap_add: [A, B]', 'cap_add: [B, C]', { cap_add: ['A', 'B', 'C'] }],
    ['dns: 1.1.1.1', 'dns: [2.2.2.2]', { dns: ['1.1.1.1', '2.2.2.2'] }],
    [
      'ports: ["80:80"]',
      'ports: [{target: 80, published: "80", name: x}]',
      { ports: [{ name: 'x', mode: 'ingress', target: 80, published: '80', protocol: 'tcp' }] },
    ],
    [
      'volumes: ["v1:/a", "/x:/b"]',
      'volumes: ["v2:/a"]',
      {
        volumes: [
          { type: 'volume', source: 'v2', target: '/a', volume: {} },
          { type: 'bind', source: '/x', target: '/b', bind: { create_host_path: true } },
        ],
      },
    ],
    [
      'networks: [n]',
      'networks: {m: {aliases: [x]}}',
      { networks: { m: { aliases: ['x'] }, n: null } },
    ],
    [
      'logging: {driver: a, options: {x: 1}}',
      'logging: {driver: a, options: {y: 2}}',
      { logging: { driver: 'a', options: { x: '1', y: '2' } } },
    ],
    ['logging: {driver: a, options: {x: 1}}', 'logging: {driver: b}', { logging: { driver: 'b' } }],
    ['ulimits: {n: {soft: 1, hard: 2}}', 'ulimits: {n: 3}', { ulimits: { n: 3 } }],
    ['extra_hosts: [a=1]', 'extra_hosts: [a=1, a=2]', { extra_hosts: ['a=1', 'a=2'] }],
    [
      'healthcheck: {test: [CMD, a], retries: 1}',
      'healthcheck: {test: [CMD, b]}',
      { healthcheck: { test: ['CMD', 'b'], retries: 1 } },
    ],
    [
      'build: ./a',
      'build: {target: x}',
      { build: { context: '/home/me/shop/a', dockerfile: 'Dockerfile', target: 'x' } },
    ],
    ['expose: [80]', 'expose: ["80", 81]', { expose: ['80', '81'] }],
    [
      'devices: ["/a:/x"]',
      'devices: ["/b:/x"]',
      { devices: [{ source: '/b', target: '/x', permissions: 'rwm' }] },
    ],
    ['ports: ["80:80"]', 'ports: !reset []', {}],
    [
      'ports: ["80:80"]',
      'ports: !override ["81:81"]',
      { ports: [{ mode: 'ingress', target: 81, published: '81', protocol: 'tcp' }] },
    ],
    ['environment: {A: 1}', 'environment: !override {B: 2}', { environment: { B: '2' } }],
    ['labels: {a: 1, b: 2}', 'labels: {a: !reset null}', { labels: { b: '2' } }],
  ])('%s + %s', (base, override, expected) => {
    expect(merged(base, override)).toEqual({
      command: null,
      entrypoint: null,
      image: 'i',
      networks: { default: null },
      ...expected,
    });
  });

  test('depends_on of both forms becomes a mapping', () => {
    const { project } = load(
      {
        'a.yaml': 'services: {t: {image: i, depends_on: [a]}, a: {image: i}, b: {image: i}}',
        'b.yaml': 'services: {t: {depends_on: {b: {condition: service_healthy}}}}',
      },
      { files: ['a.yaml', 'b.yaml'] },
    );
    expect(project.services.t?.depends_on).toEqual({
      a: { condition: 'service_started', required: true },
      b: { condition: 'service_healthy', required: true },
    });
  });

  test('pools of addresses are merged by subnet', () => {
    const { project } = load(
      {
        'a.yaml':
          'services: {t: {image: i}}\nnetworks: {default: {ipam: {config: [{subnet: a, gateway: x}]}}}',
        'b.yaml': 'networks: {default: {ipam: {config: [{subnet: a, ip_range: r}, {subnet: c}]}}}',
      },
      { files: ['a.yaml', 'b.yaml'] },
    );
    expect(project.networks?.default?.ipam).toEqual({
      config: [{ subnet: 'a', gateway: 'x', ip_range: 'r' }, { subnet: 'c' }],
    });
  });

  test.each([
    ['environment: {A: 1}', 'deploy: [a]'],
    ['deploy: {replicas: 1}', 'deploy: [a]'],
    ['cap_add: [A]', 'cap_add: {a: b}'],
    ['logging: {driver: a}', 'logging: null'],
    ['group_add: [1]', 'group_add: [1]'],
  ])('%s + %s is refused', (base, override) => {
    faultOf(() => merged(base, override));
  });

  test('each document of a file is laid over the one before', () => {
    const { project } = load(
      'services: {t: {image: a, user: u}}\n---\nservices: {t: {image: b}}\n',
    );
    expect(project.services.t).toMatchObject({ image: 'b', user: 'u' });
  });
});
