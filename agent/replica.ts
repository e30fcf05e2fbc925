/**
 * The agent's copy of the replicated map: a GossipNode with a disk and a way to its peers. Other
 * parts see only `Replica`; founding, joining and removing are here because they change who is a
 * member. Must never wait for the disk before it gossips.
 */
import type { WebSocket } from 'ws';
import {
  admit,
  clusterIdFor,
  createGenesis,
  type MachineFacts,
  readMachineRecord,
} from '../src/gossip/admission.ts';
import { decodeArray, encodeArray, packRecord, readRecord } from '../src/gossip/frame.ts';
import type { Leaving } from '../src/gossip/liveness.ts';
import type { Membership } from '../src/gossip/membership.ts';
import { encodeJson, GossipNode } from '../src/gossip/node.ts';
import type { Delivery, DialFailure, Verify } from '../src/gossip/runtime.ts';
import { TscError } from '../src/lib/errors.ts';
import { hlcFromMs } from '../src/lib/hlc.ts';
import type { ClusterId, Hlc, MachineId } from '../src/model/ids.ts';
import type { GossipStatus } from '../src/model/links.ts';
import { removeContainersCommand } from '../src/model/names.ts';
import {
  type Admission,
  type Entry,
  type MachineRecord,
  type ReplicatedRecord,
  recordKey,
} from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { Guard, Liveness } from '../src/model/view.ts';
import { recordsToTakeOver } from '../src/view/take-over.ts';
import type { RecordVersion } from './applied.ts';
import { Durability } from './durability.ts';
import { SocketRuntime } from './gossip-runtime.ts';
import type { HelloMembers } from './hello.ts';
import type { Identity } from './identity.ts';
import type { Store } from './store.ts';

export interface ReplicaComponents {
  readonly identity: Identity;
  readonly verify: Verify;
  readonly store: Store;
  /** For the agent's log. */
  readonly report: (text: string) => void;
}

/** What a joiner gets, as JSON. */
export interface JoinAnswer {
  readonly cluster: ClusterId;
  readonly admission: Admission;
  /** `m/` and `x/` records, base64: the joiner checks them back to the genesis machine. */
  readonly roots: readonly string[];
}

/** Dials a peer; answered by `adopt` or `dialFailed`. */
export type Dial = (machine: MachineId) => void;

export class AgentReplica implements Replica, HelloMembers {
  readonly self: MachineId;
  readonly #identity: Identity;
  readonly #store: Store;
  readonly #report: (text: string) => void;
  readonly #node: GossipNode;
  readonly #runtime: SocketRuntime;
  readonly #durability: Durability;
  readonly #listeners = new Set<(keys: readonly string[]) => void>();
  #dial: Dial | undefined;
  #isStarted = false;
  #isAble = true;
  #isDiskFine = true;

  /** Takes what the store has; no network before `start`. */
  constructor({ identity, verify, store, report }: ReplicaComponents) {
    this.self = identity.machine;
    this.#identity = identity;
    this.#store = store;
    this.#report = report;
    this.#durability = new Durability({ store, onDisk: (failure) => this.#onDisk(failure) });
    this.#runtime = new SocketRuntime({
      dial: (machine) => this.#dialOut(machine),
      deliver: (delivery) => this.#deliver(delivery),
      livenessChanged: () => this.#notify([]),
      whenDurable: (key, _hlc, then) => this.#durability.whenDurable(key, then),
      report,
      frame: (link, bytes) => this.#node.receive(link, bytes),
      ended: (link, reason) => this.#node.linkDown(link, reason),
    });
    const components = { runtime: this.#runtime, signer: identity, verify };
    this.#node = new GossipNode(components, { lastHlc: store.opened.lastHlc });
    this.#load();
  }

  #load(): void {
    const { records, problem } = this.#store.opened;
    if (problem !== undefined) this.#report(problem);
    const own = records.find(({ key }) => key === recordKey.machine(this.self));
    if (own?.body === undefined || own.body === null) return;
    const parsed: unknown = JSON.parse(Buffer.from(own.body).toString());
    const record = readMachineRecord(parsed);
    if (record === undefined) return this.#report('the own machine record cannot be read');
    const refused = this.#node.enter(record.admission.cluster, records);
    if (refused.length === 0) return;
    this.#report(`${refused.length} stored records do not count any more and were dropped`);
    this.#durability.keep(
      { records: [], forgotten: refused.map(({ key }) => key) },
      this.#node.lastHlc,
    );
  }

  /** Begins to gossip. @param dial how to reach a peer (MeshClient.dial) */
  start(dial: Dial): void {
    this.#dial = dial;
    this.#isStarted = true;
    this.#node.start();
  }

  /**
   * A planned stop: peers are told and wait. Resolves when the store is closed.
   * @param leaving reason "restart" when the machine itself stays up
   */
  async stop(leaving: Leaving): Promise<void> {
    if (this.#isStarted) this.#node.stop(leaving);
    this.#isStarted = false;
    this.#durability.stop();
    await this.#store.close(this.#node.lastHlc);
  }

  /** Ends everything at once and says nothing, as a killed process does; the store is left alone. */
  kill(): void {
    this.#isStarted = false;
    this.#durability.stop();
    this.#node.kill();
    this.#runtime.closeAll();
  }

  /**
   * Ends the gossip of a machine that was removed: nobody listens any more. Its records stay on
   * disk, the removal with them, for whoever asks why nothing happens here.
   */
  leave(): void {
    this.#isStarted = false;
    this.#node.kill();
    this.#runtime.closeAll();
  }

  // Replica

  get(key: string): Entry | undefined {
    return this.#node.map.get(key);
  }

  entries(prefix: string): Iterable<Entry> {
    return this.#node.map.entries(prefix);
  }

  async write(key: string, value: unknown): Promise<{ readonly hlc: Hlc }> {
    const before = this.#node.map.record(key)?.body ?? null;
    const { hlc } = this.#node.write(key, value === null ? null : encodeJson(value));
    try {
      await this.#durability.last;
    } catch (error) {
      // Taken back for everybody: what is not safe here must not rule elsewhere.
      if (this.#node.map.record(key)?.hlc === hlc) this.#node.write(key, before);
      throw error;
    }
    return { hlc };
  }

  observe(key: string, value: unknown): void {
    // Outside of a cluster there is nobody to tell; observers look again after `found` or `join`.
    if (this.#node.cluster === undefined) return;
    const current = this.#node.map.record(key);
    const body = value === null ? null : encodeJson(value);
    if (body === null && (current === undefined || current.body === null)) return;
    const isSame =
      current?.origin === this.self &&
      body !== null &&
      current.body !== null &&
      Buffer.compare(current.body, body) === 0;
    if (!isSame) this.#node.write(key, body);
  }

  replicated(key: string, hlc: Hlc, count: number | 'linked', timeoutMs: number): Promise<number> {
    return new Promise((resolve) => {
      this.#node.askStored({ key, hlc, count, timeoutMs }, resolve);
    });
  }

  subscribe(listener: (keys: readonly string[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  liveness(): ReadonlyMap<MachineId, Liveness> {
    return this.#node.liveness();
  }

  guards(): readonly Guard[] {
    return this.#node.guards();
  }

  // Cluster

  get cluster(): ClusterId | undefined {
    return this.#node.cluster;
  }

  isMember(machine: MachineId): boolean {
    return this.#node.isMember(machine);
  }

  isRemoved(machine: MachineId): boolean {
    return this.#node.membership?.isRemoved(machine) ?? false;
  }

  /** Machines with which this agent holds a link now. */
  linkedMachines(): MachineId[] {
    return this.#node.linkedMachines();
  }

  /** Links, traffic and queues, for those who look from outside. */
  gossipStatus(): GossipStatus {
    const { total } = this.#runtime;
    const nowMs = this.#runtime.monotonic();
    return {
      self: this.self,
      recordCount: this.#node.map.size,
      wantedLinkCount: this.#node.wantedLinkCount,
      links: this.#node.linkStates().map(({ id, upMs, peer, isDialler, isEqual }) => ({
        peer,
        isDialler,
        isEqual,
        upForMs: nowMs - upMs,
        queuedBytes: this.#runtime.bufferedBytes(id),
        ...this.#runtime.traffic(id),
      })),
      // Keys of the map are machine ids, whatever Object.fromEntries says.
      liveness: Object.fromEntries(this.#node.liveness()) as GossipStatus['liveness'],
      guards: this.#node.guards(),
      ...total,
      undurableCount: this.#durability.pendingCount,
      isDiskFine: this.#isDiskFine,
    };
  }

  /** False while the agent can gossip but not act (the engine hangs). */
  setAble(isAble: boolean): void {
    this.#isAble = isAble;
    this.#node.setAble(isAble && this.#isDiskFine);
  }

  /**
   * Founds a cluster with this machine as its first member (`machine init`).
   * @throws TscError E_CLUSTER_EXISTS
   */
  async found(facts: MachineFacts & { readonly range: string }): Promise<MachineRecord> {
    this.mustBeAlone();
    const cluster = clusterIdFor(this.self, Math.random);
    const record = createGenesis(this.#identity, { ...facts, cluster, hlc: hlcFromMs(Date.now()) });
    this.#node.enter(cluster, []);
    await this.write(recordKey.machine(this.self), record);
    return record;
  }

  /**
   * Admits a machine: signs its admission with a free /24. The machine is a member once its own
   * record is here: it shows it in its handshake, or `offerPacked` brings it.
   */
  admit(joiner: { readonly publicKey: string; readonly wgPublicKey: string }): JoinAnswer {
    const membership = this.#mustBeMember();
    const own = this.#node.membership?.machine(this.self);
    if (own === undefined) throw new TscError('E_NO_CLUSTER', 'this machine is no member');
    const admission = admit(this.#identity, {
      cluster: membership.cluster,
      range: own.admission.range,
      takenSubnets: membership.takenSubnets(),
      joiner,
      hlc: hlcFromMs(Date.now()),
    });
    const roots = membership.rootRecords().map(packText);
    return { cluster: membership.cluster, admission, roots };
  }

  /**
   * Enters a cluster with what the admitting member answered.
   * @throws TscError E_CLUSTER_EXISTS, E_JOIN_ANSWER
   */
  async join(answer: JoinAnswer, facts: MachineFacts): Promise<MachineRecord> {
    this.mustBeAlone();
    const { cluster, admission } = answer;
    const { publicKey, wgPublicKey } = this.#identity;
    if (admission.publicKey !== publicKey || admission.wgPublicKey !== wgPublicKey) {
      throw new TscError('E_JOIN_ANSWER', 'the answer admits another machine');
    }
    const roots = unpackTexts(answer.roots);
    this.#node.enter(cluster, roots);
    if (!this.#node.isMember(admission.admittedBy)) {
      throw new TscError('E_JOIN_ANSWER', 'the answer is not from a member of the cluster', {
        hint: 'restart the agent and join with a new token',
      });
    }
    this.#durability.keep({ records: roots, forgotten: [] }, this.#node.lastHlc);
    const record: MachineRecord = { ...facts, publicKey, wgPublicKey, admission };
    await this.write(recordKey.machine(this.self), record);
    return record;
  }

  /** This machine's own record in the text form of `JoinAnswer.roots`. */
  packedOwnRecord(): string | undefined {
    const record = this.ownRecord();
    return record && packText(record);
  }

  /** Takes records in that text form; each is checked as if it came by gossip. */
  offerPacked(texts: readonly string[]): void {
    this.offer(unpackTexts(texts));
  }

  /** Says what has changed about this machine (endpoints, versions); the admission stays. */
  async updateFacts(facts: MachineFacts): Promise<void> {
    const own = this.#node.membership?.machine(this.self);
    if (own === undefined) return;
    const { publicKey, wgPublicKey, admission } = own;
    const record: MachineRecord = { ...facts, publicKey, wgPublicKey, admission };
    const body = encodeJson(record);
    const current = this.ownRecord()?.body;
    if (current && Buffer.compare(current, body) === 0) return;
    await this.write(recordKey.machine(this.self), record);
  }

  /**
   * Signs anew what a machine wrote for all (projects, options), because the records of a removed
   * machine leave every map.
   * @returns what was written, durable here
   */
  async takeOver(machine: MachineId): Promise<readonly RecordVersion[]> {
    this.#mustBeMember();
    const taken = recordsToTakeOver([...this.#node.map.records()], machine);
    const written = taken.map(({ key, body, schema }) => {
      const { hlc } = this.#node.write(key, body, schema);
      return { key, hlc, onDisk: this.#durability.last };
    });
    await Promise.all(written.map(({ onDisk }) => onDisk));
    return written.map(({ key, hlc }) => ({ key, hlc }));
  }

  /**
   * Removes a machine for good, after what it wrote for all has been taken over; machines that it
   * admitted stay. It is not taken back when the disk here fails: others may know of it already.
   * @returns what was written, durable here; the removal itself comes last
   */
  async remove(machine: MachineId): Promise<readonly RecordVersion[]> {
    const membership = this.#mustBeMember();
    // In one turn with the removal: what came meanwhile is not lost either.
    const taking = this.takeOver(machine);
    const key = recordKey.removed(machine);
    const { hlc } = this.#node.write(key, encodeJson({ keeps: membership.admittedBy(machine) }));
    const [taken] = await Promise.all([taking, this.#durability.last]);
    return [...taken, { key, hlc }];
  }

  // HelloMembers and links

  offer(records: readonly ReplicatedRecord[]): void {
    this.#node.offer(records);
  }

  ownRecord(): ReplicatedRecord | undefined {
    return this.#node.map.record(recordKey.machine(this.self));
  }

  /** A `/gossip` socket whose handshake succeeded becomes a link. */
  adopt(socket: WebSocket, peer: MachineId, isDialler: boolean): void {
    const link = this.#runtime.adopt(socket);
    if (this.#isStarted) this.#node.linkUp(link, peer, isDialler);
    else this.#runtime.close(link, 'stopping');
  }

  dialReached(machine: MachineId): void {
    this.#node.dialReached(machine);
  }

  dialFailed(machine: MachineId, failure: DialFailure): void {
    this.#node.dialFailed(machine, failure);
  }

  #dialOut(machine: MachineId): void {
    this.#dial?.(machine);
  }

  /** What to answer once this machine knows that it is no member any more: E_CLUSTER_REMOVED. */
  removal(): TscError | undefined {
    const { cluster } = this.#node;
    if (cluster === undefined || !this.isRemoved(this.self)) return undefined;
    return new TscError('E_CLUSTER_REMOVED', `this machine was removed from cluster ${cluster}`, {
      hint:
        'what runs here goes on. To start afresh: stop the agent, ' +
        `${removeContainersCommand(cluster)}, ` +
        'remove the data folder of the agent, and start it again',
    });
  }

  /** @throws TscError E_CLUSTER_REMOVED when this machine knows that it is no member any more */
  refuseRemoved(): void {
    const removal = this.removal();
    if (removal !== undefined) throw removal;
  }

  /** @throws TscError E_CLUSTER_REMOVED, E_CLUSTER_EXISTS */
  mustBeAlone(): void {
    this.refuseRemoved();
    if (this.#node.cluster === undefined) return;
    throw new TscError('E_CLUSTER_EXISTS', 'this machine is in a cluster already', {
      hint: 'another member takes it out with `tsc-compose machine rm`',
    });
  }

  #mustBeMember(): Membership {
    this.refuseRemoved();
    const { membership } = this.#node;
    if (membership?.isMember(this.self)) return membership;
    throw new TscError('E_NO_CLUSTER', 'this machine is in no cluster', {
      hint: 'run "tsc-compose machine init" first',
    });
  }

  #deliver(delivery: Delivery): void {
    this.#durability.keep(delivery, this.#node.lastHlc);
    this.#notify([...delivery.records.map(({ key }) => key), ...delivery.forgotten]);
  }

  #notify(keys: readonly string[]): void {
    for (const listener of this.#listeners) {
      try {
        listener(keys);
      } catch (error) {
        // A listener's fault is a fault of ours, but it must not break off the gossip's turn.
        setImmediate(() => {
          throw error;
        });
      }
    }
  }

  #onDisk(failure: Error | undefined): void {
    const isFine = failure === undefined;
    if (isFine === this.#isDiskFine) return;
    this.#isDiskFine = isFine;
    this.#report(isFine ? 'the disk takes records again' : failure.message);
    this.setAble(this.#isAble);
  }
}

function packText(record: ReplicatedRecord): string {
  return Buffer.from(encodeArray(packRecord(record))).toString('base64');
}

function unpackTexts(texts: readonly string[]): ReplicatedRecord[] {
  return texts.map((text) => {
    const record = readRecord(decodeArray(Buffer.from(text, 'base64')));
    if (record === undefined) throw new TscError('E_JOIN_ANSWER', 'a record cannot be read');
    return record;
  });
}
