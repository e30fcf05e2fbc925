/** Hand-made views for renderer tests: short to write, complete in shape, the same every time. */

import type { ClusterId, MachineId } from '../../../src/model/ids.ts';
import type { Network, Project, Service } from '../../../src/model/project.ts';
import type { PointerRecord, RevisionRecord } from '../../../src/model/record.ts';
import type {
  ContainerView,
  MachineView,
  ProjectView,
  ServiceView,
  View,
} from '../../../src/model/view.ts';
import { modeOf, replicaCountOf } from '../../../src/view/service-spec.ts';

/** Identities are only branded text to the renderers. */
export const machineId = (name: string): MachineId => name as MachineId;

/** Machine `a` is number 1, `b` number 2: 10.210.1.0/24, 10.210.2.0/24. */
export function aMachine(name: string, changes: Partial<MachineView> = {}): MachineView {
  const number = name.charCodeAt(0) - 96;
  return {
    id: machineId(name),
    name: `machine-${name}`,
    labels: {},
    publicKey: `key-${name}`,
    wgPublicKey: `wg-${name}`,
    meshIp: `fd00::${number}`,
    endpoints: [`192.0.2.${number}:51820`],
    subnet: `10.210.${number}.0/24`,
    gatewayIp: `10.210.${number}.1`,
    range: '10.210.0.0/16',
    platform: 'linux/amd64',
    cpuCount: 2,
    memoryBytes: 4_000_000_000,
    versions: { agent: '0.1.0', engine: '20.10', protocol: 1, plan: 1 },
    engineLabels: {},
    resources: {},
    weight: 1,
    bootedAtMs: 0,
    admittedHlc: number,
    isDrained: false,
    hasIngress: true,
    publishes: true,
    liveness: 'reachable',
    isAble: true,
    connectedSinceMs: 0,
    ...changes,
  };
}

export function aContainer(
  place: { project: string; service: string; machine: string; ip: string; slot?: string },
  changes: Partial<ContainerView> = {},
): ContainerView {
  const slot = place.slot ?? '1';
  return {
    id: `${place.project}-${place.service}-${slot}-id`,
    machine: machineId(place.machine),
    name: `${place.project}-${place.service}-${slot}`,
    project: place.project,
    service: place.service,
    slot,
    hash: 'hash',
    rollout: 'rollout',
    image: 'image',
    state: 'running',
    health: 'none',
    ready: true,
    draining: false,
    ip: place.ip,
    createdMs: 1,
    startedMs: 2,
    finishedMs: 0,
    exitCode: 0,
    restarts: 0,
    aliases: [],
    networks: { default: [] },
    ...changes,
  };
}

export function aProject(
  name: string,
  services: Readonly<Record<string, Service>>,
  networks: Readonly<Record<string, Network>> = { default: { name: `${name}_default` } },
): ProjectView {
  const definition: Project = { name, services, networks };
  const revision: RevisionRecord = {
    project: definition,
    hashes: {},
    images: {},
    contents: {},
    workingDir: '/',
    composeFiles: [],
  };
  const pointer: PointerRecord = {
    services: {},
    createdMs: 1,
    parent: null,
    author: { machine: machineId('a') },
    volumes: {},
    orphans: [],
  };
  const entries = Object.entries(services).map(([service, spec]): [string, ServiceView] => [
    service,
    {
      project: name,
      name: service,
      spec,
      definition,
      revision,
      revisionHash: 'revision',
      hash: 'hash',
      rollout: 'rollout',
      mode: modeOf(spec),
      replicaCount: replicaCountOf(spec),
      isStopped: false,
      isOrphan: false,
      slots: {},
      pinned: undefined,
      away: [],
      volumeHome: undefined,
      operation: undefined,
    },
  ]);
  return {
    name,
    pointerHlc: 1,
    pointer,
    tombstone: undefined,
    services: new Map(entries),
    isComplete: true,
    conflicts: [],
  };
}

export function aView(parts: {
  machines?: readonly MachineView[];
  projects?: readonly ProjectView[];
  containers?: readonly ContainerView[];
}): View {
  const machines = parts.machines ?? [aMachine('a'), aMachine('b'), aMachine('c')];
  return {
    self: machineId('a'),
    cluster: 'cluster' as ClusterId,
    nowMs: 1_000,
    guards: [],
    machines: new Map(machines.map((machine) => [machine.id, machine])),
    projects: new Map((parts.projects ?? []).map((project) => [project.name, project])),
    containers: parts.containers ?? [],
    failures: [],
  };
}

/** Two projects on three machines: the view that the golden texts are rendered from. */
export function shopAndBlog(): View {
  const shop = aProject(
    'shop',
    {
      web: {
        networks: { front: null },
        ports: [{ mode: 'ingress', target: 80, published: '8080', protocol: 'tcp' }],
        'x-ports': ['shop.example.com:80/https', 'shop.localhost:80/http'],
      },
      api: { networks: { front: { aliases: ['backend'] }, back: null }, expose: ['9000'] },
      db: { networks: { back: null }, hostname: 'database' },
      cache: { networks: { back: null } },
    },
    {
      front: { name: 'shop_front' },
      back: { name: 'shop_back', internal: true },
    },
  );
  const blog = aProject('blog', {
    web: {
      ports: [
        { mode: 'ingress', target: 53, published: '5353', protocol: 'udp' },
        { mode: 'host', target: 80, published: '9090', protocol: 'tcp', host_ip: '127.0.0.1' },
      ],
      'x-ports': ['80/http'],
    },
  });
  const front = { front: [] };
  const back = { back: [] };
  const both = { front: ['backend'], back: [] };
  return aView({
    projects: [blog, shop],
    containers: [
      aContainer(
        { project: 'blog', service: 'web', machine: 'a', ip: '10.210.1.9' },
        { networks: { default: [] } },
      ),
      aContainer(
        { project: 'shop', service: 'api', machine: 'a', ip: '10.210.1.4' },
        { networks: both },
      ),
      aContainer(
        { project: 'shop', service: 'api', machine: 'b', ip: '10.210.2.4', slot: '2' },
        { networks: both },
      ),
      aContainer(
        { project: 'shop', service: 'db', machine: 'a', ip: '10.210.1.5' },
        { networks: back, aliases: ['database'] },
      ),
      aContainer(
        { project: 'shop', service: 'web', machine: 'b', ip: '10.210.2.2' },
        { networks: front },
      ),
      aContainer(
        { project: 'shop', service: 'web', machine: 'c', ip: '10.210.3.2', slot: '2' },
        { networks: front },
      ),
    ],
  });
}
