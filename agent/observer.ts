/**
 * Keeps the records of this machine's containers true. It looks at all of them when the engine's
 * event stream connects, then at each one an event names, and writes what has changed. It decides
 * nothing about containers; what only this agent knows (draining, restarts) it keeps here and takes
 * back from its own records after a restart. Invariants:
 *
 * 1. A record exists only for a container with this cluster's label that the engine has shown.
 * 2. A record is taken away only when the engine says that the container is gone, never because the
 *    engine is silent.
 * 3. A record of a container of ours that others bring back, as after a lost disk, is looked after.
 * 4. Of one container only one inspection runs at a time, and the last event is always followed by
 *    an inspection that began after it; only what a health event says of a container that runs is
 *    taken from the event itself.
 */
import type Docker from 'dockerode';
import type { ClusterId } from '../src/model/ids.ts';
import { engineNetwork, label } from '../src/model/names.ts';
import type { Service } from '../src/model/project.ts';
import { type ContainerCause, type ContainerRecord, recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { View } from '../src/model/view.ts';
import { isReady, probePortsOf, type Readiness } from '../src/plan/readiness.ts';
import { isRunOnce } from '../src/view/service-spec.ts';
import { containerRecord, isRecorded } from './container-record.ts';
import type { Engine } from './engine.ts';
import type { EngineEvent } from './engine-events.ts';
import type { Ended } from './engine-life.ts';
import type { Log } from './log.ts';

/** 20 ms: Docker says kill, die and stop of one container within a few. */
const debounceMs = 20;
/** 1 s until a failed look is tried again. */
const retryMs = 1_000;
/** 60 s: a look at everything heals whatever an event did not tell. */
const rescanMs = 60_000;
/** 8 inspections at once: enough to hide the latency, too few to load the engine. */
const parallelCount = 8;
/**
 * 1 s: an event of before a look began is told by it, but may arrive after it. Older ones are not
 * believed to be so: the clock may have been set.
 */
const lateEventMs = 1_000;
/** 100 ms: a rule that asks to be asked "now" must not turn into a loop. */
const leastRecheckMs = 100;
/** What an engine tells of a container whose end it did not see. */
const endedByEngine = 255;
/** 1 s until a container whose definition has not arrived is judged again. */
const unknownSpecMs = 1_000;

/**
 * Events that need no look of their own; health checks alone bring three of them a second. A created
 * container is started or removed next, and that has its event.
 */
const quietActions =
  /^(create|exec_|top|attach|resize|copy|export|commit|archive-path|extract-to-dir|detach)/;

/** What the engine says when a health check has changed its mind. */
const healthActions = /^health_status: (healthy|unhealthy)$/;

export interface ObserverComponents {
  readonly engine: Pick<Engine, 'inspect' | 'listOwn' | 'watch'>;
  readonly replica: Pick<Replica, 'self' | 'get' | 'entries' | 'observe'>;
  readonly view: () => View;
  /** Whether all these TCP ports accept connections: readiness-probe.ts. */
  readonly probe: (ip: string, ports: readonly number[]) => Promise<boolean>;
  /** Whether a container was ended by its engine or with its machine: engine-life.ts. */
  readonly hasEngineEnded: (ended: Ended) => boolean;
  /** `isSynced()` or `isEngineUp()` has changed. */
  readonly onChange: () => void;
  readonly now: () => number;
  readonly log: Log;
}

interface Tracked {
  found: Docker.ContainerInspectInfo | undefined;
  isDraining: boolean;
  /** Its `post_start` hooks run. */
  isStarting: boolean;
  restarts: number;
  /** What the agent did with it last. */
  cause: ContainerCause | undefined;
  /** The order of the last signal that was sent to it; 0: none. */
  signalMs: number;
  /** Start time of the run whose ports have been seen open; -1 before any. */
  openSinceStartMs: number;
  isProbing: boolean;
  /** Start time of the run that was warned about: once is enough. */
  warnedOfStartMs: number;
  /** What this agent wrote last, as JSON; undefined before it has written anything. */
  written: string | undefined;
  /** When the last inspection began; 0 before the first, and after one that failed. */
  lookedAtMs: number;
  /** An event came while an inspection ran. */
  isStale: boolean;
  inspection: Promise<void> | undefined;
}

export class Observer {
  readonly #components: ObserverComponents;
  readonly #cluster: ClusterId;
  readonly #log: Log;
  readonly #tracked = new Map<string, Tracked>();
  readonly #dirty = new Set<string>();
  readonly #recheckAtMs = new Map<string, number>();
  #debounce: NodeJS.Timeout | undefined;
  #recheck: NodeJS.Timeout | undefined;
  #rescan: NodeJS.Timeout | undefined;
  #stopWatching: (() => void) | undefined;
  #isUp = false;
  #isSynced = false;
  #isStopped = false;

  constructor(components: ObserverComponents, options: { readonly cluster: ClusterId }) {
    this.#components = components;
    this.#cluster = options.cluster;
    this.#log = components.log.part('observer');
  }

  /** Starts to follow the engine; it need not be up. */
  start(): void {
    this.#stopWatching = this.#components.engine.watch(this.#cluster, {
      onUp: () => {
        this.#isUp = true;
        this.#components.onChange();
        this.#scanSoon(0);
      },
      onDown: (error) => {
        // Records stay as they are: a silent engine says nothing about its containers.
        this.#isSynced = false;
        this.#isUp = false;
        this.#log.warn('the engine is away', { error });
        this.#components.onChange();
      },
      onEvent: (event) => this.#onEvent(event),
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopWatching?.();
    for (const timer of [this.#debounce, this.#recheck, this.#rescan]) clearTimeout(timer);
  }

  /** True once every container has been looked at since the engine came up: now one may plan. */
  isSynced(): boolean {
    return this.#isSynced;
  }

  /** False while the engine is away or hangs: this machine is not able to act. */
  isEngineUp(): boolean {
    return this.#isUp;
  }

  /** Ids of the cluster's containers here, as last seen. */
  containerIds(): readonly string[] {
    return [...this.#tracked.keys()];
  }

  /** Takes a container out of traffic, or back in; the record changes at once. */
  setDraining(id: string, isDraining: boolean): void {
    const tracked = this.#trackedOf(id);
    tracked.isDraining = isDraining;
    this.#write(id, tracked);
  }

  /** Keeps a container out of traffic while it is restarted or its `post_start` hooks run. */
  setStarting(id: string, isStarting: boolean): void {
    const tracked = this.#trackedOf(id);
    tracked.isStarting = isStarting;
    this.#write(id, tracked);
  }

  /** How often the agent has restarted a container since it was last stable. */
  setRestarts(id: string, restarts: number): void {
    const tracked = this.#trackedOf(id);
    tracked.restarts = restarts;
    this.#write(id, tracked);
  }

  /** Why the container is as it is, for `why`. */
  setCause(id: string, cause: ContainerCause): void {
    // The look that follows every action writes it, together with what has changed.
    this.#trackedOf(id).cause = cause;
  }

  /** A signal was sent to the container: the order of `atMs` is not carried out again. */
  setSignal(id: string, atMs: number): void {
    const tracked = this.#trackedOf(id);
    tracked.signalMs = atMs;
    this.#write(id, tracked);
  }

  /**
   * Records have changed: what an earlier run of this agent said of our containers may come back
   * from peers in its first moments, newer than what this run has said.
   */
  noteChanges(keys: readonly string[]): void {
    if (!this.#isSynced) return;
    const { replica } = this.#components;
    const prefix = recordKey.container(replica.self, '');
    for (const key of keys) {
      if (!key.startsWith(prefix)) continue;
      const id = key.slice(prefix.length);
      const value = JSON.stringify(replica.get(key)?.value ?? null);
      if (value !== (this.#tracked.get(id)?.written ?? 'null')) this.#refreshLater(id);
    }
  }

  /** Looks at one container now; resolves when its record says what the engine says. */
  async refresh(id: string): Promise<void> {
    const tracked = this.#trackedOf(id);
    if (tracked.inspection !== undefined) {
      tracked.isStale = true;
      return tracked.inspection;
    }
    tracked.inspection = this.#inspect(id, tracked)
      .catch((error: unknown) => {
        // Events may have relied on it.
        tracked.lookedAtMs = 0;
        if (this.#isSynced) this.#scanSoon(retryMs);
        throw error;
      })
      .finally(() => {
        tracked.inspection = undefined;
      });
    return tracked.inspection;
  }

  async #inspect(id: string, tracked: Tracked): Promise<void> {
    do {
      tracked.isStale = false;
      // Events that have come are told of by this look.
      this.#dirty.delete(id);
      tracked.lookedAtMs = this.#components.now();
      const found = await this.#components.engine.inspect(id);
      if (found === undefined || !isRecorded(found.Config.Labels, this.#cluster)) {
        this.#forget(id);
        return;
      }
      tracked.found = found;
      this.#write(id, tracked);
    } while (tracked.isStale && !this.#isStopped);
  }

  #onEvent(event: EngineEvent): void {
    if (quietActions.test(event.action)) return;
    if (event.labels[label.system] !== undefined) return;
    if (this.#isTold(event) || this.#takeHealth(event)) return;
    this.#dirty.add(event.containerId);
    this.#debounce ??= setTimeout(() => {
      this.#debounce = undefined;
      const ids = [...this.#dirty];
      this.#dirty.clear();
      for (const id of ids) this.#refreshLater(id);
    }, debounceMs);
  }

  /** Whether a look began after this event: one that follows an action often overtakes its event. */
  #isTold({ containerId, atMs }: EngineEvent): boolean {
    const lookedAtMs = this.#tracked.get(containerId)?.lookedAtMs ?? 0;
    return atMs !== undefined && atMs < lookedAtMs && lookedAtMs - atMs < lateEventMs;
  }

  /**
   * Nothing but its health has changed in a container that ran when it was seen last: no need to
   * ask. Replicas turn healthy side by side, and each answer costs the engine and the agent more
   * than all that it tells.
   * @returns false when it has to be looked at
   */
  #takeHealth({ action, containerId: id }: EngineEvent): boolean {
    const status = healthActions.exec(action)?.[1];
    const tracked = this.#tracked.get(id);
    const state = tracked?.found?.State;
    if (status === undefined || tracked === undefined || state === undefined) return false;
    // A look that is under way, or due, may have begun before this event or be owed to another one.
    if (tracked.inspection !== undefined || this.#dirty.has(id)) return false;
    if (!this.#isSynced || state.Status !== 'running' || state.Health === undefined) return false;
    state.Health.Status = status;
    this.#write(id, tracked);
    return true;
  }

  /** As `refresh`, for callers that do not wait: a failure is tried again while the engine is up. */
  #refreshLater(id: string): void {
    this.refresh(id).catch((error: unknown) => {
      this.#log.debug('could not look at a container', { id, error });
    });
  }

  #scanSoon(delayMs: number): void {
    if (this.#isStopped) return;
    clearTimeout(this.#rescan);
    this.#rescan = setTimeout(() => {
      this.#scan().then(
        () => this.#scanSoon(rescanMs),
        (error: unknown) => {
          // The event stream tells when it is back.
          if (!this.#isUp) return;
          this.#log.warn('could not look at the containers', { error });
          this.#scanSoon(retryMs);
        },
      );
    }, delayMs);
  }

  async #scan(): Promise<void> {
    const listed = await this.#components.engine.listOwn(this.#cluster);
    const ids = listed.filter((one) => isRecorded(one.Labels, this.#cluster)).map(({ Id }) => Id);
    const waiting = [...ids];
    const work = async () => {
      for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) await this.refresh(id);
    };
    await Promise.all(Array.from({ length: parallelCount }, work));
    await this.#forgetMissing(new Set(ids));
    if (this.#isSynced || !this.#isUp) return;
    this.#isSynced = true;
    // No record may have changed; the agent must still learn that it may plan now.
    this.#components.onChange();
  }

  /** Asks for each container that was recorded and not listed: it may be newer than the list. */
  async #forgetMissing(listed: ReadonlySet<string>): Promise<void> {
    const { replica } = this.#components;
    const prefix = recordKey.container(replica.self, '');
    const recorded = [...replica.entries(prefix)]
      .filter((entry) => entry.value !== null)
      .map((entry) => entry.key.slice(prefix.length));
    for (const id of new Set([...recorded, ...this.#tracked.keys()])) {
      if (!listed.has(id)) await this.refresh(id);
    }
  }

  /** What is known of a container; after an agent restart taken from its own last record. */
  #trackedOf(id: string): Tracked {
    const known = this.#tracked.get(id);
    if (known !== undefined) return known;
    const before = this.#previous(id);
    const tracked: Tracked = {
      found: undefined,
      isDraining: before?.draining ?? false,
      isStarting: false,
      restarts: before?.restarts ?? 0,
      cause: before?.cause,
      signalMs: before?.signalMs ?? 0,
      openSinceStartMs: before?.ready === true ? before.startedMs : -1,
      isProbing: false,
      warnedOfStartMs: 0,
      written: undefined,
      lookedAtMs: 0,
      isStale: false,
      inspection: undefined,
    };
    this.#tracked.set(id, tracked);
    return tracked;
  }

  #previous(id: string): ContainerRecord | undefined {
    const { replica } = this.#components;
    const entry = replica.get(recordKey.container(replica.self, id));
    // Our own key: this agent, or an earlier run of it, wrote it in this shape.
    return (entry?.value ?? undefined) as ContainerRecord | undefined;
  }

  #forget(id: string): void {
    const { replica } = this.#components;
    this.#tracked.delete(id);
    this.#recheckAtMs.delete(id);
    const key = recordKey.container(replica.self, id);
    const entry = replica.get(key);
    if (entry !== undefined && entry.value !== null) replica.observe(key, null);
  }

  #write(id: string, tracked: Tracked): void {
    const { replica } = this.#components;
    const { found, isDraining, isStarting, restarts, cause, signalMs } = tracked;
    if (found === undefined || this.#isStopped) return;
    const facts = { isDraining, restarts, passesReadiness: false };
    const record = containerRecord(found, this.#cluster, facts);
    if (record === undefined) return;
    const readiness = this.#readinessOf(id, record, tracked);
    this.#recheckLater(id, readiness.checkAgainAtMs);
    const isReplica = record.hook === undefined;
    const isRunning = record.state === 'running' && !isStarting && !isDraining;
    const ready = readiness.ready && isRunning && isReplica;
    const value: ContainerRecord = {
      ...record,
      ready,
      exitCode: this.#exitCodeOf(id, record),
      ...(cause === undefined ? {} : { cause }),
      ...(signalMs === 0 ? {} : { signalMs }),
    };
    tracked.written = JSON.stringify(value);
    replica.observe(recordKey.container(replica.self, id), value);
  }

  /** 255, as after a power cut, for what was ended by the engine: it has neither failed nor completed. */
  #exitCodeOf(id: string, record: ContainerRecord): number {
    if (record.state !== 'exited') return record.exitCode;
    const service = this.#components.view().projects.get(record.project)?.services;
    const own = service?.get(record.service);
    // A job that has answered 0 is done, whoever asked it to end.
    if (own !== undefined && record.exitCode === 0 && isRunOnce(own)) return 0;
    const before = this.#previous(id);
    const isKnown = before?.exitCode === endedByEngine && before.finishedMs === record.finishedMs;
    return isKnown || this.#components.hasEngineEnded(record) ? endedByEngine : record.exitCode;
  }

  #readinessOf(id: string, record: ContainerRecord, tracked: Tracked): Readiness {
    if (record.state !== 'running') return { ready: false, checkAgainAtMs: undefined };
    const spec = this.#specOf(record);
    if (spec === undefined) return this.#readinessWithoutSpec(id, record, tracked);
    const { state, health, startedMs, restarts } = record;
    // What was ready in this run stays it when the file names other ports: nothing was restarted.
    const before = this.#previous(id);
    if (before?.ready === true && before.startedMs === startedMs && health === 'none') {
      tracked.openSinceStartMs = startedMs;
    }
    const openPorts = tracked.openSinceStartMs === startedMs;
    const ports = record.health === 'none' ? probePortsOf(spec) : [];
    if (ports.length > 0 && !openPorts) this.#probe(id, record, tracked, ports);
    const facts = { state, health, startedMs, openPorts, restarts };
    const readiness = isReady(spec, facts, this.#components.now());
    if (readiness.warning !== undefined && tracked.warnedOfStartMs !== startedMs) {
      tracked.warnedOfStartMs = startedMs;
      this.#log.warn(readiness.warning, { container: record.name });
    }
    return readiness;
  }

  /**
   * A container of an older definition, or one whose definition has not arrived yet. What nothing is
   * known of was made by an agent that knew it: this one has lost its memory, and must not take out
   * of traffic what serves.
   */
  #readinessWithoutSpec(id: string, record: ContainerRecord, tracked: Tracked): Readiness {
    const before = this.#previous(id);
    const isSameRun = before?.startedMs === record.startedMs;
    const isTrusted = before === undefined || (isSameRun && before.ready);
    if (isTrusted) tracked.openSinceStartMs = record.startedMs;
    return {
      ready: record.health === 'none' ? isTrusted : record.health === 'healthy',
      checkAgainAtMs: this.#components.now() + unknownSpecMs,
    };
  }

  #specOf(record: ContainerRecord): Service | undefined {
    const project = this.#components.view().projects.get(record.project);
    const service = project?.services.get(record.service);
    return service?.hash === record.hash ? service.spec : undefined;
  }

  /** Tries the ports once; success stands until the container is started again. */
  #probe(id: string, record: ContainerRecord, tracked: Tracked, ports: readonly number[]): void {
    const ip = this.#probeAddress(record, tracked);
    if (ip === undefined || tracked.isProbing) return;
    tracked.isProbing = true;
    void this.#components.probe(ip, ports).then((accepts) => {
      tracked.isProbing = false;
      if (!accepts || this.#tracked.get(id) !== tracked) return;
      tracked.openSinceStartMs = record.startedMs;
      this.#write(id, tracked);
    });
  }

  /** Where the container's ports are; undefined when nothing can ask them. */
  #probeAddress(record: ContainerRecord, { found }: Tracked): string | undefined {
    if (record.ip !== '') return record.ip;
    const mode = found?.HostConfig.NetworkMode ?? '';
    if (mode === 'host') return '127.0.0.1';
    if (!mode.startsWith('container:')) return undefined;
    const companion = this.#tracked.get(mode.slice('container:'.length))?.found;
    const address = companion?.NetworkSettings.Networks[engineNetwork]?.IPAddress ?? '';
    return address === '' ? undefined : address;
  }

  #recheckLater(id: string, atMs: number | undefined): void {
    if (atMs === undefined) this.#recheckAtMs.delete(id);
    else this.#recheckAtMs.set(id, Math.max(atMs, this.#components.now() + leastRecheckMs));
    this.#scheduleRecheck();
  }

  #scheduleRecheck(): void {
    clearTimeout(this.#recheck);
    if (this.#recheckAtMs.size === 0 || this.#isStopped) return;
    const nextMs = Math.min(...this.#recheckAtMs.values());
    const waitMs = Math.max(0, nextMs - this.#components.now());
    this.#recheck = setTimeout(() => this.#recheckDue(), waitMs);
  }

  #recheckDue(): void {
    const nowMs = this.#components.now();
    const due = [...this.#recheckAtMs].filter(([, atMs]) => atMs <= nowMs);
    for (const [id] of due) {
      this.#recheckAtMs.delete(id);
      const tracked = this.#tracked.get(id);
      if (tracked !== undefined) this.#write(id, tracked);
    }
    this.#scheduleRecheck();
  }
}
