import { describe, expect, test } from 'vitest';
import { checkSupport } from '../../../src/compose/index.ts';
import { refusedKeys } from '../../../src/compose/support.ts';
import { load } from './memory-project.ts';

function verdicts(text: string): Readonly<Record<string, string>> {
  const { project, positions } = load(text);
  return Object.fromEntries(checkSupport(project, positions).map((v) => [v.path, v.verdict]));
}

describe('what the cluster does with each key', () => {
  test('an ordinary service is honoured key by key, without what Compose implies', () => {
    expect(
      verdicts(
        'services: {web: {image: i, ports: ["80:80"], deploy: {replicas: 2}, x-machines: [a], x-mine: 1}}',
      ),
    ).toEqual({
      'services.web.image': 'honoured',
      'services.web.ports': 'honoured',
      'services.web.deploy.replicas': 'honoured',
      'services.web.x-machines': 'honoured',
      'services.web.x-mine': 'honoured',
    });
  });

  test.each<[string, string, string]>([
    ['build: .', 'build', 'translated'],
    ['develop: {watch: [{path: ., action: rebuild}]}', 'develop', 'translated'],
    ['blkio_config: {weight: 300}', 'blkio_config', 'honoured'],
    ['mac_address: "02:42:ac:11:65:43"', 'mac_address', 'honoured'],
    ['credential_spec: {file: x}', 'credential_spec', 'refused'],
    ['links: [o]', 'links', 'translated'],
    ['links: ["o:other"]', 'links', 'refused'],
    [
      'depends_on: {o: {condition: service_started, restart: true}}',
      'depends_on.o.restart',
      'honoured',
    ],
    ['deploy: {endpoint_mode: vip}', 'deploy.endpoint_mode', 'translated'],
    ['deploy: {endpoint_mode: dnsrr}', 'deploy.endpoint_mode', 'honoured'],
    [
      'deploy: {update_config: {failure_action: rollback}}',
      'deploy.update_config.failure_action',
      'honoured',
    ],
    [
      'deploy: {update_config: {failure_action: pause}}',
      'deploy.update_config.failure_action',
      'honoured',
    ],
    [
      'deploy: {update_config: {max_failure_ratio: 0.1}}',
      'deploy.update_config.max_failure_ratio',
      'honoured',
    ],
    ['network_mode: host', 'network_mode', 'honoured'],
    ['network_mode: "service:o"', 'network_mode', 'honoured'],
    ['network_mode: "container:x"', 'network_mode', 'refused'],
    ['network_mode: mynet', 'network_mode', 'refused'],
    ['pid: host', 'pid', 'honoured'],
    ['ipc: "service:o"', 'ipc', 'honoured'],
    ['ipc: "container:x"', 'ipc', 'refused'],
    ['pull_policy: build', 'pull_policy', 'translated'],
    ['pull_policy: every_3h', 'pull_policy', 'translated'],
    ['pull_policy: always', 'pull_policy', 'honoured'],
    ['gpus: all', 'gpus', 'honoured'],
    ['volumes_from: [o]', 'volumes_from', 'honoured'],
    ['volumes_from: ["container:x"]', 'volumes_from', 'refused'],
    ['use_api_socket: true', 'use_api_socket', 'translated'],
    ['post_start: [{command: a}]', 'post_start', 'honoured'],
    ['x-pre_deploy: {command: a}', 'x-pre_deploy', 'honoured'],
    ['networks: {default: {ipv4_address: 10.0.0.2}}', 'networks.default.ipv4_address', 'refused'],
    ['networks: {default: {aliases: [x]}}', 'networks.default.aliases', 'honoured'],
    ['volumes: [{type: image, source: x, target: /y}]', 'volumes[0].type', 'refused'],
    ['deploy: {mode: global-job}', 'deploy.mode', 'honoured'],
    ['deploy: {mode: odd}', 'deploy.mode', 'refused'],
    ['deploy: {x-max-concurrent: 2}', 'deploy.x-max-concurrent', 'honoured'],
    ['deploy: {x-max-concurrent: 0}', 'deploy.x-max-concurrent', 'refused'],
    ['deploy: {placement: {constraints: [a==b]}}', 'deploy.placement.constraints', 'honoured'],
    [
      'deploy: {placement: {constraints: ["node.role == manager"]}}',
      'deploy.placement.constraints',
      'translated',
    ],
    ['deploy: {rollback_config: {order: stop-first}}', 'deploy.rollback_config.order', 'honoured'],
    [
      'deploy: {rollback_config: {failure_action: rollback}}',
      'deploy.rollback_config.failure_action',
      'refused',
    ],
    [
      'deploy: {resources: {reservations: {memory: 1m}}}',
      'deploy.resources.reservations.memory',
      'honoured',
    ],
    ['x-caddy: x', 'x-caddy', 'honoured'],
  ])('%s', (line, key, verdict) => {
    const found = verdicts(`services: {web: {image: i, ${line}}, o: {image: i}}`);
    expect(found[`services.web.${key}`]).toBe(verdict);
  });

  test('resources of the project are judged too', () => {
    const found = verdicts(
      `services: {t: {image: i, networks: [n, m], volumes: ["v1:/v"], secrets: [s]}}
networks: {n: {driver: macvlan}, m: {driver: overlay}}
volumes: {v1: {driver: nfs}}
secrets: {s: {external: true}}
`,
    );
    expect(found).toMatchObject({
      'networks.n.driver': 'refused',
      'networks.m.driver': 'translated',
      'volumes.v1.driver': 'translated',
      'secrets.s.external': 'refused',
    });
  });

  test('a refusal says why and where', () => {
    const { project, positions } = load('services:\n  t:\n    image: i\n    external_links: [x]\n');
    expect(refusedKeys(checkSupport(project, positions))).toEqual([
      {
        path: 'services.t.external_links',
        keyPath: ['services', 't', 'external_links'],
        verdict: 'refused',
        note: expect.stringContaining('SERVICE.PROJECT'),
        where: expect.objectContaining({ line: 4, column: 5, text: '    external_links: [x]' }),
      },
    ]);
  });

  test('a key that no line of the table names is refused', () => {
    const { positions } = load('services: {t: {image: i}}');
    const project = { name: 'p', services: { t: { image: 'i', brand_new: 1 } } };
    expect(refusedKeys(checkSupport(project, positions)).map((v) => v.path)).toEqual([
      'services.t.brand_new',
    ]);
  });
});
