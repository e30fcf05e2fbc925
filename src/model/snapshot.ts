/**
 * The snapshot: the view as the API sends it to the CLI. Plain JSON; lists are sorted as in View.
 */
import type { Waiting } from './action.ts';
import type { MachineId } from './ids.ts';
import type { LostChange, VerdictRecord } from './record.ts';
import type { ContainerView, FailureView, MachineView, TakenBack } from './view.ts';

export interface Snapshot {
  readonly self: MachineId;
  readonly cluster: string;
  readonly nowMs: number;
  readonly guards: readonly string[];
  readonly machines: readonly MachineView[];
  readonly projects: readonly ProjectSnapshot[];
  readonly containers: readonly ContainerView[];
  readonly failures: readonly FailureView[];
  /** What this agent's own slots wait for, and the slots that are held for machines that are away. */
  readonly waiting: readonly Waiting[];
}

export interface ProjectSnapshot {
  readonly name: string;
  readonly pointerHlc: number;
  readonly isRemoved: boolean;
  readonly isComplete: boolean;
  readonly composeFiles: readonly string[];
  readonly workingDir: string;
  readonly services: readonly ServiceSnapshot[];
  readonly volumes: Readonly<Record<string, MachineId>>;
  /** Changes that were overruled by others that did not know of them. */
  readonly conflicts: readonly LostChange[];
}

export interface ServiceSnapshot {
  readonly name: string;
  readonly image: string;
  readonly hash: string;
  readonly rollout: string;
  readonly mode: 'replicated' | 'global';
  /** How many containers should run now, global services included. */
  readonly wantedCount: number;
  readonly isStopped: boolean;
  readonly isOrphan: boolean;
  /** Containers started before this moment are still to be restarted. */
  readonly restartAtMs?: number;
  /** The same, of single slots. */
  readonly restarts?: Readonly<Record<string, number>>;
  /** Ended containers that were started before this moment are still to be started. */
  readonly startAtMs?: number;
  /** Slot to the machine that owns it now. */
  readonly owners: Readonly<Record<string, MachineId>>;
  /** Exits with code 0 and `restart: no` count as done, not as broken. */
  readonly mayComplete: boolean;
  readonly ports: readonly string[];
  /** Engine names of the named volumes that it mounts. */
  readonly volumes?: readonly string[];
  /** Entries of `x-ports` as the file has them. */
  readonly xPorts: readonly string[];
  /** Hash of the revision in force. */
  readonly revision?: string;
  /** How the running rollout ended; absent while it runs. */
  readonly verdict?: VerdictRecord;
  /** The rollout that failed and was taken back: the definition before it is in force again. */
  readonly takenBack?: TakenBack;
  /** Slots that ran to their end, also those whose container is gone. */
  readonly doneSlots?: readonly string[];
  /** Services that its first start waits for. */
  readonly dependsOn?: readonly string[];
  /** Its replicas are there only when they have completed. */
  readonly isJob?: boolean;
  /** How long the file wants its replicas watched after their start. */
  readonly monitorMs?: number;
}
