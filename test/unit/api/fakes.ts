/** Real servers and real streams in place of an engine and of other machines. */
import type * as http from 'node:http';
import { type Duplex, duplexPair } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { ApiComponents, LocalDocker } from '../../../agent/api.ts';
import type { ProjectChanges } from '../../../agent/api-routes.ts';
import { TscError } from '../../../src/lib/errors.ts';
import type { InfoAnswer, VolumeAnswer } from '../../../src/model/api.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import type { GossipStatus } from '../../../src/model/links.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import type { MachineView } from '../../../src/model/view.ts';
import type { WhyAnswer } from '../../../src/model/why.ts';

export const m1 = 'machineone' as MachineId;
export const m2 = 'machinetwo' as MachineId;

export function aMachine(id: MachineId, name: string): MachineView {
  return {
    id,
    name,
    labels: {},
    publicKey: 'pk',
    wgPublicKey: 'wg',
    meshIp: 'fd00::1',
    endpoints: ['192.0.2.1:51820'],
    subnet: '10.210.1.0/24',
    gatewayIp: '10.210.1.1',
    range: '10.210.0.0/16',
    platform: 'linux/amd64',
    cpuCount: 2,
    memoryBytes: 2 * 1024 ** 3,
    versions: { agent: '0.1.0', engine: '28.5.2', protocol: 1, plan: 1 },
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
  };
}

export function aSnapshot(changes: Partial<Snapshot> = {}): Snapshot {
  return {
    self: m1,
    cluster: 'c1',
    nowMs: 1_000_000,
    guards: [],
    machines: [aMachine(m1, 'm1'), aMachine(m2, 'm2')],
    projects: [],
    containers: [],
    failures: [],
    waiting: [],
    ...changes,
  };
}

/** Calls of a test that is about others. */
export const unasked: Pick<ProjectChanges, 'operate' | 'rollback' | 'history' | 'definition'> = {
  operate: () => Promise.reject(new Error('not asked')),
  rollback: () => Promise.reject(new Error('not asked')),
  history: () => ({ entries: [] }),
  definition: () => ({
    project: { name: '', services: {} },
    revision: '',
    scale: {},
    contentHashes: {},
  }),
};

export function aGossipStatus(changes: Partial<GossipStatus> = {}): GossipStatus {
  return {
    self: m1,
    recordCount: 12,
    wantedLinkCount: 1,
    links: [
      {
        peer: m2,
        isDialler: true,
        upForMs: 90_500,
        roundTripMs: 1.25,
        isEqual: true,
        queuedBytes: 0,
        sentBytes: 1234,
        receivedBytes: 2_345_678,
        sentFrames: 10,
        receivedFrames: 20,
      },
    ],
    // Keys are machine ids.
    liveness: { [m1]: 'reachable', [m2]: 'reachable' } as GossipStatus['liveness'],
    guards: [],
    sentBytes: 1234,
    receivedBytes: 2_345_678,
    lostLinkCount: 3,
    undurableCount: 0,
    isDiskFine: true,
    ...changes,
  };
}

export interface FakeAgent {
  readonly components: ApiComponents;
  readonly calls: unknown[];
  readonly faults: unknown[];
  snapshot: Snapshot;
  hasCluster: boolean;
  change(): void;
}

const aVolumeAnswer: VolumeAnswer = {
  project: 'shop',
  volumes: ['shop_data'],
  services: ['db'],
  from: 'm1',
  to: 'm2',
  sizeBytes: 2_000_000,
  storedOnCount: 2,
  notes: [],
};

/** Components that note what they were asked and answer what the test set. */
export function fakeAgent(overrides: Partial<ApiComponents> = {}): FakeAgent {
  const listeners = new Set<() => void>();
  const info: InfoAnswer = {
    agentVersion: '0.1.0',
    machine: m1,
    machineName: 'm1',
    cluster: 'c1',
    engine: '28.5.2',
  };
  const agent: FakeAgent = {
    calls: [],
    faults: [],
    snapshot: aSnapshot(),
    hasCluster: true,
    change: () => {
      for (const listener of listeners) listener();
    },
    components: {
      info: () => info,
      evaluated: () => agent.snapshot,
      snapshot: () => {
        if (agent.hasCluster) return agent.snapshot;
        throw new TscError('E_CLUSTER_NONE', 'no cluster', { hint: 'init' });
      },
      gossipStatus: () => aGossipStatus(),
      metrics: () => 'tsc_compose_links 1\n',
      why: (project, request) => {
        agent.calls.push(['why', project, request]);
        return aWhyAnswer(project, request.service);
      },
      subscribe: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      volumes: () => ({
        moveVolume: async (volume, request) => {
          agent.calls.push(['move', volume, request]);
          return aVolumeAnswer;
        },
        abandonVolume: async (volume, request) => {
          agent.calls.push(['abandon', volume, request]);
          return aVolumeAnswer;
        },
      }),
      applied: async () => true,
      arrived: async () => [],
      machineFacts: {
        isHere: async ({ folder }) => ({ isHere: !folder.endsWith('elsewhere') }),
        read: async (paths) => ({ existing: paths, freeDiskBytes: 1, freeMemoryBytes: 1 }),
      },
      projects: () =>
        agent.hasCluster
          ? {
              ...unasked,
              up: async (project, request) => {
                agent.calls.push(['up', project, request.services]);
                return {
                  pointerHlc: 7,
                  storedOnCount: 2,
                  reachableCount: 2,
                  machineCount: 2,
                  changed: [],
                  orphans: [],
                  notes: [],
                  steps: [],
                };
              },
              down: async (project, request) => {
                agent.calls.push(['down', project, request]);
                return { hlc: 8, storedOnCount: 2 };
              },
              operate: async (project, request) => {
                agent.calls.push(['operate', project, request]);
                return { hlc: 8, storedOnCount: 2, services: request.services, notes: [] };
              },
              scale: async (project, request) => {
                agent.calls.push(['scale', project, request]);
                return { hlc: 9, storedOnCount: 2 };
              },
            }
          : undefined,
      machines: () =>
        agent.hasCluster
          ? {
              setOptions: async (machine, request) => {
                agent.calls.push(['machine', machine, request]);
                return { hlc: 10, storedOnCount: 2 };
              },
              removeMachine: async (machine, request) => {
                agent.calls.push(['remove', machine, request]);
                return { hlc: 11, storedOnCount: 2, name: machine, notes: [] };
              },
              rebalance: async (request) => {
                agent.calls.push(['rebalance', request]);
                return { moves: [], storedOnCount: 0 };
              },
            }
          : undefined,
      cluster: {
        init: async (request) => {
          agent.calls.push(['init', request]);
          return info;
        },
        token: async () => ({ token: 'word', expiresMs: 5 }),
        join: async (request) => {
          agent.calls.push(['join', request]);
          return info;
        },
      },
      localDocker: engineNamed('one'),
      connectRpc: () => Promise.reject(new Error('no way')),
      reportFault: (error) => agent.faults.push(error),
      ...overrides,
    },
  };
  return agent;
}

/** A stand-in for an engine: answers who it is, echoes bodies, and echoes upgraded streams. */
export function engineNamed(name: string): LocalDocker {
  const answer = async (
    request: http.IncomingMessage,
    response: http.ServerResponse,
    url: string,
  ): Promise<void> => {
    const body = await text(request);
    const isMissing = url.startsWith('/missing');
    response.writeHead(isMissing ? 404 : 200, { 'content-type': 'application/json' });
    const found = { engine: name, method: request.method, url, body };
    response.end(JSON.stringify(isMissing ? { message: 'No such container: x' } : found));
  };
  return {
    request(request, response, path) {
      void answer(request, response, path);
    },
    upgrade(_request, socket, head, path) {
      socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
      socket.write(`${name} ${path} `);
      if (head.length > 0) socket.write(head);
      socket.pipe(socket);
    },
  };
}

/** Lets one fake agent reach another's API, as RPC does. */
export function wire(serve: (stream: Duplex) => void) {
  return async () => {
    const [near, far] = duplexPair();
    // As on a real connection, what one side gives up the other sees closed.
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
    serve(far);
    return near;
  };
}

/** One replica on m1 that runs, and m2 that may not have one. */
export function aWhyAnswer(project: string, service: string): WhyAnswer {
  return {
    project,
    service,
    image: 'busybox',
    mode: 'replicated',
    wantedCount: 2,
    isStopped: false,
    changes: [{ act: 'up', machine: m1, user: 'me', atMs: 0 }],
    slots: [
      {
        slot: '1',
        owner: m1,
        because: 'has it already',
        waiting: [],
        containers: [
          {
            id: 'id-1',
            name: `${project}-${service}-1`,
            machine: m1,
            state: 'running',
            ready: true,
            exitCode: 0,
            cause: { what: 'run', why: 'the slot is empty', atMs: 1_000 },
          },
        ],
      },
      { slot: '2', owner: null, because: 'no machine can run it', waiting: [], containers: [] },
    ],
    placedSlot: '2',
    machines: [
      {
        machine: m1,
        refusal: null,
        costs: [
          { name: 'replicas', value: 1 },
          { name: 'rank', value: -(2 ** 47) },
        ],
      },
      { machine: m2, refusal: 'is drained', costs: [] },
    ],
    failures: [{ machine: m1, slot: '1', why: 'exited (1)', atMs: 0 }],
  };
}
