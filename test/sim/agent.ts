/**
 * The part of an agent above the gossip, in one process of a simulated machine: observes its engine,
 * builds the view, plans, carries out. View and plan are the shipping ones; only their timing is
 * coarser, so that ten minutes of thirty machines can be simulated in seconds.
 */
import type { GossipNode } from '../../src/gossip/node.ts';
import { encodeJson } from '../../src/gossip/node.ts';
import type { Action } from '../../src/model/action.ts';
import { recordKey, recordKind } from '../../src/model/record.ts';
import type { View } from '../../src/model/view.ts';
import { plan } from '../../src/plan/plan.ts';
import { isReady } from '../../src/plan/readiness.ts';
import { type BuiltView, buildView } from '../../src/view/build-view.ts';
import { lastingName } from '../../src/view/service-spec.ts';
import { recordOf, type SimContainer, type SimEngine } from './engine.ts';

/** 400 ms: events within it become one evaluation. */
const evaluateMs = 400;
/** How long the engine takes to bring a container up, and to take it away. */
const runMs = 300;
const removeMs = 150;

/** Kinds that change what there is to do. */
const plannedKinds: ReadonlySet<string> = new Set(['app', 'rev', 'op', 'c', 'm', 'mo', 'x']);

/** What the simulated machine lends to its agent. */
export interface AgentHost {
  readonly name: string;
  readonly engine: SimEngine;
  now(): number;
  /** Wall clock of the last boot. */
  readonly bootedAtMs: number;
  schedule(delayMs: number, run: () => void): () => void;
}

/** Told about what an agent decided, before it is carried out. */
export type OnAction = (view: View, action: Action) => void;

export class SimAgent {
  readonly #host: AgentHost;
  readonly #node: GossipNode;
  readonly #onAction: OnAction;
  readonly #inFlight = new Set<string>();
  readonly #drainingSinceMs = new Map<string, number>();
  #isDue = false;
  #cancelWake: (() => void) | undefined;

  constructor(host: AgentHost, node: GossipNode, onAction: OnAction) {
    this.#host = host;
    this.#node = node;
    this.#onAction = onAction;
    this.#dirty(0);
  }

  /** Records changed. */
  delivered(keys: Iterable<string>): void {
    for (const key of keys) {
      if (plannedKinds.has(recordKind(key))) return this.#dirty(evaluateMs);
    }
  }

  livenessChanged(): void {
    this.#dirty(evaluateMs);
  }

  view(): BuiltView | undefined {
    const { cluster, map, self } = this.#node;
    if (cluster === undefined) return undefined;
    const liveness = this.#node.liveness();
    const guards = this.#node.guards();
    return buildView(map, { self, cluster, nowMs: this.#host.now(), liveness, guards });
  }

  #dirty(delayMs: number): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#host.schedule(delayMs, () => {
      this.#isDue = false;
      this.#evaluate();
    });
  }

  #evaluate(): void {
    if (!this.#node.isMember(this.#node.self)) return;
    this.#observe();
    const view = this.view();
    const isIdle = view?.projects.size === 0 && this.#host.engine.containers.size === 0;
    if (view === undefined || isIdle) return;
    // As agent/cluster-parts.ts does: with a second holder of the identity nothing is planned.
    if (view.guards.includes('duplicate')) return;
    const { actions, wakeAtMs } = plan(view, {
      inFlight: this.#inFlight,
      drainingSinceMs: this.#drainingSinceMs,
      volumes: new Set(),
      bootedAtMs: this.#host.bootedAtMs,
    });
    for (const action of actions) {
      this.#onAction(view, action);
      this.#execute(view, action);
    }
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    if (wakeAtMs === undefined) return;
    const delayMs = Math.max(evaluateMs, wakeAtMs - this.#host.now());
    this.#cancelWake = this.#host.schedule(delayMs, () => this.#dirty(0));
  }

  /** Own container records say what the engine says. */
  #observe(): void {
    const { engine } = this.#host;
    const { map, self } = this.#node;
    const nowMs = this.#host.now();
    for (const container of engine.containers.values()) {
      this.#write(
        recordKey.container(self, container.id),
        recordOf(container, this.#isReady(container, nowMs)),
      );
    }
    for (const { key, value } of map.entries(recordKey.container(self, ''))) {
      if (value === null) continue;
      const id = key.slice(recordKey.container(self, '').length);
      if (!engine.containers.has(id)) this.#node.write(key, null);
    }
  }

  #isReady(container: SimContainer, nowMs: number): boolean {
    const { state, startedMs } = container;
    const { ready, checkAgainAtMs } = isReady({}, { state, health: 'none', startedMs }, nowMs);
    if (checkAgainAtMs !== undefined && !this.#isDue) {
      this.#host.schedule(Math.max(1, checkAgainAtMs - nowMs), () => this.#dirty(0));
    }
    return ready;
  }

  #write(key: string, value: unknown): void {
    const body = encodeJson(value);
    const current = this.#node.map.record(key);
    const isSame =
      current?.origin === this.#node.self &&
      current.body !== null &&
      Buffer.compare(current.body, body) === 0;
    if (!isSame) this.#node.write(key, body);
  }

  #execute(view: View, action: Action): void {
    const { engine } = this.#host;
    const nowMs = this.#host.now();
    switch (action.name) {
      case 'run':
        return this.#later(action.subject, runMs, () => this.#run(view, action.arguments));
      case 'start':
      case 'restart': {
        const { containerId, restarts } = action.arguments;
        return this.#later(action.subject, runMs, () => {
          this.#drainingSinceMs.delete(containerId);
          if (action.name === 'restart') engine.stop(containerId, nowMs);
          engine.start(containerId, this.#host.now(), restarts);
        });
      }
      case 'drain': {
        const container = engine.containers.get(action.arguments.containerId);
        if (container === undefined) return;
        container.isDraining = true;
        this.#drainingSinceMs.set(container.id, nowMs);
        return this.#dirty(evaluateMs);
      }
      case 'stop':
        return this.#later(action.subject, removeMs, () =>
          engine.stop(action.arguments.containerId, this.#host.now()),
        );
      case 'remove':
        return this.#later(action.subject, removeMs, () =>
          engine.remove(action.arguments.containerId),
        );
      case 'rename': {
        const container = engine.containers.get(action.arguments.containerId);
        if (container !== undefined) container.name = action.arguments.name;
        return this.#dirty(evaluateMs);
      }
      case 'claim':
        this.#write(recordKey.claim(this.#node.self), action.arguments);
        return this.#dirty(evaluateMs);
      case 'moveSlots': {
        const { project, service, operation } = action.arguments;
        this.#write(recordKey.operation(project, service), operation);
        return this.#dirty(evaluateMs);
      }
      case 'writeVerdict': {
        const { project, service, rollout, verdict } = action.arguments;
        const key = recordKey.verdict(project, service, rollout);
        // Another machine may have been first: a verdict never changes.
        if ((this.#node.map.get(key)?.value ?? null) === null) this.#write(key, verdict);
        return;
      }
      case 'kill':
      case 'removeVolume':
      case 'reportFailure':
      case 'recordDone':
      case 'runHook':
        // Jobs, hooks, volumes and failures are not simulated.
        return;
    }
  }

  #later(subject: string, delayMs: number, act: () => void): void {
    this.#inFlight.add(subject);
    this.#host.schedule(delayMs, () => {
      act();
      this.#inFlight.delete(subject);
      this.#dirty(0);
    });
  }

  #run(view: View, wanted: Extract<Action, { name: 'run' }>['arguments']): void {
    const { engine, name: machineName } = this.#host;
    const { project, service, slot, hash, rollout } = wanted;
    const definition = view.projects.get(project)?.services.get(service);
    if (definition === undefined) return;
    const name = lastingName(definition, slot, machineName);
    const isTaken = [...engine.containers.values()].some((other) => other.name === name);
    const nowMs = this.#host.now();
    const fields = {
      project,
      service,
      slot,
      hash,
      rollout,
      state: 'running',
      exitCode: 0,
    } as const;
    const times = { createdMs: nowMs, startedMs: nowMs, finishedMs: 0 };
    const taken = isTaken ? `${nowMs}_${name}` : name;
    engine.create(
      { ...fields, ...times, name: taken, isDraining: false, restarts: 0 },
      machineName,
    );
  }
}
