/**
 * What must hold, in three tiers (after FoundationDB, TigerBeetle and Antithesis):
 *
 * Always, in `Watch`, against what the simulation knows to be true:
 * 1. Nothing forged is accepted, and nothing of a machine that is known to be removed.
 * 2. The version of a key never goes back on a machine that keeps its disk.
 * 3. A machine that nothing has happened to is reachable for every other one of these, at any loss;
 *    one that has been without power for a while is not.
 *    A link that was reset, and can be dialled at once, is not announced as lost.
 * 4. A container is removed only where a record of its project says so.
 * 5. A machine does not carry out a change that is older than one it has carried out already while
 *    a machine within its reach knows better.
 * 6. Announcements of links keep to their bucket, and no queue grows beyond its bound.
 * 7. Machines with equal records and equal liveness decide alike.
 * 8. Of two live machines with one identity one at least plans nothing more, and says what to do.
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
import type { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';

/** A broken invariant; the run stops. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/**
 * 30 s without any disturbance: a link that flapped has been up for its hold-down or another way
 * leads there, and who restarted has been heard by all.
 */
const settledMs = 30_000;
/** 25 s in which nothing else went wrong: twice what it takes in a quiet cluster. */
const foundOutMs = 25_000;
/** A handshake over such a line takes seconds when a fifth of its packets is lost. */
const farMs = 100;
/** Up to four machines have three links or fewer. */
const fewMachines = 4;
/** A burst of 4, a debt of 8 and one per 2 s, with room for answers to records of an earlier run. */
const maxAnnouncementsPerMinute = 4 + 8 + 30 + 10;

export class Watch {
  readonly #cluster: SimCluster;
  /** Per machine, the newest record of each key that it held. */
  readonly #seen = new Map<SimMachine, Map<string, ReplicatedRecord>>();
  /** Per machine and project, the newest change that it carried out. */
  readonly #applied = new Map<SimMachine, Map<string, number>>();
  /** Per machine, since when it has known the pointer that it has of each project. */
  readonly #pointerMs = new Map<SimMachine, Map<string, number>>();
  readonly #announcedMs = new Map<SimMachine, number[]>();
  /** When the link between two machines was broken from outside last. */
  readonly #resetMs = new Map<string, number>();
  #lookCount = 0;

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  // Records

  /** A process starts with what its disk holds. */
  started(machine: SimMachine, records: readonly ReplicatedRecord[]): void {
    this.#seen.set(machine, new Map(records.map((record) => [record.key, record])));
  }

  delivered(machine: SimMachine, { records, forgotten }: Delivery): void {
    const seen = this.#seen.get(machine) ?? new Map<string, ReplicatedRecord>();
    for (const key of forgotten) seen.delete(key);
    for (const record of records) {
      const before = seen.get(record.key);
      this.#checkRecord(machine, record, before);
      if (!forgotten.includes(record.key)) seen.set(record.key, record);
      if (recordKind(record.key) === 'app') this.#notePointer(machine, record.key);
      if (record.key === recordKey.links(machine.machine)) {
        this.#countAnnouncement(machine);
        this.#checkAnnouncement(machine, before, record);
      }
    }
  }

  #notePointer(machine: SimMachine, key: string): void {
    const known = this.#pointerMs.get(machine) ?? new Map<string, number>();
    this.#pointerMs.set(machine, known.set(key, this.#cluster.world.nowMs));
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
    if (!isQuick || before === undefined || this.#resetMs.size === 0) return;
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
      if (isEither((one) => !this.#isSound(one) || one.disturbedMs >= resetMs)) continue;
      if (isEither((one) => one.readBytesPerMs !== Number.POSITIVE_INFINITY)) continue;
      throw new Violation(`${machine.name} announces the loss of a link to ${peer.name} at once`);
    }
  }

  // Actions

  acted(machine: SimMachine, view: View, action: Action): void {
    if (action.name === 'remove') this.#checkRemoval(machine, action.arguments.containerId);
    if (action.name !== 'run' && action.name !== 'remove') return;
    const project = projectOf(machine, action);
    const known = project === undefined ? undefined : view.projects.get(project);
    if (known === undefined) return;
    let applied = this.#applied.get(machine);
    if (applied === undefined) {
      applied = new Map();
      this.#applied.set(machine, applied);
    }
    const before = applied.get(known.name) ?? 0;
    applied.set(known.name, Math.max(before, known.pointerHlc));
    if (known.pointerHlc < before) this.#checkStepBack(machine, known.name, known.pointerHlc);
  }

  #checkRemoval(machine: SimMachine, containerId: string): void {
    const container = machine.engine.containers.get(containerId);
    if (container === undefined || machine.node === undefined) return;
    const pointer = machine.node.map.get(recordKey.pointer(container.project))?.value;
    if (pointer === undefined || pointer === null) {
      throw new Violation(`${machine.name} removes ${containerId}, of which it has no record`);
    }
  }

  /** Another one that runs undisturbed, to which nothing leads but a sound network, knew better. */
  #checkStepBack(machine: SimMachine, project: string, pointerHlc: number): void {
    const { world, network } = this.#cluster;
    if (network.cutCount > 0 || network.loss > 0.05) return;
    const key = recordKey.pointer(project);
    for (const other of this.#cluster.members()) {
      if (other === machine || !this.#isSound(other)) continue;
      // Before this machine started, so that it could have asked.
      if (other.disturbedMs > machine.disturbedMs - 1000) continue;
      const known = other.node?.map.record(key);
      if (known === undefined || known.hlc <= pointerHlc) continue;
      // Of a change that is on its way nobody can know: a repair takes a few ways there and back.
      const sinceMs = this.#pointerMs.get(other)?.get(key) ?? Number.NEGATIVE_INFINITY;
      if (world.nowMs - sinceMs < 500 + 6 * network.latencyMs[1]) continue;
      throw new Violation(
        `${machine.name} carries out an old change of ${project} ${Math.round(world.nowMs - machine.disturbedMs)} ms after its start; ${other.name} knows better`,
      );
    }
  }

  // From time to time

  look(): void {
    this.#checkClones();
    this.#checkReachable();
    this.#checkQueues();
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

  #isSound(machine: SimMachine): boolean {
    const isAwake = machine.isRunning && !machine.isPaused && !machine.isAsleep;
    // Two live machines of one identity take each other's links away.
    return isAwake && !this.#cluster.hasTwin(machine);
  }

  /** Some machine became something else in the eyes of this one. */
  livenessChanged(machine: SimMachine): void {
    if (this.#isCalm(machine)) this.#checkSeenBy(machine);
  }

  /** Nothing happened to it for a while, nor to the network but loss, resets and delay. */
  #isCalm(machine: SimMachine): boolean {
    const { world, network, removed } = this.#cluster;
    return (
      network.cutCount === 0 &&
      this.#isSound(machine) &&
      !removed.has(machine.machine) &&
      machine.readBytesPerMs === Number.POSITIVE_INFINITY &&
      world.nowMs - machine.disturbedMs > settledMs
    );
  }

  #checkReachable(): void {
    for (const machine of this.#cluster.members()) {
      if (this.#isCalm(machine)) this.#checkSeenBy(machine);
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
      if (state === 'reachable' && offMs > settledMs) {
        throw new Violation(`${name} takes ${other.name} for reachable, which has no power`);
      }
      if (state === 'reachable' || !this.#isCalm(other)) continue;
      // With few ways to a machine, heavy loss may keep all of them shut for a moment.
      const mayBeSilent = network.loss > 0.05 && node.liveness().size <= fewMachines;
      const isFar = network.latencyMs[1] >= farMs;
      if (mayBeSilent && (state !== 'lost' || isFar)) continue;
      throw new Violation(`${name} takes ${other.name} for ${state} although both run undisturbed`);
    }
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
    const decided = new Map<string, { readonly name: string; readonly owners: string }>();
    for (const machine of this.#cluster.members()) {
      const view = this.#isSound(machine) ? machine.agent?.view() : undefined;
      if (view === undefined || view.projects.size === 0) continue;
      const states = [...view.machines.values()].map(({ liveness }) => liveness).join();
      const hash = Buffer.from(machine.node?.map.hash.total() ?? []).toString('hex');
      const key = `${hash} ${states} ${view.guards.join()}`;
      const owners = JSON.stringify([...ownersOf(view)].map(([name, slots]) => [name, [...slots]]));
      const other = decided.get(key);
      if (other === undefined) decided.set(key, { name: machine.name, owners });
      else if (other.owners !== owners) {
        throw new Violation(`${machine.name} and ${other.name} know the same and decide otherwise`);
      }
    }
  }
}

function listedIn({ body }: ReplicatedRecord): ReadonlySet<MachineId> {
  const links = body === null ? undefined : readLinks(JSON.parse(Buffer.from(body).toString()));
  return new Set(links?.up.map(({ machine }) => machine));
}

function projectOf(machine: SimMachine, action: Action): string | undefined {
  if (action.name === 'run') return action.arguments.project;
  if (action.name !== 'remove') return undefined;
  return machine.engine.containers.get(action.arguments.containerId)?.project;
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

/** Slots that do not run exactly once, and containers that nobody wants, in a healed cluster. */
export function wrongContainers(cluster: SimCluster): string[] {
  const members = cluster.members();
  const view = members[0]?.agent?.view();
  if (view === undefined) return [];
  const found: string[] = [];
  const running = members.flatMap((machine) =>
    [...machine.engine.containers.values()].map((container) => ({ machine, container })),
  );
  const wanted = new Set<string>();
  for (const [key, slots] of ownersOf(view)) {
    const [project = '', name = ''] = key.split('/');
    const service = view.projects.get(project)?.services.get(name);
    for (const slot of slots.keys()) {
      const place = `${key}/${slot}`;
      wanted.add(place);
      const copies = running.filter(({ container }) => placeOf(container) === place);
      const isRight = copies.length === 1 && copies[0]?.container.hash === service?.hash;
      if (isRight && copies[0]?.container.state === 'running') continue;
      const text = copies.map(({ machine, container }) => `${machine.name} ${container.state}`);
      found.push(`${place} runs ${copies.length} times: ${text.join()}`);
    }
  }
  for (const { machine, container } of running) {
    if (wanted.has(placeOf(container))) continue;
    // All disks that knew of it are lost: what nobody remembers is kept and reported.
    if (view.projects.get(container.project) === undefined) continue;
    found.push(`${machine.name} keeps ${placeOf(container)}, which nobody wants`);
  }
  return found;
}

function placeOf(container: {
  readonly project: string;
  readonly service: string;
  readonly slot: string;
}): string {
  return `${container.project}/${container.service}/${container.slot}`;
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
