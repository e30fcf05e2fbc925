/**
 * The archive that an agent feeds its engine: config and missing layers under
 * `blobs/sha256/<hex>`, then what names them. It is universal: Docker 20.10, the classic store of
 * later ones and the containerd store all load it although layers are missing, as long as the
 * engine has those. It carries no tag, so a load that goes wrong moves no name.
 *
 * What names the image comes last, so that a stream that breaks before is only loose blobs.
 */
import { type Digest, digestOf, hexOf } from './digest.ts';
import { type BlobReference, layerMediaType } from './manifest.ts';

export interface ArchiveImage {
  readonly configDigest: Digest;
  readonly configSizeBytes: number;
  /** All layers in order, those included that are not in the archive. */
  readonly layers: readonly BlobReference[];
}

export interface ArchiveEntry {
  readonly name: string;
  readonly content: string;
}

export interface ArchiveTail {
  /** By which an engine with the containerd store knows the image. */
  readonly manifestDigest: Digest;
  readonly entries: readonly ArchiveEntry[];
}

export function blobEntry(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}

const mediaType = {
  config: 'application/vnd.oci.image.config.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
} as const;

/** The entries that follow the blobs. */
export function archiveTail(image: ArchiveImage): ArchiveTail {
  const { configDigest, configSizeBytes, layers } = image;
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaType.manifest,
    config: { mediaType: mediaType.config, digest: configDigest, size: configSizeBytes },
    layers: layers.map(({ digest, sizeBytes, compression }) => ({
      mediaType: layerMediaType(compression),
      digest,
      size: sizeBytes,
    })),
  });
  const manifestDigest = digestOf(manifest);
  const index = {
    schemaVersion: 2,
    mediaType: mediaType.index,
    manifests: [
      {
        mediaType: mediaType.manifest,
        digest: manifestDigest,
        size: Buffer.byteLength(manifest),
      },
    ],
  };
  const dockerManifest = [
    {
      Config: blobEntry(configDigest),
      RepoTags: null,
      Layers: layers.map(({ digest }) => blobEntry(digest)),
    },
  ];
  return {
    manifestDigest,
    entries: [
      { name: blobEntry(manifestDigest), content: manifest },
      { name: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
      { name: 'manifest.json', content: JSON.stringify(dockerManifest) },
      { name: 'index.json', content: JSON.stringify(index) },
    ],
  };
}
