/**
 * Everything of an agent that needs a cluster: the drivers, the observer, the executor and the
 * evaluation that ties them together. Made when the machine founds or joins a cluster, or at the
 * start of an agent that is in one. It wires and orders; it decides nothing.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';
import { readLinks } from '../src/gossip/liveness.ts';
import { hlcToMs } from '../src/lib/hlc.ts';
import type { ClusterId, MachineId } from '../src/model/ids.ts';
import { bridgeDevice, engineNetwork, label, wgDevice } from '../src/model/names.ts';
import { recordKey } from '../src/model/record.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import type { MachineView, View, ViewContext } from '../src/model/view.ts';
import { heldSlots } from '../src/plan/held.ts';
import { ownersOf } from '../src/plan/owner.ts';
import { plan } from '../src/plan/plan.ts';
import { renderDns } from '../src/render/dns.ts';
import { renderFirewall, silentMachines } from '../src/render/firewall.ts';
import { renderIngress } from '../src/render/ingress.ts';
import { renderUpstreams } from '../src/render/ingress-upstreams.ts';
import { type ExtraPeer, meshMtu, renderMesh } from '../src/render/mesh.ts';
import { renderResolvConf } from '../src/render/resolv-conf.ts';
import { isBehind } from '../src/view/behind.ts';
import { buildView } from '../src/view/build-view.ts';
import { withSilent } from '../src/view/endpoints.ts';
import { isRevision } from '../src/view/record-checks.ts';
import { toSnapshot } from '../src/view/snapshot.ts';
import { Applied, type RecordVersion } from './applied.ts';
import { Barrier } from './barrier.ts';
import { CaddyDriver } from './caddy.ts';
import { ConflictWatch } from './conflict-watch.ts';
import { type Copies, copiesOf } from './copies.ts';
import { DnsServer } from './dns-server.ts';
import type { Engine } from './engine.ts';
import { EngineLife } from './engine-life.ts';
import type { NetworkSpec } from './engine-network.ts';
import { Evaluator } from './evaluate.ts';
import { Executor } from './executor.ts';
import { ContainerFiles } from './files.ts';
import type { Identity } from './identity.ts';
import { LatestWins, type LatestWinsOptions } from './latest-wins.ts';
import { LocalFacts } from './local-facts.ts';
import type { Log } from './log.ts';
import { NftablesDriver } from './nftables.ts';
import { Observer } from './observer.ts';
import type { AgentOptions } from './options.ts';
import type { ConnectRpc } from './peer-calls.ts';
import { allAccept } from './readiness-probe.ts';
import { RegistryCredentialsKeeper } from './registry-credentials.ts';
import type { AgentReplica } from './replica.ts';
import { WireguardDriver } from './wireguard.ts';

export interface ClusterPartsComponents {
  readonly options: AgentOptions;
  readonly identity: Identity;
  readonly replica: AgentReplica;
  readonly engine: Engine;
  readonly extraPeers: () => readonly ExtraPeer[];
  readonly copies: Copies;
  readonly connectRpc: ConnectRpc;
  readonly log: Log;
}

const now = (): number => Date.now();

/** 3 s: an engine that is up lists its containers in a fraction of that. */
const observeMs = 3_000;
/**
 * 50 ms, and up to a second where nft or Caddy's files take long: replicas start and turn healthy
 * side by side, and each change costs processor time on every machine. Where somebody waits until
 * traffic is led otherwise, there is no rest.
 */
const trafficRest: LatestWinsOptions = { restMs: 50, longestRestMs: 1_000 };
/** 10 min: copies are kept for an hour at least, so more often finds nothing. */
const collectCopiesMs = 600_000;

export class ClusterParts {
  readonly cluster: ClusterId;
  /** Registry credentials that travelled here. */
  readonly credentials: RegistryCredentialsKeeper;
  readonly #components: ClusterPartsComponents;
  readonly #wireguard: WireguardDriver;
  readonly #nftables: NftablesDriver;
  readonly #mesh: LatestWins<View>;
  readonly #drivers: readonly LatestWins<View>[];
  readonly #dns: DnsServer;
  readonly #observer: Observer;
  readonly #executor: Executor;
  readonly #facts: LocalFacts;
  readonly #evaluator: Evaluator;
  readonly #conflicts: ConflictWatch;
  readonly #applied: Applied;
  readonly #barrier: Barrier;
  readonly #watchers = new Set<() => void>();
  #collectedMs = 0;
  #wasEngineUp = false;
  #unsubscribe: (() => void) | undefined;
  #isStarted = false;
  #onSynced: (() => void) | undefined;

  constructor(components: ClusterPartsComponents, cluster: ClusterId) {
    const { options, identity, replica, engine, log } = components;
    this.#components = components;
    this.cluster = cluster;
    this.#wireguard = new WireguardDriver({
      privateKey: identity.wgPrivateKey,
      device: wgDevice,
      listenPort: options.wgPort,
      runtimeDir: options.runDir,
      log: log.part('wireguard'),
    });
    const nftables = new NftablesDriver({
      bridge: bridgeDevice,
      wireguard: wgDevice,
      runtimeDir: options.runDir,
      log: log.part('nftables'),
    });
    this.#nftables = nftables;
    this.#dns = new DnsServer({ log: log.part('dns') });
    const caddy = new CaddyDriver({
      docker: new Docker({ socketPath: options.dockerSocket }),
      image: options.caddyImage,
      runtimeDir: options.runDir,
      dataDir: options.dataDir,
      clusterId: cluster,
      log: log.part('caddy'),
    });
    // Before `start` the guards of the gossip do not hold yet: nothing may be planned.
    const markDirty = (): void => {
      if (this.#isStarted) this.#evaluator.markDirty();
    };
    const driver = (
      name: string,
      apply: (view: View) => Promise<void> | void,
      options?: LatestWinsOptions,
    ) => new LatestWins<View>(name, apply, log, options);
    // What the loaded ruleset refuses is not named to anybody, although the view has it back.
    let refused: ReadonlySet<MachineId> = new Set();
    const setFirewall = async (view: View): Promise<void> => {
      const ruleset = renderFirewall(view, view.self);
      if (ruleset === null) return;
      await nftables.set(ruleset);
      const before = refused;
      refused = new Set(silentMachines(view).map(({ id }) => id));
      if ([...before].some((id) => !refused.has(id))) markDirty();
    };
    this.#mesh = driver('wireguard', (view) => this.#setMesh(view));
    const traffic = [
      driver('nftables', setFirewall, trafficRest),
      driver('dns', (view) => {
        const table = renderDns(withSilent(view, refused), view.self);
        if (table !== null) this.#dns.set(table);
      }),
      driver(
        'caddy',
        (view) => {
          const open = withSilent(view, refused);
          return caddy.set(renderIngress(open, view.self), renderUpstreams(open, view.self), () =>
            renderIngress(open, view.self, true),
          );
        },
        trafficRest,
      ),
    ];
    this.#drivers = [this.#mesh, ...traffic];
    this.#applied = new Applied({ replica, drivers: traffic });
    this.#barrier = new Barrier({
      view: () => this.#evaluator.view(),
      connectRpc: components.connectRpc,
      applied: (records, timeoutMs) => this.#applied.wait(records, timeoutMs),
      now,
      log: log.part('barrier'),
    });
    this.credentials = new RegistryCredentialsKeeper(
      { replica, identity, view: () => this.view(), log: log.part('credentials') },
      { cluster },
    );
    this.#conflicts = new ConflictWatch({ replica, log: log.part('conflicts') });
    const engineLife = new EngineLife({ now, leftMs: leftAtMs(replica) });
    this.#observer = new Observer(
      {
        hasEngineEnded: (ended) => engineLife.hasEnded(ended),
        engine,
        replica,
        view: () => this.#evaluator.view(),
        probe: allAccept,
        onChange: () => {
          const isUp = this.#observer.isEngineUp();
          // An engine that starts flushes its chains, and our rules with them.
          if (isUp && !this.#wasEngineUp) {
            nftables.recheck().catch((error: unknown) => {
              log.warn('the firewall could not be checked', { error });
            });
          }
          if (isUp !== this.#wasEngineUp) engineLife.note(isUp);
          this.#wasEngineUp = isUp;
          replica.setAble(isUp);
          if (this.#observer.isSynced()) this.#onSynced?.();
          markDirty();
        },
        now,
        log,
      },
      { cluster },
    );
    this.#executor = new Executor(
      {
        engine,
        files: new ContainerFiles(options.dataDir),
        copies: components.copies,
        network: () => this.#networkSpec(),
        resolvConf: (service) => {
          const own = this.#own();
          return own && renderResolvConf(own, service.spec, searchDomains());
        },
        registryAuth: (project, reference) => this.credentials.awaitAuth(project, reference),
        observer: this.#observer,
        replica,
        barrier: (record) => this.#barrier.pass(record),
        view: () => this.#evaluator.view(),
        now,
        log,
      },
      { cluster },
    );
    this.#facts = new LocalFacts({
      listVolumes: () => engine.listOwnVolumes(cluster),
      inFlight: () => this.#executor.inFlight(),
      onChange: markDirty,
      now,
      log: log.part('facts'),
    });
    this.#evaluator = new Evaluator({
      buildView: () => {
        this.#applied.building();
        return buildView(replica, this.viewContext());
      },
      parts: [
        ...this.#drivers.map((part, index) => ({
          name: `driver ${index}`,
          set: (view: View) => {
            // Removed from the cluster: names and addresses stay as they were.
            if (!view.machines.has(view.self)) return;
            // The mesh leads to the peers that bring what is missing.
            if (part === this.#mesh || !isBehind(view)) part.set(view);
          },
        })),
        { name: 'facts', set: (view) => this.#facts.note(view) },
        {
          name: 'watchers',
          set: (view) => {
            if (!isBehind(view)) this.#applied.given();
            this.#notify();
          },
        },
      ],
      plan: (view) => plan(view, this.#facts.state()),
      // With a second holder of our identity every act would be done twice, or undone.
      mayPlan: () =>
        this.#observer.isSynced() &&
        !replica.guards().includes('duplicate') &&
        !replica.isRemoved(replica.self),
      execute: (actions) => this.#executor.execute(actions),
      now,
      log: log.part('evaluate'),
    });
    this.#executor.onDone(() => {
      this.#facts.actionEnded();
      this.#collectCopies();
      markDirty();
    });
  }

  /**
   * Looks at the containers before anybody links with this machine: its records may be of before a
   * power cut, and peers would send traffic to what they name. An engine that is not up yet is not
   * waited for much longer than one needs that is.
   */
  async observe(): Promise<void> {
    const synced = new Promise<void>((resolve) => {
      this.#onSynced = resolve;
    });
    this.#observer.start();
    await Promise.race([synced, sleep(observeMs)]);
    this.#onSynced = undefined;
  }

  /** Brings the mesh up, so that gossip can listen on its address. */
  startMesh(): Promise<void> {
    return this.#setMesh(this.view());
  }

  /** Follows the engine and the records from now on. */
  start(): void {
    this.#unsubscribe = this.#components.replica.subscribe((keys) => {
      this.#observer.noteChanges(keys);
      this.#evaluator.markDirty();
    });
    this.#isStarted = true;
    this.#conflicts.start();
    this.credentials.start();
    this.#ensureNetwork();
    this.#evaluator.markDirty();
  }

  /**
   * Stops acting, for good: the machine was removed. Names are answered and traffic is led as it
   * was before, because what runs here goes on until somebody ends it.
   */
  async resign(): Promise<void> {
    this.#unsubscribe?.();
    this.#evaluator.stop();
    this.#observer.stop();
    this.#conflicts.stop();
    this.credentials.stop();
    // Views do not come any more: who waits for one would hold up the executor's end.
    this.#applied.stop();
    await this.#executor.stop();
  }

  /** Stops acting. Containers, device, firewall and Caddy go on: the machine stays in service. */
  async stop(): Promise<void> {
    await this.resign();
    await Promise.all(this.#drivers.map((driver) => driver.stop()));
    await this.#nftables.stop();
    await this.#wireguard.stop();
    this.#dns.stop();
  }

  /** Applies the mesh now, with the extra peers of now. */
  applyMesh(): Promise<void> {
    return this.#setMesh(this.view());
  }

  view(): View {
    return buildView(this.#components.replica, this.viewContext());
  }

  viewContext(): ViewContext {
    const { replica } = this.#components;
    return {
      self: replica.self,
      cluster: this.cluster,
      nowMs: now(),
      liveness: replica.liveness(),
      guards: replica.guards(),
    };
  }

  /** What is shown, as of now. */
  snapshot(): Snapshot {
    return this.#snapshotOf(this.view());
  }

  /** The same as of the last evaluation. */
  evaluatedSnapshot(): Snapshot {
    return this.#snapshotOf(this.#evaluator.view());
  }

  #snapshotOf(view: View): Snapshot {
    const owners = ownersOf(view);
    const waiting = [...this.#evaluator.plan.waiting, ...heldSlots(view, owners)];
    return toSnapshot(view, waiting, owners);
  }

  /** Waits until DNS, firewall and ingress here act on the records; false when that takes longer. */
  applied(records: readonly RecordVersion[], timeoutMs: number): Promise<boolean> {
    return this.#applied.wait(records, timeoutMs);
  }

  /**
   * Waits until every machine in reach leads traffic to the project's containers as they are known
   * here now; at most ten seconds.
   * @returns names of the machines that do not say so
   */
  async arrived(project: string): Promise<readonly string[]> {
    const { replica } = this.#components;
    const records = this.view()
      .containers.filter((container) => container.project === project)
      .map(({ machine, id }) => replica.get(recordKey.container(machine, id)))
      .filter((entry) => entry !== undefined)
      .map(({ key, hlc }) => ({ key, hlc }));
    const missing = await this.#barrier.everywhere(records);
    return missing.map(({ machine }) => machine);
  }

  /** Calls back after every evaluation: a snapshot may have changed. */
  subscribe(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #own(): MachineView | undefined {
    const { self } = this.#components.replica;
    // Asked for by every container that starts: a view costs more than the rest of its files.
    return this.#evaluator.view().machines.get(self) ?? this.view().machines.get(self);
  }

  async #setMesh(view: View): Promise<void> {
    const config = renderMesh(view, view.self, this.#components.extraPeers());
    if (config !== null) {
      await this.#wireguard.set({ ...config, listenPort: this.#components.options.wgPort });
    }
  }

  /** Now and then, after something was done: copies that no revision names any more. */
  #collectCopies(): void {
    const { copies, replica, log } = this.#components;
    if (now() < this.#collectedMs + collectCopiesMs) return;
    this.#collectedMs = now();
    const named = new Set<string>();
    for (const { value } of replica.entries('rev/')) {
      if (isRevision(value)) for (const hash of copiesOf(value.project)) named.add(hash);
    }
    copies.collect(named).catch((error: unknown) => {
      log.warn('old copies could not be removed', { error });
    });
  }

  #networkSpec(): NetworkSpec {
    const own = this.#own();
    return {
      name: engineNetwork,
      bridge: bridgeDevice,
      subnet: own?.subnet ?? '',
      gateway: own?.gatewayIp ?? '',
      mtu: meshMtu,
      trustedInterface: wgDevice,
      labels: { [label.cluster]: this.cluster },
    };
  }

  /** The bridge is there before the first container, so that its address and rules are. */
  #ensureNetwork(): void {
    const { engine, log } = this.#components;
    engine.ensureNetwork(this.#networkSpec()).then(
      () => this.#evaluator.markDirty(),
      // The first container that is started here tries again, and reports.
      (error: unknown) => log.warn('the network of the containers is not there yet', { error }),
    );
  }
}

/** When an earlier run of this agent said good-bye; undefined when it ended without. */
function leftAtMs(replica: AgentReplica): number | undefined {
  const entry = replica.get(recordKey.links(replica.self));
  const leaving = readLinks(entry?.value)?.leaving;
  return entry === undefined || leaving === undefined ? undefined : hlcToMs(entry.hlc);
}

/** Search domains of the machine's own resolv.conf, as Docker passes them on. */
function searchDomains(): readonly string[] {
  try {
    const lines = readFileSync('/etc/resolv.conf', 'utf8').split('\n');
    const last = lines.filter((line) => /^(search|domain)\s/.test(line)).at(-1);
    return last?.trim().split(/\s+/).slice(1) ?? [];
  } catch {
    return [];
  }
}
