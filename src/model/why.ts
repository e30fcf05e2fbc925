/** Why a service is as it is: what the API answers and `why` prints. Plain JSON. */
import type { MachineId, Slot } from './ids.ts';
import type { ContainerCause, ContainerState } from './record.ts';

export interface WhyRequest {
  readonly service: string;
  /** Only this replica. */
  readonly slot?: Slot;
}

export interface WhyAnswer {
  readonly project: string;
  readonly service: string;
  readonly image: string;
  readonly mode: 'replicated' | 'global';
  readonly wantedCount: number;
  readonly isStopped: boolean;
  /** What people asked for, oldest first. */
  readonly changes: readonly WhyChange[];
  readonly slots: readonly WhySlot[];
  /** The slot that `machines` are compared for: the one asked about, one that waits, or one more. */
  readonly placedSlot: Slot;
  /** Best first, then those that were refused. */
  readonly machines: readonly WhyMachine[];
  readonly failures: readonly WhyFailure[];
}

export interface WhyChange {
  readonly act: string;
  readonly machine: MachineId;
  readonly user?: string;
  readonly atMs: number;
}

export interface WhySlot {
  readonly slot: Slot;
  readonly owner: MachineId | null;
  /** Why that machine. */
  readonly because: string;
  readonly waiting: readonly string[];
  readonly containers: readonly WhyContainer[];
}

export interface WhyContainer {
  readonly id: string;
  readonly name: string;
  readonly machine: MachineId;
  readonly state: ContainerState;
  readonly ready: boolean;
  readonly exitCode: number;
  readonly cause: ContainerCause | null;
}

export interface WhyMachine {
  readonly machine: MachineId;
  /** The constraint that refused it; null where a replica may be started. */
  readonly refusal: string | null;
  /** What machines are compared by, the most important first; the least wins. */
  readonly costs: readonly { readonly name: string; readonly value: number }[];
}

export interface WhyFailure {
  readonly machine: MachineId;
  readonly slot: Slot;
  readonly why: string;
  readonly atMs: number;
}
