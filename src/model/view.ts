/**
 * The view: what one agent knows, in the form every decision reads. `buildView` (src/view) makes it
 * from records; plan and renderers are pure functions of it. Maps are iterated in sorted order.
 */
import type { ClusterId, Hlc, MachineId, RolloutId, ServiceHash, Slot } from './ids.ts';
import type { Project, Service } from './project.ts';
import type {
  ContainerRecord,
  FailureRecord,
  HookRecord,
  LostChange,
  MachineVersions,
  OperationRecord,
  PathPlaces,
  PointerRecord,
  PointerTombstone,
  RevisionRecord,
  SlotClaim,
  VerdictRecord,
} from './record.ts';

/**
 * reachable: a path of links leads there; headless: agent gone, kernel answers, stays in traffic;
 * unreachable: silent, out of traffic; lost: silent for so long that its replicas are re-placed.
 */
export type Liveness = 'reachable' | 'headless' | 'unreachable' | 'lost';

/** Reasons for which an agent neither re-places nor removes (its own restarts still work). */
export type Guard = 'stale' | 'isolated' | 'booting' | 'duplicate';

/** What the view is made from, beside the records. */
export interface ViewContext {
  readonly self: MachineId;
  readonly cluster: ClusterId;
  readonly nowMs: number;
  readonly liveness: ReadonlyMap<MachineId, Liveness>;
  readonly guards: readonly Guard[];
}

export interface View {
  readonly self: MachineId;
  readonly cluster: ClusterId;
  readonly nowMs: number;
  readonly guards: readonly Guard[];
  /** By id, in order of id; removed machines are absent. */
  readonly machines: ReadonlyMap<MachineId, MachineView>;
  /** By name, in order of name; projects that are down have a tombstone and no services. */
  readonly projects: ReadonlyMap<string, ProjectView>;
  /** All containers of all machines, ordered by project, service, slot, machine, id. */
  readonly containers: readonly ContainerView[];
  /** Containers of pre-deploy hooks, in the same order: members of networks, and no replicas. */
  readonly hookContainers?: readonly ContainerView[];
  readonly failures: readonly FailureView[];
  /** Slots that machines are about to fill, in order of machine. */
  readonly claims?: readonly ClaimView[];
}

export interface ClaimView extends SlotClaim {
  readonly machine: MachineId;
}

export interface MachineView {
  readonly id: MachineId;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly publicKey: string;
  readonly wgPublicKey: string;
  /** The fd…/128 derived from the WireGuard key; gossip and RPC run on it. */
  readonly meshIp: string;
  readonly endpoints: readonly string[];
  readonly subnet: string;
  /** First address of the subnet: the bridge, and the machine's resolver. */
  readonly gatewayIp: string;
  readonly range: string;
  readonly platform: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly versions: MachineVersions;
  readonly engineLabels: Readonly<Record<string, string>>;
  /** What replicas can reserve by number, "gpu" among them. */
  readonly resources: Readonly<Record<string, number>>;
  /** Its share of the containers, beside the weights of the others; more than 0. */
  readonly weight: number;
  /** When it was switched on; 0 when it does not say. */
  readonly bootedAtMs: number;
  readonly admittedHlc: Hlc;
  readonly isDrained: boolean;
  readonly hasIngress: boolean;
  readonly publishes: boolean;
  readonly liveness: Liveness;
  readonly isAble: boolean;
  /** Since when it can gossip but not act; absent while it can. */
  readonly unableSinceMs?: number;
  /** Since when it has had a link to some other machine; 0 while it has none. */
  readonly connectedSinceMs: number;
}

export interface ProjectView {
  readonly name: string;
  readonly pointerHlc: Hlc;
  readonly pointer: PointerRecord | undefined;
  readonly tombstone: PointerTombstone | undefined;
  /** By name, in order; only services whose revision has arrived. */
  readonly services: ReadonlyMap<string, ServiceView>;
  /** False while a revision that the pointer names has not arrived: nothing is acted on. */
  readonly isComplete: boolean;
  /** Changes that were overruled, until the next change answers them. */
  readonly conflicts: readonly LostChange[];
}

export interface ServiceView {
  readonly project: string;
  readonly name: string;
  readonly spec: Service;
  /** The project of the service's own revision (for volumes, networks, secrets, configs). */
  readonly definition: Project;
  readonly revision: RevisionRecord;
  readonly revisionHash: string;
  readonly hash: ServiceHash;
  readonly rollout: RolloutId;
  readonly mode: 'replicated' | 'global';
  /** Wanted replicas after scale operations; for a global service the number of slots is derived. */
  readonly replicaCount: number;
  readonly isStopped: boolean;
  readonly isOrphan: boolean;
  readonly slots: Readonly<Record<Slot, MachineId>>;
  readonly pinned: MachineId | undefined;
  /** Where the absolute paths that it mounts are; undefined when it mounts none. */
  readonly paths?: PathPlaces | undefined;
  /** The command before the rollout, and what is known of its run; undefined when it has none. */
  readonly hook?: HookView | undefined;
  /** Machines that the acceptor of the running change could not reach. */
  readonly away: readonly MachineId[];
  /** Machine that holds the service's local volumes, if it uses any. */
  readonly volumeHome: MachineId | undefined;
  readonly operation: OperationRecord | undefined;
  /** How the running rollout ended; absent while it runs. */
  readonly verdict?: VerdictRecord;
  /** Where a failure goes back to; absent with a first deploy. */
  readonly lastGood?: { readonly revision: string; readonly hash: ServiceHash };
  /** The rollout that the pointer names, when it failed and this definition is in force again. */
  readonly takenBack?: TakenBack;
  /** The running rollout goes back to an earlier definition. */
  readonly isRollback?: boolean;
  /** A failure pauses, whatever the file says (`up --no-rollback`). */
  readonly noRollback?: boolean;
  /** Slots that ran to their end in this rollout, and when. */
  readonly done?: ReadonlyMap<Slot, number>;
}

export interface TakenBack {
  readonly rollout: RolloutId;
  readonly revision: string;
  readonly hash: ServiceHash;
  readonly verdict: VerdictRecord;
}

export interface HookView {
  readonly machine: MachineId;
  readonly run: string;
  /** Undefined while it has not begun. */
  readonly state: HookRecord | undefined;
}

export interface ContainerView extends ContainerRecord {
  readonly id: string;
  readonly machine: MachineId;
}

export interface FailureView extends Omit<FailureRecord, 'more'> {
  readonly machine: MachineId;
  readonly project: string;
  readonly service: string;
}
