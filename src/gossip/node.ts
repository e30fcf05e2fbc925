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
import { hlcFromMs, nextHlc } from '../lib/hlc.ts';
import type { ClusterId, Hlc, MachineId } from '../model/ids.ts';
import { type ReplicatedRecord, recordKey, recordKind } from '../model/record.ts';
import type { Guard, Liveness } from '../model/view.ts';
import { signRecord } from './admission.ts';
import { decodeFrame, encodeFrame, type Frame, isKey } from './frame.ts';
import { Guards } from './guards.ts';
import {
  adoptOwnMs,
  heartbeatJitter,
  heartbeatMs,
  maxBodyBytes,
  maxClockPullMs,
  maxSocketBytes,
  tickMs,
  tombstoneSweepMs,
} from './limits.ts';
import type { Link } from './link.ts';
import {
  type Connectivity,
  connectivity,
  type Leaving,
  type LinksBody,
  LivenessTracker,
  readLinks,
} from './liveness.ts';
import { Membership } from './membership.ts';
import { Neighbours } from './neighbours.ts';
import { Outbox } from './outbox.ts';
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
}

export interface GossipOptions {
  /** Highest clock value this machine may have used before (the store's high-water mark). */
  readonly lastHlc: Hlc;
}

/** What this machine had under one of its own keys. */
type Own = Pick<ReplicatedRecord, 'body' | 'schema'>;

const noLinks: LinksBody = { up: [], able: true, headless: [] };

/** Until the extra heartbeat after a first repair: records that follow are counted in. */
const soonMs = 50;

/** What a peer's clock showed beyond which an operator is told. */
const skewWarningMs = 5000;

export class GossipNode {
  readonly map = new RecordMap();
  readonly #runtime: Runtime;
  readonly #signer: Signer;
  readonly #verify: Verify;
  readonly #self: MachineId;
  readonly #startMs: number;
  #membership: Membership | undefined;
  readonly #neighbours: Neighbours;
  readonly #outbox: Outbox;
  readonly #repair: Repair;
  readonly #questions: Questions;
  readonly #tracker: LivenessTracker;
  readonly #guards: Guards;
  readonly #links = new Map<MachineId, LinksBody>();
  readonly #heartbeats = new Map<LinkId, Cancel>();
  /** Links on which an extra heartbeat is under way. */
  readonly #soon = new Set<LinkId>();
  readonly #skewed = new Set<MachineId>();
  /** Result of the last search; searched anew only after links or members changed. */
  #found: Connectivity;
  #haveLinksChanged = true;
  #activeGuards: readonly Guard[] = [];
  #lastHlc: Hlc;
  #isEvaluating = false;
  #haveMembersChanged = false;
  #isStopped = false;
  #cancelTick: Cancel | undefined;
  #nextSweepMs = 0;

  constructor({ runtime, signer, verify }: GossipComponents, { lastHlc }: GossipOptions) {
    this.#runtime = runtime;
    this.#signer = signer;
    this.#verify = verify;
    this.#self = signer.machine;
    this.#lastHlc = lastHlc;
    this.#startMs = runtime.monotonic();
    this.#found = { reachable: new Set([this.#self]), headless: new Set() };
    this.#tracker = new LivenessTracker(this.#self, this.#startMs);
    this.#guards = new Guards(this.#startMs, runtime.now());
    this.#outbox = new Outbox({
      runtime,
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
      onEqual: () => this.#guards.compared(),
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
      isReachable: (machine) => this.#found.reachable.has(machine),
      publish: (body) => this.#publishLinks(body),
      onLinkUp: (link) => this.#linkIsUp(link),
      onLinkGone: (link) => this.#linkIsGone(link),
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
   * the roots that the admitter sent) are checked like any others.
   * @returns records that do not count any more; the store should forget them
   */
  enter(cluster: ClusterId, records: readonly ReplicatedRecord[]): readonly ReplicatedRecord[] {
    assert(this.#membership === undefined, 'a node enters one cluster only');
    this.#membership = new Membership({ map: this.map, verify: this.#verify }, cluster);
    this.#guards.entered(this.#runtime.monotonic());
    this.#merge(records);
    for (const record of this.map.records()) {
      if (record.origin === this.#self) this.#lastHlc = Math.max(this.#lastHlc, record.hlc);
      if (recordKind(record.key) === 'links') this.#indexLinks(record.key);
    }
    // Nobody is linked with us yet, whatever our last run wrote.
    this.#links.delete(this.#self);
    return records.filter(({ key }) => this.map.record(key) === undefined);
  }

  /** Starts timers and dials. */
  start(): void {
    this.#guards.started(this.#runtime.monotonic(), this.#runtime.now());
    this.#tick();
    this.#haveMembersChanged = true;
    this.#evaluateSoon();
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
      const verdict = membership.accept(record, nowMs);
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
    const frame = decodeFrame(bytes);
    if (frame === 'unknown') return;
    if (frame === 'hostile') return this.#hostile(link, 'a malformed frame');
    this.#handle(link, frame);
  }

  #handle(link: Link, frame: Frame): void {
    switch (frame.type) {
      case 'heartbeat':
        this.#noteSkew(link.peer, frame.nowMs);
        return this.#repair.heartbeat(link.id, frame.hash);
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
        this.#tracker.sayGoodbye(link.peer, readGoodbye(frame), this.#runtime.monotonic());
        this.#neighbours.goodbye(link, readGoodbye(frame));
        return this.#evaluateSoon();
    }
  }

  #hostile(link: Link, why: string): void {
    this.#runtime.report(`closed the link to ${link.peer}: it sent ${why}`);
    this.#neighbours.ban(link);
  }

  #noteSkew(machine: MachineId, theirMs: number): void {
    const skewMs = Math.round(theirMs - this.#runtime.now());
    const isSkewed = Math.abs(skewMs) > skewWarningMs;
    if (isSkewed && !this.#skewed.has(machine)) {
      this.#runtime.report(`the clock of ${machine} differs from ours by ${skewMs} ms`);
    }
    if (isSkewed) this.#skewed.add(machine);
    else this.#skewed.delete(machine);
  }

  // Records from others

  #intake(records: readonly ReplicatedRecord[], from: Link | undefined): void {
    const before = new Map<string, Own>();
    for (const { key, origin } of records) {
      const own = origin === this.#self ? this.map.record(key) : undefined;
      if (own !== undefined) before.set(key, own);
    }
    const { accepted, isForged } = this.#merge(records);
    if (accepted.length > 0) {
      // A joiner is ready when it is equal to a peer: it should not wait a second to learn that.
      if (from !== undefined && this.#repair.sawNews(from.id)) this.#heartbeatSoon(from.id);
      this.#afterChange(accepted, from?.id);
      this.#correctOwn(accepted, before);
    }
    if (isForged && from !== undefined) this.#hostile(from, 'a forged record');
  }

  /** Machine records first; parked ones are tried again as long as machines become known. */
  #merge(records: readonly ReplicatedRecord[]): {
    readonly accepted: ReplicatedRecord[];
    readonly isForged: boolean;
  } {
    const accepted: ReplicatedRecord[] = [];
    const membership = this.#membership;
    if (membership === undefined) return { accepted, isForged: false };
    const rank = ({ key }: ReplicatedRecord): number =>
      key.startsWith('m/') ? 0 : key.startsWith('x/') ? 1 : 2;
    let isForged = false;
    let queue = [...records].sort((a, b) => rank(a) - rank(b));
    while (queue.length > 0) {
      let hasNewMachine = false;
      for (const record of queue) {
        const verdict = membership.accept(record, this.#runtime.now());
        if (verdict === 'accepted') {
          accepted.push(record);
          hasNewMachine ||= rank(record) === 0;
          this.#pullClock(record.hlc);
        }
        isForged ||= verdict === 'forged';
      }
      queue = hasNewMachine ? membership.takeParked() : [];
    }
    return { accepted, isForged };
  }

  #pullClock(hlc: Hlc): void {
    if (hlc > hlcFromMs(this.#runtime.now() + maxClockPullMs)) return;
    this.#lastHlc = Math.max(this.#lastHlc, hlc);
  }

  /** Indexes, delivers and floods records that have just entered the map. */
  #afterChange(records: readonly ReplicatedRecord[], from: LinkId | undefined): void {
    const forgotten: string[] = [];
    let hasRoots = false;
    for (const record of records) {
      const kind = recordKind(record.key);
      if (kind === 'm' || kind === 'x') hasRoots = true;
      if (kind === 'links') this.#indexLinks(record.key);
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
    this.#evaluateSoon();
  }

  #forget(key: string): void {
    this.map.forget(key);
    if (recordKind(key) !== 'links') return;
    this.#links.delete(key.slice('links/'.length) as MachineId);
    this.#haveLinksChanged = true;
  }

  #indexLinks(key: string): void {
    const machine = key.slice('links/'.length) as MachineId;
    const body = readLinks(this.map.get(key)?.value);
    this.#haveLinksChanged = true;
    if (body === undefined) {
      this.#links.delete(machine);
      return;
    }
    this.#links.set(machine, body);
    if (body.leaving !== undefined && machine !== this.#self) {
      this.#tracker.sayGoodbye(machine, body.leaving, this.#runtime.monotonic());
    }
  }

  /**
   * Own keys that peers brought back, newer than ours. Soon after the start they are our memory
   * (the store may have been lost) and the part that observes corrects them; later our own word is
   * repeated: what we had, or that there is nothing.
   */
  #correctOwn(accepted: readonly ReplicatedRecord[], before: ReadonlyMap<string, Own>): void {
    const isSettled = this.#runtime.monotonic() - this.#startMs > adoptOwnMs;
    for (const { key, origin, hlc } of accepted) {
      if (origin !== this.#self || writerOf(key) !== this.#self) continue;
      const kind = recordKind(key);
      const own = before.get(key);
      if (kind === 'links') {
        this.#writeAfter(key, encodeJson(this.#lastLinks ?? noLinks), 1, hlc);
      } else if (isSettled && own !== undefined) {
        this.#writeAfter(key, own.body, own.schema, hlc);
      } else if (isSettled && kind !== 'm') {
        this.#writeAfter(key, null, 1, hlc);
      }
    }
  }

  // Links

  #lastLinks: LinksBody | undefined;

  #publishLinks(body: LinksBody): void {
    this.#lastLinks = body;
    const key = recordKey.links(this.#self);
    this.#writeAfter(key, encodeJson(body), 1, this.map.record(key)?.hlc ?? 0);
  }

  #linkIsUp(link: Link): void {
    this.#outbox.open(link.id);
    this.#repair.open(link.id, link.peer);
    this.#questions.linkUp(link.id);
    this.#heartbeat(link.id);
    this.#evaluateSoon();
  }

  #linkIsGone(link: Link): void {
    this.#heartbeats.get(link.id)?.();
    this.#heartbeats.delete(link.id);
    this.#soon.delete(link.id);
    this.#outbox.close(link.id);
    this.#repair.close(link.id);
    this.#questions.linkDown(link.id);
    this.#evaluateSoon();
  }

  #heartbeatSoon(link: LinkId): void {
    if (this.#soon.has(link)) return;
    this.#soon.add(link);
    this.#heartbeatIn(link, soonMs);
  }

  #heartbeat(link: LinkId): void {
    this.#soon.delete(link);
    const hash = this.map.hash.total();
    this.#send(link, { type: 'heartbeat', hash, nowMs: Math.floor(this.#runtime.now()) });
    const jitter = 1 + (this.#runtime.random() * 2 - 1) * heartbeatJitter;
    this.#heartbeatIn(link, heartbeatMs * jitter);
  }

  #heartbeatIn(link: LinkId, delayMs: number): void {
    this.#heartbeats.get(link)?.();
    this.#heartbeats.set(
      link,
      this.#runtime.schedule(delayMs, () => this.#heartbeat(link)),
    );
  }

  #send(id: LinkId, frame: Frame): void {
    const link = this.#neighbours.link(id);
    if (link === undefined) return;
    if (this.#runtime.bufferedBytes(id) > maxSocketBytes) return this.#neighbours.cut(link, 'slow');
    this.#runtime.send(id, encodeFrame(frame));
  }

  // Liveness

  /** Of every member; this machine is always reachable. */
  liveness(): ReadonlyMap<MachineId, Liveness> {
    const members = this.#membership?.members ?? [];
    return new Map(members.map((machine) => [machine, this.#tracker.state(machine)]));
  }

  guards(): readonly Guard[] {
    return this.#activeGuards;
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
    const members = this.#membership?.members ?? [];
    if (this.#haveMembersChanged) {
      this.#haveMembersChanged = false;
      this.#haveLinksChanged = true;
      this.#neighbours.setMembers(members);
    }
    const monotonicMs = this.#runtime.monotonic();
    if (this.#haveLinksChanged) {
      this.#haveLinksChanged = false;
      this.#found = connectivity(this.#self, new Set(members), this.#links);
    }
    const haveStatesChanged = this.#tracker.update({
      ...this.#found,
      members,
      monotonicMs,
      lastFrameMs: (machine) => this.#neighbours.lastFrameMs(machine),
    });
    const guards = this.#guards.active({
      monotonicMs,
      memberCount: members.length,
      linkCount: this.#neighbours.linkCount,
      heardCount: this.#neighbours.heardCountSince(this.#guards.believeSinceMs),
      wantedCount: this.#neighbours.wantedCount,
    });
    const haveGuardsChanged = guards.join() !== this.#activeGuards.join();
    this.#activeGuards = guards;
    if (haveStatesChanged || haveGuardsChanged) this.#runtime.livenessChanged();
  }

  #tick(): void {
    this.#cancelTick = this.#runtime.schedule(tickMs, () => this.#tick());
    const monotonicMs = this.#runtime.monotonic();
    const lagMs = this.#guards.tick(monotonicMs, this.#runtime.now());
    if (lagMs > 0) {
      this.#runtime.report(`this process did not run for ${Math.round(lagMs)} ms`);
      this.#neighbours.shift(lagMs);
      this.#tracker.shift(lagMs);
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
