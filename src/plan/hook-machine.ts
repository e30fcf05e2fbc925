/**
 * Which machine runs the command before a rollout: decided once, by the accepting agent, and written
 * down, so that no two machines ever run it. It is the machine of the first slot, where the image
 * and the data of the service are.
 */
import { TscError } from '../lib/errors.ts';
import type { MachineId, RolloutId, ServiceHash } from '../model/ids.ts';
import type { Service } from '../model/project.ts';
import type { PointerService } from '../model/record.ts';
import type { ServiceView, View } from '../model/view.ts';
import { preDeployOf } from '../view/pre-deploy.ts';
import { baseHashOf } from './identity.ts';
import { hookPlanVersion } from './limits.ts';
import { placeable, refusal } from './place.ts';

export interface HookQuestion {
  readonly name: string;
  readonly spec: Service;
  readonly old: ServiceView | undefined;
  readonly rollout: RolloutId;
  /** Of the first slot; undefined for a global service. */
  readonly machine: MachineId | undefined;
}

/**
 * The hook of a service that is being accepted: a new run for a new rollout, else the one there is.
 * @throws TscError E_COMPOSE_HOOK, E_AGENT_OLD, E_NO_ELIGIBLE_MACHINE
 */
export function hookOf(view: View, question: HookQuestion): PointerService['hook'] {
  const { name, spec, old, rollout } = question;
  if (preDeployOf(name, spec) === undefined) return undefined;
  if (old?.rollout === rollout) {
    return old.hook && { machine: old.hook.machine, run: old.hook.run };
  }
  const outdated = [...view.machines.values()].find(
    ({ versions }) => versions.plan < hookPlanVersion,
  );
  if (outdated !== undefined) {
    throw new TscError(
      'E_AGENT_OLD',
      `service "${name}" has x-pre_deploy, which the agent of ${outdated.name} does not know`,
      { hint: `bring ${outdated.name} to the version of this machine first` },
    );
  }
  const machine = question.machine ?? firstFitting(view, name, spec);
  if (machine === undefined) {
    // Scaled to nothing: there is nobody to run it for.
    if (spec.scale === 0 || spec.deploy?.replicas === 0) return undefined;
    throw new TscError(
      'E_NO_ELIGIBLE_MACHINE',
      `no machine can run the pre-deploy hook of service "${name}"`,
    );
  }
  return { machine, run: rollout };
}

/**
 * A hook that failed may have done half of its work: the same definition is not tried again by the
 * way, only when the user says so.
 * @throws TscError E_HOOK_FAILED
 */
export function requireHookRetry(
  old: ServiceView | undefined,
  baseHash: ServiceHash,
  isRetry: boolean,
): void {
  const state = old?.hook?.state;
  if (old === undefined || state?.state !== 'failed' || isRetry) return;
  const failedHash = old.takenBack?.hash ?? old.hash;
  if (baseHashOf(failedHash) !== baseHash) return;
  throw new TscError(
    'E_HOOK_FAILED',
    `the pre-deploy hook of service "${old.name}" has failed with this definition: ${state.why}`,
    { hint: '--retry-hook runs it again; nothing has been changed' },
  );
}

/** Whether `up --retry-hook` has anything to do: the hook failed, or nobody can say how it ended. */
export function needsHookAgain(old: ServiceView | undefined): boolean {
  return old?.hook !== undefined && old.hook.state?.state !== 'done';
}

function firstFitting(view: View, name: string, spec: Service): MachineId | undefined {
  const service = placeable('', name, {
    definition: { name: '', services: { [name]: spec } },
    image: undefined,
    bound: undefined,
  });
  const fitting = [...view.machines.values()].filter(
    (machine) => refusal(service, machine) === undefined,
  );
  return (fitting.find(({ id }) => id === view.self) ?? fitting[0])?.id;
}
