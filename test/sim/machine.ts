/**
 * One simulated machine: power, a process that can be killed or paused, a disk, a clock that may
 * be wrong, and the shipping GossipNode in it.
 */
import { clusterIdFor, machineIdOf, type RemovalRecord } from '../../src/gossip/admission.ts';
import { GossipNode } from '../../src/gossip/node.ts';
import type {
  Cancel,
  CloseReason,
  Delivery,
  LinkId,
  Runtime,
  Signer,
  Verify,
} from '../../src/gossip/runtime.ts';
import { sha256 } from '../../src/lib/hash.ts';
import type { ClusterId, MachineId } from '../../src/model/ids.ts';
import { type ReplicatedRecord, recordKey } from '../../src/model/record.ts';
import type { Network } from './network.ts';
import type { World } from './world.ts';

/** 2026-01-01: the wall clock at the start of the world. */
const epochMs = Date.UTC(2026, 0, 1);

/** Stands for Ed25519: only who has the "private key" (a prefix) makes these bytes. */
function fakeSignature(publicKey: string, bytes: Uint8Array): Uint8Array {
  const digest = sha256(Buffer.concat([Buffer.from(`private ${publicKey}`), bytes]));
  return Buffer.concat([digest, digest]);
}

export const fakeVerify: Verify = (publicKey, bytes, signature) =>
  Buffer.compare(fakeSignature(publicKey, bytes), signature) === 0;

/** A signer whose key depends on the name alone. */
export function fakeSigner(name: string): Signer {
  const publicKey = Buffer.from(sha256(`ed25519 ${name}`)).toString('base64');
  return {
    machine: machineIdOf(publicKey),
    publicKey,
    wgPublicKey: Buffer.from(sha256(`x25519 ${name}`)).toString('base64'),
    sign: (bytes) => fakeSignature(publicKey, bytes),
  };
}

export interface SimMachineComponents {
  readonly world: World;
  readonly network: Network;
  /** Another machine by its id. */
  readonly find: (machine: MachineId) => SimMachine | undefined;
  readonly onDeliver: (machine: SimMachine, delivery: Delivery) => void;
}

export class SimMachine implements Runtime {
  readonly name: string;
  readonly signer: Signer;
  readonly #components: SimMachineComponents;
  readonly disk = new Map<string, ReplicatedRecord>();
  readonly reports: string[] = [];
  cluster: ClusterId | undefined;
  node: GossipNode | undefined;
  /** Counts processes: what belongs to an earlier one is void. */
  epoch = 0;
  isOff = false;
  clockOffsetMs = 0;
  #bootMs = 0;
  #isPaused = false;
  readonly #backlog: { readonly epoch: number; readonly run: (node: GossipNode) => void }[] = [];

  constructor(name: string, components: SimMachineComponents) {
    this.name = name;
    this.signer = fakeSigner(name);
    this.#components = components;
  }

  get machine(): MachineId {
    return this.signer.machine;
  }

  /** Power and process. */
  get isRunning(): boolean {
    return !this.isOff && this.node !== undefined;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  // Life

  start(): void {
    if (this.isRunning) return;
    this.isOff = false;
    this.epoch++;
    this.#bootMs = this.#components.world.nowMs;
    this.resume();
    const lastHlc = Math.max(0, ...[...this.disk.values()].map(({ hlc }) => hlc));
    const components = { runtime: this, signer: this.signer, verify: fakeVerify };
    const node = new GossipNode(components, { lastHlc });
    this.node = node;
    if (this.cluster !== undefined) {
      const dropped = node.enter(this.cluster, [...this.disk.values()]);
      this.deliver({ records: [], forgotten: dropped.map(({ key }) => key) });
    }
    node.start();
  }

  /** SIGKILL: the kernel closes the connections. */
  killProcess(): void {
    if (!this.isRunning) return;
    this.epoch++;
    this.node = undefined;
    this.#components.network.closeAll(this);
  }

  /** Power cut. */
  powerOff(): void {
    if (this.isOff) return;
    this.epoch++;
    this.node = undefined;
    this.isOff = true;
    this.#components.network.vanish(this);
  }

  /** SIGSTOP for a while. */
  pause(durationMs: number): void {
    if (!this.isRunning || this.#isPaused) return;
    this.#isPaused = true;
    const { epoch } = this;
    this.#components.world.after(durationMs, () => {
      if (this.epoch === epoch) this.resume();
    });
  }

  /** SIGCONT: what came meanwhile is worked off in order. */
  resume(): void {
    this.#isPaused = false;
    for (const { epoch, run } of this.#backlog.splice(0)) this.inside(epoch, run);
  }

  /** The record file is lost; the small file of machine records is not. */
  loseDisk(): void {
    for (const key of this.disk.keys()) if (!/^[mx]\//.test(key)) this.disk.delete(key);
  }

  /** Runs something in the process of that epoch, as soon as it is not paused. */
  inside(epoch: number, run: (node: GossipNode) => void): void {
    if (this.epoch !== epoch || this.node === undefined) return;
    if (this.#isPaused) this.#backlog.push({ epoch, run });
    else run(this.node);
  }

  found(): void {
    const { world } = this.#components;
    this.cluster = clusterIdFor(this.machine, () => world.random());
    this.node?.enter(this.cluster, []);
  }

  // Handshake

  /** @returns why the dialler is refused */
  greet(dialler: SimMachine): string | undefined {
    const { node } = this;
    if (node === undefined || dialler.cluster !== this.cluster) return 'cluster';
    const record = dialler.node?.map.record(recordKey.machine(dialler.machine));
    if (record !== undefined) node.offer([record]);
    return node.isMember(dialler.machine) ? undefined : 'unknown';
  }

  greets(acceptor: SimMachine): boolean {
    return this.greet(acceptor) === undefined;
  }

  // Runtime

  now(): number {
    return epochMs + this.#components.world.nowMs + this.clockOffsetMs;
  }

  monotonic(): number {
    return this.#components.world.nowMs - this.#bootMs;
  }

  random(): number {
    return this.#components.world.random();
  }

  schedule(delayMs: number, run: () => void): Cancel {
    const { epoch } = this;
    return this.#components.world.after(delayMs, () => this.inside(epoch, run));
  }

  send(link: LinkId, frame: Uint8Array): void {
    this.#components.network.send(this, link, frame);
  }

  bufferedBytes(link: LinkId): number {
    return this.#components.network.bufferedBytes(this, link);
  }

  close(link: LinkId, reason: CloseReason): void {
    this.#components.network.close(this, link, reason);
  }

  dial(machine: MachineId): void {
    const { find, network, world } = this.#components;
    const target = find(machine);
    const { epoch } = this;
    if (target !== undefined) return network.dial(this, target);
    world.after(1, () => this.inside(epoch, (node) => node.dialFailed(machine, 'silent')));
  }

  deliver(delivery: Delivery): void {
    for (const record of delivery.records) this.disk.set(record.key, record);
    for (const key of delivery.forgotten) this.disk.delete(key);
    this.#components.onDeliver(this, delivery);
  }

  livenessChanged(): void {
    // The simulation reads liveness when it checks.
  }

  whenDurable(_key: string, _hlc: number, then: () => void): void {
    this.schedule(2, then);
  }

  report(text: string): void {
    this.reports.push(text);
  }
}

/** The body of an `x/` record. */
export function removalOf(keeps: readonly MachineId[]): RemovalRecord {
  return { keeps };
}
