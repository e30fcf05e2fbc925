/**
 * Identities. A machine's id is derived from its Ed25519 public key, so a record's origin names the
 * key that must have signed it, and nobody can take an id without the key.
 */

/** Lower-case base32 of the first 10 bytes of SHA-256 over the Ed25519 public key: 16 characters. */
export type MachineId = string & { readonly __brand: 'MachineId' };

/** Random at `machine init`; labels of containers and HELLO carry it. */
export type ClusterId = string & { readonly __brand: 'ClusterId' };

/** Hybrid logical clock in one safe integer: milliseconds * 2048 + counter (lib/hlc.ts). */
export type Hlc = number;

/** Hash of a service's definition: containers with another hash are out of date. */
export type ServiceHash = string;

/** One change of one service: new whenever `up` changes the service, kept otherwise. */
export type RolloutId = string;

/**
 * The place of one replica: "1".."R" for a replicated service, the machine's id for a global one.
 */
export type Slot = string;
