import { describe, expect, test } from 'vitest';
import type { Project, Service } from '../../../src/model/project.ts';
import { canonicalJson, shortHash } from '../../../src/plan/canonical.ts';
import { serviceHash } from '../../../src/plan/hash.ts';
import { aProject } from '../../lib/builders.ts';

const base: Service = {
  image: 'web:1',
  command: ['serve'],
  environment: { A: '1', B: '2' },
  volumes: [{ type: 'volume', source: 'data', target: '/data' }],
  networks: { front: null },
  secrets: [{ source: 'key' }],
  deploy: { resources: { limits: { memory: '64' } } },
};
const project: Project = aProject(
  { web: base },
  { volumes: { data: {}, other: {} }, networks: { front: {}, back: {} } },
);
const input = {
  imageId: 'sha256:1',
  contents: { 'secret/key': 'AA==', 'secret/no': 'AA==' },
  project,
};
const hash = serviceHash(base, input);

describe('what gives new containers', () => {
  test.each<[string, Service]>([
    ['another command', { ...base, command: ['serve', '-v'] }],
    ['another variable', { ...base, environment: { A: '1' } }],
    ['another limit', { ...base, deploy: { resources: { limits: { memory: '65' } } } }],
    ['another restart policy', { ...base, restart: 'always' }],
    ['another grace period', { ...base, stop_grace_period: '1m0s' }],
  ])('%s', (_title, service) => {
    expect(serviceHash(service, input)).not.toBe(hash);
  });

  test('another image under the same tag', () => {
    expect(serviceHash(base, { ...input, imageId: 'sha256:2' })).not.toBe(hash);
  });

  test('another content of a secret it uses', () => {
    const contents = { ...input.contents, 'secret/key': 'BB==' };
    expect(serviceHash(base, { ...input, contents })).not.toBe(hash);
  });

  test('another definition of a volume or a network it uses', () => {
    const volumes = { ...project.volumes, data: { driver: 'x' } };
    const networks = { ...project.networks, front: { internal: true } };
    expect(serviceHash(base, { ...input, project: { ...project, volumes } })).not.toBe(hash);
    expect(serviceHash(base, { ...input, project: { ...project, networks } })).not.toBe(hash);
  });
});

describe('what leaves containers alone', () => {
  test.each<[string, Service]>([
    ['the count', { ...base, scale: 3 }],
    ['what it depends on', { ...base, depends_on: { db: { condition: 'service_started' } } }],
    ['how it is built', { ...base, build: { context: '.' } }],
    ['profiles and policies', { ...base, profiles: ['x'], pull_policy: 'always', attach: false }],
    ['where it may run', { ...base, 'x-machines': 'a', 'x-on-lost': 'hold' }],
    ['what is published by extension', { ...base, 'x-ports': ['80/tcp'], 'x-caddy': 'x' }],
    [
      'how it is deployed',
      {
        ...base,
        deploy: {
          ...base.deploy,
          replicas: 4,
          labels: { a: 'b' },
          placement: { constraints: ['node.id == x'] },
          update_config: { order: 'start-first' },
          rollback_config: { order: 'start-first' },
        },
      },
    ],
  ])('%s', (_title, service) => {
    expect(serviceHash(service, input)).toBe(hash);
  });

  test('an empty deploy section', () => {
    const { deploy: _, ...without } = base;
    expect(serviceHash({ ...without, deploy: { replicas: 2 } }, input)).toBe(
      serviceHash(without, input),
    );
  });

  test('volumes, networks and contents that it does not use', () => {
    const changed: Project = {
      ...project,
      volumes: { ...project.volumes, other: { driver: 'x' } },
      networks: { ...project.networks, back: { internal: true } },
    };
    const contents = { ...input.contents, 'secret/no': 'BB==' };
    expect(serviceHash(base, { ...input, project: changed, contents })).toBe(hash);
  });

  test('the order of keys', () => {
    const turned = Object.fromEntries(Object.entries(base).toReversed());
    expect(serviceHash(turned, input)).toBe(hash);
  });
});

test('canonical JSON sorts keys at every depth, drops what is undefined and keeps lists', () => {
  expect(canonicalJson({ b: [2, 1], a: { d: undefined, c: null, B: 1 } })).toBe(
    '{"a":{"B":1,"c":null},"b":[2,1]}',
  );
});

test('a short hash is 16 hex characters of SHA-256', () => {
  expect(shortHash('')).toBe('e3b0c44298fc1c14');
});
