/**
 * Carries out actions on this machine. It decides nothing: what to do is `plan`'s, and a plan that
 * has changed replaces whatever had not begun. Invariants:
 *
 * 1. Two actions with one subject never run at the same time, and never more than `parallelCount`.
 * 2. An action is over only when the record of its container says so: the next plan sees its effect.
 * 3. A failure is caught, logged and, for `run`, written as a `fail/` record; the same action is not
 *    tried again before its back-off is over, and then only if it is still planned.
 * 4. Every call to the engine has its own deadline, so no action holds its subject for ever.
 * 5. Nothing without this cluster's label is stopped or removed.
 */
import type Dockerode from 'dockerode';
import { TscError } from '../src/lib/errors.ts';
import type { Action, ActionArguments, ActionName } from '../src/model/action.ts';
import type { ClusterId, RolloutId } from '../src/model/ids.ts';
import { composeLabel, label } from '../src/model/names.ts';
import type { FailureRecord, SlotFailure } from '../src/model/record.ts';
import { recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { ServiceView, View } from '../src/model/view.ts';
import { withFailure, withoutFailure } from '../src/plan/report-failure.ts';
import { isFailure } from '../src/view/record-checks.ts';
import { graceMsOf } from '../src/view/service-spec.ts';
import { hasPostStart, preStopIn, runHooks } from './container-hooks.ts';
import { type ContainerStartComponents, keyOf, startContainer } from './container-start.ts';
import { isConflict, isEngineDown } from './engine-errors.ts';
import { type ContainerKey, keyOfLabels } from './files.ts';
import { hookKeyOf, runHookOnce } from './hook-run.ts';
import type { Log } from './log.ts';
import type { Observer } from './observer.ts';

/** 8 at once: starting containers is mostly waiting for the kernel and for pulls. */
const parallelCount = 8;
/** 1 s, doubling to 30 s: how long a failed action rests. */
const firstBackOffMs = 1_000;
const lastBackOffMs = 30_000;
/** 10 lines: what fits on the screen beside the reason. */
const lastLineCount = 10;

export interface ExecutorComponents extends Omit<ContainerStartComponents, 'log' | 'setStarting'> {
  readonly observer: Pick<
    Observer,
    'refresh' | 'setCause' | 'setDraining' | 'setRestarts' | 'setSignal' | 'setStarting'
  >;
  readonly replica: Pick<Replica, 'self' | 'get' | 'observe' | 'write'>;
  readonly view: () => View;
  readonly now: () => number;
  readonly log: Log;
}

interface BackOff {
  readonly delayMs: number;
  readonly untilMs: number;
}

/** One function per action; a new action does not compile until it is here. */
type Executors = {
  readonly [Name in ActionName]: (given: ActionArguments[Name], why: string) => Promise<void>;
};

export class Executor {
  readonly #components: ExecutorComponents;
  readonly #cluster: ClusterId;
  readonly #log: Log;
  readonly #running = new Map<string, Action>();
  readonly #backOffs = new Map<string, BackOff>();
  readonly #listeners = new Set<() => void>();
  /** Folders of containers that are being made: not garbage although nothing has them yet. */
  readonly #beingMade = new Map<string, ContainerKey>();
  #waiting: readonly Action[] = [];
  #wake: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(components: ExecutorComponents, options: { readonly cluster: ClusterId }) {
    this.#components = components;
    this.#cluster = options.cluster;
    this.#log = components.log.part('executor');
  }

  /** Takes a plan: begins what may begin now; what waited from an earlier plan is forgotten. */
  execute(actions: readonly Action[]): void {
    this.#waiting = actions;
    this.#startNext();
  }

  /** Subjects of the actions that run now. */
  inFlight(): ReadonlySet<string> {
    return new Set(this.#running.keys());
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
    this.#waiting = [];
    clearTimeout(this.#wake);
    while (this.#running.size > 0) {
      await new Promise<void>((resolve) => {
        const off = this.onDone(() => {
          off();
          resolve();
        });
      });
    }
  }

  #startNext(): void {
    const later: Action[] = [];
    for (const action of this.#waiting) {
      const mayStart =
        !this.#isStopped &&
        this.#running.size < parallelCount &&
        !this.#running.has(action.subject) &&
        // Order within a subject is kept: the second waits for the first.
        !later.some((earlier) => earlier.subject === action.subject) &&
        !this.#rests(action);
      if (mayStart) this.#begin(action);
      else later.push(action);
    }
    this.#waiting = later;
    this.#wakeLater();
  }

  #begin(action: Action): void {
    this.#running.set(action.subject, action);
    const { name, subject, reason } = action;
    this.#log.info(name, { subject, reason });
    const startedMs = this.#components.now();
    this.#noteCause(action);
    this.#carryOut(action)
      .then(
        () => {
          this.#backOffs.delete(backOffKey(action));
          const tookMs = this.#components.now() - startedMs;
          this.#log.debug('done', { action: name, subject, tookMs });
        },
        (error: unknown) => {
          this.#log.warn('failed', { action: name, subject, error });
          this.#backOff(action);
        },
      )
      .finally(() => {
        this.#running.delete(subject);
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

    runHook: (given) => this.#runHook(given),

    start: async ({ containerId, restarts }) => {
      const { engine, observer } = this.#components;
      observer.setRestarts(containerId, restarts);
      await this.#thenLook(containerId, async () => {
        await engine.start(containerId);
        await this.#postStart(containerId);
      });
      // Only now: one that has ended and is not draining would look as if it had ended by itself.
      observer.setDraining(containerId, false);
    },

    restart: async ({ containerId, graceMs, restarts }) => {
      const { engine, observer } = this.#components;
      observer.setRestarts(containerId, restarts);
      await this.#preStop(containerId);
      await this.#thenLook(containerId, async () => {
        await engine.restart(containerId, graceMs);
        await this.#postStart(containerId);
      });
    },

    drain: async ({ containerId }) => {
      this.#components.observer.setDraining(containerId, true);
      await this.#components.observer.refresh(containerId);
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

    removeVolume: ({ project, volume }) => this.#removeVolume(project, volume),

    writeVerdict: async ({ project, service, rollout, verdict }) => {
      const { replica } = this.#components;
      const key = recordKey.verdict(project, service, rollout);
      // Another machine may have been first: a verdict never changes.
      if ((replica.get(key)?.value ?? null) !== null) return;
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
    const { observer, view, replica, now } = this.#components;
    const order = this.#orderOf(view(), given);
    // The plan was made for a definition that has been replaced since; the next one knows.
    if (order === undefined) return;
    const key = keyOf(order);
    const subject = JSON.stringify(key);
    this.#beingMade.set(subject, key);
    try {
      const id = await startContainer(this.#startComponents(), order);
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
    // A container that came up after all: only a failure to start it is taken back.
    const failureKey = recordKey.failure(replica.self, given.project, given.service);
    const failure = this.#failure(failureKey);
    const left = withoutFailure(failure, given);
    if (left !== failure) replica.observe(failureKey, left ?? null);
  }

  #startComponents(): ContainerStartComponents {
    const { observer } = this.#components;
    return {
      ...this.#components,
      log: this.#log,
      setStarting: (id, isStarting) => observer.setStarting(id, isStarting),
    };
  }

  async #runHook({ project, service: name, run }: ActionArguments['runHook']): Promise<void> {
    const { observer, view, replica, now } = this.#components;
    const known = view();
    const machine = known.machines.get(known.self);
    const service = known.projects.get(project)?.services.get(name);
    // The plan was made for a rollout that has been replaced since.
    if (machine === undefined || service?.hook?.run !== run) return;
    const order = { cluster: this.#cluster, machine, service, run };
    const key = hookKeyOf(order);
    const subject = JSON.stringify(key);
    this.#beingMade.set(subject, key);
    const slot = service.mode === 'global' ? machine.id : '1';
    const of = { project, service: name, rollout: run };
    const failure = { slot, atMs: now(), hook: run };
    try {
      const ended = await runHookOnce(
        {
          ...this.#startComponents(),
          replica,
          refresh: (id) => observer.refresh(id),
          isCurrent: () =>
            !this.#isStopped && view().projects.get(project)?.services.get(name)?.hook?.run === run,
          now,
        },
        order,
      );
      if (ended?.state !== 'failed') {
        // It could not be started at first, perhaps, and has run since.
        const key = recordKey.failure(replica.self, project, name);
        const left = withoutFailure(this.#failure(key), { rollout: run, slot });
        if (ended !== undefined && left !== this.#failure(key)) replica.observe(key, left ?? null);
        return;
      }
      const { why, exitCode, lastLines } = ended;
      const text = `the pre-deploy hook failed: ${why}`;
      this.#writeFailure(of, { ...failure, why: text, exitCode, lastLines });
    } catch (error) {
      if (!isEngineDown(error) && !this.#isStopped) {
        const why = `the pre-deploy hook could not be started: ${whyOf(error)}`;
        this.#writeFailure(of, { ...failure, why, exitCode: null, lastLines: [] });
      }
      throw error;
    } finally {
      this.#beingMade.delete(subject);
    }
  }

  /** After a start that is not the first: a container whose hooks fail is stopped again. */
  async #postStart(containerId: string): Promise<void> {
    const { engine, view, observer, now } = this.#components;
    const labels = (await engine.inspect(containerId))?.Config.Labels ?? {};
    const service = serviceOf(view(), labels);
    if (service === undefined || !hasPostStart(service.spec)) return;
    observer.setStarting(containerId, true);
    try {
      await runHooks(engine, containerId, service.spec, 'post_start');
    } catch (error) {
      await engine.stop(containerId, graceMsOf(service.spec));
      const { project, name, rollout } = service;
      this.#writeFailure(
        { project, service: name, rollout },
        {
          slot: labels[label.slot] ?? '',
          why: whyOf(error),
          exitCode: null,
          lastLines: [],
          atMs: now(),
        },
      );
      throw error;
    } finally {
      observer.setStarting(containerId, false);
    }
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

  #rests(action: Action): boolean {
    const backOff = this.#backOffs.get(backOffKey(action));
    return backOff !== undefined && backOff.untilMs > this.#components.now();
  }

  #backOff(action: Action): void {
    const key = backOffKey(action);
    const before = this.#backOffs.get(key);
    const delayMs = Math.min((before?.delayMs ?? firstBackOffMs / 2) * 2, lastBackOffMs);
    this.#backOffs.set(key, { delayMs, untilMs: this.#components.now() + delayMs });
    this.#forgetOldBackOffs();
  }

  /** Keeps the map small: an action that has not failed for long starts afresh. */
  #forgetOldBackOffs(): void {
    const oldMs = this.#components.now() - 2 * lastBackOffMs;
    for (const [key, { untilMs }] of this.#backOffs) {
      if (untilMs < oldMs) this.#backOffs.delete(key);
    }
  }

  /** Wakes up when the first resting action may be tried again. */
  #wakeLater(): void {
    clearTimeout(this.#wake);
    const nowMs = this.#components.now();
    const ends = this.#waiting
      .map((action) => this.#backOffs.get(backOffKey(action))?.untilMs ?? 0)
      .filter((untilMs) => untilMs > nowMs);
    if (ends.length === 0 || this.#isStopped) return;
    this.#wake = setTimeout(() => this.#tellListeners(), Math.min(...ends) - nowMs);
  }

  #tellListeners(): void {
    for (const listener of this.#listeners) listener();
  }
}

function backOffKey({ name, subject, arguments: given }: Action): string {
  return JSON.stringify([name, subject, given]);
}

function serviceOf(view: View, labels: Readonly<Record<string, string>>): ServiceView | undefined {
  const project = view.projects.get(labels[label.project] ?? '');
  const service = project?.services.get(labels[label.service] ?? '');
  return service?.hash === labels[label.hash] ? service : undefined;
}

/** The `stop_grace_period` that the container was made with; dockerode's types do not know it. */
function ownGraceMs({ Config }: Dockerode.ContainerInspectInfo): number {
  const seconds = 'StopTimeout' in Config ? Config.StopTimeout : 0;
  return typeof seconds === 'number' ? seconds * 1_000 : 0;
}

/** A sentence for the user, with what to do where we know it. */
function whyOf(error: unknown): string {
  if (error instanceof TscError) {
    return error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
  }
  return error instanceof Error ? error.message : String(error);
}
