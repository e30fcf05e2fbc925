/**
 * Engines made of a map: every machine of a World plans from its own view and its actions are
 * carried out at once. Time only moves in `tick`, so a whole rollout runs in microseconds and every
 * step of it can be looked at.
 */
import type { Action, ActionArguments, Waiting } from '../../src/model/action.ts';
import type { MachineId } from '../../src/model/ids.ts';
import {
  type ContainerRecord,
  type FailureRecord,
  type HookRecord,
  recordKey,
  type SlotFailure,
} from '../../src/model/record.ts';
import type { ContainerView, View } from '../../src/model/view.ts';
import { plan } from '../../src/plan/plan.ts';
import { isReady } from '../../src/plan/readiness.ts';
import { withFailure, withoutFailure } from '../../src/plan/report-failure.ts';
import { type ServingSince, servingSince } from '../../src/plan/serving-since.ts';
import { compareText } from '../../src/view/order.ts';
import { isFailure } from '../../src/view/record-checks.ts';
import { lastingName } from '../../src/view/service-spec.ts';
import { machineId, type World } from './builders.ts';

/** How a container of a service behaves once it runs. */
export interface Behaviour {
  /** Ends so long after its start. */
  readonly exitAfterMs?: number;
  readonly exitCode?: number;
  /** Reports itself unhealthy. */
  readonly isUnhealthy?: boolean;
  /** Cannot even be created. */
  readonly runFailure?: string;
  /** Of its pre-deploy hook. */
  readonly hookExitCode?: number;
}

export class FakeCluster {
  readonly world: World;
  readonly log: string[] = [];
  waiting: readonly Waiting[] = [];
  /** By service, or by "service@hash". */
  readonly behaviours = new Map<string, Behaviour>();
  readonly volumes = new Map<MachineId, Set<string>>();
  /** Machines without power: their containers do not run and they plan nothing. */
  readonly off = new Set<string>();
  /** How often each run of a hook was started. */
  readonly hookRuns = new Map<string, number>();
  /** By machine: when it was booted. */
  readonly bootedAtMs = new Map<string, number>();
  readonly #draining = new Map<MachineId, ReadonlyMap<string, number>>();
  readonly #serving = new Map<MachineId, ServingSince>();
  #containers = 0;

  constructor(world: World) {
    this.world = world;
  }

  names(): readonly string[] {
    return [...this.world.liveness.keys()].map((id) => id.slice('id-'.length));
  }

  containers(): readonly ContainerView[] {
    const [first = 'a'] = this.names();
    return this.world.view(first).containers;
  }

  running(service: string): readonly ContainerView[] {
    return this.containers().filter(
      (found) => found.service === service && found.state === 'running',
    );
  }

  /** Running replicas of a service by machine name, as "a:2 b:1". */
  spread(service: string): string {
    const counts = new Map<string, number>();
    for (const { machine } of this.running(service)) {
      const name = machine.slice('id-'.length);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [...counts]
      .sort(([left], [right]) => compareText(left, right))
      .map(([name, count]) => `${name}:${count}`)
      .join(' ');
  }

  /** One decision of one machine. */
  step(name: string): readonly Action[] {
    const view = this.world.view(name);
    this.observe(view);
    const seen = this.world.view(name);
    const draining = drainingSince(this.#draining.get(seen.self) ?? new Map(), seen);
    this.#draining.set(seen.self, draining);
    const serving = servingSince(this.#serving.get(seen.self) ?? new Map(), seen);
    this.#serving.set(seen.self, serving);
    const decided = plan(seen, {
      inFlight: new Set(),
      drainingSinceMs: draining,
      servingSince: serving,
      volumes: this.volumes.get(seen.self) ?? new Set(),
      bootedAtMs: this.bootedAtMs.get(name) ?? 0,
    });
    this.waiting = decided.waiting;
    for (const action of decided.actions) this.#execute(seen, action);
    return decided.actions;
  }

  /** Lets time pass and every machine decide, until nothing has changed for ten seconds. */
  settle(onStep: () => void = () => undefined): void {
    let quietMs = 0;
    for (let round = 0; quietMs < 10_000; round += 1) {
      if (round > 2_000) throw new Error(`not quiet: ${this.log.slice(-10).join('; ')}`);
      quietMs = this.tick(onStep) > 0 ? 0 : quietMs + 500;
    }
  }

  /** Half a second. @returns how many actions were carried out */
  tick(onStep: () => void = () => undefined): number {
    this.world.nowMs += 500;
    let count = 0;
    for (const name of this.names()) {
      if (this.off.has(name)) continue;
      count += this.step(name).length;
      onStep();
    }
    return count;
  }

  powerOff(name: string): void {
    this.off.add(name);
    this.world.is(name, 'lost');
  }

  /** The machine comes back with its containers ended by the power cut. */
  powerOn(name: string): void {
    this.off.delete(name);
    this.world.is(name, 'reachable');
    for (const found of this.containers()) {
      if (found.machine !== machineId(name) || found.state !== 'running') continue;
      this.#put(found, {
        state: 'exited',
        exitCode: 255,
        finishedMs: this.world.nowMs,
        ready: false,
      });
    }
  }

  /** What the observer does: ends, health and readiness. */
  observe(view: View): void {
    for (const found of view.containers) {
      if (found.machine !== view.self || found.state !== 'running') continue;
      const behaviour = this.#behaviour(found);
      const { exitAfterMs } = behaviour;
      if (exitAfterMs !== undefined && view.nowMs >= found.startedMs + exitAfterMs) {
        const ended = { state: 'exited', ready: false, finishedMs: view.nowMs } as const;
        this.#put(found, { ...ended, exitCode: behaviour.exitCode ?? 0 });
        continue;
      }
      const spec = view.projects.get(found.project)?.services.get(found.service)?.spec ?? {};
      const health = behaviour.isUnhealthy === true ? 'unhealthy' : found.health;
      const { state, startedMs, restarts } = found;
      const facts = { state, startedMs, restarts, openPorts: true, health };
      const ready = !found.draining && isReady(spec, facts, view.nowMs).ready;
      if (ready !== found.ready || health !== found.health) this.#put(found, { ready, health });
    }
  }

  #behaviour(container: Pick<ContainerRecord, 'service' | 'hash'>): Behaviour {
    const { service, hash } = container;
    return this.behaviours.get(`${service}@${hash}`) ?? this.behaviours.get(service) ?? {};
  }

  #put(container: ContainerView, change: Partial<ContainerRecord>): void {
    const { id, machine, ...record } = container;
    this.world.write(recordKey.container(machine, id), machine, { ...record, ...change });
  }

  #execute(view: View, action: Action): void {
    const machine = view.self.slice('id-'.length);
    this.log.push(`${machine} ${action.name} ${action.subject}`);
    const target = this.containers().find((found) => found.id === containerOf(action));
    const running = {
      state: 'running',
      draining: false,
      ready: false,
      startedMs: view.nowMs,
      health: 'none',
    } as const;
    switch (action.name) {
      case 'run':
        this.#run(view, action);
        return;
      case 'runHook':
        this.#runHook(view, action.arguments);
        return;
      case 'start':
        // Starting what runs does no more than to take it back into traffic.
        if (target?.state === 'running') this.#put(target, { draining: false });
        else if (target) this.#put(target, { ...running, restarts: action.arguments.restarts });
        return;
      case 'restart':
        if (target) this.#put(target, { ...running, restarts: action.arguments.restarts });
        return;
      case 'drain':
        if (target) this.#put(target, { draining: true, ready: false });
        return;
      case 'stop':
        if (target) this.#put(target, { state: 'exited', exitCode: 137, finishedMs: view.nowMs });
        return;
      case 'kill':
        if (!target) return;
        this.#put(target, { signalMs: action.arguments.atMs });
        if (action.arguments.signal === 'SIGKILL') {
          const ended = { state: 'exited', exitCode: 137, finishedMs: view.nowMs } as const;
          this.#put(target, { ...ended, ready: false, signalMs: action.arguments.atMs });
        }
        return;
      case 'remove':
        if (target) this.world.records.delete(recordKey.container(target.machine, target.id));
        return;
      case 'rename':
        if (target) this.#put(target, { name: action.arguments.name });
        return;
      case 'claim':
        this.world.write(recordKey.claim(view.self), view.self, action.arguments);
        return;
      case 'moveSlots': {
        const { project, service, operation } = action.arguments;
        this.world.write(recordKey.operation(project, service), view.self, operation);
        return;
      }
      case 'removeVolume':
        this.volumes.get(view.self)?.delete(action.arguments.volume);
        return;
      case 'reportFailure': {
        const { project, service, rollout, slot, why, exitCode } = action.arguments;
        const failure = { slot, why, exitCode, lastLines: [], atMs: view.nowMs };
        this.#fail(view, { project, service, rollout }, failure);
        return;
      }
      case 'writeVerdict': {
        const { project, service, rollout, verdict } = action.arguments;
        this.world.write(recordKey.verdict(project, service, rollout), view.self, verdict);
        return;
      }
      case 'recordDone': {
        const { project, service, slot, rollout, atMs } = action.arguments;
        const key = recordKey.done(project, service, slot, rollout);
        this.world.write(key, view.self, { machine: view.self, atMs });
        return;
      }
    }
  }

  /** Hooks end at once; how often each ran is in `hookRuns`. */
  #runHook(view: View, { project, service, run }: ActionArguments['runHook']): void {
    this.hookRuns.set(run, (this.hookRuns.get(run) ?? 0) + 1);
    const { hookExitCode = 0 } = this.behaviours.get(service) ?? {};
    const record: HookRecord = {
      run,
      machine: view.self,
      state: hookExitCode === 0 ? 'done' : 'failed',
      containerId: `hook-${run}`,
      startedMs: view.nowMs,
      endedMs: view.nowMs,
      exitCode: hookExitCode,
      why: hookExitCode === 0 ? '' : `it exited with code ${hookExitCode}`,
      lastLines: [],
    };
    this.world.write(recordKey.hook(project, service), view.self, record);
  }

  #failure(key: string): FailureRecord | undefined {
    const value = this.world.records.get(key)?.value ?? null;
    return isFailure(value) ? value : undefined;
  }

  #fail(
    view: View,
    of: { readonly project: string; readonly service: string; readonly rollout: string },
    failure: SlotFailure,
  ): void {
    const key = recordKey.failure(view.self, of.project, of.service);
    this.world.write(key, view.self, withFailure(this.#failure(key), of.rollout, failure));
  }

  #run(view: View, action: Extract<Action, { name: 'run' }>): void {
    const { project, service, slot, hash, rollout } = action.arguments;
    const { runFailure } = this.#behaviour({ service, hash });
    if (runFailure !== undefined) {
      const failure = { slot, why: runFailure, exitCode: null, lastLines: [], atMs: view.nowMs };
      this.#fail(view, { project, service, rollout }, failure);
      return;
    }
    const key = recordKey.failure(view.self, project, service);
    const kept = withoutFailure(this.#failure(key), { rollout, slot });
    if (kept === undefined) this.world.records.delete(key);
    else this.world.write(key, view.self, kept);
    this.#containers += 1;
    const id = `c${this.#containers}`;
    const definition = view.projects.get(project)?.services.get(service);
    if (definition === undefined) throw new Error(`no definition of ${service}`);
    const machine = view.self.slice('id-'.length);
    const name = lastingName(definition, slot, machine);
    const isTaken = this.containers().some(
      (other) => other.machine === view.self && other.name === name,
    );
    this.world.container(machine, id, {
      project,
      service,
      slot,
      hash,
      rollout,
      name: isTaken ? `${id}_${name}` : name,
      ready: false,
      createdMs: view.nowMs,
      startedMs: view.nowMs,
      ip: `10.210.0.${this.#containers}`,
    });
  }
}

/** When each container of this machine left traffic, as its agent saw it. */
function drainingSince(
  before: ReadonlyMap<string, number>,
  view: View,
): ReadonlyMap<string, number> {
  const draining = view.containers.filter(
    (container) => container.machine === view.self && container.draining,
  );
  return new Map(draining.map(({ id }) => [id, before.get(id) ?? view.nowMs]));
}

/** The container that an action is about. */
function containerOf(action: Action): string | undefined {
  const given = action.arguments;
  return 'containerId' in given ? (given.containerId ?? undefined) : undefined;
}
