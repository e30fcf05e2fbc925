/**
 * The executor's part that runs hooks: `x-pre_deploy` before a rollout (how it is run once is
 * hook-run.ts) and `post_start` after a start that is not the first. What fails is written as a
 * failure of the rollout, so that everybody sees why.
 */
import { TscError } from '../src/lib/errors.ts';
import type { ActionArguments } from '../src/model/action.ts';
import type { ClusterId, RolloutId, Slot } from '../src/model/ids.ts';
import { label } from '../src/model/names.ts';
import type { SlotFailure } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { ServiceView, View } from '../src/model/view.ts';
import { graceMsOf } from '../src/view/service-spec.ts';
import { hasPostStart, runHooks } from './container-hooks.ts';
import type { ContainerStartComponents } from './container-start.ts';
import { isEngineDown } from './engine-errors.ts';
import type { ContainerKey } from './files.ts';
import { hookKeyOf, runHookOnce } from './hook-run.ts';
import type { Observer } from './observer.ts';

export interface FailedRollout {
  readonly project: string;
  readonly service: string;
  readonly rollout: RolloutId;
}

export interface HookContext extends ContainerStartComponents {
  readonly cluster: ClusterId;
  readonly view: () => View;
  readonly replica: Pick<Replica, 'self' | 'get' | 'write'>;
  readonly observer: Pick<Observer, 'refresh' | 'setStarting'>;
  readonly now: () => number;
  /** The agent ends: nothing is waited for, and nothing has failed. */
  readonly isStopped: () => boolean;
  /** Does the work while the files of that container are no garbage. */
  readonly whileMade: (key: ContainerKey, work: () => Promise<void>) => Promise<void>;
  readonly fail: (of: FailedRollout, failure: SlotFailure) => void;
  /** What could not be started at first has passed. */
  readonly passed: (of: FailedRollout, slot: Slot) => void;
}

/** Runs the hook before a rollout, or waits for one that was started. */
export async function runPreDeploy(
  context: HookContext,
  { project, service: name, run }: ActionArguments['runHook'],
): Promise<void> {
  const { view, observer, now } = context;
  const known = view();
  const machine = known.machines.get(known.self);
  const current = (): ServiceView | undefined => view().projects.get(project)?.services.get(name);
  const service = current();
  // The plan was made for a rollout that has been replaced since.
  if (machine === undefined || service?.hook?.run !== run) return;
  const order = { cluster: context.cluster, machine, service, run };
  const of = { project, service: name, rollout: run };
  const slot = service.mode === 'global' ? machine.id : '1';
  const failure = { slot, atMs: now(), hook: run };
  await context.whileMade(hookKeyOf(order), async () => {
    try {
      const ended = await runHookOnce(
        {
          ...context,
          refresh: (id) => observer.refresh(id),
          isCurrent: () => !context.isStopped() && current()?.hook?.run === run,
        },
        order,
      );
      if (ended?.state === 'done') context.passed(of, slot);
      if (ended?.state !== 'failed') return;
      const { why, exitCode, lastLines } = ended;
      const text = `the pre-deploy hook failed: ${why}`;
      context.fail(of, { ...failure, why: text, exitCode, lastLines });
    } catch (error) {
      if (!isEngineDown(error) && !context.isStopped()) {
        const why = `the pre-deploy hook could not be started: ${whyOf(error)}`;
        context.fail(of, { ...failure, why, exitCode: null, lastLines: [] });
      }
      throw error;
    }
  });
}

/** After a start that is not the first: a container whose hooks fail is stopped again. */
export async function runPostStart(context: HookContext, containerId: string): Promise<void> {
  const { engine, view, observer, now } = context;
  const labels = (await engine.inspect(containerId))?.Config.Labels ?? {};
  const service = serviceOf(view(), labels);
  if (service === undefined || !hasPostStart(service.spec)) return;
  observer.setStarting(containerId, true);
  try {
    await runHooks(engine, containerId, service.spec, 'post_start');
  } catch (error) {
    await engine.stop(containerId, graceMsOf(service.spec));
    const { project, name, rollout } = service;
    const slot = labels[label.slot] ?? '';
    const failure = { slot, why: whyOf(error), exitCode: null, lastLines: [], atMs: now() };
    context.fail({ project, service: name, rollout }, failure);
    throw error;
  } finally {
    observer.setStarting(containerId, false);
  }
}

/** The service that a container is of, while it is of the definition in force. */
export function serviceOf(
  view: View,
  labels: Readonly<Record<string, string>>,
): ServiceView | undefined {
  const project = view.projects.get(labels[label.project] ?? '');
  const service = project?.services.get(labels[label.service] ?? '');
  return service?.hash === labels[label.hash] ? service : undefined;
}

/** A sentence for the user, with what to do where we know it. */
export function whyOf(error: unknown): string {
  if (error instanceof TscError) {
    return error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
  }
  return error instanceof Error ? error.message : String(error);
}
