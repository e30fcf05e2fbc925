/**
 * Carries out actions on this machine. It decides nothing: what to do is `plan`'s, and a plan that
 * has changed replaces whatever had not begun. Invariants:
 *
 * 1. Two actions with one subject never run at the same time, and never too many at all: action-queue.ts.
 * 2. An action is over only when the record of its container says so: the next plan sees its effect.
 * 3. A failure is caught, logged and, for `run`, written as a `fail/` record; the same action is not
 *    tried again before its back-off is over, and then only if it is still planned.
 * 4. Every call to the engine has its own deadline, so no action holds its subject for ever.
 * 5. Nothing without this cluster's label is stopped or removed.
 */
import type Dockerode from 'dockerode';
import { TscError } from '../src/lib/errors.ts';
import type { Action, ActionArguments, ActionName } from '../src/model/action.ts';
import type { ClusterId, RolloutId, Slot } from '../src/model/ids.ts';
import { composeLabel, label } from '../src/model/names.ts';
import type { FailureRecord, SlotFailure } from '../src/model/record.ts';
import { recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { View } from '../src/model/view.ts';
import { withFailure, withoutFailure } from '../src/plan/report-failure.ts';
import { isStillWanted } from '../src/plan/still-wanted.ts';
import { isFailure } from '../src/view/record-checks.ts';
import { ActionQueue } from './action-queue.ts';
import type { RecordVersion } from './applied.ts';
import { preStopIn, runHooks } from './container-hooks.ts';
import {
  type ContainerStartComponents,
  keyOf,
  SideBySide,
  startContainer,
} from './container-start.ts';
import { isConflict, isEngineDown } from './engine-errors.ts';
import {
  type FailedRollout,
  type HookContext,
  runPostStart,
  runPreDeploy,
  serviceOf,
  whyOf,
} from './executor-hooks.ts';
import { type ContainerKey, keyOfLabels } from './files.ts';
import type { Log } from './log.ts';
import type { Observer } from './observer.ts';
import { Witnesses, witnessMs } from './witnesses.ts';

/** 10 lines: what fits on the screen beside the reason. */
const lastLineCount = 10;

export interface ExecutorComponents
  extends Omit<ContainerStartComponents, 'log' | 'setStarting' | 'shared'> {
  readonly observer: Pick<
    Observer,
    'refresh' | 'setCause' | 'setDraining' | 'setRestarts' | 'setSignal' | 'setStarting'
  >;
  readonly replica: Pick<Replica, 'self' | 'get' | 'observe' | 'replicated' | 'write'>;
  /** Waits until no machine sends traffic any more to what this record says is out of it. */
  readonly barrier: (record: RecordVersion) => Promise<void>;
  readonly view: () => View;
  readonly now: () => number;
  readonly log: Log;
}

/** One function per action; a new action does not compile until it is here. */
type Executors = {
  readonly [Name in ActionName]: (given: ActionArguments[Name], why: string) => Promise<void>;
};

export class Executor {
  readonly #components: ExecutorComponents;
  readonly #shared = new SideBySide();
  readonly #cluster: ClusterId;
  readonly #log: Log;
  readonly #queue: ActionQueue;
  readonly #witnesses: Witnesses;
  readonly #listeners = new Set<() => void>();
  /** Folders of containers that are being made: not garbage although nothing has them yet. */
  readonly #beingMade = new Map<string, ContainerKey>();
  #wake: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(components: ExecutorComponents, options: { readonly cluster: ClusterId }) {
    this.#components = components;
    this.#cluster = options.cluster;
    this.#log = components.log.part('executor');
    this.#queue = new ActionQueue(components.now);
    this.#witnesses = new Witnesses(components.now);
  }

  /** Takes a plan: begins what may begin now; what waited from an earlier plan is forgotten. */
  execute(actions: readonly Action[]): void {
    this.#queue.set(actions);
    this.#startNext();
  }

  /** Subjects of the actions that run now. */
  inFlight(): ReadonlySet<string> {
    return this.#queue.inFlight();
  }

  /**
   * Called after every action that ended, and when one that failed may be tried again: plan anew.
   * @returns the function that ends the calls
   */
  onDone(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Begins nothing more; resolves when what runs has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#queue.set([]);
    clearTimeout(this.#wake);
    while (this.#queue.runningCount > 0) {
      await new Promise<void>((resolve) => {
        const off = this.onDone(() => {
          off();
          resolve();
        });
      });
    }
  }

  #startNext(): void {
    if (!this.#isStopped) for (const action of this.#queue.begin()) this.#begin(action);
    this.#wakeLater();
  }

  #begin(action: Action): void {
    const { name, subject, reason } = action;
    this.#log.info(name, { subject, reason });
    const startedMs = this.#components.now();
    this.#noteCause(action);
    this.#carryOut(action)
      .then(
        () => {
          this.#queue.ended(action, false);
          const tookMs = this.#components.now() - startedMs;
          this.#log.debug('done', { action: name, subject, tookMs });
        },
        (error: unknown) => {
          this.#queue.ended(action, true);
          this.#log.warn('failed', { action: name, subject, error });
        },
      )
      .finally(() => {
        this.#startNext();
        this.#tellListeners();
      });
  }

  /** Narrows the action, so that each executor gets its own arguments. */
  #carryOut(action: Action): Promise<void> {
    const run = <Name extends ActionName>(name: Name, given: ActionArguments[Name]) =>
      this.#executors[name](given, action.reason);
    return run(action.name, action.arguments);
  }

  /** Leaves in the container's record why it is as it is; a name is no state. */
  #noteCause({ name, reason, arguments: given }: Action): void {
    if (!('containerId' in given) || given.containerId === null) return;
    if (name === 'rename' || name === 'reportFailure') return;
    const cause = { what: name, why: reason, atMs: this.#components.now() };
    this.#components.observer.setCause(given.containerId, cause);
  }

  readonly #executors: Executors = {
    run: (given, why) => this.#run(given, why),

    runHook: (given) => runPreDeploy(this.#hookContext(), given),

    start: async ({ containerId, restarts }) => {
      const { engine, observer } = this.#components;
      observer.setRestarts(containerId, restarts);
      await this.#thenLook(containerId, async () => {
        await engine.start(containerId);
        await runPostStart(this.#hookContext(), containerId);
      });
      // Only now: one that has ended and is not draining would look as if it had ended by itself.
      observer.setDraining(containerId, false);
    },

    restart: async ({ containerId, graceMs, restarts }) => {
      const { engine, observer } = this.#components;
      observer.setRestarts(containerId, restarts);
      await this.#thenLook(containerId, async () => {
        // Until it is back it serves nobody, and counts as one that is not ready.
        observer.setStarting(containerId, true);
        try {
          await this.#outOfTraffic(containerId);
          await this.#preStop(containerId);
          await engine.restart(containerId, graceMs);
          await observer.refresh(containerId);
        } finally {
          observer.setStarting(containerId, false);
        }
        await runPostStart(this.#hookContext(), containerId);
      });
    },

    drain: async ({ containerId }) => {
      const { observer } = this.#components;
      observer.setDraining(containerId, true);
      await observer.refresh(containerId);
      await this.#outOfTraffic(containerId);
    },

    stop: async ({ containerId, graceMs }) => {
      await this.#thenLook(containerId, () => this.#stopOwn(containerId, graceMs));
    },

    kill: async ({ containerId, signal, atMs }) => {
      const { engine, observer } = this.#components;
      await this.#thenLook(containerId, async () => {
        const found = await engine.inspect(containerId);
        if (found === undefined) return;
        this.#assertOwn(found.Config.Labels, containerId);
        await engine.kill(containerId, signal);
        observer.setSignal(containerId, atMs);
      });
    },

    remove: async ({ containerId, graceMs, keepsVolumes = false }) => {
      await this.#thenLook(containerId, () => this.#remove(containerId, graceMs, keepsVolumes));
      await this.#collectFiles();
    },

    rename: async ({ containerId, name }) => {
      const { engine } = this.#components;
      await this.#thenLook(containerId, () => engine.rename(containerId, name));
    },

    claim: async ({ slots }) => {
      const { replica } = this.#components;
      replica.observe(recordKey.claim(replica.self), { slots });
    },

    moveSlots: async ({ project, service, operation }) => {
      this.#components.replica.observe(recordKey.operation(project, service), operation);
    },

    removeVolume: ({ project, volume }) => this.#removeVolume(project, volume),

    writeVerdict: async ({ project, service, rollout, verdict }) => {
      const { replica } = this.#components;
      const key = recordKey.verdict(project, service, rollout);
      // Another machine may have been first: a verdict never changes.
      if ((replica.get(key)?.value ?? null) !== null) return;
      if (!this.#witnesses.take(key)) {
        const change = replica.get(recordKey.pointer(project));
        if (change !== undefined) {
          await replica.replicated(change.key, change.hlc, 'linked', witnessMs);
        }
        // The next plan judges by what is known now.
        this.#witnesses.answered(key);
        return;
      }
      await replica.write(key, verdict);
      const { result, failure } = verdict;
      this.#log.info('judged a rollout', { project, service, rollout, result, why: failure?.why });
    },

    recordDone: async ({ project, service, slot, rollout, atMs }) => {
      const { replica } = this.#components;
      const key = recordKey.done(project, service, slot, rollout);
      await replica.write(key, { machine: replica.self, atMs });
    },

    reportFailure: async ({ containerId, project, service, slot, rollout, why, exitCode }) => {
      const { engine, now } = this.#components;
      const lastLines = containerId === null ? [] : await engine.logs(containerId, lastLineCount);
      const failure = { slot, why, exitCode, lastLines, atMs: now() };
      this.#writeFailure({ project, service, rollout }, failure);
    },
  };

  async #run(given: ActionArguments['run'], why: string): Promise<void> {
    const { observer, view, now } = this.#components;
    const order = this.#orderOf(view(), given);
    // The plan was made for a definition that has been replaced since; the next one knows.
    if (order === undefined) return;
    const key = keyOf(order);
    const subject = JSON.stringify(key);
    this.#beingMade.set(subject, key);
    try {
      const isCurrent = (): boolean => isStillWanted(order.service, view());
      const id = await startContainer({ ...this.#startComponents(), isCurrent }, order);
      if (id === undefined) return;
      observer.setCause(id, { what: 'run', why, atMs: now() });
      await observer.refresh(id);
    } catch (error) {
      // A hung or absent engine is the machine's trouble, not the rollout's.
      if (!isEngineDown(error) && !this.#isStopped) {
        const { project, service, slot, rollout } = given;
        this.#writeFailure(
          { project, service, rollout },
          {
            slot,
            why: whyOf(error),
            exitCode: null,
            lastLines: [],
            atMs: now(),
          },
        );
      }
      throw error;
    } finally {
      this.#beingMade.delete(subject);
    }
    this.#takeBackFailure(given, given.slot);
  }

  /** What came up after all: only a failure to start it is taken back. */
  #takeBackFailure(of: FailedRollout, slot: Slot): void {
    const { replica } = this.#components;
    const key = recordKey.failure(replica.self, of.project, of.service);
    const failure = this.#failure(key);
    const left = withoutFailure(failure, { rollout: of.rollout, slot });
    if (left !== failure) replica.observe(key, left ?? null);
  }

  #startComponents(): ContainerStartComponents {
    const { observer } = this.#components;
    return {
      ...this.#components,
      log: this.#log,
      shared: this.#shared,
      setStarting: (id, isStarting) => observer.setStarting(id, isStarting),
    };
  }

  /** What hooks need of this executor. */
  #hookContext(): HookContext {
    return {
      ...this.#components,
      ...this.#startComponents(),
      cluster: this.#cluster,
      isStopped: () => this.#isStopped,
      whileMade: async (key, work) => {
        const subject = JSON.stringify(key);
        this.#beingMade.set(subject, key);
        try {
          await work();
        } finally {
          this.#beingMade.delete(subject);
        }
      },
      fail: (of, failure) => this.#writeFailure(of, failure),
      passed: (of, slot) => this.#takeBackFailure(of, slot),
    };
  }

  /** The service as planned, on this machine; undefined when the view has moved on. */
  #orderOf(view: View, given: ActionArguments['run']) {
    const machine = view.machines.get(view.self);
    const service = view.projects.get(given.project)?.services.get(given.service);
    if (machine === undefined || service === undefined) return undefined;
    if (service.hash !== given.hash || service.rollout !== given.rollout) return undefined;
    return { cluster: this.#cluster, machine, service, slot: given.slot };
  }

  #failure(key: string): FailureRecord | undefined {
    const value = this.#components.replica.get(key)?.value ?? null;
    return isFailure(value) ? value : undefined;
  }

  #writeFailure(
    of: { readonly project: string; readonly service: string; readonly rollout: RolloutId },
    failure: SlotFailure,
  ): void {
    const { replica } = this.#components;
    const key = recordKey.failure(replica.self, of.project, of.service);
    replica.observe(key, withFailure(this.#failure(key), of.rollout, failure));
  }

  /** Looks at the container afterwards, whether the work went well or not. */
  async #thenLook(containerId: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } finally {
      await this.#components.observer.refresh(containerId);
    }
  }

  /** Waits until no machine sends traffic to a container whose record says that it serves nobody. */
  async #outOfTraffic(containerId: string): Promise<void> {
    const { replica, barrier } = this.#components;
    const record = replica.get(recordKey.container(replica.self, containerId));
    if (record !== undefined) await barrier({ key: record.key, hlc: record.hlc });
  }

  async #stopOwn(containerId: string, graceMs: number): Promise<void> {
    const { engine } = this.#components;
    const found = await engine.inspect(containerId);
    if (found === undefined) return;
    this.#assertOwn(found.Config.Labels, containerId);
    if (!found.State.Running) return;
    await this.#preStop(containerId);
    await engine.stop(containerId, graceMs);
  }

  async #remove(containerId: string, graceMs: number, keepsVolumes: boolean): Promise<void> {
    const { engine } = this.#components;
    const found = await engine.inspect(containerId);
    if (found === undefined) return;
    this.#assertOwn(found.Config.Labels, containerId);
    // Once the project is gone no definition says how long the container may take: it itself does.
    const longestMs = Math.max(graceMs, ownGraceMs(found));
    if (found.State.Running) await this.#stopOwn(containerId, longestMs);
    await engine.remove(containerId, !keepsVolumes);
    if (keepsVolumes) return;
    // Anonymous volumes that were taken over from a predecessor look named to the engine.
    for (const mount of found.Mounts) {
      if (mount.Type !== 'volume' || !/^[0-9a-f]{64}$/.test(mount.Name ?? '')) continue;
      await engine.removeVolume(mount.Name ?? '').catch((error: unknown) => {
        // The successor has it.
        if (!isConflict(error)) throw error;
      });
    }
  }

  #assertOwn(labels: Readonly<Record<string, string>>, containerId: string): void {
    if (labels[label.cluster] === this.#cluster) return;
    throw new TscError('E_CONTAINER_FOREIGN', `container ${containerId} is not this cluster's`);
  }

  async #preStop(containerId: string): Promise<void> {
    const { engine, view } = this.#components;
    const found = await engine.inspect(containerId);
    if (found?.State.Running !== true) return;
    const labels = found.Config.Labels;
    // Containers of older agents do not say it themselves.
    const spec = preStopIn(labels[label.preStop]) ?? serviceOf(view(), labels)?.spec;
    if (spec === undefined) return;
    await runHooks(engine, containerId, spec, 'pre_stop').catch((error: unknown) => {
      this.#log.warn('the container is stopped nevertheless', { container: found.Name, error });
    });
  }

  async #removeVolume(project: string, volume: string): Promise<void> {
    const { engine } = this.#components;
    const labels = await engine.volumeLabels(volume);
    if (labels === undefined) return;
    const isOwn =
      labels[label.cluster] === this.#cluster || labels[composeLabel.project] === project;
    if (!isOwn) {
      throw new TscError('E_VOLUME_FOREIGN', `volume ${volume} is not of project ${project}`);
    }
    await engine.removeVolume(volume);
  }

  /** Removes the folders of containers that are no more. */
  async #collectFiles(): Promise<void> {
    const { engine, files } = this.#components;
    const beingMade = [...this.#beingMade.values()];
    const listed = await engine.listOwn(this.#cluster);
    const keys = listed.map(({ Labels }) => keyOfLabels(Labels)).filter((key) => key !== undefined);
    await files.collect([...keys, ...beingMade, ...this.#beingMade.values()]);
  }

  /** Wakes up when the first resting action may be tried again. */
  #wakeLater(): void {
    clearTimeout(this.#wake);
    const atMs = this.#queue.wakeAtMs();
    if (atMs === undefined || this.#isStopped) return;
    const delayMs = Math.max(0, atMs - this.#components.now());
    this.#wake = setTimeout(() => this.#tellListeners(), delayMs);
  }

  #tellListeners(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** The `stop_grace_period` that the container was made with; dockerode's types do not know it. */
function ownGraceMs({ Config }: Dockerode.ContainerInspectInfo): number {
  const seconds = 'StopTimeout' in Config ? Config.StopTimeout : 0;
  return typeof seconds === 'number' ? seconds * 1_000 : 0;
}
