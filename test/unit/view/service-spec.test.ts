import { expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import {
  companionOf,
  graceMsOf,
  hasHealthcheck,
  isLocalVolume,
  lastingName,
  localVolumesOf,
  mayComplete,
  modeOf,
  monitorMsOf,
  replicaCountOf,
  restartPolicyOf,
} from '../../../src/view/service-spec.ts';
import { aProject } from '../../lib/builders.ts';

test.each<[Service, Partial<ReturnType<typeof restartPolicyOf>>]>([
  [{}, { condition: 'unset', maxAttempts: undefined }],
  [{ restart: 'no' }, { condition: 'no' }],
  [{ restart: 'always' }, { condition: 'always' }],
  [{ restart: 'unless-stopped' }, { condition: 'unless-stopped' }],
  [{ restart: 'on-failure' }, { condition: 'on-failure', maxAttempts: undefined }],
  [{ restart: 'on-failure:3' }, { condition: 'on-failure', maxAttempts: 3 }],
  [{ restart: 'no', deploy: { restart_policy: {} } }, { condition: 'always' }],
  [{ deploy: { restart_policy: { condition: 'none' } } }, { condition: 'no' }],
  [
    {
      deploy: {
        restart_policy: { condition: 'on-failure', delay: '5s', max_attempts: 2, window: '2m' },
      },
    },
    { condition: 'on-failure', delayMs: 5_000, maxAttempts: 2, windowMs: 120_000 },
  ],
  [{ deploy: { mode: 'replicated-job' } }, { condition: 'on-failure' }],
  [{ restart: 'always', deploy: { mode: 'global-job' } }, { condition: 'on-failure' }],
])('the restart policy of %j', (spec, expected) => {
  expect(restartPolicyOf(spec)).toMatchObject(expected);
});

test.each<[Service, boolean]>([
  [{}, true],
  [{ restart: 'on-failure' }, true],
  [{ restart: 'always' }, false],
  [{ restart: 'unless-stopped' }, false],
])('whether %j may complete is %s', (spec, expected) => {
  expect(mayComplete(spec)).toBe(expected);
});

test('scale wins over deploy.replicas, and one replica is the default', () => {
  expect(replicaCountOf({})).toBe(1);
  expect(replicaCountOf({ deploy: { replicas: 0 } })).toBe(0);
  expect(replicaCountOf({ scale: 3, deploy: { replicas: 2 } })).toBe(3);
});

test('global and global-job have a slot per machine', () => {
  expect(modeOf({ deploy: { mode: 'global' } })).toBe('global');
  expect(modeOf({ deploy: { mode: 'global-job' } })).toBe('global');
  expect(modeOf({ deploy: { mode: 'replicated-job' } })).toBe('replicated');
});

test('times come from the file or are the engine’s', () => {
  expect(graceMsOf({})).toBe(10_000);
  expect(graceMsOf({ stop_grace_period: '1m30s' })).toBe(90_000);
  expect(monitorMsOf({})).toBe(1_000);
  expect(monitorMsOf({ deploy: { update_config: { monitor: '5s' } } })).toBe(5_000);
});

test.each<[Service, boolean]>([
  [{}, false],
  [{ healthcheck: { test: ['CMD', 'true'] } }, true],
  [{ healthcheck: { test: ['NONE'] } }, false],
  [{ healthcheck: { test: ['CMD', 'true'], disable: true } }, false],
  [{ healthcheck: { interval: '5s' } }, false],
])('whether %j has a health check is %s', (spec, expected) => {
  expect(hasHealthcheck(spec)).toBe(expected);
});

test('a container keeps the name that Compose gives it', () => {
  const of = (spec: Service): string => lastingName({ project: 'p', name: 's', spec }, '2', 'blue');
  expect(of({})).toBe('p-s-2');
  expect(of({ deploy: { mode: 'global' } })).toBe('p-s-blue');
  expect(of({ container_name: 'own' })).toBe('own');
});

test.each<[Service, string | undefined]>([
  [{}, undefined],
  [{ network_mode: 'host' }, undefined],
  [{ network_mode: 'service:vpn' }, 'vpn'],
  [{ pid: 'service:app' }, 'app'],
  [{ volumes_from: ['container:x', 'data:ro'] }, 'data'],
])('the companion of %j is %s', (spec, expected) => {
  expect(companionOf(spec)).toBe(expected);
});

test('a volume is local unless its driver or its options lead elsewhere', () => {
  expect(isLocalVolume(undefined)).toBe(true);
  expect(isLocalVolume({ driver: 'local' })).toBe(true);
  expect(isLocalVolume({ driver: 'rexray' })).toBe(false);
  expect(isLocalVolume({ driver_opts: { type: 'nfs', o: 'addr=192.0.2.1' } })).toBe(false);
  expect(isLocalVolume({ driver_opts: { type: 'tmpfs' } })).toBe(false);
});

test('the local volumes of a service are named as the engine names them', () => {
  const project = aProject(
    {
      db: {
        volumes: [
          { type: 'volume', source: 'data', target: '/data' },
          { type: 'volume', source: 'share', target: '/share' },
          { type: 'volume', target: '/anonymous' },
          { type: 'bind', source: '/etc', target: '/etc' },
          { type: 'volume', source: 'named', target: '/named' },
        ],
      },
    },
    { volumes: { data: {}, share: { driver_opts: { type: 'cifs' } }, named: { name: 'given' } } },
  );
  expect(localVolumesOf(project, project.services['db'] ?? {})).toEqual(['app_data', 'given']);
});
