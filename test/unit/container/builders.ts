/** Services and machines with as little as a test of containers needs. */
import type { ClusterId, MachineId } from '../../../src/model/ids.ts';
import type { Project, Service } from '../../../src/model/project.ts';
import type { MachineView, ServiceView, View } from '../../../src/model/view.ts';
import type { ContainerInput } from '../../../src/render/container.ts';

export const cluster = 'clusterone' as ClusterId;

/** A machine named "m1" with 10.210.1.0/24. */
export function aMachine(changes: Partial<MachineView> = {}): MachineView {
  return {
    id: 'aaaaaaaaaaaaaaaa' as MachineId,
    name: 'm1',
    labels: {},
    publicKey: '',
    wgPublicKey: '',
    meshIp: 'fd00::1',
    endpoints: [],
    subnet: '10.210.1.0/24',
    gatewayIp: '10.210.1.1',
    range: '10.210.0.0/16',
    platform: 'linux/amd64',
    cpuCount: 2,
    memoryBytes: 2 ** 31,
    versions: { agent: '0', engine: '', protocol: 1, plan: 1 },
    engineLabels: {},
    resources: {},
    weight: 1,
    bootedAtMs: 0,
    admittedHlc: 1,
    isDrained: false,
    hasIngress: true,
    publishes: true,
    liveness: 'reachable',
    isAble: true,
    connectedSinceMs: 0,
    ...changes,
  };
}

export interface ServiceOptions {
  readonly name?: string;
  readonly definition?: Omit<Project, 'name' | 'services'>;
  readonly contents?: Readonly<Record<string, string>>;
  readonly view?: Partial<ServiceView>;
}

/** The service "web" of project "shop" with this spec. */
export function aService(spec: Service, options: ServiceOptions = {}): ServiceView {
  const name = options.name ?? 'web';
  const definition: Project = {
    name: 'shop',
    services: { [name]: spec },
    ...options.definition,
  };
  return {
    project: 'shop',
    name,
    spec,
    definition,
    revision: {
      project: definition,
      hashes: { [name]: 'hash1' },
      images: {},
      contents: options.contents ?? {},
      workingDir: '/home/me/shop',
      composeFiles: ['/home/me/shop/compose.yaml'],
    },
    revisionHash: 'revision1',
    hash: 'hash1',
    rollout: 'rollout1',
    mode: 'replicated',
    replicaCount: 1,
    isStopped: false,
    isOrphan: false,
    slots: {},
    pinned: undefined,
    away: [],
    volumeHome: undefined,
    operation: undefined,
    ...options.view,
  };
}

/** What `renderContainer` takes, for slot 1 on an engine of Docker 28.5. */
export function anInput(spec: Service, changes: Partial<ContainerInput> = {}): ContainerInput {
  return {
    service: aService(spec),
    slot: '1',
    cluster,
    name: 'shop-web-1',
    image: spec.image ?? 'nginx:1',
    imageId: undefined,
    apiVersion: '1.51',
    resolvConfPath: undefined,
    files: [],
    companions: {},
    inheritedVolumes: {},
    ...changes,
  };
}

/** A view of one machine with these services of one project. */
export function aView(services: readonly ServiceView[], machine = aMachine()): View {
  return {
    self: machine.id,
    cluster,
    nowMs: 0,
    guards: [],
    machines: new Map([[machine.id, machine]]),
    projects: new Map([
      [
        'shop',
        {
          name: 'shop',
          pointerHlc: 1,
          pointer: undefined,
          tombstone: undefined,
          services: new Map(services.map((service) => [service.name, service])),
          isComplete: true,
          conflicts: [],
        },
      ],
    ]),
    containers: [],
    failures: [],
  };
}
