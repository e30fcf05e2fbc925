/**
 * Reads the archive that `docker save` writes, of all engines: Docker 20.10 has
 * `<id>/layer.tar`, later ones `blobs/sha256/<digest>` (the uncompressed layer in the classic
 * store, the stored bytes in the containerd store). `manifest.json` names them in order, and may
 * come last, so layers are told by their bytes and only joined to the image at the end.
 */
import { type Digest, digestFromHex, isDigest } from './digest.ts';

export interface SavedImage {
  /** Entry of the config. */
  readonly config: string;
  /** Entries of the layers, in order. */
  readonly layers: readonly string[];
}

/** What an entry may be, by its name alone. */
export type SavedEntry =
  | { readonly type: 'manifest' }
  /** `digest` when the name tells what the bytes are. */
  | { readonly type: 'blob'; readonly digest: Digest | undefined }
  | { readonly type: 'other' };

export function classifySavedEntry(name: string): SavedEntry {
  if (name === 'manifest.json') return { type: 'manifest' };
  const blob = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
  if (blob !== undefined) return { type: 'blob', digest: digestFromHex(blob) };
  const config = digestFromHex(name.replace(/\.json$/, ''));
  if (name.endsWith('.json') && isDigest(config)) return { type: 'blob', digest: config };
  return /^[0-9a-f]{64}\/layer\.tar$/.test(name)
    ? { type: 'blob', digest: undefined }
    : { type: 'other' };
}

/** The one image of a `manifest.json`; undefined when it is not that. */
export function parseSavedManifest(text: string): SavedImage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Told by the caller, which knows the archive's image: it is not what engines write.
    return undefined;
  }
  if (!Array.isArray(value) || value.length !== 1) return undefined;
  const one: unknown = value[0];
  if (typeof one !== 'object' || one === null) return undefined;
  const config: unknown = Reflect.get(one, 'Config');
  const layers: unknown = Reflect.get(one, 'Layers');
  if (typeof config !== 'string' || !Array.isArray(layers)) return undefined;
  return layers.every((layer) => typeof layer === 'string') ? { config, layers } : undefined;
}
