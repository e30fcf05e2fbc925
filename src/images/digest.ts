/**
 * Digests of images. An image's identity in the cluster is the digest of its config: engines with
 * the classic store show it as the id, those with the containerd store show a manifest's digest
 * instead, which differs with the compression of the layers. A layer's identity is its diff id
 * (digest of the uncompressed tar); what an engine must hold to skip it is the whole chain below it.
 */
import { hash } from 'node:crypto';

export type Digest = `sha256:${string}`;

const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** Only SHA-256: no engine writes another algorithm into images. */
export function isDigest(value: unknown): value is Digest {
  return typeof value === 'string' && digestPattern.test(value);
}

/** The 64 digits after the colon. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** The digest with these 64 digits. */
export function digestFromHex(hex: string): Digest {
  return `sha256:${hex}`;
}

export function digestOf(data: string | Uint8Array): Digest {
  return digestFromHex(hash('sha256', data, 'hex'));
}

/**
 * The chain id of every layer: c₁ = d₁, cₙ = sha256(cₙ₋₁ + " " + dₙ) (OCI image spec, config.md).
 * An engine with the classic store has a layer only if it has it on top of the same layers.
 */
export function chainIds(diffIds: readonly Digest[]): readonly Digest[] {
  const chains: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chains.at(-1);
    chains.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chains;
}
