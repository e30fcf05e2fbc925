/** Containers, services and projects of snapshots, with the fields that a test does not care about. */
import type { ProjectSnapshot, ServiceSnapshot } from '../../../src/model/snapshot.ts';
import type { ContainerView } from '../../../src/model/view.ts';
import { m1 } from '../api/fakes.ts';

/** The service and the slot come from a name of the form project-service-slot. */
export function aContainer(name: string, changes: Partial<ContainerView> = {}): ContainerView {
  const [project = '', service = '', slot = ''] = name.split('-');
  return {
    id: `id-${name}`,
    machine: m1,
    name,
    project,
    service,
    slot,
    hash: 'h1',
    rollout: 'r1',
    image: 'busybox',
    state: 'running',
    health: 'none',
    ready: true,
    draining: false,
    ip: '10.210.1.2',
    createdMs: 0,
    startedMs: 1,
    finishedMs: 0,
    exitCode: 0,
    restarts: 0,
    aliases: [],
    networks: { default: [] },
    ...changes,
  };
}

export function aService(name: string, changes: Partial<ServiceSnapshot> = {}): ServiceSnapshot {
  return {
    name,
    image: 'busybox',
    hash: 'h1',
    rollout: 'r1',
    mode: 'replicated',
    wantedCount: 1,
    isStopped: false,
    isOrphan: false,
    owners: { '1': m1 },
    mayComplete: false,
    ports: [],
    xPorts: [],
    ...changes,
  };
}

export function aProject(
  name: string,
  services: readonly ServiceSnapshot[],
  changes: Partial<ProjectSnapshot> = {},
): ProjectSnapshot {
  return {
    name,
    pointerHlc: 7,
    isRemoved: false,
    isComplete: true,
    composeFiles: [`/somewhere/${name}/compose.yaml`],
    workingDir: `/somewhere/${name}`,
    services,
    volumes: {},
    conflicts: [],
    ...changes,
  };
}
