import { expect, test } from 'vitest';
import type { MachineId } from '../../../src/model/ids.ts';
import type { Service } from '../../../src/model/project.ts';
import { containerLabels, volumeLabels } from '../../../src/render/container-labels.ts';
import { aService, cluster } from './builders.ts';

function labelsOf(spec: Service, changes: Parameters<typeof aService>[1] = {}) {
  return containerLabels({
    service: aService(spec, changes),
    slot: '2',
    cluster,
    imageId: undefined,
  });
}

test('a container carries the labels of docker compose and those of the cluster', () => {
  const labels = labelsOf({
    labels: { team: 'blue' },
    hostname: 'front',
    domainname: 'example.org',
    depends_on: {
      db: { condition: 'service_healthy', restart: true },
      cache: { condition: 'service_started' },
    },
    networks: { default: null, back: { aliases: ['api'] } },
  });
  expect(labels).toEqual({
    team: 'blue',
    'com.docker.compose.project': 'shop',
    'com.docker.compose.service': 'web',
    'com.docker.compose.container-number': '2',
    'com.docker.compose.config-hash': 'hash1',
    'com.docker.compose.oneoff': 'False',
    'com.docker.compose.project.working_dir': '/home/me/shop',
    'com.docker.compose.project.config_files': '/home/me/shop/compose.yaml',
    'com.docker.compose.depends_on': 'cache:service_started:false,db:service_healthy:true',
    'com.docker.compose.version': '2.40.3',
    'tsc-compose.cluster': cluster,
    'tsc-compose.project': 'shop',
    'tsc-compose.service': 'web',
    'tsc-compose.slot': '2',
    'tsc-compose.hash': 'hash1',
    'tsc-compose.rollout': 'rollout1',
    'tsc-compose.names':
      '{"aliases":["front","front.example.org"],"networks":{"default":[],"back":["api"]}}',
  });
});

test('own labels cannot be forged from the Compose file', () => {
  const labels = labelsOf({
    labels: {
      'tsc-compose.system': 'caddy',
      'tsc-compose.cluster': 'other',
      'com.docker.compose.project': 'other',
    },
  });
  expect(labels).not.toHaveProperty('tsc-compose.system');
  expect(labels['tsc-compose.cluster']).toBe(cluster);
  expect(labels['com.docker.compose.project']).toBe('shop');
});

test('a container of a global service is the first and only one for docker compose', () => {
  const machine = 'aaaaaaaaaaaaaaaa' as MachineId;
  const service = aService({}, { view: { mode: 'global' } });
  const labels = containerLabels({ service, slot: machine, cluster, imageId: 'sha256:1' });
  expect(labels['com.docker.compose.container-number']).toBe('1');
  expect(labels['com.docker.compose.image']).toBe('sha256:1');
  expect(labels['tsc-compose.slot']).toBe(machine);
});

test('a container without an address of its own has no names', () => {
  for (const network_mode of ['host', 'none', 'service:vpn']) {
    const labels = labelsOf({ network_mode, hostname: 'front' });
    expect(labels['tsc-compose.names']).toBe('{"aliases":[],"networks":{}}');
  }
});

test('a volume carries labels by which docker compose and the cluster know it', () => {
  expect(volumeLabels(cluster, 'shop', 'data', { team: 'blue' })).toEqual({
    team: 'blue',
    'com.docker.compose.project': 'shop',
    'com.docker.compose.volume': 'data',
    'com.docker.compose.version': '2.40.3',
    'tsc-compose.cluster': cluster,
    'tsc-compose.project': 'shop',
  });
});
