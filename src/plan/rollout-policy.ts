/**
 * How a change of a service proceeds: `update_config`, or `rollback_config` when it goes back, read
 * in one place. Defaults differ from Swarm's in two: the order is start-first where two copies can
 * live side by side, and a failure goes back by itself where no data is at stake.
 */
import type { UpdateConfig } from '../model/project.ts';
import type { ServiceView, View } from '../model/view.ts';
import {
  isJob,
  isNamedVolume,
  isRunOnce,
  localVolumesOf,
  optionalDurationMs,
} from '../view/service-spec.ts';
import { planVersion } from './limits.ts';
import { hostPortsOf } from './published.ts';

export type FailureAction = 'pause' | 'continue' | 'rollback';

export interface RolloutPolicy {
  /** How many slots may move at a time. */
  readonly parallelism: number;
  /** Pause between two batches. */
  readonly delayMs: number;
  /** How long a batch must have been ready before the next; undefined: not asked for. */
  readonly monitorMs: number | undefined;
  /** Share of the slots, 0 to 1, that may fail. */
  readonly maxFailureRatio: number;
  readonly failureAction: FailureAction;
}

/** The policy of the running rollout of a service. */
export function policyOf(view: View, service: ServiceView): RolloutPolicy {
  const config = configOf(service);
  const parallelism = config.parallelism ?? 1;
  return {
    // 0 means all, as in Swarm.
    parallelism: parallelism === 0 ? Number.MAX_SAFE_INTEGER : parallelism,
    delayMs: optionalDurationMs(config.delay) ?? 0,
    monitorMs: optionalDurationMs(config.monitor),
    maxFailureRatio: config.max_failure_ratio ?? 0,
    failureAction: failureActionOf(view, service, config.failure_action),
  };
}

/** `rollback_config` holds while going back; without one the ways of the update do. */
function configOf({ spec, isRollback }: ServiceView): UpdateConfig {
  const { update_config: update, rollback_config: rollback } = spec.deploy ?? {};
  if (isRollback !== true) return update ?? {};
  if (rollback !== undefined && rollback !== null) return rollback;
  const { failure_action: _, ...ways } = update ?? {};
  return ways;
}

function failureActionOf(
  view: View,
  service: ServiceView,
  asked: string | undefined,
): FailureAction {
  if (asked === 'continue') return 'continue';
  // Going back from going back would never end.
  if (service.isRollback === true || service.noRollback === true) return 'pause';
  if (service.lastGood === undefined || asked === 'pause') return 'pause';
  // A run that happened cannot be taken back by running an earlier one.
  if (isJob(service.spec) || isRunOnce(service)) return 'pause';
  // An older agent would not know that the earlier definition is in force again.
  if (commonPlanVersion(view) < planVersion) return 'pause';
  return asked === 'rollback' || !isDataBound(service) ? 'rollback' : 'pause';
}

/** An older version may not read the data that a newer one has changed. */
function isDataBound(service: ServiceView): boolean {
  return (
    service.volumeHome !== undefined ||
    service.pinned !== undefined ||
    localVolumesOf(service.definition, service.spec).length > 0 ||
    (service.spec.volumes ?? []).some(isWritableBind)
  );
}

function isWritableBind(mount: { readonly type: string; readonly read_only?: boolean }): boolean {
  return mount.type === 'bind' && mount.read_only !== true;
}

/**
 * start-first keeps the capacity, and is the default where two copies can live side by side. Two
 * copies on one volume may corrupt it, and two on one host port cannot start at all.
 */
export function isStartFirst(service: ServiceView): boolean {
  const { spec } = service;
  if (hostPortsOf(spec).length > 0 || spec.network_mode === 'host') return false;
  const { order } = configOf(service);
  if (order === 'start-first' || order === 'stop-first') return order === 'start-first';
  const hasVolume = (spec.volumes ?? []).some(
    (mount) => isNamedVolume(mount) || mount.type === 'volume' || isWritableBind(mount),
  );
  return !hasVolume && spec.container_name === undefined;
}

/** What every member's agent understands: decisions that an older one cannot follow wait for it. */
export function commonPlanVersion({ machines }: View): number {
  let common = knownVersions.get(machines);
  if (common === undefined) {
    common = Math.min(...[...machines.values()].map(({ versions }) => versions.plan));
    knownVersions.set(machines, common);
  }
  return common;
}

/** The machines of a view never change, and each service asks. */
const knownVersions = new WeakMap<View['machines'], number>();
