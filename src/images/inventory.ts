/**
 * What an engine holds, in the form that decides what need not be sent. The two image stores need
 * different evidence (measured on 20.10, 26.1 and 28.5):
 * - classic: the chain of the layer. The same layer on another parent does not count.
 * - containerd: the bytes of the layer in the content store. An unpacked snapshot does not count:
 *   the engine loads such an image without complaint and then neither lists nor saves it.
 */
import { chainIds, type Digest } from './digest.ts';
import type { BlobReference } from './manifest.ts';

export type StoreKind = 'classic' | 'containerd';

export interface Inventory {
  readonly store: StoreKind;
  /** Config digest of every complete image to the id by which this engine knows it. */
  readonly images: ReadonlyMap<Digest, string>;
  /** Name with tag to the configs it means here (several for several platforms). */
  readonly tags: ReadonlyMap<string, readonly Digest[]>;
  /** Classic: chains of layers that are here. */
  readonly chains: ReadonlySet<Digest>;
  /** containerd: diff id to the bytes that are here. */
  readonly blobs: ReadonlyMap<Digest, BlobReference>;
}

/** An image of the classic store, whose id is its config's digest. */
export interface ClassicImage {
  readonly id: Digest;
  readonly tags: readonly string[];
  readonly diffIds: readonly Digest[];
}

export function classicInventory(images: readonly ClassicImage[]): Inventory {
  return {
    store: 'classic',
    images: new Map(images.map(({ id }) => [id, id])),
    tags: new Map(images.flatMap(({ id, tags }) => tags.map((tag) => [tag, [id]]))),
    chains: new Set(images.flatMap(({ diffIds }) => chainIds(diffIds))),
    blobs: new Map(),
  };
}

/** An image of the containerd store: one manifest, or an index of several. */
export interface ContainerdImage {
  readonly id: string;
  readonly tags: readonly string[];
  readonly manifests: readonly StoredManifest[];
}

export interface StoredManifest {
  readonly configDigest: Digest;
  /** Layers in order; `isStored` when the bytes are there in full. */
  readonly layers: readonly {
    readonly diffId: Digest;
    readonly blob: BlobReference;
    readonly isStored: boolean;
  }[];
}

export function containerdInventory(images: readonly ContainerdImage[]): Inventory {
  const layers = images.flatMap(({ manifests }) => manifests.flatMap((one) => one.layers));
  const isComplete = ({ layers: all }: StoredManifest): boolean => all.every((l) => l.isStored);
  return {
    store: 'containerd',
    images: new Map(
      images.flatMap(({ id, manifests }) =>
        manifests.filter(isComplete).map(({ configDigest }) => [configDigest, id]),
      ),
    ),
    tags: new Map(
      images.flatMap(({ tags, manifests }) =>
        tags.map((tag) => [tag, manifests.filter(isComplete).map((one) => one.configDigest)]),
      ),
    ),
    chains: new Set(),
    blobs: new Map(layers.filter((l) => l.isStored).map(({ diffId, blob }) => [diffId, blob])),
  };
}

/** Which of an image's layers need not be sent; one answer per layer, in order. */
export function presentLayers(
  inventory: Inventory,
  diffIds: readonly Digest[],
): readonly boolean[] {
  return inventory.store === 'classic'
    ? chainIds(diffIds).map((chain) => inventory.chains.has(chain))
    : diffIds.map((diffId) => inventory.blobs.has(diffId));
}
