/**
 * The part of an agent above the gossip, in one process of a simulated machine: observes its engine,
 * builds the view, plans, carries out. View and plan are the shipping ones; only their timing is
 * coarser, so that ten minutes of thirty machines can be simulated in seconds.
 */
import { witnessMs } from '../../agent/witnesses.ts';
import { readLinks } from '../../src/gossip/liveness.ts';
import type { GossipNode } from '../../src/gossip/node.ts';
import { encodeJson } from '../../src/gossip/node.ts';
import type { Action } from '../../src/model/action.ts';
import type { Hlc } from '../../src/model/ids.ts';
import { type ReplicatedRecord, recordKind } from '../../src/model/record.ts';
import type { View } from '../../src/model/view.ts';
import { plan } from '../../src/plan/plan.ts';
import { type ServingSince, servingSince } from '../../src/plan/serving-since.ts';
import type { LocalState } from '../../src/plan/steps.ts';
import { type BuiltView, buildView } from '../../src/view/build-view.ts';
import type { SimEngine } from './engine.ts';
import { SimExecutor } from './executor.ts';
import type { Work } from './fiber.ts';
import { SimObserver } from './observer.ts';

/** 400 ms: events within it become one evaluation. */
const evaluateMs = 400;
/** 300 ms from one evaluation to the next, at least: where much goes on the agent rests, too. */
const leastRestMs = 300;
/** 1 s from a record of an own container to a look at it. */
const lookAgainMs = 1000;
/** 20 ms between two looks whether the linked machines have answered. */
const heardPollMs = 20;
/** 30 s, as agent/evaluate.ts: without any event, too. */
const idleMs = 30_000;

/** Kinds that change what there is to do. */
const plannedKinds: ReadonlySet<string> = new Set([
  'app',
  'rev',
  'op',
  'c',
  'm',
  'mo',
  'x',
  'verdict',
  'done',
  'hook',
  'claim',
]);

/** What the simulated machine lends to its agent. */
export interface AgentHost {
  readonly name: string;
  readonly engine: SimEngine;
  readonly disk: { readonly flushMs: number };
  now(): number;
  monotonic(): number;
  /** Wall clock of the last boot. */
  readonly bootedAtMs: number;
  schedule(delayMs: number, run: () => void): () => void;
}

/** Told about what an agent decided, before it is carried out. */
export type OnAction = (view: View, action: Action) => void;

export class SimAgent {
  readonly #host: AgentHost;
  readonly #node: GossipNode;
  readonly #observer: SimObserver;
  readonly #executor: SimExecutor;
  /** Of the last evaluation. */
  #view: BuiltView | undefined;
  readonly #drainingSinceMs = new Map<string, number>();
  #servingSince: ServingSince = new Map();
  /** Keys of the link lists of machines that cannot act. */
  readonly #unable = new Set<string>();
  /** Containers of which a record came that is to be compared with the engine. */
  readonly #suspect = new Set<string>();
  #isAble = true;
  #isDue = false;
  #evaluatedMs = Number.NEGATIVE_INFINITY;
  #cancelWake: (() => void) | undefined;

  constructor(host: AgentHost, node: GossipNode, onAction: OnAction) {
    this.#host = host;
    this.#node = node;
    const common = {
      self: node.self,
      engine: host.engine,
      records: node.map,
      view: () => (this.#view ??= this.view()),
      observe: (key: string, value: unknown) => this.#observe(key, value),
      now: () => host.now(),
      monotonic: () => host.monotonic(),
      schedule: (delayMs: number, run: () => void) => host.schedule(delayMs, run),
    };
    this.#observer = new SimObserver({ ...common, onChange: () => this.#engineChanged() });
    this.#executor = new SimExecutor({
      ...common,
      machineName: host.name,
      observer: this.#observer,
      write: (key, value) => this.#write(key, value),
      heardByLinked: (key, hlc) => this.#heardByLinked(key, hlc),
      onBegin: (action) => {
        if (this.#view !== undefined) onAction(this.#view, action);
      },
      onDone: () => this.#dirty(0),
    });
    this.#observer.start();
    this.#dirty(0);
  }

  /** Records changed. */
  delivered(keys: Iterable<string>): void {
    const own = `c/${this.#node.self}/`;
    let isPlanned = false;
    for (const key of keys) {
      // The owner alone corrects its own keys: another holder of its identity may have written it.
      if (key.startsWith(own)) this.#lookAgain(key.slice(own.length));
      isPlanned ||= this.#isPlanned(key);
    }
    if (isPlanned) this.#dirty(evaluateMs);
  }

  /**
   * Not at once, and not by who knows of the other holder: two that answer each other's records as
   * soon as they come would do nothing else. Agents have no such answer at all but look at
   * everything once a minute.
   */
  #lookAgain(id: string): void {
    if (this.#suspect.has(id)) return;
    this.#suspect.add(id);
    this.#host.schedule(lookAgainMs, () => {
      this.#suspect.delete(id);
      if (!this.#node.guards().includes('duplicate')) this.#observer.noteEvent(id);
    });
  }

  #isPlanned(key: string): boolean {
    const kind = recordKind(key);
    if (kind === 'links') return this.#hasAbleChanged(key);
    // Most of them are there to give the gossip something to do: see work.ts.
    if (kind === 'fail') return this.#node.map.record(`app/${key.split('/')[2]}`) !== undefined;
    return plannedKinds.has(kind);
  }

  /** Links come and go; what is planned changes only with who can act. */
  #hasAbleChanged(key: string): boolean {
    const isAble = readLinks(this.#node.map.get(key)?.value)?.able !== false;
    if (isAble !== this.#unable.has(key)) return false;
    if (isAble) this.#unable.delete(key);
    else this.#unable.add(key);
    return true;
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

  #engineChanged(): void {
    const isAble = this.#observer.isUp;
    if (isAble !== this.#isAble) this.#node.setAble(isAble);
    this.#isAble = isAble;
    this.#dirty(0);
  }

  #dirty(delayMs: number): void {
    if (this.#isDue) return;
    this.#isDue = true;
    const restMs = this.#evaluatedMs + leastRestMs - this.#host.monotonic();
    this.#host.schedule(Math.max(delayMs, restMs), () => {
      this.#isDue = false;
      this.#evaluatedMs = this.#host.monotonic();
      this.#evaluate();
    });
  }

  #evaluate(): void {
    if (!this.#node.isMember(this.#node.self)) return;
    const view = this.view();
    this.#view = view;
    const isIdle = view?.projects.size === 0 && this.#host.engine.containers.size === 0;
    if (view === undefined || isIdle) return;
    this.#noteDraining(view);
    this.#servingSince = servingSince(this.#servingSince, view);
    // With a second holder of our identity every act would be done twice, or undone.
    if (!this.#observer.isSynced || view.guards.includes('duplicate')) return;
    const { actions, wakeAtMs } = plan(view, this.#localState());
    this.#executor.execute(actions);
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    const wakeInMs = (wakeAtMs ?? Number.POSITIVE_INFINITY) - this.#host.now();
    const delayMs = Math.min(idleMs, Math.max(evaluateMs, wakeInMs));
    this.#cancelWake = this.#host.schedule(delayMs, () => this.#dirty(0));
  }

  #localState(): LocalState {
    return {
      inFlight: this.#executor.inFlight(),
      drainingSinceMs: this.#drainingSinceMs,
      servingSince: this.#servingSince,
      volumes: new Set(this.#host.engine.volumes.keys()),
      bootedAtMs: this.#host.bootedAtMs,
    };
  }

  /** As agent/local-facts.ts. */
  #noteDraining(view: View): void {
    const draining = new Set<string>();
    for (const container of view.containers) {
      if (container.machine !== view.self || !container.draining) continue;
      draining.add(container.id);
      if (!this.#drainingSinceMs.has(container.id)) {
        this.#drainingSinceMs.set(container.id, this.#host.now());
      }
    }
    for (const id of this.#drainingSinceMs.keys()) {
      if (!draining.has(id)) this.#drainingSinceMs.delete(id);
    }
  }

  /** As agent/replica.ts: nothing happens when the value is the one already there. */
  #observe(key: string, value: unknown): void {
    if (this.#node.cluster === undefined || !this.#node.isMember(this.#node.self)) return;
    const current = this.#node.map.record(key);
    const body = value === null ? null : encodeJson(value);
    if (body === null && (current === undefined || current.body === null)) return;
    if (body !== null && isSameBody(current, this.#node.self, body)) return;
    this.#node.write(key, body);
  }

  *#write(key: string, value: unknown): Work {
    this.#observe(key, value);
    yield this.#host.disk.flushMs + 1;
  }

  *#heardByLinked(key: string, hlc: Hlc): Work {
    let isHeard = false;
    this.#node.askStored({ key, hlc, count: 'linked', timeoutMs: witnessMs }, () => {
      isHeard = true;
    });
    while (!isHeard) yield heardPollMs;
  }
}

function isSameBody(
  current: ReplicatedRecord | undefined,
  self: string,
  body: Uint8Array,
): boolean {
  if (current?.origin !== self || current.body === null) return false;
  return Buffer.compare(current.body, body) === 0;
}
