/**
 * The handshake at the start of every connection between agents. Both ends prove their Ed25519 key
 * over both nonces, the cluster, the path and both ids, so a proof cannot be used elsewhere or
 * again. It is the second lock behind WireGuard. Each end shows its own `m/` record, so a machine
 * that was just admitted is known to whoever it dials first. Strangers, removed machines and other
 * clusters get a REJECT with a code and nothing else.
 *
 *     dialler                          acceptor
 *     HELLO cluster id key nonce  ->
 *                                 <-  CHALLENGE id key nonce signature
 *     PROOF signature             ->
 *                                 <-  WELCOME
 */
import { randomBytes } from 'node:crypto';
import type { RawData, WebSocket } from 'ws';
import { machineIdOf } from '../src/gossip/admission.ts';
import { isEqualBytes } from '../src/gossip/content-hash.ts';
import {
  decodeArray,
  encodeArray,
  isMachineId,
  packRecord,
  readRecord,
} from '../src/gossip/frame.ts';
import { protocolVersion } from '../src/gossip/limits.ts';
import type { Signer, Verify } from '../src/gossip/runtime.ts';
import type { ClusterId, MachineId } from '../src/model/ids.ts';
import type { ReplicatedRecord } from '../src/model/record.ts';

/** What a handshake is for. */
export type MeshPath = '/gossip' | '/rpc';

/** Why an agent says no. */
export type RejectCode =
  | 'protocol'
  | 'cluster'
  | 'unknown'
  | 'removed'
  | 'duplicate'
  | 'proof'
  | 'busy'
  | 'timeout'
  | 'closed';

/** What a handshake must know about the cluster. */
export interface HelloMembers {
  readonly cluster: ClusterId | undefined;
  isMember(machine: MachineId): boolean;
  isRemoved(machine: MachineId): boolean;
  /** Takes the record that a peer shows. */
  offer(records: readonly ReplicatedRecord[]): void;
  /** This machine's own `m/` record. */
  ownRecord(): ReplicatedRecord | undefined;
}

export interface HelloComponents {
  readonly signer: Signer;
  readonly verify: Verify;
  readonly members: HelloMembers;
}

export interface HelloOptions {
  readonly path: MeshPath;
  /** The machine that was dialled; undefined for the accepting end. */
  readonly expected: MachineId | undefined;
  readonly timeoutMs: number;
}

export type HelloResult =
  | { readonly isUp: true; readonly peer: MachineId }
  | { readonly isUp: false; readonly code: RejectCode };

const nonceBytes = 32;

/**
 * Runs the handshake on an open WebSocket. `done` is called once, in the same turn as the last
 * message, so that the next listener misses nothing; after a failure the socket is closed.
 */
export function shakeHands(
  socket: WebSocket,
  components: HelloComponents,
  options: HelloOptions,
  done: (result: HelloResult) => void,
): void {
  const handshake = new Handshake(socket, components, options, done);
  handshake.start();
}

interface Party {
  readonly machine: MachineId;
  readonly publicKey: string;
  readonly nonce: Uint8Array;
}

class Handshake {
  readonly #socket: WebSocket;
  readonly #components: HelloComponents;
  readonly #options: HelloOptions;
  readonly #done: (result: HelloResult) => void;
  readonly #nonce: Uint8Array = randomBytes(nonceBytes);
  readonly #cluster: ClusterId | undefined;
  #peer: Party | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(
    socket: WebSocket,
    components: HelloComponents,
    options: HelloOptions,
    done: (result: HelloResult) => void,
  ) {
    this.#socket = socket;
    this.#components = components;
    this.#options = options;
    this.#done = done;
    this.#cluster = components.members.cluster;
  }

  get #isDialler(): boolean {
    return this.#options.expected !== undefined;
  }

  start(): void {
    this.#timer = setTimeout(() => this.#fail('timeout'), this.#options.timeoutMs);
    this.#socket.on('message', this.#onMessage);
    this.#socket.on('close', this.#onClose);
    if (this.#cluster === undefined) return this.#reject('cluster');
    if (this.#isDialler) this.#say('hello', this.#cluster, ...this.#introduction());
  }

  readonly #onClose = (): void => this.#fail('closed');

  readonly #onMessage = (data: RawData): void => {
    const message = Buffer.isBuffer(data) ? decodeArray(data) : undefined;
    const [type, version, ...fields] = message ?? [];
    if (type === 'reject') return this.#fail(readCode(fields[0]));
    if (version !== protocolVersion) return this.#reject('protocol');
    if (type === 'hello' && !this.#isDialler && this.#peer === undefined) {
      return this.#hello(fields);
    }
    if (type === 'challenge' && this.#isDialler && this.#peer === undefined) {
      return this.#challenge(fields);
    }
    if (type === 'proof' && !this.#isDialler && this.#peer !== undefined) {
      return this.#proof(fields, this.#peer);
    }
    if (type === 'welcome' && this.#isDialler && this.#peer !== undefined) {
      return this.#succeed(this.#peer.machine);
    }
    return this.#reject('protocol');
  };

  /** Acceptor: who dials? */
  #hello([cluster, ...introduction]: readonly unknown[]): void {
    if (cluster !== this.#cluster) return this.#reject('cluster');
    const peer = this.#meet(introduction);
    if (peer === undefined) return;
    this.#peer = peer;
    this.#say('challenge', ...this.#introduction(), this.#sign(peer, 'acceptor'));
  }

  /** Dialler: is it the machine that was dialled? */
  #challenge(fields: readonly unknown[]): void {
    const peer = this.#meet(fields);
    if (peer === undefined) return;
    if (peer.machine !== this.#options.expected) return this.#reject('unknown');
    if (!this.#isSignedBy(peer, 'acceptor', fields[4])) return this.#reject('proof');
    // Only now: a welcome counts from here on, and nothing that was not proved may be welcomed.
    this.#peer = peer;
    this.#say('proof', this.#sign(peer, 'dialler'));
  }

  /** Acceptor: is it the holder of the key? */
  #proof([signature]: readonly unknown[], peer: Party): void {
    if (!this.#isSignedBy(peer, 'dialler', signature)) return this.#reject('proof');
    this.#say('welcome');
    this.#succeed(peer.machine);
  }

  #introduction(): unknown[] {
    const { signer, members } = this.#components;
    const record = members.ownRecord();
    return [signer.machine, signer.publicKey, this.#nonce, record ? packRecord(record) : null];
  }

  /** Reads an introduction; answers a stranger itself. */
  #meet([machine, publicKey, nonce, shown]: readonly unknown[]): Party | undefined {
    const { members, signer } = this.#components;
    const isRead =
      isMachineId(machine) &&
      typeof publicKey === 'string' &&
      machineIdOf(publicKey) === machine &&
      nonce instanceof Uint8Array &&
      nonce.length === nonceBytes;
    if (!isRead) {
      this.#reject('protocol');
      return undefined;
    }
    if (machine === signer.machine) {
      this.#reject('duplicate');
      return undefined;
    }
    const record = readRecord(shown);
    if (record?.key === `m/${machine}` && record.origin === machine) members.offer([record]);
    if (!members.isMember(machine)) {
      this.#reject(members.isRemoved(machine) ? 'removed' : 'unknown');
      return undefined;
    }
    return { machine, publicKey, nonce: new Uint8Array(nonce) };
  }

  #payload(other: Party, role: 'dialler' | 'acceptor'): Uint8Array {
    const { signer } = this.#components;
    const self: Party = {
      machine: signer.machine,
      publicKey: signer.publicKey,
      nonce: this.#nonce,
    };
    const [dialler, acceptor] = this.#isDialler ? [self, other] : [other, self];
    return encodeArray([
      'tsc-compose hello 1',
      role,
      this.#cluster,
      this.#options.path,
      dialler.machine,
      acceptor.machine,
      dialler.nonce,
      acceptor.nonce,
    ]);
  }

  #sign(other: Party, role: 'dialler' | 'acceptor'): Uint8Array {
    return this.#components.signer.sign(this.#payload(other, role));
  }

  #isSignedBy(peer: Party, role: 'dialler' | 'acceptor', signature: unknown): boolean {
    if (!(signature instanceof Uint8Array) || isEqualBytes(peer.nonce, this.#nonce)) return false;
    return this.#components.verify(peer.publicKey, this.#payload(peer, role), signature);
  }

  #say(type: string, ...fields: readonly unknown[]): void {
    this.#socket.send(encodeArray([type, protocolVersion, ...fields]));
  }

  #succeed(peer: MachineId): void {
    this.#finish({ isUp: true, peer });
  }

  #reject(code: RejectCode): void {
    if (this.#isOver) return;
    if (this.#socket.readyState === this.#socket.OPEN) this.#say('reject', code);
    this.#fail(code);
  }

  #fail(code: RejectCode): void {
    if (this.#isOver) return;
    this.#finish({ isUp: false, code });
    this.#socket.close();
    // A peer that never answers the close must not keep the socket.
    const timer = setTimeout(() => this.#socket.terminate(), 1000);
    timer.unref();
    this.#socket.once('close', () => clearTimeout(timer));
  }

  #finish(result: HelloResult): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#socket.off('message', this.#onMessage);
    this.#socket.off('close', this.#onClose);
    this.#done(result);
  }
}

const rejectCodes: ReadonlySet<string> = new Set<RejectCode>([
  'protocol',
  'cluster',
  'unknown',
  'removed',
  'duplicate',
  'proof',
  'busy',
]);

function readCode(value: unknown): RejectCode {
  // Only codes of this list pass, so the type holds.
  return typeof value === 'string' && rejectCodes.has(value) ? (value as RejectCode) : 'protocol';
}
