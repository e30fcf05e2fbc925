/**
 * What a GossipNode needs from the world. The node does no I/O and reads no clock: the agent
 * implements this over WebSockets and timers, the simulation over a virtual clock, and both run
 * the same node.
 */
import type { Hlc, MachineId } from '../model/ids.ts';
import type { ReplicatedRecord } from '../model/record.ts';

/** One connection; a number that is never used twice by one runtime. */
export type LinkId = number;

export type Cancel = () => void;

/** Why a link is closed; peers see it in logs only. */
export type CloseReason =
  | 'timeout'
  | 'duplicate'
  | 'hostile'
  | 'slow'
  | 'stranger'
  | 'surplus'
  | 'stopping';

/**
 * How a dial ended without a link. answered: the kernel lives (connection refused or reset, or
 * accepted without a handshake); silent: nothing came back; rejected: the agent said no.
 */
export type DialFailure = 'answered' | 'silent' | 'rejected';

/** What changed in the map; the store and the view follow it. */
export interface Delivery {
  readonly records: readonly ReplicatedRecord[];
  /** Keys that left the map: expired tombstones, records of removed machines. */
  readonly forgotten: readonly string[];
}

export interface Runtime {
  /** Wall clock, milliseconds. */
  now(): number;
  /** Monotonic clock, milliseconds. */
  monotonic(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Runs once after the delay; 0 means after the current event, at once. */
  schedule(delayMs: number, run: () => void): Cancel;
  send(link: LinkId, frame: Uint8Array): void;
  /** Bytes handed to `send` that have not left yet. */
  bufferedBytes(link: LinkId): number;
  /** The node has forgotten the link already; `linkDown` need not be called. */
  close(link: LinkId, reason: CloseReason): void;
  /** Answered by `linkUp`, or by `dialFailed` exactly once. */
  dial(machine: MachineId): void;
  /** Records that were accepted or written; called before they are flooded to others. */
  deliver(delivery: Delivery): void;
  /** Liveness or guards changed. */
  livenessChanged(): void;
  /** Calls back when this record, or a later one of the key, is on disk. */
  whenDurable(key: string, hlc: Hlc, then: () => void): void;
  /** For logs: something an operator may want to know. */
  report(text: string): void;
}

/** Ed25519 and the identity behind it, without the private key. */
export interface Signer {
  readonly machine: MachineId;
  /** Base64 of the raw 32 bytes. */
  readonly publicKey: string;
  readonly wgPublicKey: string;
  sign(bytes: Uint8Array): Uint8Array;
}

/**
 * Whether the signature over the bytes is by the key.
 * @param publicKey base64 of the raw 32 bytes
 */
export type Verify = (publicKey: string, bytes: Uint8Array, signature: Uint8Array) => boolean;
