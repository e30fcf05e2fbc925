/**
 * The agent of one machine: identity, records, API and mesh, and once there is a cluster the parts
 * that act for it. Starts in order, stops in reverse. Wiring only.
 */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../src/client/connect.ts';
import type { MachineFacts } from '../src/gossip/admission.ts';
import { protocolVersion } from '../src/gossip/limits.ts';
import { TscError } from '../src/lib/errors.ts';
import { meshIp } from '../src/lib/mesh-address.ts';
import type { InfoAnswer } from '../src/model/api.ts';
import type { MachineId } from '../src/model/ids.ts';
import { meshPort } from '../src/model/names.ts';
import { type MachineRecord, recordKey } from '../src/model/record.ts';
import { planVersion } from '../src/plan/limits.ts';
import { plan } from '../src/plan/plan.ts';
import { idleLocalState } from '../src/plan/steps.ts';
import { explain } from '../src/plan/why.ts';
import { Acceptor } from './accept.ts';
import { MachineAcceptor } from './accept-machines.ts';
import { ApiServer } from './api.ts';
import { noCluster } from './api-routes.ts';
import { barrierAnswerMs } from './barrier.ts';
import { ClusterParts } from './cluster-parts.ts';
import { Copies } from './copies.ts';
import { proxyDocker, proxyDockerUpgrade } from './docker-proxy.ts';
import { Engine } from './engine.ts';
import { type Inventory, readInventory } from './engine-inventory.ts';
import { createVerify, type Identity, loadIdentity } from './identity.ts';
import { Images } from './images.ts';
import { Joining } from './joining.ts';
import { bootTimeMs } from './local-facts.ts';
import type { Log } from './log.ts';
import { MachineFactsReader } from './machine-facts.ts';
import { MeshClient } from './mesh-client.ts';
import { MeshServer } from './mesh-server.ts';
import { formatMetrics } from './metrics.ts';
import { type AgentOptions, localEndpoints } from './options.ts';
import { AgentReplica } from './replica.ts';
import { Store } from './store.ts';
import { PendingTokens } from './token.ts';

/** 8: more endpoints than one machine has ways in; each costs 2 s when it is dead. */
const maxEndpointCount = 8;
/** 60 s: how long peers wait for an agent that said it restarts. */
const expectBackMs = 60_000;
/** 1 s: many times what a record needs to the neighbours. */
const passOnMs = 1_000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #version: string;
  readonly #log: Log;
  readonly #identity: Identity;
  readonly #replica: AgentReplica;
  readonly #engine: Engine;
  readonly #joining: Joining;
  readonly #api: ApiServer;
  readonly #meshServer: MeshServer;
  readonly #meshClient: MeshClient;
  readonly #copies: Copies;
  readonly #machineFacts: MachineFactsReader;
  readonly #watchers = new Set<() => void>();
  #parts: ClusterParts | undefined;
  #acceptor: Acceptor | undefined;
  #machineAcceptor: MachineAcceptor | undefined;
  #engineVersion: string | null = null;
  #platform = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;
  #inventory: Inventory = { engineLabels: {}, resources: {} };
  #isMeshUp = false;

  /** Opens identity and records, and starts; in a cluster already, everything of it. */
  static async start(options: AgentOptions, version: string, log: Log): Promise<Agent> {
    await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
    await mkdir(options.runDir, { recursive: true, mode: 0o755 });
    const identity = await loadIdentity(options.dataDir);
    const path = join(options.dataDir, 'records.db');
    const isBundle = import.meta.url.endsWith('.js');
    const store = await Store.open({
      path,
      ...(isBundle ? { workerUrl: new URL('./store-worker.js', import.meta.url) } : {}),
    });
    const tokens = await PendingTokens.open(options.dataDir, Date.now);
    const agent = new Agent({ options, version, log, identity, store, tokens });
    await agent.#start();
    return agent;
  }

  private constructor(given: {
    readonly options: AgentOptions;
    readonly version: string;
    readonly log: Log;
    readonly identity: Identity;
    readonly store: Store;
    readonly tokens: PendingTokens;
  }) {
    const { options, version, log, identity, store, tokens } = given;
    this.#options = options;
    this.#version = version;
    this.#log = log;
    this.#identity = identity;
    const report = (text: string): void => log.part('gossip').warn(text);
    const verify = createVerify();
    const replica = new AgentReplica({ identity, verify, store, report });
    this.#replica = replica;
    this.#engine = new Engine({ socketPath: options.dockerSocket, machineName: options.name, log });
    this.#joining = new Joining({
      identity,
      replica,
      tokens,
      facts: (endpoints) => this.#facts(endpoints),
      startCluster: () => this.#startCluster(),
      applyMesh: async () => this.#parts?.applyMesh(),
      info: () => this.#info(),
      now: Date.now,
      runDir: options.runDir,
      log: log.part('join'),
    });
    this.#meshServer = new MeshServer(
      {
        replica,
        signer: identity,
        verify,
        report,
        onRpc: (duplex) => this.#api.servePeer(duplex),
        onJoin: (body, remoteAddress) => this.#joining.onJoin(body, remoteAddress),
      },
      { host: identity.meshIp, port: meshPort },
    );
    this.#meshClient = new MeshClient({
      replica,
      signer: identity,
      verify,
      reach: (machine) => {
        // Bodies of `m/` records are checked before they enter the map.
        const record = replica.get(recordKey.machine(machine))?.value as MachineRecord | undefined;
        return record && { host: meshIp(record.wgPublicKey), port: meshPort };
      },
    });
    const socketPath = join(options.runDir, 'agent.sock');
    const connectRpc = (machine: MachineId) => this.#meshClient.connectRpc(machine);
    this.#copies = new Copies({
      dataDir: options.dataDir,
      connectRpc,
      peers: () =>
        [...replica.liveness()]
          .filter(([id, liveness]) => id !== replica.self && liveness === 'reachable')
          .map(([id]) => id),
      now: Date.now,
      log: log.part('copies'),
    });
    this.#machineFacts = new MachineFactsReader({
      runDir: options.runDir,
      engineRoot: () => this.#engine.root(),
    });
    const images = new Images({ socketPath: options.dockerSocket, log });
    this.#api = new ApiServer(
      {
        info: () => this.#info(),
        snapshot: () => this.#cluster().snapshot(),
        evaluated: () => this.#cluster().evaluatedSnapshot(),
        gossipStatus: () => {
          this.#replica.refuseRemoved();
          if (this.#replica.cluster === undefined) throw noCluster();
          return this.#replica.gossipStatus();
        },
        metrics: () => this.#metrics(),
        why: (project, request) =>
          explain(this.#cluster().view(), project, request, (view) => plan(view, idleLocalState)),
        subscribe: (listener) => {
          this.#watchers.add(listener);
          return () => this.#watchers.delete(listener);
        },
        projects: () => this.#ifMember(this.#acceptor),
        volumes: () => this.#ifMember(this.#acceptor),
        machines: () => this.#ifMember(this.#machineAcceptor),
        cluster: this.#joining,
        localDocker: {
          request: (request, response, rest) =>
            proxyDocker(request, response, options.dockerSocket, rest),
          upgrade: (request, socket, head, rest) =>
            proxyDockerUpgrade(request, socket, head, {
              socketPath: options.dockerSocket,
              path: rest,
            }),
        },
        localImages: (request, response, rest) =>
          images.handleImageRequest(request, response, rest),
        localCopies: (request, response, rest) => this.#copies.handle(request, response, rest),
        machineFacts: this.#machineFacts,
        applied: (records) => this.#cluster().applied(records, barrierAnswerMs),
        arrived: (project) => this.#cluster().arrived(project),
        connectRpc,
        reportFault: (error) => this.#reportFault(error),
      },
      { socketPath },
    );
  }

  async #start(): Promise<void> {
    await this.#machineFacts.start();
    await this.#api.start();
    this.#log.info('listening', { machine: this.#identity.machine, version: this.#version });
    if (this.#replica.cluster === undefined) {
      this.#log.info('in no cluster yet: run `tsc-compose machine init` or `machine join`');
      return;
    }
    if (this.#replica.removal() !== undefined) {
      this.#reportRemoval();
      return;
    }
    await this.#startCluster();
    await this.#replica.updateFacts(await this.#facts([]));
  }

  /** A planned end: peers are told, containers go on. */
  async stop(): Promise<void> {
    await this.#api.stop();
    await this.#parts?.stop();
    await this.#replica.stop({ reason: 'restart', expectBackMs });
    if (this.#isMeshUp) await this.#meshServer.stop();
  }

  async #startCluster(): Promise<void> {
    const { cluster } = this.#replica;
    if (cluster === undefined) throw noCluster();
    const parts = new ClusterParts(
      {
        options: this.#options,
        identity: this.#identity,
        replica: this.#replica,
        engine: this.#engine,
        extraPeers: () => this.#joining.extraPeers(),
        copies: this.#copies,
        connectRpc: (machine) => this.#meshClient.connectRpc(machine),
        log: this.#log,
      },
      cluster,
    );
    await parts.observe();
    await parts.startMesh();
    await this.#meshServer.start();
    this.#isMeshUp = true;
    this.#replica.start(this.#meshClient.dial);
    const { runDir } = this.#options;
    const ownClient = connect({ socketPath: join(runDir, 'agent.sock') });
    this.#acceptor = new Acceptor({
      replica: this.#replica,
      viewContext: () => parts.viewContext(),
      plan: (view) => plan(view, idleLocalState),
      docker: (machine: MachineId) => ownClient.docker(machine),
      credentials: parts.credentials,
      newId: () => randomBytes(6).toString('hex'),
      machineFacts: this.#machineFacts,
      connectRpc: (machine) => this.#meshClient.connectRpc(machine),
      copies: this.#copies,
      caddyImage: this.#options.caddyImage,
      log: this.#log.part('accept'),
    });
    this.#machineAcceptor = new MachineAcceptor({
      replica: this.#replica,
      viewContext: () => parts.viewContext(),
      log: this.#log.part('accept'),
    });
    parts.subscribe(() => {
      for (const [machine, liveness] of this.#replica.liveness()) {
        if (liveness === 'unreachable' || liveness === 'lost') this.#meshClient.endStreams(machine);
      }
      this.#meshClient.endStreamsOfRemoved();
      for (const watcher of this.#watchers) watcher();
    });
    this.#parts = parts;
    parts.start();
    this.#log.info('in the cluster', { cluster });
    this.#followRemoval(parts);
  }

  #followRemoval(parts: ClusterParts): void {
    let unsubscribe: (() => void) | undefined;
    const look = (): void => {
      if (this.#replica.removal() === undefined) return;
      unsubscribe?.();
      this.#resign(parts).catch((error: unknown) => this.#reportFault(error));
    };
    unsubscribe = this.#replica.subscribe(look);
    // It may have come while the parts were starting.
    look();
  }

  #reportRemoval(): void {
    const error = this.#replica.removal();
    this.#log.error('nothing is started, moved or removed here any more', {
      error,
      hint: error?.hint,
    });
  }

  /**
   * This machine was removed while it was there: it acts no more, and answers with the reason. Gossip
   * goes on for a moment, because others may hear of the removal only from here.
   */
  async #resign(parts: ClusterParts): Promise<void> {
    this.#reportRemoval();
    for (const watcher of this.#watchers) watcher();
    await parts.resign();
    await sleep(passOnMs);
    this.#replica.leave();
    if (!this.#isMeshUp) return;
    this.#isMeshUp = false;
    await this.#meshServer.stop();
  }

  #ifMember<T>(part: T): T {
    this.#replica.refuseRemoved();
    return part;
  }

  #info(): InfoAnswer {
    return {
      agentVersion: this.#version,
      machine: this.#identity.machine,
      machineName: this.#options.name,
      cluster: this.#replica.cluster ?? null,
      engine: this.#engineVersion,
    };
  }

  #metrics(): string {
    const { user, system } = process.cpuUsage();
    const nameOf = (machine: MachineId): string => {
      // Bodies of `m/` records are checked before they enter the map.
      const entry = this.#replica.get(recordKey.machine(machine));
      return (entry?.value as MachineRecord | undefined)?.name ?? '';
    };
    return formatMetrics({
      version: this.#version,
      gossip: this.#replica.cluster === undefined ? null : this.#replica.gossipStatus(),
      nameOf,
      residentBytes: process.memoryUsage.rss(),
      cpuSeconds: (user + system) / 1e6,
    });
  }

  /** @throws TscError E_CLUSTER_NONE, E_CLUSTER_REMOVED, E_AGENT_STARTING */
  #cluster(): ClusterParts {
    this.#replica.refuseRemoved();
    if (this.#parts === undefined)
      throw this.#replica.cluster === undefined ? noCluster() : starting();
    return this.#parts;
  }

  /** What this machine says of itself. Endpoints: declared ones first, then known, then its own. */
  async #facts(declared: readonly string[]): Promise<MachineFacts> {
    const { name, endpoints, wgPort } = this.#options;
    const port = (endpoint: string): string =>
      /:\d+$/.test(endpoint) ? endpoint : `${endpoint}:${wgPort}`;
    const known = this.#replica.get(recordKey.machine(this.#identity.machine))?.value as
      | MachineRecord
      | undefined;
    const all = [
      ...declared.map(port),
      ...endpoints,
      ...(known?.endpoints ?? []),
      ...localEndpoints(wgPort),
    ];
    await this.#askEngine();
    return {
      name,
      endpoints: [...new Set(all)].slice(0, maxEndpointCount),
      platform: this.#platform,
      cpuCount: cpus().length,
      memoryBytes: totalmem(),
      versions: {
        agent: this.#version,
        engine: this.#engineVersion ?? '',
        protocol: protocolVersion,
        plan: planVersion,
      },
      ...this.#inventory,
      bootedAtMs: Math.round(bootTimeMs()),
    };
  }

  async #askEngine(): Promise<void> {
    try {
      const { engine, platform } = await this.#engine.version();
      this.#engineVersion = engine;
      this.#platform = platform;
      this.#inventory = await readInventory(this.#options.dockerSocket);
    } catch (error) {
      // The agent works without; it says so by `able: false` until the engine is there.
      this.#log.warn('the engine does not answer', { error });
    }
  }

  #reportFault(error: unknown): void {
    this.#log.error('a request failed', { error });
    if (error instanceof Error && error.stack && !(error instanceof TscError)) {
      this.#log.error(error.stack);
    }
  }
}

function starting(): TscError {
  return new TscError('E_AGENT_STARTING', 'the agent of this machine is starting', {
    hint: 'try again in a moment',
  });
}
