/**
 * One machine's part in the gossip: ties map, membership, links, repair and liveness together. It
 * is a state machine without I/O; the runtime feeds it events and carries out what it asks for.
 *
 * Invariants:
 * 1. Nothing enters the map that its origin did not sign as a member (membership.ts).
 * 2. The version of a key never goes back, except when the key's origin is removed.
 * 3. A frame from a peer never throws out of `receive`; nonsense closes the link and bans the peer.
 * 4. What is in the map has been delivered to the runtime, in the same turn.
 * 5. Own single-writer keys are corrected by this machine alone, and only by a newer record.
 */
import { assert } from '../lib/assert.ts';
import { TscError } from '../lib/errors.ts';
import { hlcFromMs, hlcToMs, nextHlc } from '../lib/hlc.ts';
import type { ClusterId, Hlc, MachineId } from '../model/ids.ts';
import { type ReplicatedRecord, recordKey, recordKind } from '../model/record.ts';
import type { Guard, Liveness } from '../model/view.ts';
import { signRecord } from './admission.ts';
import { type Frame, type FrameCodec, frameCodec, isKey } from './frame.ts';
import { Heartbeats } from './heartbeats.ts';
import {
  maxBodyBytes,
  maxClockPullMs,
  maxSocketBytes,
  tickMs,
  tombstoneSweepMs,
} from './limits.ts';
import type { Link } from './link.ts';
import { type Leaving, type LinksBody, readLinks } from './liveness.ts';
import { type Accepted, Membership } from './membership.ts';
import { Neighbours } from './neighbours.ts';
import { Outbox } from './outbox.ts';
import { OwnKeys } from './own-keys.ts';
import { Presence } from './presence.ts';
import { type AskOptions, Questions } from './questions.ts';
import { isExpiredTombstone, RecordMap, writerOf } from './record-map.ts';
import { Repair } from './repair.ts';
import type {
  Cancel,
  CloseReason,
  DialFailure,
  LinkId,
  Runtime,
  Signer,
  Verify,
} from './runtime.ts';

export interface GossipComponents {
  readonly runtime: Runtime;
  readonly signer: Signer;
  readonly verify: Verify;
  /** Where one process holds many machines, they read a frame once for all of them. */
  readonly codec?: FrameCodec;
}

export interface GossipOptions {
  /** Highest clock value this machine may have used before (the store's high-water mark). */
  readonly lastHlc: Hlc;
}

const noLinks: LinksBody = { up: [], able: true, headless: [] };

/** A link as seen from outside. */
export interface LinkState {
  readonly id: LinkId;
  readonly peer: MachineId;
  readonly isDialler: boolean;
  /** Monotonic. */
  readonly upMs: number;
  /** Whether the peer had our content at its last heartbeat. */
  readonly isEqual: boolean;
}

const duplicateText =
  'another live machine has the identity of this one (a cloned disk?): nothing is started, moved or ' +
  'removed here until that ends. On the copy, stop the agent, remove identity.json and records.db ' +
  'from its data folder and join anew; then restart the agent of the other machine';

export class GossipNode {
  readonly map = new RecordMap();
  readonly #runtime: Runtime;
  readonly #signer: Signer;
  readonly #verify: Verify;
  readonly #codec: FrameCodec;
  readonly #self: MachineId;
  #membership: Membership | undefined;
  readonly #neighbours: Neighbours;
  readonly #outbox: Outbox;
  readonly #repair: Repair;
  readonly #questions: Questions;
  readonly #presence: Presence;
  readonly #heartbeats: Heartbeats;
  readonly #ownKeys: OwnKeys;
  #lastLinks: LinksBody = noLinks;
  #lastHlc: Hlc;
  #isEvaluating = false;
  #haveMembersChanged = false;
  #isStopped = false;
  #cancelTick: Cancel | undefined;
  #nextSweepMs = 0;

  constructor(components: GossipComponents, { lastHlc }: GossipOptions) {
    const { runtime, signer, verify, codec = frameCodec } = components;
    this.#codec = codec;
    this.#runtime = runtime;
    this.#signer = signer;
    this.#verify = verify;
    this.#self = signer.machine;
    this.#lastHlc = lastHlc;
    this.#presence = new Presence({
      self: this.#self,
      monotonicMs: runtime.monotonic(),
      wallMs: runtime.now(),
    });
    this.#heartbeats = new Heartbeats({
      runtime,
      hash: () => this.map.hash.total(),
      isBooting: () => this.#presence.guards.includes('booting'),
      send: (link, frame) => this.#send(link, frame),
    });
    this.#ownKeys = new OwnKeys({
      self: this.#self,
      map: this.map,
      monotonic: () => runtime.monotonic(),
      linksBody: () => encodeJson(this.#lastLinks),
      write: (key, { body, schema }, existing) => this.#writeAfter(key, body, schema, existing),
      onDuplicate: () => this.#foundDuplicate(),
    });
    this.#outbox = new Outbox({
      runtime,
      encode: (frame) => codec.encode(frame),
      record: (key) => this.map.record(key),
      onSlow: (id) => {
        const link = this.#neighbours.link(id);
        if (link !== undefined) this.#neighbours.cut(link, 'slow');
      },
    });
    this.#repair = new Repair({
      self: this.#self,
      map: this.map,
      monotonic: () => runtime.monotonic(),
      send: (link, frame) => this.#send(link, frame),
      queue: (link, keys) => this.#outbox.add(link, keys),
      onEqual: (peer, isBooting) => this.#presence.compared(peer, isBooting),
    });
    this.#questions = new Questions({
      runtime,
      map: this.map,
      links: () => this.#neighbours.links(),
      send: (link, frame) => this.#send(link, frame),
    });
    this.#neighbours = new Neighbours({
      runtime,
      self: this.#self,
      isFoundByLists: (machine) => this.#presence.isFoundByLists(machine),
      publish: (body) => this.#publishLinks(body),
      onLinkUp: (link) => this.#linkIsUp(link),
      onLinkGone: (link) => this.#linkIsGone(link),
      onDuplicate: () => this.#foundDuplicate(),
    });
  }

  // Cluster and members

  get self(): MachineId {
    return this.#self;
  }

  /** undefined until this machine has founded or joined a cluster. */
  get cluster(): ClusterId | undefined {
    return this.#membership?.cluster;
  }

  get membership(): Membership | undefined {
    return this.#membership;
  }

  /** Highest clock value used; what the store keeps as the high-water mark. */
  get lastHlc(): Hlc {
    return this.#lastHlc;
  }

  /**
   * Enters a cluster: once in a node's life. Records that are there already (from the store, or
   * the roots that the admitter sent) are checked like any others, but by no clock.
   * @returns records that do not count any more; the store should forget them
   */
  enter(cluster: ClusterId, records: readonly ReplicatedRecord[]): readonly ReplicatedRecord[] {
    assert(this.#membership === undefined, 'a node enters one cluster only');
    this.#membership = new Membership({ map: this.map, verify: this.#verify }, cluster);
    this.#presence.entered(this.#runtime.monotonic());
    // Whatever our clock says: a machine that boots in 1970, or was set back by a year, would drop
    // what it knows, what only it knows included. All this was judged when it came.
    this.#accept(records, Number.POSITIVE_INFINITY);
    for (const record of this.map.records()) {
      if (record.origin === this.#self) this.#lastHlc = Math.max(this.#lastHlc, record.hlc);
      if (recordKind(record.key) === 'links') this.#indexLinks(record.key);
    }
    // Nobody is linked with us yet, whatever our last run wrote.
    this.#presence.setLinks(this.#self, undefined, this.#runtime.monotonic());
    return records.filter(({ key }) => this.map.record(key) === undefined);
  }

  /** Starts timers and dials. */
  start(): void {
    this.#presence.started(this.#runtime.monotonic(), this.#runtime.now());
    // Guards hold from now on: whoever looks before anything else has run must not see none.
    this.#haveMembersChanged = true;
    this.#tick();
  }

  /** Whether a machine may link with us. */
  isMember(machine: MachineId): boolean {
    return this.#membership?.isMember(machine) ?? false;
  }

  /**
   * Takes records that came outside of a link (a peer's own record in its handshake, the roots of
   * a join answer). Forged ones are dropped.
   */
  offer(records: readonly ReplicatedRecord[]): void {
    this.#intake(records, undefined);
  }

  // Writing

  /**
   * Writes a record of this machine's: in the map, delivered and on its way when this returns.
   * @param body UTF-8 JSON; null writes a tombstone
   * @throws TscError E_NO_CLUSTER, E_RECORD_SIZE, E_RECORD_QUOTA
   */
  write(key: string, body: Uint8Array | null, schema = 1): ReplicatedRecord {
    const membership = this.#membership;
    if (membership === undefined) {
      throw new TscError('E_NO_CLUSTER', 'this machine is in no cluster yet', {
        hint: 'run "tsc-compose machine init" or join an existing cluster',
      });
    }
    assert(isKey(key), `"${key}" is no key of a record`);
    const writer = writerOf(key);
    assert(writer === undefined || writer === this.#self, `"${key}" belongs to another machine`);
    const size = body?.length ?? 0;
    if (size > maxBodyBytes) {
      throw new TscError('E_RECORD_SIZE', `${key} is ${size} bytes, the limit is ${maxBodyBytes}`, {
        hint: 'large config and secret files belong into a volume or the image',
      });
    }
    if (!membership.hasRoom(this.#self, size)) {
      throw new TscError('E_RECORD_QUOTA', 'this machine has written too many records');
    }
    return this.#writeAfter(key, body, schema, this.map.record(key)?.hlc ?? 0);
  }

  #writeAfter(
    key: string,
    body: Uint8Array | null,
    schema: number,
    existing: Hlc,
  ): ReplicatedRecord {
    const membership = this.#membership;
    assert(membership !== undefined, 'only a node in a cluster writes');
    const nowMs = this.#runtime.now();
    const hlc = nextHlc({ nowMs, last: this.#lastHlc, existing });
    this.#lastHlc = hlc;
    const record = signRecord(membership.cluster, this.#signer, { key, hlc, schema, body });
    if (recordKind(key) === 'm' || recordKind(key) === 'x') {
      // Its time is as late as what was written before, wherever the clock was set back to since.
      const verdict = membership.accept(record, Math.max(nowMs, hlcToMs(hlc)));
      assert(verdict === 'accepted', `own record ${key} is ${verdict}`);
    } else {
      this.map.merge(record);
    }
    this.#afterChange([record], undefined);
    return record;
  }

  /** See Replica.replicated. */
  askStored(options: AskOptions, done: (holderCount: number) => void): void {
    this.#questions.ask(options, done);
  }

  /** Whether this machine can act, not only gossip. */
  setAble(isAble: boolean): void {
    this.#neighbours.setAble(isAble);
  }

  // What the runtime tells

  /** A handshake succeeded on this connection. */
  linkUp(link: LinkId, peer: MachineId, isDialler: boolean): void {
    if (this.#isStopped) return this.#runtime.close(link, 'stopping');
    if (this.#haveMembersChanged) this.#evaluate();
    this.#neighbours.linkUp(link, peer, isDialler);
  }

  /**
   * The connection ended.
   * @param reason what the other end said, if it closed in order
   */
  linkDown(link: LinkId, reason?: CloseReason): void {
    this.#neighbours.linkDown(link, reason);
  }

  /** A dial reached the machine's kernel; the agent's answer is still open. */
  dialReached(machine: MachineId): void {
    this.#neighbours.dialReached(machine);
  }

  /** A dial ended without a link. */
  dialFailed(machine: MachineId, failure: DialFailure): void {
    this.#neighbours.dialFailed(machine, failure);
  }

  /** A frame came. Never throws for what a peer sends. */
  receive(id: LinkId, bytes: Uint8Array): void {
    const link = this.#neighbours.link(id);
    if (link === undefined) return;
    this.#neighbours.heard(link);
    const frame = this.#codec.decode(bytes);
    if (frame === 'unknown') return;
    if (frame === 'hostile') return this.#hostile(link, 'a malformed frame');
    this.#handle(link, frame);
  }

  #handle(link: Link, frame: Frame): void {
    switch (frame.type) {
      case 'heartbeat':
        this.#heartbeats.noteClock(link.id, link.peer, frame.nowMs);
        this.#heartbeats.heard(link.id, frame.hash);
        return this.#repair.heartbeat(link.id, frame.hash, frame.isBooting ?? false);
      case 'records':
        return this.#intake(frame.records, link);
      case 'buckets':
        return this.#repair.buckets(link.id, frame.hashes);
      case 'summary':
        return this.#repair.summary(link.id, frame.buckets, frame.entries);
      case 'want':
        return this.#repair.want(link.id, frame.keys);
      case 'askStored':
        return this.#questions.asked(link.id, frame.question, frame.key, frame.hlc);
      case 'stored':
        return this.#questions.stored(link.peer, frame.question);
      case 'bye':
        this.#presence.goodbye(link.peer, readGoodbye(frame), this.#runtime.monotonic());
        this.#neighbours.goodbye(link, readGoodbye(frame));
        return this.#evaluateSoon();
    }
  }

  #hostile(link: Link, why: string): void {
    this.#runtime.report(`closed the link to ${link.peer}: it sent ${why}`);
    this.#neighbours.ban(link);
  }

  // Records from others

  #intake(received: readonly ReplicatedRecord[], from: Link | undefined): void {
    // A record comes once by each link: most of what comes is what we have, and was judged before.
    const records = received.filter((record) => !this.map.has(record));
    if (records.length === 0) return;
    const before = this.#ownKeys.before(records);
    const { accepted, isForged } = this.#accept(records);
    if (accepted.length > 0) {
      if (from !== undefined && this.#repair.sawNews(from.id)) this.#heartbeats.soon(from.id);
      this.#afterChange(accepted, from?.id);
      this.#ownKeys.correct(accepted, before);
    }
    if (isForged && from !== undefined) this.#hostile(from, 'a forged record');
  }

  #accept(records: readonly ReplicatedRecord[], latestMs?: number): Accepted {
    const membership = this.#membership;
    if (membership === undefined) return { accepted: [], isForged: false };
    const result = membership.acceptAll(records, this.#heartbeats.latestMs(), latestMs);
    for (const { hlc } of result.accepted) this.#pullClock(hlc);
    return result;
  }

  #pullClock(hlc: Hlc): void {
    if (hlc > hlcFromMs(this.#runtime.now() + maxClockPullMs)) return;
    this.#lastHlc = Math.max(this.#lastHlc, hlc);
  }

  /** Indexes, delivers and floods records that have just entered the map. */
  #afterChange(records: readonly ReplicatedRecord[], from: LinkId | undefined): void {
    const forgotten: string[] = [];
    let hasRoots = false;
    let hasLinks = false;
    for (const record of records) {
      const kind = recordKind(record.key);
      if (kind === 'm' || kind === 'x') hasRoots = true;
      if (kind === 'links') {
        hasLinks = true;
        this.#indexLinks(record.key);
      }
      if (isExpiredTombstone(record, this.#runtime.now())) forgotten.push(record.key);
    }
    if (hasRoots) {
      this.#haveMembersChanged = true;
      // A removed machine keeps what it has: it must still clean up after itself.
      if (this.isMember(this.#self)) forgotten.push(...(this.#membership?.keysOfStrangers() ?? []));
    }
    for (const key of forgotten) this.#forget(key);
    this.#outbox.flood(
      records.map(({ key }) => key),
      from,
    );
    this.#runtime.deliver({ records, forgotten });
    this.#questions.arrived();
    if (hasRoots || hasLinks) this.#evaluateSoon();
  }

  #forget(key: string): void {
    this.map.forget(key);
    if (recordKind(key) === 'links') this.#indexLinks(key);
  }

  #indexLinks(key: string): void {
    const machine = key.slice('links/'.length) as MachineId;
    const body = readLinks(this.map.get(key)?.value);
    this.#presence.setLinks(machine, body, this.#runtime.monotonic());
  }

  // Links

  #publishLinks(body: LinksBody): void {
    this.#lastLinks = body;
    const key = recordKey.links(this.#self);
    this.#writeAfter(key, encodeJson(body), 1, this.map.record(key)?.hlc ?? 0);
  }

  #linkIsUp(link: Link): void {
    this.#outbox.open(link.id);
    this.#repair.open(link.id, link.peer);
    this.#questions.linkUp(link.id);
    this.#heartbeats.open(link.id, link.isDialler);
    this.#evaluateSoon();
  }

  #linkIsGone(link: Link): void {
    this.#heartbeats.close(link.id);
    this.#outbox.close(link.id);
    this.#repair.close(link.id);
    this.#questions.linkDown(link.id);
    this.#evaluateSoon();
  }

  #send(id: LinkId, frame: Frame): void {
    const link = this.#neighbours.link(id);
    if (link === undefined) return;
    if (this.#runtime.bufferedBytes(id) > maxSocketBytes) return this.#neighbours.cut(link, 'slow');
    this.#runtime.send(id, this.#codec.encode(frame));
  }

  // Liveness

  /** Of every member; this machine is always reachable. */
  liveness(): ReadonlyMap<MachineId, Liveness> {
    const members = this.#membership?.members ?? [];
    return new Map(members.map((machine) => [machine, this.#presence.state(machine)]));
  }

  guards(): readonly Guard[] {
    return this.#presence.guards;
  }

  #foundDuplicate(): void {
    if (!this.#presence.setDuplicate()) return;
    this.#runtime.report(duplicateText);
    this.#evaluateSoon();
  }

  /** Every link, for those who look from outside. */
  linkStates(): readonly LinkState[] {
    return [...this.#neighbours.links()].map(({ id, peer, isDialler, upMs }) => ({
      id,
      peer,
      isDialler,
      upMs,
      isEqual: this.#repair.isEqual(id),
    }));
  }

  /** How many links there should be. */
  get wantedLinkCount(): number {
    return this.#neighbours.wantedCount;
  }

  /** Machines with which this one holds a link. */
  linkedMachines(): MachineId[] {
    return [...this.#neighbours.links()].map(({ peer }) => peer).sort();
  }

  #evaluateSoon(): void {
    if (this.#isEvaluating || this.#isStopped) return;
    this.#isEvaluating = true;
    this.#runtime.schedule(0, () => {
      this.#isEvaluating = false;
      if (!this.#isStopped) this.#evaluate();
    });
  }

  #evaluate(): void {
    if (this.#haveMembersChanged) {
      this.#haveMembersChanged = false;
      const members = this.#membership?.members ?? [];
      this.#presence.setMembers(members);
      this.#neighbours.setMembers(members);
    }
    const haveChanged = this.#presence.update(this.#neighbours, this.#runtime.monotonic());
    // The others do not know of these ways before they are listed.
    if (this.#presence.hasUnlistedWays) this.#neighbours.announceSoon();
    if (haveChanged) this.#runtime.livenessChanged();
  }

  #tick(): void {
    this.#cancelTick = this.#runtime.schedule(tickMs, () => this.#tick());
    const monotonicMs = this.#runtime.monotonic();
    const lagMs = this.#presence.tick(monotonicMs, this.#runtime.now());
    if (lagMs > 0) {
      this.#runtime.report(`this process did not run for ${Math.round(lagMs)} ms`);
      this.#neighbours.shift(lagMs);
    }
    this.#neighbours.tick();
    this.#evaluate();
    if (monotonicMs >= this.#nextSweepMs) this.#sweep(monotonicMs);
  }

  /** Drops tombstones that are over. */
  #sweep(monotonicMs: number): void {
    this.#nextSweepMs = monotonicMs + tombstoneSweepMs;
    const nowMs = this.#runtime.now();
    const forgotten: string[] = [];
    for (const record of this.map.records()) {
      if (isExpiredTombstone(record, nowMs)) forgotten.push(record.key);
    }
    if (forgotten.length === 0) return;
    for (const key of forgotten) this.#forget(key);
    this.#runtime.deliver({ records: [], forgotten });
  }

  /**
   * A planned stop: everybody learns of it and waits. Afterwards the node is silent.
   * @param leaving "restart" when only the agent stops and its machine goes on
   */
  stop(leaving: Leaving): void {
    if (this.#isStopped) return;
    if (this.#membership?.isMember(this.#self)) {
      this.#publishLinks({ up: [], able: true, headless: [], leaving });
      this.#outbox.flush();
    }
    const { reason, expectBackMs } = leaving;
    for (const { id } of this.#neighbours.links()) {
      this.#send(id, { type: 'bye', reason, expectBackMs: Math.floor(expectBackMs) });
    }
    this.kill();
  }

  /** Ends timers and links without a word: what a crash looks like to the others. */
  kill(): void {
    this.#isStopped = true;
    this.#cancelTick?.();
    this.#neighbours.stop();
  }
}

function readGoodbye({ reason, expectBackMs }: Leaving): Leaving {
  return { reason, expectBackMs };
}

/** UTF-8 JSON of a value. */
export function encodeJson(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
