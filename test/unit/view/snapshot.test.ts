import { expect, test } from 'vitest';
import { toSnapshot } from '../../../src/view/snapshot.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';

test('a snapshot is the view as plain JSON, with owners and counts per service', () => {
  const world = new World('a', 'b');
  const ports = [
    { target: 80, published: '8080', host_ip: '127.0.0.1' },
    { target: 53, protocol: 'udp' },
  ];
  world.up('a', aProject({ web: { ports, deploy: { replicas: 2 } }, old: { restart: 'always' } }));
  const xPorts = ['80/http', '53/udp'];
  world.up('a', aProject({ web: { ports, 'x-ports': xPorts, deploy: { replicas: 2 } } }));
  const view = world.view('a');
  const owners = new Map([
    ['app/web', new Map([['1', machineId('a')] as const, ['2', undefined] as const])],
    ['app/old', new Map([['1', machineId('b')] as const])],
  ]);
  const waiting = [{ project: 'app', service: 'web', slot: '2', why: 'no machine can run it' }];
  const snapshot = toSnapshot(view, waiting, owners);
  expect(JSON.parse(JSON.stringify(snapshot))).toEqual(snapshot);
  expect(snapshot.machines.map((machine) => machine.name)).toEqual(['a', 'b']);
  expect(snapshot.waiting).toEqual(waiting);
  const [project] = snapshot.projects;
  expect(project).toMatchObject({
    name: 'app',
    isRemoved: false,
    isComplete: true,
    workingDir: '/home/me/app',
    composeFiles: ['/home/me/app/compose.yaml'],
  });
  const web = view.projects.get('app')?.services.get('web');
  expect(project?.services).toEqual([
    {
      name: 'old',
      image: 'old:1',
      hash: expect.any(String),
      rollout: expect.any(String),
      mode: 'replicated',
      wantedCount: 1,
      isStopped: false,
      isOrphan: true,
      owners: { 1: 'id-b' },
      mayComplete: false,
      ports: [],
      volumes: [],
      xPorts: [],
      revision: world.service('old').revisionHash,
    },
    {
      name: 'web',
      image: 'web:1',
      hash: web?.hash,
      rollout: web?.rollout,
      mode: 'replicated',
      wantedCount: 2,
      isStopped: false,
      isOrphan: false,
      owners: { 1: 'id-a' },
      mayComplete: true,
      ports: ['127.0.0.1:8080:80/tcp', '53/udp'],
      volumes: [],
      xPorts,
      revision: web?.revisionHash,
    },
  ]);
});

test('nothing is wanted of a stopped service', () => {
  const world = new World('a');
  world.up('a', aProject({ web: {} }));
  world.write('op/app/web', machineId('a'), { stopped: true });
  const owners = new Map([['app/web', new Map([['1', machineId('a')]])]]);
  const [project] = toSnapshot(world.view('a'), [], owners).projects;
  expect(project?.services[0]).toMatchObject({ wantedCount: 0, isStopped: true });
});

test('a project that is down is shown as removed', () => {
  const world = new World('a');
  world.up('a', aProject({ web: {} }));
  world.down('a');
  expect(toSnapshot(world.view('a'), [], new Map()).projects).toMatchObject([
    { name: 'app', isRemoved: true, services: [], volumes: {} },
  ]);
});
