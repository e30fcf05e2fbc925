/**
 * Keeps the records of this machine's containers true, as agent/observer.ts does: it looks at all of
 * them when the engine's events connect, then at each one an event names, and at all again after a
 * minute. What only the agent knows (draining, restarts) it keeps itself, and takes back from its
 * own records after a restart. Whether a container is ready is decided by src/plan/readiness.ts.
 */
import type { MachineId } from '../../src/model/ids.ts';
import type { ContainerCause, ContainerRecord, RecordReader } from '../../src/model/record.ts';
import { recordKey } from '../../src/model/record.ts';
import type { View } from '../../src/model/view.ts';
import { isReady, type Readiness } from '../../src/plan/readiness.ts';
import type { SimContainer, SimEngine } from './engine.ts';
import { runWork, type Work } from './fiber.ts';

/** As in agent/observer.ts and agent/engine-events.ts. */
const debounceMs = 20;
const rescanMs = 60_000;
const pingEveryMs = 5_000;
const unknownSpecMs = 1_000;

export interface ObserverHost {
  readonly self: MachineId;
  readonly engine: SimEngine;
  readonly records: RecordReader;
  readonly view: () => View | undefined;
  /** Writes a record when its value is another one. */
  readonly observe: (key: string, value: unknown) => void;
  /** The engine began or ceased to answer, or has been looked at. */
  readonly onChange: () => void;
  readonly now: () => number;
  readonly monotonic: () => number;
  readonly schedule: (delayMs: number, run: () => void) => () => void;
}

interface Tracked {
  /** The container as it was when it was looked at last. */
  seen: SimContainer | undefined;
  isDraining: boolean;
  isStarting: boolean;
  restarts: number;
  cause: ContainerCause | undefined;
  signalMs: number;
}

export class SimObserver {
  readonly #host: ObserverHost;
  readonly #tracked = new Map<string, Tracked>();
  readonly #recheckAtMs = new Map<string, number>();
  /** Containers of which the engine has told something that was not looked at yet. */
  readonly #dirty = new Set<string>();
  #isUp = false;
  #isSynced = false;
  #connection = -1;
  #scannedMs = 0;
  #hungSinceMs: number | undefined;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #cancelWake: (() => void) | undefined;

  constructor(host: ObserverHost) {
    this.#host = host;
  }

  start(): void {
    this.#host.engine.onEvent = (id) => this.noteEvent(id);
    this.#ping();
  }

  /** True once every container has been looked at since the engine came up: now one may plan. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** False while the engine hangs: this machine is not able to act. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** The engine, or a record of this machine's that somebody else may have written, says something of it. */
  noteEvent(id: string): void {
    this.#dirty.add(id);
    if (this.#dirty.size > 1) return;
    this.#host.schedule(debounceMs, () => {
      const ids = [...this.#dirty];
      this.#dirty.clear();
      for (const each of ids) this.#later(this.refresh(each));
    });
  }

  #later(work: Work): void {
    // What could not be looked at is looked at with everything else, when the engine is back.
    runWork(
      (delayMs, run) => this.#host.schedule(delayMs, run),
      work,
      () => undefined,
    );
  }

  #ping(): void {
    const { engine, schedule } = this.#host;
    const nowMs = this.#host.monotonic();
    if (engine.trouble.isHung) {
      this.#hungSinceMs ??= nowMs;
      if (this.#isUp && nowMs - this.#hungSinceMs >= pingEveryMs) this.#down();
    } else {
      this.#hungSinceMs = undefined;
      const isAnew = !this.#isUp || engine.connection !== this.#connection;
      if (isAnew || nowMs - this.#scannedMs >= rescanMs) this.#up();
    }
    schedule(pingEveryMs, () => this.#ping());
  }

  #up(): void {
    this.#isUp = true;
    this.#connection = this.#host.engine.connection;
    this.#scannedMs = this.#host.monotonic();
    this.#later(this.#scan());
  }

  /** Records stay as they are: a silent engine says nothing about its containers. */
  #down(): void {
    this.#isUp = false;
    this.#isSynced = false;
    this.#host.onChange();
  }

  *#scan(): Work {
    const { engine, records, self } = this.#host;
    for (const { id } of yield* engine.list()) yield* this.refresh(id);
    const prefix = recordKey.container(self, '');
    const recorded = [...records.entries(prefix)]
      .filter(({ value }) => value !== null)
      .map(({ key }) => key.slice(prefix.length));
    for (const id of new Set([...recorded, ...this.#tracked.keys()])) {
      if (!engine.containers.has(id)) yield* this.refresh(id);
    }
    if (!this.#isUp) return;
    this.#isSynced = true;
    this.#host.onChange();
  }

  /** Looks at one container now; its record says afterwards what the engine says. */
  *refresh(id: string): Work {
    const found = yield* this.#host.engine.inspect(id);
    if (found === undefined) {
      this.#tracked.delete(id);
      this.#recheckAtMs.delete(id);
      this.#host.observe(recordKey.container(this.#host.self, id), null);
    } else {
      const tracked = this.#trackedOf(id);
      tracked.seen = { ...found };
      this.#write(id, tracked);
    }
    this.#wakeLater();
  }

  setDraining(id: string, isDraining: boolean): void {
    const tracked = this.#trackedOf(id);
    tracked.isDraining = isDraining;
    this.#write(id, tracked);
  }

  setStarting(id: string, isStarting: boolean): void {
    const tracked = this.#trackedOf(id);
    tracked.isStarting = isStarting;
    this.#write(id, tracked);
  }

  setRestarts(id: string, restarts: number): void {
    const tracked = this.#trackedOf(id);
    tracked.restarts = restarts;
    this.#write(id, tracked);
  }

  setSignal(id: string, atMs: number): void {
    const tracked = this.#trackedOf(id);
    tracked.signalMs = atMs;
    this.#write(id, tracked);
  }

  setCause(id: string, cause: ContainerCause): void {
    this.#trackedOf(id).cause = cause;
  }

  #trackedOf(id: string): Tracked {
    const known = this.#tracked.get(id);
    if (known !== undefined) return known;
    const before = this.#previous(id);
    const tracked: Tracked = {
      seen: undefined,
      isDraining: before?.draining ?? false,
      isStarting: false,
      restarts: before?.restarts ?? 0,
      cause: before?.cause,
      signalMs: before?.signalMs ?? 0,
    };
    this.#tracked.set(id, tracked);
    return tracked;
  }

  #previous(id: string): ContainerRecord | undefined {
    const { records, self } = this.#host;
    // Our own key: this agent, or an earlier run of it, wrote it in this shape.
    return (records.get(recordKey.container(self, id))?.value ?? undefined) as
      | ContainerRecord
      | undefined;
  }

  #write(id: string, tracked: Tracked): void {
    const { seen, isDraining, isStarting, restarts, cause, signalMs } = tracked;
    if (seen === undefined) return;
    const readiness = this.#readinessOf(id, seen, tracked);
    if (readiness.checkAgainAtMs === undefined) this.#recheckAtMs.delete(id);
    else this.#recheckAtMs.set(id, readiness.checkAgainAtMs);
    const { command: _command, hasHealthcheck: _check, volumes: _volumes, id: _id, ...rest } = seen;
    const record: ContainerRecord = {
      ...rest,
      ready: readiness.ready && !isDraining && !isStarting && seen.hook === undefined,
      draining: isDraining,
      restarts,
      ip: seen.state === 'running' ? '10.210.0.2' : '',
      aliases: [],
      networks: {},
      ...(cause === undefined ? {} : { cause }),
      ...(signalMs === 0 ? {} : { signalMs }),
    };
    this.#host.observe(recordKey.container(this.#host.self, id), record);
  }

  #readinessOf(id: string, seen: SimContainer, tracked: Tracked): Readiness {
    const { state, health, startedMs } = seen;
    if (state !== 'running') return { ready: false, checkAgainAtMs: undefined };
    const nowMs = this.#host.now();
    const service = this.#host.view()?.projects.get(seen.project)?.services.get(seen.service);
    if (service?.hash === seen.hash) {
      const facts = { state, health, startedMs, restarts: tracked.restarts };
      return isReady(service.spec, facts, nowMs);
    }
    // As the agent: what nothing is known of was made by an agent that knew it.
    const before = this.#previous(id);
    const isTrusted = before === undefined || (before.startedMs === startedMs && before.ready);
    return {
      ready: health === 'none' ? isTrusted : health === 'healthy',
      checkAgainAtMs: nowMs + unknownSpecMs,
    };
  }

  /** Wakes for what containers do by themselves, which is an event, and for readiness by time. */
  #wakeLater(): void {
    const nowMs = this.#host.monotonic();
    const dueMs = this.#host.engine.nextDueMs() ?? Number.POSITIVE_INFINITY;
    const recheckMs = Math.min(Number.POSITIVE_INFINITY, ...this.#recheckAtMs.values());
    const atMs = Math.min(dueMs, nowMs + Math.max(recheckMs - this.#host.now(), 100));
    if (atMs >= this.#wakeAtMs || atMs === Number.POSITIVE_INFINITY) return;
    this.#cancelWake?.();
    this.#wakeAtMs = atMs;
    this.#cancelWake = this.#host.schedule(Math.max(1, atMs - nowMs), () => this.#wake());
  }

  #wake(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    // The world goes on in an engine that hangs or keeps its events to itself.
    this.#host.engine.settle();
    const nowMs = this.#host.now();
    for (const [id, atMs] of this.#recheckAtMs) {
      if (atMs > nowMs) continue;
      this.#recheckAtMs.delete(id);
      const tracked = this.#tracked.get(id);
      if (tracked !== undefined) this.#write(id, tracked);
    }
    this.#wakeLater();
  }
}
