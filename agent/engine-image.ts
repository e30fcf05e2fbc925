/**
 * Making an image available on a machine. What is local comes first, because a registry that is
 * slow or away must not delay a container whose image is here; only then it is pulled. The policy
 * is Compose's `pull_policy`. Every failure says which image is missing on which machine.
 */
import type Docker from 'dockerode';
import { parseReference, pinnedReference } from '../src/images/reference.ts';
import { TscError } from '../src/lib/errors.ts';
import type { ResolvedImage } from '../src/model/record.ts';
import { engineError, statusOfCause } from './engine-errors.ts';
import type { Log } from './log.ts';

/** 2 min without a byte: a registry that hangs, not one that is slow. */
const pullStallMs = 120_000;

export interface ImageRequest {
  readonly reference: string;
  /** Compose's `pull_policy`; undefined is "missing". */
  readonly policy: string | undefined;
  readonly platform: string | undefined;
  /** What the tag meant when the change was accepted; used when it is here. */
  readonly resolvedId: string | undefined;
  /** What a registry called it then: pulled by that, the tag may have moved since. */
  readonly digest?: string | undefined;
  /** The name is given to the image also when it means another one here. */
  readonly movesTag?: boolean;
  readonly machineName: string;
  readonly auth?: RegistryAuth;
  readonly onProgress?: (progress: PullProgress) => void;
}

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  readonly serveraddress: string;
  /** Instead of name and password. */
  readonly identitytoken?: string;
}

export interface PullProgress {
  readonly layerCount: number;
  readonly doneLayerCount: number;
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface LocalImage {
  /** As this engine names it; differs between image stores. */
  readonly id: string;
  /** What to create containers from. */
  readonly createFrom: string;
}

/** The digest of an image for a machine; a variant of a platform ("/v8") has that of its like. */
export function digestFor(image: ResolvedImage | undefined, platform: string): string | undefined {
  const digests = image?.digests ?? {};
  return digests[platform] ?? Object.values(digests)[0];
}

/**
 * Finds or pulls an image.
 * @throws TscError E_IMAGE_NOT_FOUND
 */
export async function ensureImage(
  docker: Docker,
  request: ImageRequest,
  log: Log,
): Promise<LocalImage> {
  const { reference, policy, resolvedId } = request;
  if (resolvedId !== undefined) {
    const id = await localId(docker, resolvedId);
    if (id !== undefined) {
      // By its name while the name still means it, so that `docker ps` shows something to read.
      const named = await localId(docker, reference);
      return { id, createFrom: named === id ? reference : id };
    }
  }
  if (request.digest !== undefined) return ensurePinned(docker, request, request.digest);
  const local = await localId(docker, reference);
  if (local !== undefined && policy !== 'always') return { id: local, createFrom: reference };
  if (policy === 'never' || policy === 'build') throw notFound(request, `pull_policy is ${policy}`);
  try {
    await pull(docker, request, withTag(reference));
  } catch (cause) {
    const error = engineError(cause, `pull ${reference}`);
    if (local === undefined) throw notFound(request, error.message, cause);
    log.warn('could not pull, using the image that is here', { reference, error: error.message });
    return { id: local, createFrom: reference };
  }
  const pulled = await localId(docker, reference);
  if (pulled === undefined) throw notFound(request, 'it was pulled for another platform');
  return { id: pulled, createFrom: reference };
}

/**
 * Exactly the content that the change was accepted with, whatever the tag means by now.
 * @throws TscError E_IMAGE_NOT_FOUND
 */
async function ensurePinned(
  docker: Docker,
  request: ImageRequest,
  digest: string,
): Promise<LocalImage> {
  const { reference, policy } = request;
  const pinned = pinnedReference(reference, digest);
  if (pinned === undefined) throw notFound(request, 'its name can have no digest');
  let id = await localId(docker, pinned);
  if (id === undefined) {
    if (policy === 'never' || policy === 'build') {
      throw notFound(request, `pull_policy is ${policy}`);
    }
    try {
      await pull(docker, request, pinned);
    } catch (cause) {
      throw notFound(request, engineError(cause, `pull ${pinned}`).message, cause);
    }
    id = await localId(docker, pinned);
  }
  if (id === undefined) throw notFound(request, 'it was pulled for another platform');
  let named = await localId(docker, reference);
  const tag = parseReference(reference);
  if (named !== id && tag !== undefined && (named === undefined || request.movesTag === true)) {
    await docker.getImage(id).tag({ repo: tag.repository, tag: tag.tag });
    named = id;
  }
  return { id, createFrom: named === id ? reference : pinned };
}

async function localId(docker: Docker, reference: string): Promise<string | undefined> {
  try {
    const found = await docker.getImage(reference).inspect();
    return found.Id;
  } catch (cause) {
    if (statusOfCause(cause) === 404) return undefined;
    throw engineError(cause, `look for image ${reference}`);
  }
}

async function pull(docker: Docker, request: ImageRequest, name: string): Promise<void> {
  const stall = new AbortController();
  let timer = setTimeout(() => stall.abort(), pullStallMs);
  try {
    const stream = await docker.createImage(request.auth ?? {}, {
      fromImage: name,
      ...(request.platform === undefined ? {} : { platform: request.platform }),
      abortSignal: stall.signal,
    });
    const layers = new Map<string, Layer>();
    for await (const line of jsonLines(stream)) {
      clearTimeout(timer);
      timer = setTimeout(() => stall.abort(), pullStallMs);
      const error: unknown = Reflect.get(line, 'error');
      if (typeof error === 'string') throw new Error(error);
      if (noteLayer(layers, line)) request.onProgress?.(progressOf(layers));
    }
  } finally {
    clearTimeout(timer);
  }
}

/** A reference without a tag would pull every tag of the repository. */
function withTag(reference: string): string {
  const name = reference.slice(reference.lastIndexOf('/') + 1);
  return name.includes(':') || name.includes('@') ? reference : `${reference}:latest`;
}

/** The objects of a stream of JSON lines; what is no object is passed over. */
export async function* jsonLines(
  stream: AsyncIterable<Buffer | string>,
): AsyncGenerator<object, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    rest += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const value = parseObject(line);
      if (value !== undefined) yield value;
    }
  }
  const last = parseObject(rest);
  if (last !== undefined) yield last;
}

function parseObject(line: string): object | undefined {
  if (line.trim() === '') return undefined;
  const value: unknown = JSON.parse(line);
  return typeof value === 'object' && value !== null ? value : undefined;
}

interface Layer {
  readonly bytes: number;
  readonly totalBytes: number;
  readonly isDone: boolean;
}

/** @returns whether the line told something about a layer */
function noteLayer(layers: Map<string, Layer>, line: object): boolean {
  const id: unknown = Reflect.get(line, 'id');
  const status: unknown = Reflect.get(line, 'status');
  if (typeof id !== 'string' || typeof status !== 'string') return false;
  if (status.startsWith('Pulling from')) return false;
  const before = layers.get(id) ?? { bytes: 0, totalBytes: 0, isDone: false };
  const detail: unknown = Reflect.get(line, 'progressDetail');
  const current = numberIn(detail, 'current');
  const total = numberIn(detail, 'total');
  const isDone = status === 'Pull complete' || status === 'Already exists';
  layers.set(id, {
    bytes: isDone ? before.totalBytes : status === 'Downloading' ? (current ?? 0) : before.bytes,
    totalBytes: status === 'Downloading' ? (total ?? before.totalBytes) : before.totalBytes,
    isDone,
  });
  return true;
}

function numberIn(value: unknown, key: string): number | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const found: unknown = Reflect.get(value, key);
  return typeof found === 'number' ? found : undefined;
}

function progressOf(layers: ReadonlyMap<string, Layer>): PullProgress {
  const all = [...layers.values()];
  return {
    layerCount: all.length,
    doneLayerCount: all.filter((layer) => layer.isDone).length,
    bytes: all.reduce((sum, layer) => sum + layer.bytes, 0),
    totalBytes: all.reduce((sum, layer) => sum + layer.totalBytes, 0),
  };
}

function notFound(
  { reference, machineName }: ImageRequest,
  why: string,
  cause?: unknown,
): TscError {
  return new TscError(
    'E_IMAGE_NOT_FOUND',
    `image "${reference}" is not on machine ${machineName}: ${why}`,
    { hint: 'push it with tsc-compose push', cause },
  );
}
