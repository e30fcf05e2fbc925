/**
 * What must hold, in three tiers (after FoundationDB, TigerBeetle and Antithesis):
 *
 * Always, in `Watch`, against what the simulation knows to be true:
 * 1. Nothing forged is accepted, and nothing of a machine that is known to be removed.
 * 2. The version of a key never goes back on a machine that keeps its disk.
 * 3. A machine that nothing has happened to is reachable for every other one of these, at any loss;
 *    one that has been without power for a while is not.
 *    A link that was reset, and can be dialled at once, is not announced as lost.
 * 4. Announcements of links keep to their bucket, and no queue grows beyond its bound.
 * 5. Machines with equal records and equal liveness decide alike.
 * 6. A verdict never changes (verdict-watch.ts).
 * 7. Of two live machines with one identity one at least plans nothing more, and says what to do.
 * What actions may not do stands in action-watch.ts, what a rollout may not in rollout-watch.ts.
 *
 * Eventually, after everything was healed: `disagreements` and `wrongContainers` become empty.
 *
 * Finally, `leftovers`: what a disk holds gives the same content again, subnets are unique, nothing
 * that was acknowledged is gone.
 */

import { confirmMs, maxFrameBytes, maxSocketBytes } from '../../src/gossip/limits.ts';
import { readLinks } from '../../src/gossip/liveness.ts';
import { neighboursOf } from '../../src/gossip/overlay.ts';
import { compareRecords, RecordMap } from '../../src/gossip/record-map.ts';
import type { Delivery } from '../../src/gossip/runtime.ts';
import type { Action } from '../../src/model/action.ts';
import type { MachineId } from '../../src/model/ids.ts';
import { type ReplicatedRecord, recordKey, recordKind } from '../../src/model/record.ts';
import type { View } from '../../src/model/view.ts';
import { ownersOf } from '../../src/plan/owner.ts';
import { plan } from '../../src/plan/plan.ts';
import { idleLocalState } from '../../src/plan/steps.ts';
import { ActionWatch } from './action-watch.ts';
import { isCalm, isSound, readsAtOnce, settledMs } from './calm.ts';
import type { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';
import { RolloutWatch } from './rollout-watch.ts';
import { VerdictWatch } from './verdict-watch.ts';
import { Violation } from './violation.ts';

/** 25 s in which nothing else went wrong: twice what it takes in a quiet cluster. */
const foundOutMs = 25_000;
/** A handshake over such a line takes seconds when a fifth of its packets is lost. */
const farMs = 100;
/** 10 s after it woke up a machine knows again who is there. */
const wakingMs = 10_000;
/** A silent link is given up after 2.5 s; looks are 2 s apart. */
const cutNoticedMs = 5000;
/** Up to four machines have three links or fewer. */
const fewMachines = 4;
/** A burst of 4, a debt of 8 and one per 2 s, with room for answers to records of an earlier run. */
const maxAnnouncementsPerMinute = 4 + 8 + 30 + 10;

export class Watch {
  readonly #cluster: SimCluster;
  /** Per machine, the newest record of each key that it held. */
  readonly #seen = new Map<SimMachine, Map<string, ReplicatedRecord>>();
  readonly #actions: ActionWatch;
  readonly #rollouts: RolloutWatch;
  readonly #verdicts: VerdictWatch;
  readonly #announcedMs = new Map<SimMachine, number[]>();
  /** When the link between two machines was broken from outside last. */
  readonly #resetMs = new Map<string, number>();
  #lookCount = 0;
  /** When a look saw a cut last. */
  #cutMs = Number.NEGATIVE_INFINITY;

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
    this.#actions = new ActionWatch(cluster);
    this.#rollouts = new RolloutWatch(cluster);
    this.#verdicts = new VerdictWatch(cluster);
  }

  // Records

  /** A process starts with what its disk holds. */
  started(machine: SimMachine, records: readonly ReplicatedRecord[]): void {
    this.#seen.set(machine, new Map(records.map((record) => [record.key, record])));
    this.#verdicts.started(machine, records);
  }

  delivered(machine: SimMachine, { records, forgotten }: Delivery): void {
    const seen = this.#seen.get(machine) ?? new Map<string, ReplicatedRecord>();
    for (const key of forgotten) seen.delete(key);
    for (const record of records) {
      const before = seen.get(record.key);
      this.#checkRecord(machine, record, before);
      if (!forgotten.includes(record.key)) seen.set(record.key, record);
      if (recordKind(record.key) === 'app') this.#actions.learnt(machine, record.key);
      if (record.key === recordKey.links(machine.machine)) {
        this.#countAnnouncement(machine);
        this.#checkAnnouncement(machine, before, record);
      }
    }
  }

  #checkRecord(
    machine: SimMachine,
    record: ReplicatedRecord,
    before: ReplicatedRecord | undefined,
  ): void {
    if (record.key.includes('forged')) {
      throw new Violation(`${machine.name} accepted the forged ${record.key}`);
    }
    if (before !== undefined && compareRecords(record, before) < 0) {
      throw new Violation(`${machine.name} went back on ${record.key}`);
    }
    const membership = machine.node?.membership;
    const kind = recordKind(record.key);
    // Two live machines of one identity judge for one, until the guard finds the other: no record
    // can tell the two apart.
    const isOfTwins = this.#cluster.clones().some((clone) => clone.machine === record.origin);
    if (kind === 'verdict') this.#verdicts.delivered(machine, record, before, !isOfTwins);
    if (membership === undefined || kind === 'm' || kind === 'x') return;
    const isOut = membership.isRemoved(machine.machine);
    if (!isOut && membership.isRemoved(record.origin)) {
      throw new Violation(`${machine.name} accepted ${record.key} of a removed machine`);
    }
  }

  #countAnnouncement(machine: SimMachine): void {
    const { nowMs } = this.#cluster.world;
    const times = (this.#announcedMs.get(machine) ?? []).filter((ms) => ms > nowMs - 60_000);
    times.push(nowMs);
    this.#announcedMs.set(machine, times);
    const startMs = machine.disturbedMs;
    // A restart starts with a full bucket.
    const isShared = this.#cluster.hasTwin(machine);
    // The key of both is the same: what a twin announces comes here as well.
    const most = maxAnnouncementsPerMinute * (isShared ? 2 : 1);
    if (startMs < nowMs - 60_000 && times.length > most) {
      throw new Violation(`${machine.name} announced its links ${times.length} times in a minute`);
    }
  }

  /** The link between two machines that run well was broken from outside. */
  wasReset(a: SimMachine, b: SimMachine): void {
    const { nowMs } = this.#cluster.world;
    for (const [machine, peer] of [
      [a, b],
      [b, a],
    ] as const) {
      this.#resetMs.set(`${machine.name}>${peer.machine}`, nowMs);
    }
  }

  #checkAnnouncement(
    machine: SimMachine,
    before: ReplicatedRecord | undefined,
    after: ReplicatedRecord,
  ): void {
    const { world, network } = this.#cluster;
    const isQuick = network.latencyMs[1] < 100 && network.loss === 0 && network.cutCount === 0;
    // What a cut did to a link is found out some seconds later.
    const wasCut = world.nowMs - this.#cutMs < cutNoticedMs;
    if (!isQuick || wasCut || before === undefined || this.#resetMs.size === 0) return;
    // Who says good-bye lists nobody, and is waited for.
    if (readLinks(JSON.parse(Buffer.from(after.body ?? []).toString() || 'null'))?.leaving) return;
    const now = listedIn(after);
    for (const id of listedIn(before)) {
      const resetMs = this.#resetMs.get(`${machine.name}>${id}`) ?? Number.NEGATIVE_INFINITY;
      const peer = this.#cluster.find(id);
      if (now.has(id) || peer === undefined || world.nowMs - resetMs > confirmMs) continue;
      // Links beyond the overlay (repair dials) are given up without a word.
      const members = machine.node?.membership?.members ?? [];
      if (!neighboursOf(machine.machine, members).has(id)) continue;
      const isEither = (test: (one: SimMachine) => boolean): boolean => test(machine) || test(peer);
      if (isEither((one) => !isSound(this.#cluster, one) || one.disturbedMs >= resetMs)) continue;
      if (isEither((one) => one.readBytesPerMs !== Number.POSITIVE_INFINITY)) continue;
      throw new Violation(`${machine.name} announces the loss of a link to ${peer.name} at once`);
    }
  }

  // Actions

  acted(machine: SimMachine, view: View, action: Action): void {
    this.#actions.acted(machine, view, action);
    this.#rollouts.acted(machine, view, action);
  }

  // From time to time

  look(): void {
    if (this.#cluster.network.cutCount > 0) this.#cutMs = this.#cluster.world.nowMs;
    this.#checkClones();
    this.#checkReachable();
    this.#checkQueues();
    this.#rollouts.look();
    // Views of all machines are dear: one look in five.
    if (this.#lookCount++ % 5 === 0) this.#checkDecisions();
  }

  /** A copy of a machine is found out by itself or by the original, and said with the remedy. */
  #checkClones(): void {
    for (const clone of this.#cluster.clones()) {
      const original = this.#cluster.find(clone.machine);
      const isHeld = (one: SimMachine | undefined): boolean =>
        one?.node?.guards().includes('duplicate') === true;
      const calmMs = this.#cluster.calmTwinMs(clone);
      const holders = [clone, original].filter(isHeld);
      if (holders.length === 0 && calmMs > foundOutMs) {
        throw new Violation(`nobody noticed the copy of ${original?.name} within ${calmMs} ms`);
      }
      for (const one of holders) {
        if (one?.reports.some((text) => text.includes('remove identity.json'))) continue;
        throw new Violation(`${one?.name} is held as a duplicate and does not say what to do`);
      }
    }
  }

  /** Some machine became something else in the eyes of this one. */
  livenessChanged(machine: SimMachine): void {
    if (isCalm(this.#cluster, machine)) this.#checkSeenBy(machine);
  }

  #checkReachable(): void {
    for (const machine of this.#cluster.members()) {
      if (isCalm(this.#cluster, machine)) this.#checkSeenBy(machine);
    }
  }

  #checkSeenBy({ name, node }: SimMachine): void {
    if (node === undefined) return;
    const { world, network } = this.#cluster;
    for (const [id, state] of node.liveness()) {
      const other = this.#cluster.find(id);
      if (other === undefined) continue;
      // Its copy has power, and its name.
      const isOff = other.isOff && !this.#cluster.hasTwin(other);
      const offMs = isOff ? world.nowMs - other.disturbedMs : 0;
      if (state === 'reachable' && offMs > settledMs && !this.#isAnyLate()) {
        throw new Violation(`${name} takes ${other.name} for reachable, which has no power`);
      }
      if (state === 'reachable' || !isCalm(this.#cluster, other)) continue;
      // With few ways to a machine, heavy loss may keep all of them shut for a moment. Those that
      // restart, sleep or read slowly are no way.
      const mayBeSilent = network.loss > 0.05 && this.#countCalm() <= fewMachines;
      const isFar = network.latencyMs[1] >= farMs;
      if (mayBeSilent && (state !== 'lost' || isFar)) continue;
      throw new Violation(`${name} takes ${other.name} for ${state} although both run undisturbed`);
    }
  }

  #countCalm(): number {
    return this.#cluster.members().filter((one) => isCalm(this.#cluster, one)).length;
  }

  /**
   * Who reads slowly still hears what a machine said before it went, and who has just woken up
   * believes for some seconds that it heard it a moment ago: both are linked with all others.
   */
  #isAnyLate(): boolean {
    const { machines, world } = this.#cluster;
    return machines.some(
      (machine) => !readsAtOnce(machine) || world.nowMs - machine.disturbedMs < wakingMs,
    );
  }

  #checkQueues(): void {
    for (const { ends } of this.#cluster.network.connections) {
      for (const { machine, link, isClosed } of ends) {
        if (isClosed || !machine.isRunning) continue;
        if (machine.bufferedBytes(link) <= maxSocketBytes + maxFrameBytes) continue;
        throw new Violation(`${machine.name} has ${machine.bufferedBytes(link)} bytes in a socket`);
      }
    }
  }

  #checkDecisions(): void {
    const decided = new Map<string, Decided>();
    for (const machine of this.#cluster.members()) {
      const view = isSound(this.#cluster, machine) ? machine.agent?.view() : undefined;
      if (view === undefined || view.projects.size === 0) continue;
      const states = [...view.machines.values()].map(({ liveness }) => liveness).join();
      const hash = Buffer.from(machine.node?.map.hash.total() ?? []).toString('hex');
      const key = `${hash} ${states} ${view.guards.join()}`;
      const other = decided.get(key);
      if (other === undefined) decided.set(key, decisionsOf(machine, view));
      else if (other.decisions !== decisionsOf(machine, view, other.view).decisions) {
        throw new Violation(`${machine.name} and ${other.name} know the same and decide otherwise`);
      }
    }
  }
}

interface Decided {
  readonly name: string;
  readonly view: View;
  readonly decisions: string;
}

/** What follows from a view; whose it is and when are arguments, and taken from the other one. */
function decisionsOf({ name }: SimMachine, view: View, as: View = view): Decided {
  const asked = { ...view, self: as.self, nowMs: as.nowMs };
  const owners = [...ownersOf(asked)].map(([service, slots]) => [service, [...slots]]);
  return { name, view, decisions: JSON.stringify([owners, plan(asked, idleLocalState)]) };
}

function listedIn({ body }: ReplicatedRecord): ReadonlySet<MachineId> {
  const links = body === null ? undefined : readLinks(JSON.parse(Buffer.from(body).toString()));
  return new Set(links?.up.map(({ machine }) => machine));
}

/** What is not as it should be in a healed cluster; empty when all is well. */
export function disagreements(cluster: SimCluster): string[] {
  const members = cluster.members();
  const found: string[] = [];
  const ids = members.map(({ machine }) => machine).sort();
  const first = members[0]?.node?.map;
  for (const { name, node } of members) {
    if (node === undefined) {
      found.push(`${name} does not run`);
      continue;
    }
    if (Buffer.compare(node.map.hash.total(), first?.hash.total() ?? new Uint8Array(0)) !== 0) {
      found.push(`${name} has other content than ${members[0]?.name}`);
    }
    const liveness = node.liveness();
    if ([...liveness.keys()].sort().join() !== ids.join()) found.push(`${name}: other members`);
    for (const [id, state] of liveness) {
      const peer = cluster.find(id)?.name;
      if (state !== 'reachable') found.push(`${name} sees ${peer} as ${state}`);
    }
    if (node.guards().length > 0) found.push(`${name} is guarded: ${node.guards().join()}`);
  }
  return found;
}

/** What is wrong in the end. */
export function leftovers(cluster: SimCluster): string[] {
  const found: string[] = [];
  const subnets = new Map<string, MachineId>();
  const [first] = cluster.members();
  for (const machine of cluster.members()) {
    const replayed = new RecordMap();
    for (const record of machine.disk.records()) replayed.merge(record);
    const hash = machine.node?.map.hash.total() ?? new Uint8Array(0);
    if (Buffer.compare(replayed.hash.total(), hash) !== 0) {
      found.push(`${machine.name} would have other records after a restart`);
    }
  }
  for (const view of first?.agent?.view()?.machines.values() ?? []) {
    const other = subnets.get(view.subnet);
    if (
      other !== undefined &&
      !view.isDrained &&
      first?.agent?.view()?.machines.get(other)?.isDrained !== true
    ) {
      found.push(`${view.name} has the subnet of ${other}`);
    }
    subnets.set(view.subnet, view.id);
  }
  for (const { key, hlc, copyCount, lostDiskCount } of cluster.acknowledged) {
    if (lostDiskCount >= copyCount) continue;
    const record = first?.node?.map.record(key);
    if (record === undefined || record.hlc < hlc) found.push(`${key} was acknowledged and is gone`);
  }
  return found;
}
