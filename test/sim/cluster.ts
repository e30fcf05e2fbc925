/**
 * A simulated cluster: its machines, how they come together and leave, and who should be a member
 * in the end. What must hold in it stands in invariants.ts.
 */

import {
  admit,
  clusterIdFor,
  createGenesis,
  type MachineFacts,
  signRecord,
} from '../../src/gossip/admission.ts';
import { type FrameCodec, frameCodec } from '../../src/gossip/frame.ts';
import { encodeJson } from '../../src/gossip/node.ts';
import type { Delivery } from '../../src/gossip/runtime.ts';
import { hlcFromMs } from '../../src/lib/hlc.ts';
import type { MachineId } from '../../src/model/ids.ts';
import { type ReplicatedRecord, recordKey } from '../../src/model/record.ts';
import { planVersion } from '../../src/plan/limits.ts';
import { recordsToTakeOver } from '../../src/view/take-over.ts';
import { isAwake } from './calm.ts';
import { SharedCodec } from './codec.ts';
import { disagreements, Watch } from './invariants.ts';
import { removalOf, SimMachine, type SimMachineComponents } from './machine.ts';
import { Network } from './network.ts';
import { World } from './world.ts';

function factsOf(name: string): MachineFacts {
  return {
    name,
    endpoints: [],
    platform: 'linux/amd64',
    cpuCount: 1,
    memoryBytes: 1,
    versions: { agent: '0', engine: '0', protocol: 1, plan: planVersion },
  };
}

const nothing = (): void => undefined;

export interface SimClusterOptions {
  /** Machines have engines, and agents that plan; what machines think of each other is judged. */
  readonly hasAgents?: boolean;
  /** The cluster's container range. */
  readonly range?: string;
  /** Always-invariants are looked after; they cost time and memory in a large cluster. */
  readonly isWatched?: boolean;
  /**
   * Machines share records, as they share the process (codec.ts): quick, and says nothing of what
   * one machine needs. True unless given.
   */
  readonly sharesRecords?: boolean;
  /** In a cluster without agents: some machine changed its mind about another one. */
  readonly onLiveness?: (machine: SimMachine) => void;
}

/** A record that its author was told is safe. */
export interface Acknowledged {
  readonly key: string;
  readonly hlc: number;
  readonly by: SimMachine;
  /** How many disks had it when the author was told. */
  readonly copyCount: number;
  /** Disks that were lost or went back to an older state since, of whatever machine. */
  lostDiskCount: number;
}

export class SimCluster {
  readonly world: World;
  readonly network: Network;
  readonly watch: Watch;
  readonly machines: SimMachine[] = [];
  readonly removed = new Set<MachineId>();
  acknowledged: Acknowledged[] = [];
  /** By name of the change: `down -v`s, and the changes that they knew of. */
  readonly deletions = new Map<string, readonly string[]>();

  /** A disk was lost or is that of an earlier day: what was on as many disks as that may be gone. */
  noteLostDisk(): void {
    for (const one of this.acknowledged) one.lostDiskCount += 1;
  }

  /** All faults have ended. */
  isHealed = false;
  /** Some clock was wrong by more than a minute at some time. */
  hadWrongClock = false;
  readonly #codec: FrameCodec;
  readonly #sharesRecords: boolean;
  readonly #hasAgents: boolean;
  readonly #isWatched: boolean;
  readonly #range: string;
  readonly #onLiveness: (machine: SimMachine) => void;
  readonly #byId = new Map<MachineId, SimMachine>();
  /** Second holders of an identity, by its id. */
  readonly #clones = new Map<MachineId, SimMachine>();
  /** Since when the machines of an identity could have found each other out undisturbed. */
  readonly #calmSinceMs = new Map<SimMachine, number>();

  constructor(seed: number, options: SimClusterOptions = {}) {
    this.world = new World(seed);
    this.network = new Network(this.world);
    this.watch = new Watch(this);
    this.#sharesRecords = options.sharesRecords ?? true;
    this.#codec = this.#sharesRecords ? new SharedCodec() : frameCodec;
    this.#isWatched = options.isWatched ?? true;
    this.#hasAgents = options.hasAgents ?? false;
    this.#range = options.range ?? '10.210.0.0/16';
    this.#onLiveness = options.onLiveness ?? nothing;
  }

  /** Runs something later, unless all faults have ended by then. */
  until(delayMs: number, run: () => void): void {
    this.world.after(delayMs, () => {
      if (!this.isHealed) run();
    });
  }

  find(id: MachineId): SimMachine | undefined {
    return this.#byId.get(id);
  }

  /** Who answers to an id: of two holders the one whose packets the network saw last. */
  #answering(id: MachineId): SimMachine | undefined {
    const clone = this.#clones.get(id);
    return clone?.isRunning && this.world.random() < 0.5 ? clone : this.#byId.get(id);
  }

  /** A machine that is switched on and in no cluster. */
  add(): SimMachine {
    const machine = this.#add();
    machine.start();
    return machine;
  }

  #add(): SimMachine {
    const machine = this.#make(`m${this.machines.length}`);
    this.machines.push(machine);
    this.#byId.set(machine.machine, machine);
    return machine;
  }

  /** A machine with the identity, the disk and the containers of another one, switched on beside it. */
  clone(original: SimMachine): SimMachine {
    const clone = this.#make(`${original.name}-clone`, original);
    this.#clones.set(original.machine, clone);
    clone.cluster = original.cluster;
    clone.disk.put(original.disk.copy());
    clone.engine = original.engine.copy(clone);
    clone.engine.cutPower(clone.now());
    clone.start();
    this.#calmSinceMs.set(clone, this.world.nowMs);
    return clone;
  }

  /** Machines that have the identity of a member, and are none. */
  clones(): SimMachine[] {
    return [...this.#clones.values()];
  }

  /** Whether two live machines have this one's identity. */
  hasTwin({ machine }: SimMachine): boolean {
    return this.#clones.get(machine)?.isRunning === true;
  }

  /**
   * What the remedy says: the copy goes, then the agent of the other one is started anew. What the copy
   * alone had on its disk is gone with it.
   * @returns the machine that is to be started again
   */
  endClone(clone: SimMachine): SimMachine | undefined {
    if (!this.#clones.delete(clone.machine)) return undefined;
    this.#calmSinceMs.delete(clone);
    clone.killProcess();
    clone.powerOff();
    this.noteLostDisk();
    const original = this.find(clone.machine);
    if (original !== undefined) original.disturbedMs = this.world.nowMs;
    original?.killProcess();
    return original;
  }

  /** How long both holders of an identity ran while nothing disturbed them or the network. */
  calmTwinMs(clone: SimMachine): number {
    const { world, network } = this;
    const original = this.find(clone.machine);
    const isSound = (one: SimMachine | undefined): boolean =>
      one?.isRunning === true &&
      !one.isPaused &&
      !one.isAsleep &&
      one.readBytesPerMs === Number.POSITIVE_INFINITY;
    const isQuick = network.latencyMs[1] < 100 && network.loss <= 0.05 && network.cutCount === 0;
    const sinceMs = Math.max(this.#calmSinceMs.get(clone) ?? 0, original?.disturbedMs ?? 0);
    if (!isQuick || !isSound(clone) || !isSound(original) || this.#isShutOut(clone)) {
      this.#calmSinceMs.set(clone, world.nowMs);
      return 0;
    }
    return world.nowMs - sinceMs;
  }

  /**
   * All who could bring the two together know that their machine was removed, and let neither in: no
   * record of theirs is taken any more, so there is nothing to correct.
   */
  #isShutOut({ machine }: SimMachine): boolean {
    if (!this.removed.has(machine)) return false;
    const awake = this.members().filter(isAwake);
    return awake.every(({ node }) => node?.isMember(machine) === false);
  }

  #make(name: string, original?: SimMachine): SimMachine {
    const { watch } = this;
    const onLiveness = this.#onLiveness;
    const unwatched = { onStart: nothing, onLiveness, onDeliver: nothing };
    const watched = {
      onStart: (machine: SimMachine, records: readonly ReplicatedRecord[]) =>
        watch.started(machine, records),
      onLiveness,
      onDeliver: (machine: SimMachine, delivery: Delivery) => watch.delivered(machine, delivery),
    };
    const acting: Partial<SimMachineComponents> = this.#hasAgents
      ? {
          onLiveness: (machine) => watch.livenessChanged(machine),
          onAction: (machine, view, action) => watch.acted(machine, view, action),
        }
      : {};
    return new SimMachine(
      name,
      {
        world: this.world,
        codec: this.#codec,
        network: this.network,
        find: (id) => this.#answering(id),
        ...(this.#isWatched ? watched : unwatched),
        ...acting,
      },
      original === undefined ? {} : { signer: original.signer },
    );
  }

  /** Founds with the first machine and lets the others join one after the other. */
  form(count: number): void {
    for (let index = 0; index < count; index++) {
      const machine = this.add();
      const first = this.machines[0];
      if (first === undefined || machine === first) this.found(machine);
      else this.join(machine, first);
    }
  }

  /**
   * A cluster that has been together: all machines start at the same moment, and know of each other
   * from their disks. The way to form a large one, where joining one by one would take too long.
   */
  boot(count: number): void {
    const hlc = hlcFromMs(Date.UTC(2025, 0, 1));
    const machines = Array.from({ length: count }, () => this.#add());
    const [first] = machines;
    if (first === undefined) return;
    const cluster = clusterIdFor(first.machine, () => this.world.random());
    const roots = new Map<string, ReplicatedRecord>();
    for (const { name, machine, signer } of machines) {
      const { publicKey, wgPublicKey } = signer;
      const options = { cluster, range: this.#range, hlc };
      const admission = admit(first.signer, { ...options, takenSubnets: [], joiner: signer });
      const body =
        machine === first.machine
          ? createGenesis(signer, { ...factsOf(name), ...options })
          : { ...factsOf(name), publicKey, wgPublicKey, admission };
      const key = recordKey.machine(machine);
      roots.set(key, signRecord(cluster, signer, { key, hlc, schema: 1, body: encodeJson(body) }));
    }
    for (const machine of machines) {
      machine.cluster = cluster;
      const own = [...roots].map(
        ([key, one]) => [key, this.#sharesRecords ? one : { ...one }] as const,
      );
      machine.disk.put(new Map(own));
      machine.start();
    }
  }

  found(machine: SimMachine): void {
    const record = createGenesis(machine.signer, {
      ...factsOf(machine.name),
      cluster: machine.found(),
      range: this.#range,
      hlc: hlcFromMs(machine.now()),
    });
    machine.node?.write(recordKey.machine(machine.machine), encodeJson(record));
  }

  join(joiner: SimMachine, member: SimMachine): void {
    const membership = member.node?.membership;
    if (membership === undefined) return;
    const { publicKey, wgPublicKey } = joiner.signer;
    const admission = admit(member.signer, {
      cluster: membership.cluster,
      range: this.#range,
      takenSubnets: membership.takenSubnets(),
      joiner: joiner.signer,
      hlc: hlcFromMs(member.now()),
    });
    joiner.cluster = membership.cluster;
    joiner.node?.enter(membership.cluster, membership.rootRecords());
    joiner.deliver({ records: membership.rootRecords(), forgotten: [] });
    const record = { ...factsOf(joiner.name), publicKey, wgPublicKey, admission };
    joiner.node?.write(recordKey.machine(joiner.machine), encodeJson(record));
    if (this.removed.has(member.machine)) this.removed.add(joiner.machine);
  }

  /** As the agent's `machine rm` does it: what all need of the removed one is signed anew first. */
  remove(by: SimMachine, target: SimMachine): void {
    const { node } = by;
    const membership = node?.membership;
    if (node === undefined || membership === undefined) return;
    for (const { key, body, schema } of recordsToTakeOver(
      [...node.map.records()],
      target.machine,
    )) {
      node.write(key, body, schema);
    }
    const keeps = membership.admittedBy(target.machine);
    node.write(recordKey.removed(target.machine), encodeJson(removalOf(keeps)));
    this.removed.add(target.machine);
    // What only it and others had is as good as gone with it. Copies of what it had signed are void
    // where they are not signed anew, and here nobody waits until the new ones are on other disks.
    this.noteLostDisk();
    for (const one of this.acknowledged) {
      if (one.by === target) one.lostDiskCount = Math.max(one.lostDiskCount, one.copyCount - 1);
    }
    for (const machine of this.members()) {
      const admittedBy = this.#admitterOf(machine);
      if (admittedBy === target.machine && !keeps.includes(machine.machine)) this.#strand(machine);
    }
  }

  #admitterOf(machine: SimMachine): MachineId | undefined {
    return machine.node?.membership?.machine(machine.machine)?.admission.admittedBy;
  }

  /** Its admitter was removed by somebody who did not know of it: it has to join again. */
  #strand(machine: SimMachine): void {
    this.removed.add(machine.machine);
    for (const other of this.members()) {
      if (this.#admitterOf(other) === machine.machine) this.#strand(other);
    }
  }

  /** Machines that should be members in the end. */
  members(): SimMachine[] {
    return this.machines.filter((x) => x.cluster !== undefined && !this.removed.has(x.machine));
  }

  /** What is not as it should be in a healed cluster; empty when all is well. */
  disagreements(): string[] {
    return disagreements(this);
  }
}
