/**
 * Records: what gossip replicates and the store keeps. The body is opaque bytes here (UTF-8 JSON);
 * exactly those bytes are signed by the origin, stored and relayed, so unknown kinds and fields
 * pass through older agents unchanged. The types of the known bodies follow below.
 */
import type { ClusterId, Hlc, MachineId, RolloutId, ServiceHash, Slot } from './ids.ts';
import type { Json, Project } from './project.ts';

export interface ReplicatedRecord {
  readonly key: string;
  readonly origin: MachineId;
  readonly hlc: Hlc;
  /** Version of the body's shape, per kind. */
  readonly schema: number;
  /** UTF-8 JSON; null is a tombstone. */
  readonly body: Uint8Array | null;
  /** Ed25519 by the origin over key, origin, hlc, schema and body. */
  readonly signature: Uint8Array;
}

/** A record with its body parsed; `value` is null for a tombstone. What the view is made from. */
export interface Entry<T = unknown> {
  readonly key: string;
  readonly origin: MachineId;
  readonly hlc: Hlc;
  readonly value: T | null;
}

/**
 * A read-only look into the replicated map; entries come in key order. An entry never changes, nor
 * does what was returned for a prefix: the same object again means that nothing has changed.
 */
export interface RecordReader {
  get(key: string): Entry | undefined;
  entries(prefix: string): Iterable<Entry>;
}

/** `m/<machine>`, written by the machine itself. */
export interface MachineRecord {
  readonly name: string;
  /** Ed25519 public key, base64 (raw 32 bytes). The id is derived from it. */
  readonly publicKey: string;
  /** WireGuard public key, base64 (raw 32 bytes). */
  readonly wgPublicKey: string;
  /** `host:port` addresses at which the machine's WireGuard listens, best first. */
  readonly endpoints: readonly string[];
  /** As Docker writes it: "linux/amd64". */
  readonly platform: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly versions: MachineVersions;
  /** Labels of its engine, for `engine.labels.…`. */
  readonly engineLabels?: Readonly<Record<string, string>>;
  /** What replicas can reserve by number: generic resources of the engine, and "gpu". */
  readonly resources?: Readonly<Record<string, number>>;
  /** When it was switched on, by its own clock. */
  readonly bootedAtMs?: number;
  readonly admission: Admission;
}

export interface MachineVersions {
  readonly agent: string;
  readonly engine: string;
  /** Highest gossip protocol and plan versions this agent speaks. */
  readonly protocol: number;
  readonly plan: number;
}

/** Immutable: by whom a machine was let in, and its /24. Signed by the admitting member. */
export interface Admission {
  readonly cluster: ClusterId;
  readonly machine: MachineId;
  readonly publicKey: string;
  readonly wgPublicKey: string;
  /** "10.210.3.0/24" */
  readonly subnet: string;
  /** The cluster's whole container range, "10.210.0.0/16". */
  readonly range: string;
  /** The first machine admits itself. */
  readonly admittedBy: MachineId;
  readonly hlc: Hlc;
  /** Ed25519 by `admittedBy` over the fields above, base64. */
  readonly signature: string;
}

/** `mo/<machine>`, written by any member: what operators set. */
export interface MachineOptionsRecord {
  readonly name?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly drain?: boolean;
  readonly publish?: boolean;
  readonly ingress?: boolean;
  /** Its share of the containers, beside the weights of the others; absent: by its size. */
  readonly weight?: number;
  /** As in `m/`, and before it: what the engine does not know of. */
  readonly resources?: Readonly<Record<string, number>>;
}

/** `links/<machine>`: the links that this end has up; an edge exists when both ends list it. */
export interface LinksRecord {
  readonly up: readonly { readonly machine: MachineId; readonly sinceMs: number }[];
  /** False while the agent can gossip but not act (engine hung, disk full). */
  readonly able: boolean;
  /** Since when it is not able. */
  readonly unableSinceMs?: number;
  /** Neighbours whose agent is gone while their kernel still answers. */
  readonly headless: readonly MachineId[];
}

/** `rev/<project>/<hash>`: immutable. */
export interface RevisionRecord {
  readonly project: Project;
  /** Service name to hash, computed once by the acceptor. */
  readonly hashes: Readonly<Record<string, ServiceHash>>;
  /** Service name to the image it resolved to when accepted. */
  readonly images: Readonly<Record<string, ResolvedImage>>;
  /** Content of secrets and configs, base64, under "secret/<name>" or "config/<name>". */
  readonly contents: Readonly<Record<string, string>>;
  readonly workingDir: string;
  readonly composeFiles: readonly string[];
  /** By service: what Caddy made of its `x-caddy`, once, on the acceptor (src/render/x-caddy.ts). */
  readonly caddy?: Readonly<Record<string, CaddySites>>;
}

export interface CaddySites {
  readonly sites: readonly CaddySite[];
  /** Of Caddy's TLS automation, each for names of its own. */
  readonly policies: readonly Json[];
}

export interface CaddySite {
  readonly port: number;
  readonly isSecure: boolean;
  /** Caddy's own; upstreams are names that stand for services. */
  readonly routes: readonly Json[];
}

export interface ResolvedImage {
  readonly reference: string;
  /** Identity of the image as the engines report it, by platform ("linux/amd64"). */
  readonly ids: Readonly<Record<string, string>>;
  /** What the registry called it when the change was accepted, by platform: "sha256:…". */
  readonly digests?: Readonly<Record<string, string>>;
}

/** `app/<project>`: the small pointer that names everything else. A tombstone means `down`. */
export interface PointerRecord {
  readonly services: Readonly<Record<string, PointerService>>;
  readonly createdMs: number;
  /** hlc of the pointer that the author saw; null when there was none. */
  readonly parent: Hlc | null;
  readonly author: { readonly machine: MachineId; readonly user?: string };
  /** Volume (engine name) to the machine that holds it. */
  readonly volumes: Readonly<Record<string, MachineId>>;
  /** Services kept although the last file no longer names them. */
  readonly orphans: readonly string[];
  /**
   * The changes that this one knew of, newest first (src/plan/conflict.ts). A change that replaces
   * another without naming it here was made on the other side of a partition.
   */
  readonly ancestors?: readonly string[];
  /** Hash of the revision that this change brought, and what made it: for `history`. */
  readonly revision?: string;
  readonly act?: HistoryRecord['act'];
}

export interface PointerService {
  /** Hash in the key of the `rev/` record that defines the service. */
  readonly revision: string;
  readonly hash: ServiceHash;
  readonly rollout: RolloutId;
  /** First assignment of slots, allocated once by the acceptor. */
  readonly slots: Readonly<Record<Slot, MachineId>>;
  /** Machine that a bind mount of the author's folder ties the service to. */
  readonly pinned?: MachineId;
  /** The newest definition that every replica was ready with, and the hash of its containers. */
  readonly lastGoodRevision?: string;
  /** Where and as what `x-pre_deploy` runs before this rollout; the run is named like the rollout. */
  readonly hook?: { readonly machine: MachineId; readonly run: string };
  readonly lastGoodHash?: ServiceHash;
  /** This rollout goes back to an earlier definition: `rollback_config` holds. */
  readonly isRollback?: boolean;
  /** `up --no-rollback`: when it fails it pauses, whatever the file says. */
  readonly noRollback?: boolean;
  /** Where the absolute paths that the service mounts were found when the change was accepted. */
  readonly paths?: PathPlaces;
  /** Machines that the acceptor could not reach: until they are back, what runs there is passed over. */
  readonly away?: readonly MachineId[];
}

/** Which machines have the paths that a service mounts; one of the two, or neither. */
export interface PathPlaces {
  /** Only these: the others, and those that join later, do not have them as far as is known. */
  readonly on?: readonly MachineId[];
  /** All but these (global services, which follow machines that join). */
  readonly notOn?: readonly MachineId[];
}

/**
 * The value of an `app/` key after `down`: project tombstones stay for ever and name what is to be
 * deleted, so this is a body, not a null.
 */
export interface PointerTombstone {
  readonly removed: true;
  readonly createdMs: number;
  readonly author: { readonly machine: MachineId; readonly user?: string };
  /** Volumes (engine names) that `down -v` asked to delete. */
  readonly deleteVolumes: readonly string[];
  /** Volumes that stay, and the machine that holds each: the next `up` must find its data. */
  readonly volumes?: Readonly<Record<string, MachineId>>;
  /** Of the volumes that stay, those that the project made: a later `down -v` deletes them. */
  readonly ownVolumes?: readonly string[];
  /** As in the pointer: `down` is a change like any other. */
  readonly ancestors?: readonly string[];
}

/**
 * `conflict/<project>`, written by a machine that saw a change replaced by one that did not know of
 * it; cleared by the next change of the project.
 */
export interface ConflictRecord {
  readonly lost: readonly LostChange[];
}

/** A change that was accepted and then overruled: what its author needs to apply it again. */
export interface LostChange {
  /** As in `ancestors`. */
  readonly id: string;
  readonly author: PointerRecord['author'];
  readonly atMs: number;
  readonly isDown: boolean;
  readonly workingDir: string;
  /** By whom it was overruled. */
  readonly winner: PointerRecord['author'];
  /** Volumes that it gave a machine and that the winner does not have there; they are kept. */
  readonly volumes: Readonly<Record<string, MachineId>>;
}

/**
 * `auth/<project>`, written by the acceptor of a change whose author had credentials, and by members
 * that add a machine which has joined since. Replaced by the next such change, deleted by `down`.
 */
export interface CredentialsRecord {
  /** Registry to machine to its credentials, sealed so that only that machine can read them. */
  readonly registries: Readonly<Record<string, Readonly<Record<MachineId, string>>>>;
}

/** `op/<project>/<service>`: valid while newer than the pointer. */
export interface OperationRecord {
  readonly scale?: number;
  readonly stopped?: boolean;
  /** Containers started before this moment are restarted. */
  readonly restartAtMs?: number;
  /** As `restartAtMs`, of single slots. */
  readonly restarts?: Readonly<Record<Slot, number>>;
  /** Containers that have ended, and were started before this moment, are started. */
  readonly startAtMs?: number;
  /** Instead of `stop_grace_period`, for what this operation stops or restarts. */
  readonly graceMs?: number;
  /** Sent once to every running container that had not been sent it. */
  readonly kill?: SignalOrder;
  /** Containers that do not run, and had ended before this moment, are removed. */
  readonly removeAtMs?: number;
  /** With their anonymous volumes. */
  readonly removeVolumes?: boolean;
  /** Who asked for the last change of this record, when, and for what: shown by `why`. */
  readonly by?: OperationAuthor;
  /** Machines of slots that `scale` added, allocated once as in the pointer. */
  readonly slots?: Readonly<Record<Slot, MachineId>>;
  /** Slots that are to leave their machine although it could keep them (`rebalance`). */
  readonly moves?: Readonly<Record<Slot, SlotMove>>;
  /** When the moves were decided. */
  readonly movedAtMs?: number;
}

/** A signal for running containers. */
export interface SignalOrder {
  /** As the engine takes it: "SIGHUP". */
  readonly signal: string;
  readonly atMs: number;
  /** Only these; absent: all. */
  readonly slots?: readonly Slot[];
}

export interface OperationAuthor {
  readonly machine: MachineId;
  readonly user?: string;
  readonly atMs: number;
  /** "stop", "scale to 3" */
  readonly act: string;
}

/** Valid for this very container: once it is gone, the move is over, however it ended. */
export interface SlotMove {
  /** Id of the container that is to go. */
  readonly container: string;
  readonly to: MachineId;
}

/**
 * `claim/<machine>`: slots that the machine is about to fill without having been told to. Others
 * that were about to do the same see it in time (src/plan/claims.ts).
 */
export interface ClaimRecord {
  readonly slots: readonly SlotClaim[];
}

export interface SlotClaim {
  readonly project: string;
  readonly service: string;
  readonly slot: Slot;
  /** By the clock of the machine that claims. */
  readonly atMs: number;
}

export type ContainerState =
  | 'created'
  | 'running'
  | 'paused'
  | 'restarting'
  | 'removing'
  | 'exited'
  | 'dead';
export type HealthState = 'none' | 'starting' | 'healthy' | 'unhealthy';

/** `hook/<project>/<service>`, written by the machine that the pointer names: the last run. */
export interface HookRecord {
  readonly run: string;
  readonly machine: MachineId;
  /** `started` is written before the container is, so that it is never started twice. */
  readonly state: 'started' | 'done' | 'failed';
  readonly containerId: string;
  readonly startedMs: number;
  /** 0 while it runs. */
  readonly endedMs: number;
  readonly exitCode: number | null;
  /** Why it failed; "" otherwise. */
  readonly why: string;
  readonly lastLines: readonly string[];
}

/** `c/<machine>/<container id>`, written by that machine. */
export interface ContainerRecord {
  readonly name: string;
  readonly project: string;
  readonly service: string;
  readonly slot: Slot;
  readonly hash: ServiceHash;
  readonly rollout: RolloutId;
  readonly image: string;
  readonly state: ContainerState;
  readonly health: HealthState;
  /** May receive traffic: passed its readiness rule (design: section 5) and is not leaving. */
  readonly ready: boolean;
  /** Being replaced: out of traffic, about to stop. */
  readonly draining: boolean;
  /** Address in the machine's /24; "" while there is none. */
  readonly ip: string;
  readonly createdMs: number;
  /** 0 while never started. */
  readonly startedMs: number;
  /** 0 while never finished. */
  readonly finishedMs: number;
  readonly exitCode: number;
  /** How often the agent restarted it since it was last stable. */
  readonly restarts: number;
  /** The run of a pre-deploy hook: such a container is no replica. */
  readonly hook?: string;
  /** Hostname and aliases that resolve to it, beside service and container name. */
  readonly aliases: readonly string[];
  /** Compose network name to aliases there; which networks it is a member of. */
  readonly networks: Readonly<Record<string, readonly string[]>>;
  /** What the agent did with it last. */
  readonly cause?: ContainerCause;
  /** The order (its `atMs`) of the last signal that was sent to it. */
  readonly signalMs?: number;
}

/** An action of the agent on a container: what, why, and when it was begun. */
export interface ContainerCause {
  readonly what: string;
  readonly why: string;
  readonly atMs: number;
}

/** `fail/<machine>/<project>/<service>`: steps of the running rollout failed here. */
export interface FailureRecord extends SlotFailure {
  readonly rollout: RolloutId;
  /** Further slots of the same rollout; an older agent sees the first only. */
  readonly more?: readonly SlotFailure[];
}

/** What one slot failed of. */
export interface SlotFailure {
  readonly slot: Slot;
  readonly why: string;
  readonly exitCode: number | null;
  /** Last lines of the broken container. */
  readonly lastLines: readonly string[];
  readonly atMs: number;
  /** The run of the pre-deploy hook that failed; it is not tried again by itself. */
  readonly hook?: string;
}

/**
 * `verdict/<project>/<service>/<rollout>`: how a rollout ended. Written once, by the machine whose
 * turn it is (src/plan/verdict.ts), and never changed: what comes after `good` is healing.
 */
export interface VerdictRecord {
  readonly result: VerdictResult;
  readonly atMs: number;
  /** With `rolled-back`: the definition that is in force again, and the hash of its containers. */
  readonly revision?: string;
  readonly hash?: ServiceHash;
  /** What it was decided on; absent with `good`. */
  readonly failure?: VerdictFailure;
}

export type VerdictResult = 'good' | 'paused' | 'rolled-back';

export interface VerdictFailure extends SlotFailure {
  readonly machine: MachineId;
}

/**
 * `done/<project>/<service>/<slot>/<rollout>`, written by the machine that ran it: it ended with
 * code 0 and is not to run again, even when its container is removed.
 */
export interface DoneRecord {
  readonly machine: MachineId;
  readonly atMs: number;
}

/**
 * `hist/<project>/<id>`: one change of a project, written beside its pointer and kept when that is
 * replaced. What `history` lists and `rollback` goes back to.
 */
export interface HistoryRecord {
  /** hlc of the pointer: the order of changes. */
  readonly pointerHlc: Hlc;
  readonly atMs: number;
  readonly author: { readonly machine: MachineId; readonly user?: string };
  /** What the change was made by: a file, or going back to an earlier revision. */
  readonly act: 'up' | 'rollback';
  /** Hash in the key of the `rev/` record that the change brought. */
  readonly revision: string;
  /** Every service of the project as it was then. */
  readonly services: Readonly<Record<string, HistoryService>>;
}

export interface HistoryService {
  readonly revision: string;
  readonly hash: ServiceHash;
  readonly rollout: RolloutId;
}

/** Kinds of records whose losses are repaired by observation: they need no fsync. */
export const observedKinds: readonly string[] = ['c', 'links', 'fail', 'claim'];

export const recordKey = {
  machine: (id: MachineId): string => `m/${id}`,
  machineOptions: (id: MachineId): string => `mo/${id}`,
  removed: (id: MachineId): string => `x/${id}`,
  links: (id: MachineId): string => `links/${id}`,
  revision: (project: string, hash: string): string => `rev/${project}/${hash}`,
  pointer: (project: string): string => `app/${project}`,
  credentials: (project: string): string => `auth/${project}`,
  conflict: (project: string): string => `conflict/${project}`,
  operation: (project: string, service: string): string => `op/${project}/${service}`,
  hook: (project: string, service: string): string => `hook/${project}/${service}`,
  container: (machine: MachineId, containerId: string): string => `c/${machine}/${containerId}`,
  claim: (machine: MachineId): string => `claim/${machine}`,
  failure: (machine: MachineId, project: string, service: string): string =>
    `fail/${machine}/${project}/${service}`,
  verdict: (project: string, service: string, rollout: RolloutId): string =>
    `verdict/${project}/${service}/${rollout}`,
  done: (project: string, service: string, slot: Slot, rollout: RolloutId): string =>
    `done/${project}/${service}/${slot}/${rollout}`,
  history: (project: string, id: string): string => `hist/${project}/${id}`,
} as const;

/** The first part of a key: "app/guestbook" is of kind "app". */
export function recordKind(key: string): string {
  const slash = key.indexOf('/');
  return slash < 0 ? key : key.slice(0, slash);
}
