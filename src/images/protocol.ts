/**
 * What client and agent say to each other about an image: `plan` (what do you have?), `load` (a tar
 * with what is missing) and `tag` (all is there: name it). Bodies come over the network, so there
 * is a guard for each. References never travel inside the image: the agent tags what it has verified.
 *
 * The body of `load` is a tar: `header.json` (LoadHeader), then `config`, then the missing layers
 * as `layers/<hex of the diff id>` in the order of the image; compressed as a whole when the
 * request says `content-encoding: zstd`. It carries no manifest: the agent writes its own, since
 * for the layers it has it names the bytes that it holds.
 */
import { TscError } from '../lib/errors.ts';
import { type Digest, digestFromHex, hexOf, isDigest } from './digest.ts';
import type { StoreKind } from './inventory.ts';
import type { BlobReference, Compression } from './manifest.ts';
import { normalReference } from './reference.ts';

/** Config digest with platform: the same image on every machine, whatever its engine calls it. */
export interface ImageIdentity {
  readonly configDigest: Digest;
  /** "linux/amd64" */
  readonly platform: string;
  readonly diffIds: readonly Digest[];
}

export interface PlanRequest extends ImageIdentity {
  /** Names that the image is to have on the machine. */
  readonly references: readonly string[];
}

export interface PlanAnswer {
  readonly store: StoreKind;
  readonly platform: string;
  /** The whole image is here, under whatever name. */
  readonly isComplete: boolean;
  /** Every reference already means this image here. */
  readonly isTagged: boolean;
  /** One per diff id, in order: need not be sent. */
  readonly present: readonly boolean[];
  /** Free space where the engine keeps images; null when that cannot be found out. */
  readonly freeBytes: number | null;
}

export interface TagRequest {
  readonly configDigest: Digest;
  readonly references: readonly string[];
}

/** Answer of `load` and `tag`. */
export interface ImageAnswer {
  readonly configDigest: Digest;
  /** What this machine's engine calls the image. */
  readonly engineId: string;
}

export interface LoadHeader extends ImageIdentity {
  readonly references: readonly string[];
  readonly configSizeBytes: number;
  readonly layers: readonly SentLayer[];
}

/** A layer in the body of `load`. */
export interface SentLayer {
  readonly diffId: Digest;
  readonly blob: BlobReference;
}

export const headerEntry = 'header.json';
export const configEntry = 'config';

export function layerEntry(diffId: Digest): string {
  return `layers/${hexOf(diffId)}`;
}

/** The diff id that an entry of the body holds; undefined when it is no layer. */
export function layerOfEntry(name: string): Digest | undefined {
  const digest = digestFromHex(name.replace(/^layers\//, ''));
  return name.startsWith('layers/') && isDigest(digest) ? digest : undefined;
}

/** 4 MiB: configs are a few kilobytes; the longest histories stay far below. */
export const maxConfigBytes = 4 * 1024 * 1024;
/** 1 MiB: 127 layers, the most an engine takes, are 40 kB. */
export const maxHeaderBytes = 1024 * 1024;
/** Engines refuse images with more. */
const maxLayerCount = 127;

/** @throws TscError E_REQUEST_INVALID */
export function readPlanRequest(value: unknown): PlanRequest {
  const fields = fieldsOf(value);
  return { ...identity(fields), references: references(fields) };
}

/** @throws TscError E_REQUEST_INVALID */
export function readTagRequest(value: unknown): TagRequest {
  const fields = fieldsOf(value);
  return { configDigest: digest(fields, 'configDigest'), references: references(fields) };
}

/** @throws TscError E_REQUEST_INVALID */
export function readLoadHeader(value: unknown): LoadHeader {
  const fields = fieldsOf(value);
  const { layers } = fields;
  if (!Array.isArray(layers) || layers.length > maxLayerCount) throw bad('"layers" must be a list');
  const known = identity(fields);
  const sent = layers.map(sentLayer);
  for (const { diffId } of sent) {
    if (!known.diffIds.includes(diffId)) throw bad(`${diffId} is no layer of the image`);
  }
  if (new Set(sent.map(({ diffId }) => diffId)).size < sent.length) throw bad('a layer twice');
  const configSizeBytes = size(fields, 'configSizeBytes');
  if (configSizeBytes > maxConfigBytes) throw bad('the config is too large');
  return { ...known, references: references(fields), configSizeBytes, layers: sent };
}

function sentLayer(value: unknown): SentLayer {
  const fields = fieldsOf(value);
  const blob = fieldsOf(fields['blob']);
  return {
    diffId: digest(fields, 'diffId'),
    blob: {
      digest: digest(blob, 'digest'),
      sizeBytes: size(blob, 'sizeBytes'),
      compression: compression(blob['compression']),
    },
  };
}

type Fields = { readonly [key: string]: unknown };

function fieldsOf(value: unknown): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Fields; // an object may be read by any key; the values stay unknown
  }
  throw bad('an object was expected');
}

function identity(fields: Fields): ImageIdentity {
  const { platform, diffIds } = fields;
  if (typeof platform !== 'string') throw bad('"platform" must be a string');
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest) || diffIds.length > maxLayerCount) {
    throw bad('"diffIds" must be a list of digests');
  }
  return { configDigest: digest(fields, 'configDigest'), platform, diffIds };
}

function digest(fields: Fields, key: string): Digest {
  const value = fields[key];
  if (isDigest(value)) return value;
  throw bad(`"${key}" must be a digest`);
}

function size(fields: Fields, key: string): number {
  const value = fields[key];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw bad(`"${key}" must be a number of bytes`);
}

/** Docker before 23 reads no zstd, and the client cannot know what an image will meet later. */
function compression(value: unknown): Compression {
  if (value === 'none' || value === 'gzip') return value;
  throw bad('"compression" must be none or gzip');
}

function references(fields: Fields): readonly string[] {
  const value = fields['references'];
  if (!Array.isArray(value)) throw bad('"references" must be a list');
  return value.map((one: unknown) => {
    const normal = typeof one === 'string' ? normalReference(one) : undefined;
    if (normal === undefined) throw bad(`${JSON.stringify(one)} is no name of an image`);
    return normal;
  });
}

function bad(why: string): TscError {
  return new TscError('E_REQUEST_INVALID', `image request: ${why}`);
}
