/**
 * A simulated cluster and what is watched in it at all times: nothing forged is accepted, and the
 * version of a key never goes back on a machine that keeps its disk.
 */
import { admit, createGenesis, type MachineFacts } from '../../src/gossip/admission.ts';
import { encodeJson } from '../../src/gossip/node.ts';
import { compareRecords } from '../../src/gossip/record-map.ts';
import type { Delivery } from '../../src/gossip/runtime.ts';
import { hlcFromMs } from '../../src/lib/hlc.ts';
import type { MachineId } from '../../src/model/ids.ts';
import { type ReplicatedRecord, recordKey } from '../../src/model/record.ts';
import { removalOf, SimMachine } from './machine.ts';
import { Network } from './network.ts';
import { World } from './world.ts';

export const range = '10.210.0.0/16';

function factsOf(name: string): MachineFacts {
  return {
    name,
    endpoints: [],
    platform: 'linux/amd64',
    cpuCount: 1,
    memoryBytes: 1,
    versions: { agent: '0', engine: '0', protocol: 1, plan: 1 },
  };
}

/** A broken invariant; the run stops. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export class SimCluster {
  readonly world: World;
  readonly network: Network;
  readonly machines: SimMachine[] = [];
  readonly #byId = new Map<MachineId, SimMachine>();
  /** Per machine, the newest record of each key that it held. */
  readonly #seen = new Map<SimMachine, Map<string, ReplicatedRecord>>();
  readonly removed = new Set<MachineId>();

  constructor(seed: number) {
    this.world = new World(seed);
    this.network = new Network(this.world);
  }

  /** A machine that is switched on and in no cluster. */
  add(): SimMachine {
    const machine = new SimMachine(`m${this.machines.length}`, {
      world: this.world,
      network: this.network,
      find: (id) => this.#byId.get(id),
      onDeliver: (owner, delivery) => this.#watch(owner, delivery),
    });
    this.machines.push(machine);
    this.#byId.set(machine.machine, machine);
    this.#seen.set(machine, new Map());
    machine.start();
    return machine;
  }

  /** Founds with the first machine and lets the others join one after the other. */
  form(count: number): void {
    for (let index = 0; index < count; index++) {
      const machine = this.add();
      const first = this.machines[0];
      if (first === undefined || machine === first) {
        machine.found();
        const record = createGenesis(machine.signer, {
          ...factsOf(machine.name),
          cluster: machine.cluster ?? ('' as never),
          range,
          hlc: hlcFromMs(machine.now()),
        });
        machine.node?.write(recordKey.machine(machine.machine), encodeJson(record));
      } else {
        this.join(machine, first);
      }
    }
  }

  join(joiner: SimMachine, member: SimMachine): void {
    const membership = member.node?.membership;
    if (membership === undefined) return;
    const { publicKey, wgPublicKey } = joiner.signer;
    const admission = admit(member.signer, {
      cluster: membership.cluster,
      range,
      takenSubnets: membership.takenSubnets(),
      joiner: joiner.signer,
      hlc: hlcFromMs(member.now()),
    });
    joiner.cluster = membership.cluster;
    joiner.node?.enter(membership.cluster, membership.rootRecords());
    for (const record of membership.rootRecords()) joiner.disk.set(record.key, record);
    const record = { ...factsOf(joiner.name), publicKey, wgPublicKey, admission };
    joiner.node?.write(recordKey.machine(joiner.machine), encodeJson(record));
  }

  remove(by: SimMachine, target: SimMachine): void {
    const { node } = by;
    const membership = node?.membership;
    if (node === undefined || membership === undefined) return;
    for (const { key, origin, body } of node.map.records()) {
      const isShared = !/^(m|x|links|c|fail)\//.test(key);
      if (origin === target.machine && isShared) node.write(key, body);
    }
    const keeps = membership.admittedBy(target.machine);
    node.write(recordKey.removed(target.machine), encodeJson(removalOf(keeps)));
    this.removed.add(target.machine);
  }

  /** Machines that should be members in the end. */
  members(): SimMachine[] {
    return this.machines.filter((x) => x.cluster !== undefined && !this.removed.has(x.machine));
  }

  #watch(machine: SimMachine, { records, forgotten }: Delivery): void {
    const seen = this.#seen.get(machine);
    if (seen === undefined) return;
    for (const key of forgotten) seen.delete(key);
    for (const record of records) {
      if (record.key.includes('forged')) {
        throw new Violation(`${machine.name} accepted the forged ${record.key}`);
      }
      const before = seen.get(record.key);
      if (before !== undefined && compareRecords(record, before) < 0) {
        throw new Violation(`${machine.name} went back on ${record.key}`);
      }
      if (!forgotten.includes(record.key)) seen.set(record.key, record);
    }
  }

  /** After the disk was lost on purpose. */
  forgetSeen(machine: SimMachine): void {
    this.#seen.get(machine)?.clear();
  }

  /** What is not as it should be in a healed cluster; empty when all is well. */
  disagreements(): string[] {
    const members = this.members();
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
        const peer = this.#byId.get(id)?.name;
        if (state !== 'reachable') found.push(`${name} sees ${peer} as ${state}`);
      }
      if (node.guards().length > 0) found.push(`${name} is guarded: ${node.guards().join()}`);
    }
    return found;
  }
}
