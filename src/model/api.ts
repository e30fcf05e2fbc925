/** Requests and answers of the agent's HTTP API (unix socket). Errors are `ApiError` with 4xx/5xx. */
import type { Place } from '../lib/errors.ts';
import type { Action } from './action.ts';
import type { MachineId } from './ids.ts';
import type { Project } from './project.ts';

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
  /** A rollout of this change that fails pauses, whatever the file says. */
  readonly noRollback?: boolean;
  /** Content of secrets and configs, base64, under "secret/<name>" or "config/<name>". */
  readonly contents: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly composeFiles: readonly string[];
  readonly user?: string;
}

export interface UpAnswer {
  readonly pointerHlc: number;
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
}

export interface DownRequest {
  readonly volumes: boolean;
  readonly user?: string;
}

export interface ScaleRequest {
  readonly scale: Readonly<Record<string, number>>;
}

export interface ChangeAnswer {
  readonly hlc: number;
  readonly storedOnCount: number;
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
