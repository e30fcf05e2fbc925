/** Requests and answers of the agent's HTTP API (unix socket). Errors are `ApiError` with 4xx/5xx. */
import type { Place } from '../lib/errors.ts';
import type { Action } from './action.ts';
import type { MachineId } from './ids.ts';
import type { Project } from './project.ts';
import type { VerdictRecord } from './record.ts';

export interface UpRequest {
  readonly project: Project;
  /** Services to change; empty: all. Dependencies have been added by the caller. */
  readonly services: readonly string[];
  /** Services of the file whose profile is off: what runs of them is kept, and is no orphan. */
  readonly disabledServices: readonly string[];
  readonly scale: Readonly<Record<string, number>>;
  readonly removeOrphans: boolean;
  readonly isDryRun: boolean;
  readonly forceRecreate: boolean;
  /** Runs pre-deploy hooks again that failed, or whose end is not known. */
  readonly retryHook?: boolean;
  /** A rollout of this change that fails pauses, whatever the file says. */
  readonly noRollback?: boolean;
  /** Content of secrets and configs, base64, under "secret/<name>" or "config/<name>". */
  readonly contents: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly composeFiles: readonly string[];
  readonly user?: string;
  /**
   * Sources of bind mounts that the file writes relative to itself, as absolute paths; those below
   * `workingDir` may be missing here.
   */
  readonly relativeBinds?: readonly string[];
  /** By registry; from the user's own Docker configuration. */
  readonly credentials?: Readonly<Record<string, RegistryCredentials>>;
}

/** What a registry asks for: a name with a password, or a token in their place. */
export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
  readonly identityToken?: string;
}

/** `POST /v1/here`: is this the machine where the command runs, with the same files? */
export interface HereRequest {
  /** What the command read beside the socket; undefined when there is nothing. */
  readonly token?: string;
  readonly folder: string;
  /** Device, inode and times of the folder, as the command sees them (client/here.ts). */
  readonly identity: string;
}

export interface HereAnswer {
  readonly isHere: boolean;
}

/** `POST /v1/facts` with `paths`, absolute: what placing data needs to know of a machine. */
export interface FactsAnswer {
  /** Those of the paths that exist. */
  readonly existing: readonly string[];
  /** Where the engine keeps volumes. */
  readonly freeDiskBytes: number;
  readonly freeMemoryBytes: number;
}

export interface UpAnswer {
  readonly pointerHlc: number;
  /** The change's name in `conflicts`, should another one overrule it. */
  readonly change?: string;
  /** Machines, this one included, on which the change is stored. */
  readonly storedOnCount: number;
  readonly reachableCount: number;
  readonly machineCount: number;
  /** Services that this `up` changed. */
  readonly changed: readonly string[];
  readonly orphans: readonly string[];
  /** Said once to the user: translated keys, pins, homes. */
  readonly notes: readonly string[];
  /** For a dry run: what each machine will do. */
  readonly steps: readonly PlannedStep[];
}

export interface PlannedStep {
  readonly machine: MachineId;
  readonly action: Action;
  /** What becomes of the service meanwhile; absent for steps that concern none. */
  readonly replica?: PlannedReplica;
}

export interface PlannedReplica {
  readonly service: string;
  readonly slot: string;
  /** Least number of ready replicas of the service during the step. */
  readonly leastReady: number;
  readonly wanted: number;
}

/** `rollback`: answered like `up`. */
export interface RollbackRequest {
  /** A revision or the beginning of one; without it the last that differs and did not fail. */
  readonly to?: string;
  readonly isDryRun: boolean;
  readonly user?: string;
}

/** Newest first. */
export interface HistoryAnswer {
  readonly entries: readonly HistoryEntry[];
}

/** One change of a project. */
export interface HistoryEntry {
  readonly revision: string;
  readonly atMs: number;
  readonly author: { readonly machine: MachineId; readonly user?: string };
  readonly act: 'up' | 'rollback';
  readonly isCurrent: boolean;
  readonly services: readonly {
    readonly name: string;
    readonly revision: string;
    /** Its containers were changed by this. */
    readonly isChanged: boolean;
    /** Absent while the rollout runs, and for changes that were replaced before they ended. */
    readonly verdict?: VerdictRecord;
  }[];
}

/** What is in force now, for `diff`. */
export interface DefinitionAnswer {
  /** Definitions as they were accepted; replica counts set since are in `scale`. */
  readonly project: Project;
  readonly revision: string;
  readonly scale: Readonly<Record<string, number>>;
  /** Content of secrets and configs as hashes, under "secret/<name>" or "config/<name>". */
  readonly contentHashes: Readonly<Record<string, string>>;
}

export interface DownRequest {
  readonly volumes: boolean;
  readonly user?: string;
}

/** `POST /v1/volumes/<name>/move` and `/abandon`. */
export interface VolumeRequest {
  /** Name or id; an abandon may leave the choice to the agent. */
  readonly machine?: string;
  readonly user?: string;
}

export interface VolumeAnswer {
  readonly project: string;
  /** Engine names: all that went together. */
  readonly volumes: readonly string[];
  readonly services: readonly string[];
  /** Names of machines. */
  readonly from: string;
  readonly to: string;
  /** Of what was copied. */
  readonly sizeBytes: number;
  readonly storedOnCount: number;
  readonly notes: readonly string[];
}

export interface ScaleRequest {
  readonly scale: Readonly<Record<string, number>>;
}

/** What is done to services that exist, without changing their definition. */
export type OperationName = 'stop' | 'start' | 'restart' | 'kill' | 'remove';

export interface OperateRequest {
  readonly act: OperationName;
  /** Empty: all. */
  readonly services: readonly string[];
  /** For stop and restart, instead of `stop_grace_period`. */
  readonly graceMs?: number;
  /** For kill: "SIGHUP". */
  readonly signal?: string;
  /** For restart and kill: only this slot. */
  readonly slot?: string;
  /** For restart: without the services that follow (`depends_on: … restart: true`). */
  readonly withoutDependents?: boolean;
  /** For remove: what runs is stopped first. */
  readonly stopsFirst?: boolean;
  /** For remove: with anonymous volumes. */
  readonly withVolumes?: boolean;
  readonly user?: string;
}

export interface OperateAnswer extends ChangeAnswer {
  /** Services that this concerns, those that were added to the named ones included. */
  readonly services: readonly string[];
  readonly notes: readonly string[];
}

/** `POST /v1/machines/<name>/options`: what operators set; what is not named stays as it is. */
export interface MachineOptionsRequest {
  readonly drain?: boolean;
  /** null: by the machine's size again. */
  readonly weight?: number | null;
  /** A label of null is taken away. */
  readonly labels?: Readonly<Record<string, string | null>>;
  /** What replicas can reserve by number; null: as the engine says. */
  readonly resources?: Readonly<Record<string, number | null>>;
}

/** `POST /v1/machines/<name>/remove`: the machine is no member any more, for good. */
export interface RemoveMachineRequest {
  /** Although it runs something, or has data that then has to be given up. */
  readonly force: boolean;
}

export interface RemoveMachineAnswer extends ChangeAnswer {
  /** Of the machine that was removed. */
  readonly name: string;
  /** What goes on there, and what waits for the operator. */
  readonly notes: readonly string[];
}

/** `POST /v1/rebalance` */
export interface RebalanceRequest {
  /** Empty: all. */
  readonly projects: readonly string[];
  readonly isDryRun: boolean;
}

export interface RebalanceAnswer {
  readonly moves: readonly RebalanceMove[];
  readonly storedOnCount: number;
}

export interface RebalanceMove {
  readonly project: string;
  readonly service: string;
  readonly slot: string;
  /** Id of the container that goes. */
  readonly container: string;
  readonly from: MachineId;
  readonly to: MachineId;
}

export interface ChangeAnswer {
  readonly hlc: number;
  readonly storedOnCount: number;
}

/**
 * `POST /v1/projects/<name>/arrived`: comes when every machine in reach leads traffic to what runs of
 * the project, or has had ten seconds.
 */
export interface ArrivedAnswer {
  /** Names of the machines in reach that do not say so. */
  readonly missing: readonly string[];
}

export interface InfoAnswer {
  readonly agentVersion: string;
  readonly machine: MachineId | null;
  readonly machineName: string;
  readonly cluster: string | null;
  readonly engine: string | null;
}

export interface InitRequest {
  readonly range?: string;
  readonly endpoints: readonly string[];
}

export interface TokenAnswer {
  readonly token: string;
  readonly expiresMs: number;
}

export interface JoinRequest {
  readonly token: string;
  readonly endpoints: readonly string[];
}

export interface ApiError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly where?: Place;
}
