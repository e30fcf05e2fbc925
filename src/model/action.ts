/**
 * Actions: what an agent does on its own machine, as data. `plan` returns them; the executor is an
 * exhaustive record over their names, so a new action does not compile until it can be carried out.
 */
import type { RolloutId, ServiceHash, Slot } from './ids.ts';
import type { OperationRecord, SlotClaim, VerdictRecord } from './record.ts';

export interface ActionArguments {
  /** Makes image, network and volumes available, then creates and starts a container. */
  readonly run: {
    readonly project: string;
    readonly service: string;
    readonly slot: Slot;
    readonly hash: ServiceHash;
    readonly rollout: RolloutId;
  };
  /** Runs a service's pre-deploy hook, or waits for the end of one that was started. */
  readonly runHook: {
    readonly project: string;
    readonly service: string;
    readonly run: RolloutId;
  };
  /** Starts a container that exists and does not run (restart policy, boot). */
  readonly start: { readonly containerId: string; readonly restarts: number };
  /** Stops and starts a running container (unhealthy, `restart`). */
  readonly restart: {
    readonly containerId: string;
    readonly graceMs: number;
    readonly restarts: number;
  };
  /** Takes a container out of DNS, firewall and ingress before it is stopped. */
  readonly drain: { readonly containerId: string };
  readonly stop: { readonly containerId: string; readonly graceMs: number };
  /** Sends a signal and waits for nothing; `atMs` names the order, which is carried out once. */
  readonly kill: { readonly containerId: string; readonly signal: string; readonly atMs: number };
  /** Stops if needed, then removes, with its anonymous volumes unless they are to be kept. */
  readonly remove: {
    readonly containerId: string;
    readonly graceMs: number;
    readonly keepsVolumes?: boolean;
  };
  /** Gives the kept container its lasting name after its predecessor has gone. */
  readonly rename: { readonly containerId: string; readonly name: string };
  /** Writes `claim/`: the slots that this machine is about to fill; replaces all earlier ones. */
  readonly claim: { readonly slots: readonly SlotClaim[] };
  /** Writes slots that are to change their machine into the service's `op/` record. */
  readonly moveSlots: {
    readonly project: string;
    readonly service: string;
    readonly operation: OperationRecord;
  };
  readonly removeVolume: { readonly project: string; readonly volume: string };
  /** Writes `fail/`: this machine cannot bring the slot up. */
  readonly reportFailure: {
    readonly project: string;
    readonly service: string;
    readonly slot: Slot;
    readonly rollout: RolloutId;
    readonly containerId: string | null;
    readonly why: string;
    readonly exitCode: number | null;
  };
  /** Writes `verdict/`, once: how the rollout ended. */
  readonly writeVerdict: {
    readonly project: string;
    readonly service: string;
    readonly rollout: RolloutId;
    readonly verdict: VerdictRecord;
  };
  /** Writes `done/`: the slot ran to its end and is not to run again. */
  readonly recordDone: {
    readonly project: string;
    readonly service: string;
    readonly slot: Slot;
    readonly rollout: RolloutId;
    readonly atMs: number;
  };
}

export type ActionName = keyof ActionArguments;

export type Action = {
  [Name in ActionName]: {
    readonly name: Name;
    /** Two actions with one subject never run at the same time: a slot or a container. */
    readonly subject: string;
    /** For logs and `plan`: why this is done. */
    readonly reason: string;
    readonly arguments: ActionArguments[Name];
  };
}[ActionName];

export interface Plan {
  readonly actions: readonly Action[];
  /** When to decide again even if no event comes; undefined when only events matter. */
  readonly wakeAtMs: number | undefined;
  /** Slots that wait, and for what; shown by `ps` and `up`. */
  readonly waiting: readonly Waiting[];
}

export interface Waiting {
  readonly project: string;
  readonly service: string;
  readonly slot: Slot;
  readonly why: string;
}
