/**
 * Reads the JSON of images: configs, manifests and indexes, in the words of OCI and of Docker's
 * schema 2. They come from engines and from disks, so everything is checked and what is not one of
 * these is `undefined`, never an exception.
 */
import { type Digest, isDigest } from './digest.ts';
import { platformText } from './platform.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/** Bytes that hold a layer: a tar, compressed or not. */
export interface BlobReference {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly compression: Compression;
}

export interface Manifest {
  readonly configDigest: Digest;
  readonly layers: readonly BlobReference[];
}

export interface ImageConfigFacts {
  readonly platform: string;
  readonly diffIds: readonly Digest[];
}

type Fields = { readonly [key: string]: unknown };

/** A manifest of one image. */
export function parseManifest(text: string): Manifest | undefined {
  const fields = parseFields(text);
  const config = fieldsOf(fields?.['config']);
  const layers = fields?.['layers'];
  const configDigest = config?.['digest'];
  if (!isDigest(configDigest) || !Array.isArray(layers)) return undefined;
  const references = layers.map(blobReference);
  return references.every((one) => one !== undefined)
    ? { configDigest, layers: references }
    : undefined;
}

/** The manifests that an index names; undefined when the text is no index. */
export function parseIndex(text: string): readonly Digest[] | undefined {
  const manifests = parseFields(text)?.['manifests'];
  if (!Array.isArray(manifests)) return undefined;
  return manifests.map((one: unknown) => fieldsOf(one)?.['digest']).filter(isDigest);
}

/** What a config says of platform and layers. */
export function parseConfig(text: string): ImageConfigFacts | undefined {
  const fields = parseFields(text);
  const diffIds = fieldsOf(fields?.['rootfs'])?.['diff_ids'];
  const [os, architecture, variant] = ['os', 'architecture', 'variant'].map((key) => fields?.[key]);
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) return undefined;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  const platform = platformText(os, architecture, typeof variant === 'string' ? variant : '');
  return { platform, diffIds };
}

function blobReference(value: unknown): BlobReference | undefined {
  const fields = fieldsOf(value);
  const [digest, size, mediaType] = ['digest', 'size', 'mediaType'].map((key) => fields?.[key]);
  if (!isDigest(digest) || typeof size !== 'number' || typeof mediaType !== 'string') {
    return undefined;
  }
  return { digest, sizeBytes: size, compression: compressionOf(mediaType) };
}

function compressionOf(mediaType: string): Compression {
  if (/[.+]gzip$/.test(mediaType)) return 'gzip';
  return /[.+]zstd$/.test(mediaType) ? 'zstd' : 'none';
}

/** By the first bytes, which is how engines tell as well. */
export function sniffCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  return head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd
    ? 'zstd'
    : 'none';
}

/** OCI's media type of a layer. */
export function layerMediaType(compression: Compression): string {
  const base = 'application/vnd.oci.image.layer.v1.tar';
  return compression === 'none' ? base : `${base}+${compression}`;
}

function parseFields(text: string): Fields | undefined {
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    // Blobs of an engine's store may be anything: what is no JSON is no manifest.
    return undefined;
  }
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields) // an object may be read by any key; the values stay unknown
    : undefined;
}
