/**
 * Carries out actions on a simulated engine, as agent/executor.ts does on Docker: one generator for
 * each action, with the same order of steps, so that a process which ends in the middle leaves the
 * same things half done. What may begin is said by agent/action-queue.ts, what a hook does next by
 * src/plan/hook-steps.ts, what a failure's record holds by src/plan/report-failure.ts.
 */
import { ActionQueue } from '../../agent/action-queue.ts';
import { Witnesses } from '../../agent/witnesses.ts';
import type { Action, ActionArguments, ActionName } from '../../src/model/action.ts';
import type { Hlc, MachineId, RolloutId } from '../../src/model/ids.ts';
import {
  type HookRecord,
  type RecordReader,
  recordKey,
  type SlotFailure,
} from '../../src/model/record.ts';
import type { ServiceView, View } from '../../src/model/view.ts';
import { changeId } from '../../src/plan/conflict.ts';
import { nextHookStep } from '../../src/plan/hook-steps.ts';
import { withFailure, withoutFailure } from '../../src/plan/report-failure.ts';
import { isStillWanted } from '../../src/plan/still-wanted.ts';
import { hookSpec, preDeployOf } from '../../src/view/pre-deploy.ts';
import { isFailure } from '../../src/view/record-checks.ts';
import { hasHealthcheck, lastingName, localVolumesOf } from '../../src/view/service-spec.ts';
import {
  EngineAway,
  EngineRefusal,
  type SimContainer,
  type SimContainerBody,
  type SimEngine,
} from './engine.ts';
import { runWork, type Work } from './fiber.ts';
import type { SimObserver } from './observer.ts';

/** As in agent/hook-run.ts. */
const hookSlot = 'pre_deploy';
const hookPollMs = 200;

export interface ExecutorHost {
  readonly self: MachineId;
  readonly machineName: string;
  readonly engine: SimEngine;
  readonly observer: SimObserver;
  readonly records: RecordReader;
  readonly view: () => View | undefined;
  /** Writes a record when its value is another one. */
  readonly observe: (key: string, value: unknown) => void;
  /** The same, and waits until it is safe. */
  readonly write: (key: string, value: unknown) => Work;
  /** Waits until all linked machines hold the record, or `witnessMs` are over. */
  readonly heardByLinked: (key: string, hlc: Hlc) => Work;
  readonly onBegin: (action: Action) => void;
  /** An action has ended, or one that failed may be tried again. */
  readonly onDone: () => void;
  readonly now: () => number;
  readonly schedule: (delayMs: number, run: () => void) => () => void;
}

/** A container that is to be made. */
interface Making {
  readonly slot: string;
  readonly name: string;
  /** False once the order has been replaced. */
  readonly isCurrent: () => boolean;
  /** The run of a pre-deploy hook. */
  readonly hook?: string;
}

interface FailedRollout {
  readonly project: string;
  readonly service: string;
  readonly rollout: RolloutId;
}

type Executors = {
  readonly [Name in ActionName]: (given: ActionArguments[Name], why: string) => Work;
};

export class SimExecutor {
  readonly #host: ExecutorHost;
  readonly #queue: ActionQueue;
  readonly #witnesses: Witnesses;
  #cancelWake: (() => void) | undefined;

  constructor(host: ExecutorHost) {
    this.#host = host;
    this.#queue = new ActionQueue(() => host.now());
    this.#witnesses = new Witnesses(() => host.now());
  }

  execute(actions: readonly Action[]): void {
    this.#queue.set(actions);
    this.#startNext();
  }

  inFlight(): ReadonlySet<string> {
    return this.#queue.inFlight();
  }

  #startNext(): void {
    for (const action of this.#queue.begin()) this.#begin(action);
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    const atMs = this.#queue.wakeAtMs();
    if (atMs === undefined) return;
    const delayMs = Math.max(0, atMs - this.#host.now());
    this.#cancelWake = this.#host.schedule(delayMs, () => this.#host.onDone());
  }

  #begin(action: Action): void {
    this.#host.onBegin(action);
    this.#noteCause(action);
    runWork(
      (delayMs, run) => this.#host.schedule(delayMs, run),
      this.#carryOut(action),
      (error) => {
        this.#queue.ended(action, error !== undefined);
        if (error !== undefined && !isExpected(error)) throw error;
        this.#startNext();
        this.#host.onDone();
      },
    );
  }

  /** Narrows the action, so that each executor gets its own arguments. */
  #carryOut(action: Action): Work {
    const run = <Name extends ActionName>(name: Name, given: ActionArguments[Name]): Work =>
      this.#executors[name](given, action.reason);
    return run(action.name, action.arguments);
  }

  #noteCause({ name, reason, arguments: given }: Action): void {
    if (!('containerId' in given) || given.containerId === null) return;
    if (name === 'rename' || name === 'reportFailure') return;
    const cause = { what: name, why: reason, atMs: this.#host.now() };
    this.#host.observer.setCause(given.containerId, cause);
  }

  readonly #executors: Executors = {
    run: (given, why) => this.#run(given, why),

    runHook: (given) => this.#runHook(given),

    start: ({ containerId, restarts }) => this.#start(containerId, restarts),

    restart: ({ containerId, restarts }) => {
      this.#host.observer.setRestarts(containerId, restarts);
      return this.#thenLook(containerId, this.#restart(containerId));
    },

    drain: ({ containerId }) => {
      this.#host.observer.setDraining(containerId, true);
      return this.#host.observer.refresh(containerId);
    },

    stop: ({ containerId }) => this.#thenLook(containerId, this.#host.engine.stop(containerId)),

    kill: ({ containerId, signal, atMs }) =>
      this.#thenLook(containerId, this.#kill(containerId, signal, atMs)),

    remove: ({ containerId }) => this.#thenLook(containerId, this.#remove(containerId)),

    rename: ({ containerId, name }) =>
      this.#thenLook(containerId, this.#host.engine.rename(containerId, name)),

    claim: ({ slots }) => this.#observe(recordKey.claim(this.#host.self), { slots }),

    moveSlots: ({ project, service, operation }) =>
      this.#observe(recordKey.operation(project, service), operation),

    removeVolume: ({ volume }) => this.#host.engine.removeVolume(volume),

    writeVerdict: (given) => this.#writeVerdict(given),

    recordDone: ({ project, service, slot, rollout, atMs }) => {
      const key = recordKey.done(project, service, slot, rollout);
      return this.#host.write(key, { machine: this.#host.self, atMs });
    },

    reportFailure: ({ project, service, slot, rollout, why, exitCode }) => {
      const failure = { slot, why, exitCode, lastLines: [], atMs: this.#host.now() };
      this.#writeFailure({ project, service, rollout }, failure);
      return nothing();
    },
  };

  *#writeVerdict(given: ActionArguments['writeVerdict']): Work {
    const { records, write, heardByLinked } = this.#host;
    const key = recordKey.verdict(given.project, given.service, given.rollout);
    // Another machine may have been first: a verdict never changes.
    if ((records.get(key)?.value ?? null) !== null) return;
    if (this.#witnesses.take(key)) {
      yield* write(key, given.verdict);
      return;
    }
    const change = records.get(recordKey.pointer(given.project));
    if (change !== undefined) yield* heardByLinked(change.key, change.hlc);
    this.#witnesses.answered(key);
  }

  #observe(key: string, value: unknown): Work {
    this.#host.observe(key, value);
    return nothing();
  }

  /** Looks at the container afterwards, whether the work went well or not. */
  *#thenLook(containerId: string, work: Work): Work {
    try {
      yield* work;
    } finally {
      yield* this.#host.observer.refresh(containerId);
    }
  }

  *#restart(containerId: string): Work {
    const { engine, observer } = this.#host;
    observer.setStarting(containerId, true);
    try {
      yield* engine.restart(containerId);
      yield* observer.refresh(containerId);
    } finally {
      observer.setStarting(containerId, false);
    }
  }

  *#start(containerId: string, restarts: number): Work {
    const { engine, observer } = this.#host;
    observer.setRestarts(containerId, restarts);
    yield* this.#thenLook(containerId, engine.start(containerId));
    // Only now: one that has ended and is not draining would look as if it had ended by itself.
    observer.setDraining(containerId, false);
  }

  *#kill(containerId: string, signal: string, atMs: number): Work {
    const { engine, observer } = this.#host;
    if ((yield* engine.inspect(containerId)) === undefined) return;
    yield* engine.kill(containerId, signal);
    observer.setSignal(containerId, atMs);
  }

  *#remove(containerId: string): Work {
    const { engine } = this.#host;
    const found = yield* engine.inspect(containerId);
    if (found === undefined) return;
    if (found.state === 'running') yield* engine.stop(containerId);
    yield* engine.remove(containerId);
  }

  *#run(given: ActionArguments['run'], why: string): Work {
    const { observer, view, now } = this.#host;
    const service = view()?.projects.get(given.project)?.services.get(given.service);
    // The plan was made for a definition that has been replaced since; the next one knows.
    if (service?.hash !== given.hash || service.rollout !== given.rollout) return;
    try {
      const id = yield* this.#startContainer(service, given.slot);
      if (id === undefined) return;
      observer.setCause(id, { what: 'run', why, atMs: now() });
      yield* observer.refresh(id);
    } catch (error) {
      // A hung engine is the machine's trouble, not the rollout's.
      if (!(error instanceof EngineAway)) {
        this.#writeFailure(given, { ...this.#failed(error), slot: given.slot });
      }
      throw error;
    }
    this.#takeBackFailure(given, given.slot);
  }

  *#startContainer(service: ServiceView, slot: string): Work<string | undefined> {
    const { engine, machineName } = this.#host;
    const existing = [...(yield* engine.list())]
      .filter((one) => isOf(one, service) && one.slot === slot && one.rollout === service.rollout)
      .sort((left, right) => right.createdMs - left.createdMs)[0];
    if (existing !== undefined) {
      yield* engine.start(existing.id);
      return existing.id;
    }
    const name = lastingName(service, slot, machineName);
    const isCurrent = (): boolean => {
      const view = this.#host.view();
      return view !== undefined && isStillWanted(service, view);
    };
    const created = yield* this.#create(service, { slot, name, isCurrent });
    if (created === undefined) return undefined;
    const { id } = created;
    try {
      yield* engine.start(id);
    } catch (error) {
      // One that never ran has no logs worth keeping.
      yield* engine.remove(id);
      throw error;
    }
    return id;
  }

  /** Makes available what the container needs, and creates it; undefined when it was replaced meanwhile. */
  *#create(
    service: ServiceView,
    { slot, name, isCurrent, hook }: Making,
  ): Work<SimContainer | undefined> {
    const { engine, view, machineName } = this.#host;
    const { spec, definition, project, hash, rollout } = service;
    const image = spec.image ?? '';
    yield* engine.ensureImage(image);
    if (!isCurrent()) return undefined;
    const volumes = localVolumesOf(definition, spec);
    // The change that has ordered it: another one may come while the engine makes the volume.
    const pointer = view()?.projects.get(project)?.pointer;
    const change = pointer === undefined ? '' : changeId(pointer);
    for (const volume of volumes) {
      yield* engine.ensureVolume(volume, { change, ancestors: pointer?.ancestors ?? [] });
    }
    const body: SimContainerBody = {
      project,
      service: service.name,
      slot,
      hash,
      rollout,
      image,
      command: spec.command ?? [],
      hasHealthcheck: hasHealthcheck(spec),
      volumes,
      ...(hook === undefined ? {} : { hook }),
    };
    return yield* engine.create(body, name, machineName);
  }

  /** As agent/executor-hooks.ts and agent/hook-run.ts. */
  *#runHook({ project, service: name, run }: ActionArguments['runHook']): Work {
    const current = (): ServiceView | undefined =>
      this.#host.view()?.projects.get(project)?.services.get(name);
    const service = current();
    if (service?.hook?.run !== run) return;
    const of = { project, service: name, rollout: run };
    const slot = service.mode === 'global' ? this.#host.self : '1';
    const isCurrent = (): boolean => current()?.hook?.run === run;
    try {
      const ended = yield* this.#hookSteps(service, run, isCurrent);
      if (ended?.state === 'done') this.#takeBackFailure(of, slot);
      if (ended?.state !== 'failed') return;
      const { exitCode, why } = ended;
      const text = `the pre-deploy hook failed: ${why}`;
      this.#writeFailure(of, { ...this.#failed(text), slot, exitCode, hook: run });
    } catch (error) {
      if (!(error instanceof EngineAway)) {
        this.#writeFailure(of, { ...this.#failed(error), slot, hook: run });
      }
      throw error;
    }
  }

  *#hookSteps(
    service: ServiceView,
    run: string,
    isCurrent: () => boolean,
  ): Work<HookRecord | undefined> {
    const { engine, observer, records, self, now, write } = this.#host;
    const key = recordKey.hook(service.project, service.name);
    const hook = preDeployOf(service.name, service.spec);
    if (hook === undefined) return undefined;
    const withHook = { ...service, spec: hookSpec(service.spec, hook) };
    let found = [...(yield* engine.list())].find((one) => one.hook === run);
    for (;;) {
      // Written by this agent, or an earlier run of it, in this shape.
      const record = (records.get(key)?.value ?? undefined) as HookRecord | undefined;
      const container = found && { id: found.id, state: runState(found), exitCode: found.exitCode };
      const facts = { run, self, nowMs: now(), timeoutMs: hook.timeoutMs, record, container };
      const step = nextHookStep(facts);
      switch (step.type) {
        case 'create': {
          const passing = `${service.project}-${service.name}-${hookSlot}-${run}`;
          const made = { slot: hookSlot, name: passing, isCurrent, hook: run };
          found = yield* this.#create(withHook, made);
          if (found === undefined) return undefined;
          break;
        }
        case 'write':
          yield* write(key, step.record);
          break;
        case 'start':
          yield* engine.start(step.containerId);
          yield* observer.refresh(step.containerId);
          found = yield* engine.inspect(step.containerId);
          break;
        case 'wait':
          if (!isCurrent()) return undefined;
          yield hookPollMs;
          found = yield* engine.inspect(step.containerId);
          break;
        case 'stop':
        case 'end': {
          if (step.type === 'stop') yield* engine.stop(step.record.containerId);
          if (!isCurrent()) return undefined;
          yield* write(key, step.record);
          return step.record;
        }
      }
    }
  }

  #failed(error: unknown): Omit<SlotFailure, 'slot'> {
    const why = error instanceof Error ? error.message : String(error);
    return { why, exitCode: null, lastLines: [], atMs: this.#host.now() };
  }

  #writeFailure({ project, service, rollout }: FailedRollout, failure: SlotFailure): void {
    const key = recordKey.failure(this.#host.self, project, service);
    this.#host.observe(key, withFailure(this.#failureAt(key), rollout, failure));
  }

  /** What came up after all: only a failure to start it is taken back. */
  #takeBackFailure({ project, service, rollout }: FailedRollout, slot: string): void {
    const key = recordKey.failure(this.#host.self, project, service);
    const failure = this.#failureAt(key);
    const left = withoutFailure(failure, { rollout, slot });
    if (left !== failure) this.#host.observe(key, left ?? null);
  }

  #failureAt(key: string) {
    const value = this.#host.records.get(key)?.value ?? null;
    return isFailure(value) ? value : undefined;
  }
}

function* nothing(): Work {
  // Nothing is waited for.
}

function isOf(container: SimContainer, service: ServiceView): boolean {
  return (
    container.hook === undefined &&
    container.project === service.project &&
    container.service === service.name &&
    container.hash === service.hash
  );
}

function runState({ state, startedMs }: SimContainer): 'never started' | 'running' | 'ended' {
  if (state === 'running') return 'running';
  return startedMs === 0 ? 'never started' : 'ended';
}

/** What the engine answers is a failure of the action; anything else is a fault of the code. */
function isExpected(error: unknown): boolean {
  return error instanceof EngineAway || error instanceof EngineRefusal;
}
