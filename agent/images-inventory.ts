/**
 * Finds out what images and layers this machine's engine holds. Facts only: what follows from them
 * is src/images/inventory.ts. What a digest says never changes, so details are remembered by id;
 * whether bytes are there is looked up every time, since users remove images.
 */
import type Docker from 'dockerode';
import { type Digest, isDigest } from '../src/images/digest.ts';
import {
  type ClassicImage,
  type ContainerdImage,
  classicInventory,
  containerdInventory,
  type Inventory,
  type StoredManifest,
  type StoreKind,
} from '../src/images/inventory.ts';
import { type Manifest, parseConfig, parseIndex, parseManifest } from '../src/images/manifest.ts';
import { statusOfCause } from './engine-errors.ts';
import { type ContentStore, contentStore } from './images-content.ts';

export interface StoreFacts {
  readonly store: StoreKind;
  /** Where the engine keeps its data. */
  readonly root: string;
}

/** Asks the engine which image store it has; both can change when it is started anew. */
export async function storeFacts(docker: Docker): Promise<StoreFacts> {
  // dockerode types the answer as `any`.
  const info: { readonly DriverStatus?: unknown; readonly DockerRootDir?: unknown } =
    await docker.info();
  const isContainerd = JSON.stringify(info.DriverStatus ?? []).includes(
    'io.containerd.snapshotter.v1',
  );
  return {
    store: isContainerd ? 'containerd' : 'classic',
    root: typeof info.DockerRootDir === 'string' ? info.DockerRootDir : '/var/lib/docker',
  };
}

interface ManifestFacts {
  readonly manifest: Manifest;
  readonly diffIds: readonly Digest[];
}

/** 8: enough to hide the way to the engine, few enough to leave it air for its own work. */
const parallelInspects = 8;

export class InventoryReader {
  readonly #docker: Docker;
  readonly #diffIds = new Map<string, readonly Digest[]>();
  readonly #manifests = new Map<Digest, ManifestFacts>();

  constructor(docker: Docker) {
    this.#docker = docker;
  }

  async read({ store, root }: StoreFacts): Promise<Inventory> {
    const listed = await this.#docker.listImages();
    const images = listed.map(({ Id, RepoTags }) => ({ id: Id, tags: RepoTags ?? [] }));
    return store === 'classic'
      ? classicInventory(await this.#classicImages(images))
      : containerdInventory(await this.#containerdImages(images, contentStore(root)));
  }

  async #classicImages(images: readonly Listed[]): Promise<readonly ClassicImage[]> {
    const known = new Set(images.map(({ id }) => id));
    for (const id of this.#diffIds.keys()) if (!known.has(id)) this.#diffIds.delete(id);
    const found = await inParallel(
      images,
      async ({ id, tags }): Promise<readonly ClassicImage[]> => {
        const diffIds = this.#diffIds.get(id) ?? (await this.#layersOf(id));
        if (diffIds === undefined || !isDigest(id)) return [];
        this.#diffIds.set(id, diffIds);
        return [{ id, tags, diffIds }];
      },
    );
    return found.flat();
  }

  async #layersOf(id: string): Promise<readonly Digest[] | undefined> {
    try {
      const { RootFS } = await this.#docker.getImage(id).inspect();
      return (RootFS.Layers ?? []).filter(isDigest);
    } catch (cause) {
      // Removed since the list was made.
      if (statusOfCause(cause) === 404) return undefined;
      throw cause;
    }
  }

  async #containerdImages(
    images: readonly Listed[],
    content: ContentStore,
  ): Promise<readonly ContainerdImage[]> {
    const seen = new Set<Digest>();
    const found = await inParallel(images, async ({ id, tags }): Promise<ContainerdImage> => {
      const manifests: StoredManifest[] = [];
      for (const digest of isDigest(id) ? await manifestsOf(id, content) : []) {
        seen.add(digest);
        const facts = this.#manifests.get(digest) ?? (await readManifest(digest, content));
        if (facts === undefined) continue;
        this.#manifests.set(digest, facts);
        manifests.push(await withPresence(facts, content));
      }
      return { id, tags, manifests };
    });
    for (const digest of this.#manifests.keys())
      if (!seen.has(digest)) this.#manifests.delete(digest);
    return found;
  }
}

interface Listed {
  readonly id: string;
  readonly tags: readonly string[];
}

/** The manifests behind an image's id, which may be one itself or an index of several. */
async function manifestsOf(id: Digest, content: ContentStore): Promise<readonly Digest[]> {
  const text = await content.readText(id);
  if (text === undefined) return [];
  return parseIndex(text) ?? [id];
}

/** Undefined where the manifest or its config is not here, or is that of an attestation. */
async function readManifest(
  digest: Digest,
  content: ContentStore,
): Promise<ManifestFacts | undefined> {
  const manifest = parseManifest((await content.readText(digest)) ?? '');
  if (manifest === undefined) return undefined;
  const config = parseConfig((await content.readText(manifest.configDigest)) ?? '');
  if (config === undefined || config.diffIds.length !== manifest.layers.length) return undefined;
  return { manifest, diffIds: config.diffIds };
}

async function withPresence(
  { manifest, diffIds }: ManifestFacts,
  content: ContentStore,
): Promise<StoredManifest> {
  const layers = await Promise.all(
    diffIds.map(async (diffId, index) => {
      const blob = manifest.layers[index];
      if (blob === undefined) return [];
      return [{ diffId, blob, isStored: (await content.sizeOf(blob.digest)) === blob.sizeBytes }];
    }),
  );
  return { configDigest: manifest.configDigest, layers: layers.flat() };
}

async function inParallel<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: parallelInspects }, worker));
  return results;
}
