/**
 * One simulated machine: power, a process that can be killed or paused, a disk, an engine, a clock
 * that may be wrong or drift, and the shipping GossipNode in it, with the agent's upper part above
 * it where the cluster has one.
 */
import { clusterIdFor, machineIdOf, type RemovalRecord } from '../../src/gossip/admission.ts';
import type { FrameCodec } from '../../src/gossip/frame.ts';
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
import { type OnAction, SimAgent } from './agent.ts';
import { SimDisk } from './disk.ts';
import { SimEngine } from './engine.ts';
import type { Network } from './network.ts';
import type { World } from './world.ts';

/** 2026-01-01: the wall clock at the start of the world. */
const epochMs = Date.UTC(2026, 0, 1);

/** Stands for Ed25519: only who has the "private key" (a prefix) makes these bytes. */
function fakeSignature(publicKey: string, bytes: Uint8Array): Uint8Array {
  const digest = sha256(Buffer.concat([Buffer.from(`private ${publicKey}`), bytes]));
  return Buffer.concat([digest, digest]);
}

/** What a signature was found to be good for: machines share records (codec.ts). */
const verified = new WeakMap<
  Uint8Array,
  { readonly publicKey: string; readonly bytes: Uint8Array }
>();

export const fakeVerify: Verify = (publicKey, bytes, signature) => {
  const known = verified.get(signature);
  if (known?.publicKey === publicKey && Buffer.compare(known.bytes, bytes) === 0) return true;
  if (Buffer.compare(fakeSignature(publicKey, bytes), signature) !== 0) return false;
  verified.set(signature, { publicKey, bytes });
  return true;
};

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
  readonly codec: FrameCodec;
  readonly network: Network;
  /** Another machine by its id. */
  readonly find: (machine: MachineId) => SimMachine | undefined;
  /** A process starts with what it read from its disk. */
  readonly onStart: (machine: SimMachine, records: readonly ReplicatedRecord[]) => void;
  readonly onDeliver: (machine: SimMachine, delivery: Delivery) => void;
  readonly onLiveness: (machine: SimMachine) => void;
  /** Told what its agent decides; without it the machine has no agent above the gossip. */
  readonly onAction?: (machine: SimMachine, ...decided: Parameters<OnAction>) => void;
}

export interface SimMachineOptions {
  /** Whose identity it has; its own unless it is a clone. */
  readonly signer?: Signer;
}

export class SimMachine implements Runtime {
  readonly name: string;
  readonly signer: Signer;
  readonly #components: SimMachineComponents;
  readonly disk = new SimDisk();
  engine = new SimEngine(this);
  readonly reports: string[] = [];
  cluster: ClusterId | undefined;
  node: GossipNode | undefined;
  agent: SimAgent | undefined;
  /** Counts processes: what belongs to an earlier one is void. */
  epoch = 0;
  isOff = false;
  clockOffsetMs = 0;
  /** Wall clock: gains so much per millisecond. */
  clockDrift = 0;
  /** Timers of this machine take so much longer than they should. */
  timerFactor = 1;
  /** Bytes a millisecond that it reads from the network; infinite unless it is slow. */
  readBytesPerMs = Number.POSITIVE_INFINITY;
  /** When something last happened to it from outside. */
  disturbedMs = 0;
  /** Of a later version: speaks with words that this one does not know. */
  isNewer = false;
  #bootMs = 0;
  /** When the process started, by the monotonic clock. */
  #startedMs = 0;
  /** World time for which the whole machine slept since its boot. */
  #sleptMs = 0;
  #wakesAtMs = 0;
  readonly #awaited = new Set<() => void>();
  #isPaused = false;
  readonly #backlog: { readonly epoch: number; readonly run: (node: GossipNode) => void }[] = [];

  constructor(name: string, components: SimMachineComponents, options: SimMachineOptions = {}) {
    this.name = name;
    this.signer = options.signer ?? fakeSigner(name);
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
    const { world, codec, onAction } = this.#components;
    if (this.isOff || this.epoch === 0) {
      this.#bootMs = world.nowMs;
      this.#sleptMs = 0;
    }
    this.isOff = false;
    this.#startedMs = this.monotonic();
    this.epoch++;
    this.disturbedMs = world.nowMs;
    this.resume();
    const records = this.disk.records();
    this.#components.onStart(this, records);
    const lastHlc = records.reduce((highest, { hlc }) => Math.max(highest, hlc), 0);
    const components = { runtime: this, signer: this.signer, verify: fakeVerify, codec };
    const node = new GossipNode(components, { lastHlc });
    this.node = node;
    if (this.cluster !== undefined) {
      const dropped = node.enter(this.cluster, records);
      this.deliver({ records: [], forgotten: dropped.map(({ key }) => key) });
    }
    node.start();
    if (onAction === undefined) return;
    this.agent = new SimAgent(this, node, (view, action) => onAction(this, view, action));
  }

  /** SIGKILL: the kernel closes the connections. */
  killProcess(): void {
    if (!this.isRunning) return;
    this.#end();
    this.#components.network.closeAll(this);
  }

  /** Power cut. */
  powerOff(): void {
    if (this.isOff) return;
    this.#end();
    this.isOff = true;
    this.#components.network.vanish(this);
    this.disk.cutPower(this.#components.world.nowMs);
    this.engine.cutPower(this.now());
  }

  #end(): void {
    this.epoch++;
    this.node = undefined;
    this.agent = undefined;
    this.disturbedMs = this.#components.world.nowMs;
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

  /**
   * The whole machine sleeps, as a virtual machine that is paused: its kernel answers nothing, and
   * its monotonic clock does not know of it afterwards.
   */
  sleep(durationMs: number): void {
    const { world, network } = this.#components;
    if (!this.isRunning || this.#isPaused || this.isAsleep) return;
    this.#wakesAtMs = world.nowMs + durationMs;
    this.#sleptMs += durationMs;
    this.disturbedMs = this.#wakesAtMs;
    world.after(durationMs, () => {
      network.release();
      this.#runAwaited();
    });
  }

  /** Runs it when the machine is awake again, in the order of the calls. */
  whenAwake(run: () => void): Cancel {
    this.#awaited.add(run);
    return () => this.#awaited.delete(run);
  }

  #runAwaited(): void {
    if (this.isAsleep) return;
    const awaited = [...this.#awaited];
    this.#awaited.clear();
    for (const run of awaited) run();
  }

  /** When it woke last, or will wake; what disturbs it while it sleeps does not end that. */
  get wakesAtMs(): number {
    return this.#wakesAtMs;
  }

  get isAsleep(): boolean {
    return this.#components.world.nowMs < this.#wakesAtMs;
  }

  /** Cut short, for the end of all faults. */
  wake(): void {
    const { world } = this.#components;
    this.#sleptMs -= Math.max(0, this.#wakesAtMs - world.nowMs);
    this.#wakesAtMs = world.nowMs;
    this.#runAwaited();
  }

  /** SIGCONT: what came meanwhile is worked off in order. */
  resume(): void {
    if (this.#isPaused) this.disturbedMs = this.#components.world.nowMs;
    this.#isPaused = false;
    for (const { epoch, run } of this.#backlog.splice(0)) this.inside(epoch, run);
  }

  /** Runs something in the process of that epoch, as soon as it is not paused. */
  inside(epoch: number, run: (node: GossipNode) => void): void {
    if (this.epoch !== epoch || this.node === undefined) return;
    if (this.#isPaused) this.#backlog.push({ epoch, run });
    else run(this.node);
  }

  /** Founds a cluster, and gives its id. */
  found(): ClusterId {
    const { world } = this.#components;
    const cluster = clusterIdFor(this.machine, () => world.random());
    this.cluster = cluster;
    this.node?.enter(cluster, []);
    return cluster;
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
    const { nowMs } = this.#components.world;
    return epochMs + nowMs * (1 + this.clockDrift) + this.clockOffsetMs;
  }

  monotonic(): number {
    return this.#components.world.nowMs - this.#bootMs - this.#sleptMs;
  }

  /** How long the process has run, by its own clock. */
  get ageMs(): number {
    return this.monotonic() - this.#startedMs;
  }

  /** Wall clock of the last boot. */
  get bootedAtMs(): number {
    return this.now() - (this.#components.world.nowMs - this.#bootMs);
  }

  random(): number {
    return this.#components.world.random();
  }

  schedule(delayMs: number, run: () => void): Cancel {
    const { epoch } = this;
    const { world } = this.#components;
    const realMs = delayMs * this.timerFactor;
    let cancel: Cancel = () => undefined;
    const fire = (): void => {
      // Timers stand still with the monotonic clock.
      if (this.isAsleep) cancel = this.whenAwake(fire);
      else this.inside(epoch, run);
    };
    cancel = world.after(realMs, fire);
    return () => cancel();
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
    const { nowMs } = this.#components.world;
    for (const record of delivery.records) this.disk.write(record.key, record, nowMs);
    for (const key of delivery.forgotten) this.disk.write(key, undefined, nowMs);
    this.#components.onDeliver(this, delivery);
    this.agent?.delivered(delivery.records.map(({ key }) => key));
  }

  livenessChanged(): void {
    this.#components.onLiveness(this);
    this.agent?.livenessChanged();
  }

  whenDurable(_key: string, _hlc: number, then: () => void): void {
    this.schedule(this.disk.flushMs, then);
  }

  report(text: string): void {
    this.reports.push(text);
  }
}

/** The body of an `x/` record. */
export function removalOf(keeps: readonly MachineId[]): RemovalRecord {
  return { keeps };
}
