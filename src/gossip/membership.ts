/**
 * Decides which records count. Each check is against what the map holds: the origin's key comes
 * from its own `m/` record, whose admission verifies back to the genesis machine. A record whose
 * origin is not known yet is parked for a while (repair brings it again in any case); what breaks
 * a rule is refused. Says nothing about liveness.
 */
import { hlcToMs } from '../lib/hlc.ts';
import type { ClusterId, MachineId } from '../model/ids.ts';
import {
  type MachineRecord,
  type ReplicatedRecord,
  recordKey,
  recordKind,
} from '../model/record.ts';
import {
  checkAdmission,
  membersOf,
  type RemovalRecord,
  readMachineRecord,
  readRemoval,
  verifyRecord,
} from './admission.ts';
import { maxAheadMs, maxOriginBytes, maxOriginRecordCount, maxParkedCount } from './limits.ts';
import { isExpiredTombstone, type RecordMap, writerOf } from './record-map.ts';
import type { Verify } from './runtime.ts';

/**
 * accepted: in the map now; old: we have it or something newer; parked: origin unknown; refused:
 * rightly signed but not wanted; forged: no honest machine sends this.
 */
export type Verdict = 'accepted' | 'old' | 'parked' | 'refused' | 'forged';

export interface Accepted {
  readonly accepted: readonly ReplicatedRecord[];
  /** One of them was no honest machine's. */
  readonly isForged: boolean;
}

export interface MembershipComponents {
  readonly map: RecordMap;
  readonly verify: Verify;
}

export class Membership {
  readonly #map: RecordMap;
  readonly #verify: Verify;
  readonly #cluster: ClusterId;
  readonly #parked = new Map<string, ReplicatedRecord>();
  #machines = new Map<MachineId, MachineRecord>();
  #removals = new Map<MachineId, RemovalRecord>();
  #members: readonly MachineId[] = [];
  #memberSet: ReadonlySet<MachineId> = new Set();
  /** Machine records or removals came since the members were counted. */
  #isRecountDue = false;

  constructor({ map, verify }: MembershipComponents, cluster: ClusterId) {
    this.#map = map;
    this.#verify = verify;
    this.#cluster = cluster;
  }

  get cluster(): ClusterId {
    return this.#cluster;
  }

  /** In order of id. */
  get members(): readonly MachineId[] {
    this.#recount();
    return this.#members;
  }

  isMember(machine: MachineId): boolean {
    this.#recount();
    return this.#memberSet.has(machine);
  }

  isRemoved(machine: MachineId): boolean {
    return this.#removals.has(machine);
  }

  /** Key of a machine with an authentic record, member or not. */
  keyOf(machine: MachineId): string | undefined {
    return this.#machines.get(machine)?.publicKey;
  }

  machine(machine: MachineId): MachineRecord | undefined {
    return this.#machines.get(machine);
  }

  /**
   * Takes a record into the map if it counts.
   * @param nowMs wall clock
   * @param latestMs what is dated later than this is refused
   */
  accept(record: ReplicatedRecord, nowMs: number, latestMs = nowMs + maxAheadMs): Verdict {
    const writer = writerOf(record.key);
    if (writer !== undefined && writer !== record.origin) return 'forged';
    if (hlcToMs(record.hlc) > latestMs) return 'refused';
    if (!this.#map.isNews(record)) return 'old';
    const kind = recordKind(record.key);
    if (kind === 'm') return this.#acceptMachine(record);
    const key = this.keyOf(record.origin);
    if (key === undefined) return this.#park(record);
    if (!verifyRecord(this.#cluster, key, record, this.#verify)) return 'forged';
    if (kind === 'x') return this.#acceptRemoval(record);
    if (!this.isMember(record.origin)) return 'refused';
    if (!this.#fits(record)) return 'refused';
    if (isExpiredTombstone(record, nowMs)) {
      // It still overrules an older record, and then there is nothing to keep.
      if (this.#map.record(record.key) === undefined) return 'old';
    }
    this.#map.merge(record);
    return 'accepted';
  }

  /**
   * Takes records into the map as far as they count: machine records first, and parked ones again
   * as long as machines become known.
   */
  acceptAll(
    records: readonly ReplicatedRecord[],
    nowMs: number,
    latestMs = nowMs + maxAheadMs,
  ): Accepted {
    const accepted: ReplicatedRecord[] = [];
    let isForged = false;
    let queue = records.length > 1 ? [...records].sort((a, b) => rankOf(a) - rankOf(b)) : records;
    while (queue.length > 0) {
      let hasNewMachine = false;
      for (const record of queue) {
        const verdict = this.accept(record, nowMs, latestMs);
        isForged ||= verdict === 'forged';
        if (verdict !== 'accepted') continue;
        accepted.push(record);
        hasNewMachine ||= rankOf(record) === 0;
      }
      queue = hasNewMachine ? this.#takeParked() : [];
    }
    return { accepted, isForged };
  }

  #acceptMachine(record: ReplicatedRecord): Verdict {
    const machine = record.origin;
    const body = readMachineRecord(parse(record.body));
    if (body === undefined) return 'forged';
    const verdict = checkAdmission(machine, body, {
      cluster: this.#cluster,
      verify: this.#verify,
      keyOf: (id) => this.keyOf(id),
    });
    if (verdict === 'unknown') return this.#park(record);
    if (verdict === 'forged') return 'forged';
    if (!verifyRecord(this.#cluster, body.publicKey, record, this.#verify)) return 'forged';
    this.#map.merge(record);
    this.#machines.set(machine, body);
    this.#isRecountDue = true;
    return 'accepted';
  }

  #acceptRemoval(record: ReplicatedRecord): Verdict {
    if (record.body === null) return 'refused';
    this.#map.merge(record);
    const machine = record.key.slice('x/'.length) as MachineId;
    this.#removals.set(machine, readRemoval(parse(record.body)));
    this.#isRecountDue = true;
    return 'accepted';
  }

  /** Only when somebody asks: the roots of a large cluster come in one batch. */
  #recount(): void {
    if (!this.#isRecountDue) return;
    this.#isRecountDue = false;
    this.#members = membersOf({ machines: this.#machines, removals: this.#removals });
    this.#memberSet = new Set(this.#members);
  }

  #fits(record: ReplicatedRecord): boolean {
    const { recordCount, bytes } = this.#map.usage(record.origin);
    const size = record.key.length + 100 + (record.body?.length ?? 0);
    return recordCount < maxOriginRecordCount && bytes + size <= maxOriginBytes;
  }

  /** Whether one more record of this size is within the origin's share. */
  hasRoom(origin: MachineId, bodyBytes: number): boolean {
    const { recordCount, bytes } = this.#map.usage(origin);
    return recordCount < maxOriginRecordCount && bytes + bodyBytes + 200 <= maxOriginBytes;
  }

  #park(record: ReplicatedRecord): Verdict {
    if (this.#parked.size < maxParkedCount) this.#parked.set(record.key, record);
    return 'parked';
  }

  /** For another try after new machines became known. */
  #takeParked(): ReplicatedRecord[] {
    const records = [...this.#parked.values()];
    this.#parked.clear();
    return records;
  }

  /** Keys of records whose origin is no member any more; they leave the map. */
  keysOfStrangers(): string[] {
    const keys: string[] = [];
    for (const { key, origin } of this.#map.records()) {
      const kind = recordKind(key);
      if (kind !== 'm' && kind !== 'x' && !this.isMember(origin)) keys.push(key);
    }
    return keys;
  }

  /** Subnets that a new machine must not get. */
  takenSubnets(): string[] {
    return [...this.#machines.values()].map(({ admission }) => admission.subnet);
  }

  /** The members that were admitted by a machine: what its removal should keep. */
  admittedBy(machine: MachineId): MachineId[] {
    return this.members.filter(
      (id) => id !== machine && this.#machines.get(id)?.admission.admittedBy === machine,
    );
  }

  /** `m/` and `x/` records: what a joiner needs to check everything else. */
  rootRecords(): ReplicatedRecord[] {
    const records: ReplicatedRecord[] = [];
    for (const machine of this.#machines.keys()) {
      const record = this.#map.record(recordKey.machine(machine));
      if (record !== undefined) records.push(record);
    }
    for (const machine of this.#removals.keys()) {
      const record = this.#map.record(recordKey.removed(machine));
      if (record !== undefined) records.push(record);
    }
    return records;
  }
}

/** Nothing counts before its origin is known. */
function rankOf({ key }: ReplicatedRecord): number {
  return key.startsWith('m/') ? 0 : key.startsWith('x/') ? 1 : 2;
}

function parse(body: Uint8Array | null): unknown {
  if (body === null) return undefined;
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString());
  } catch {
    // Not JSON: the caller refuses it as it refuses any other shape.
    return undefined;
  }
}
