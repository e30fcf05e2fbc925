/**
 * `push`: brings images of the client's engine to machines, sending each only the layers it lacks.
 * It asks all targets first; if all have the image, nothing is read and names alone are set.
 *
 * An image is the same everywhere when its config digest is: names and engine ids prove nothing. A
 * target that fails does not hinder the others, and keeps what it had.
 */
import Docker from 'dockerode';
import type { Digest } from '../images/digest.ts';
import { layersToExport, planTarget, spaceNeededBytes, type TargetStep } from '../images/plan.ts';
import type { PlanAnswer } from '../images/protocol.ts';
import { normalReference } from '../images/reference.ts';
import { TscError } from '../lib/errors.ts';
import { maxLoadAttempts } from './limits-push.ts';
import { KnownBlobs } from './push-known.ts';
import { ImageTarget } from './push-send.ts';
import { type ExportedImage, ImageSource, type SourceImage } from './push-source.ts';
import { Spool } from './push-spool.ts';

export interface ImageToPush {
  readonly reference: string;
  /** Names or ids. */
  readonly machines: readonly string[];
}

export interface PushOptions {
  /** The agent through which the machines are reached. */
  readonly socketPath: string;
  /** The engine that has the images; default: the one that `docker` here would use. */
  readonly docker?: Docker | undefined;
  /** File with what earlier pushes learnt (`knownBlobsPath`). */
  readonly knownPath: string;
  readonly onEvent?: ((event: PushEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export type PushEvent =
  | { readonly type: 'note'; readonly reference: string; readonly text: string }
  /** What one machine will get. */
  | {
      readonly type: 'sending';
      readonly reference: string;
      readonly machine: string;
      readonly layerCount: number;
      readonly blobBytes: number;
    }
  | {
      readonly type: 'sent';
      readonly reference: string;
      readonly machine: string;
      readonly sentBytes: number;
    }
  | { readonly type: 'result'; readonly result: PushResult };

export interface PushResult {
  readonly reference: string;
  readonly machine: string;
  readonly configDigest: Digest;
  /** present: nothing to do; tagged: only the name was missing; loaded: layers or config were. */
  readonly outcome: 'present' | 'tagged' | 'loaded' | 'failed';
  /** Bytes of image data that left for this machine. */
  readonly sentBytes: number;
  readonly sentLayerCount: number;
  readonly layerCount: number;
  readonly error?: TscError;
}

/**
 * Pushes images one after the other, each to all its machines at the same time.
 * @throws TscError E_IMAGE_REFERENCE, E_IMAGE_NOT_FOUND, E_ENGINE_UNREACHABLE before anything is
 *   sent of that image; what fails on a machine is in its result
 */
export async function pushImages(
  images: readonly ImageToPush[],
  options: PushOptions,
): Promise<readonly PushResult[]> {
  return withSession(options, async (session) => {
    const results: PushResult[] = [];
    for (const { reference, machines } of images) {
      const name = requireReference(reference);
      const image = await fromEngine(() => session.source(name).describe(name));
      if (image === undefined) throw notHere(name);
      results.push(...(await new ImagePush(image, name, session).run(machines)));
    }
    return results;
  });
}

/**
 * For `up`: pushes those images that this engine has, so that what was built here runs everywhere.
 * An image that is not here, a machine for which it is not made, or no engine here at all is no
 * error: the machines then pull, or `up` says what is missing.
 */
export async function pushWhatIsHere(
  images: readonly ImageToPush[],
  options: PushOptions,
): Promise<readonly PushResult[]> {
  return withSession(options, async (session) => {
    const found = await Promise.all(
      images.map(async ({ reference, machines }) => {
        const name = normalReference(reference);
        const image = name === undefined ? undefined : await describeIfHere(name, session);
        return name === undefined || image === undefined ? [] : [{ name, image, machines }];
      }),
    );
    const results: PushResult[] = [];
    for (const { name, image, machines } of found.flat()) {
      results.push(...(await new ImagePush(image, name, session).run(machines)));
    }
    return results.filter(({ error }) => error?.code !== 'E_IMAGE_PLATFORM');
  });
}

interface Session {
  readonly options: PushOptions;
  /** The source, with notes that name this reference. */
  readonly source: (reference: string) => ImageSource;
}

async function withSession<T>(
  options: PushOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const docker = options.docker ?? new Docker();
  const spool = await Spool.create();
  try {
    const known = await KnownBlobs.open(options.knownPath);
    let reference = '';
    const source = new ImageSource({
      docker,
      spool,
      known,
      signal: options.signal,
      onNote: (text) => options.onEvent?.({ type: 'note', reference, text }),
    });
    const result = await work({
      options,
      source: (name) => {
        reference = name;
        return source;
      },
    });
    await known.save();
    return result;
  } finally {
    await spool.remove();
  }
}

/** One image on its way to its machines. */
class ImagePush {
  readonly #image: SourceImage;
  readonly #reference: string;
  readonly #session: Session;
  readonly #sentBytes = new Map<string, number>();

  constructor(image: SourceImage, reference: string, session: Session) {
    this.#image = image;
    this.#reference = reference;
    this.#session = session;
  }

  async run(machines: readonly string[]): Promise<readonly PushResult[]> {
    const results = new Map<string, PushResult>();
    let left = machines;
    for (let attempt = 1; left.length > 0; attempt++) {
      const again: string[] = [];
      for (const result of await this.#attempt(left)) {
        // Somebody removed an image there since it was asked: what it lacks is others now.
        const isStale = result.error?.code === 'E_IMAGE_LAYERS_MISSING';
        if (isStale && attempt < maxLoadAttempts) again.push(result.machine);
        else {
          results.set(result.machine, result);
          this.#session.options.onEvent?.({ type: 'result', result });
        }
      }
      left = again;
    }
    return machines.flatMap((machine) => results.get(machine) ?? []);
  }

  async #attempt(machines: readonly string[]): Promise<readonly PushResult[]> {
    const { signal } = this.#session.options;
    const plans = await Promise.all(machines.map((machine) => this.#plan(machine)));
    signal?.throwIfAborted();
    const steps = plans.flatMap((plan) => ('step' in plan ? [plan.step] : []));
    let exported: ExportedImage | undefined;
    if (steps.some(({ type }) => type === 'load')) {
      exported = await fromEngine(() =>
        this.#session.source(this.#reference).export(this.#image, layersToExport(steps)),
      );
    }
    const results = await Promise.all(
      plans.map(async (plan) => ('step' in plan ? this.#carryOut(plan, exported) : plan.failed)),
    );
    signal?.throwIfAborted();
    return results;
  }

  async #plan(machine: string): Promise<Planned | { readonly failed: PushResult }> {
    const { socketPath, signal } = this.#session.options;
    const target = new ImageTarget({ socketPath, machine, signal });
    const { configDigest, platform, diffIds } = this.#image;
    try {
      const references = [this.#reference];
      const answer = await target.plan({ configDigest, platform, diffIds, references });
      return { machine, target, answer, step: planTarget(this.#image, answer) };
    } catch (error) {
      return { failed: this.#result(machine, 'failed', { error: tscError(error) }) };
    }
  }

  async #carryOut(
    { machine, target, answer, step }: Planned,
    exported: ExportedImage | undefined,
  ): Promise<PushResult> {
    const { configDigest } = this.#image;
    try {
      switch (step.type) {
        case 'nothing':
          return this.#result(machine, 'present');
        case 'tag':
          await target.tag({ configDigest, references: [this.#reference] });
          return this.#result(machine, 'tagged');
        case 'refuse':
          throw new TscError(step.code, step.why, {
            hint: 'build it for that platform, or leave the machine out with --machine',
          });
        case 'load':
          if (exported === undefined) throw new TypeError('nothing was exported for this load');
          await this.#load({ machine, target, answer, step }, { layers: step.layers, exported });
          return this.#result(machine, 'loaded', { sentLayerCount: step.layers.length });
      }
    } catch (error) {
      return this.#result(machine, 'failed', { error: tscError(error) });
    }
  }

  async #load(
    { machine, target, answer }: Planned,
    { layers, exported }: { readonly layers: readonly Digest[]; readonly exported: ExportedImage },
  ): Promise<void> {
    const { onEvent } = this.#session.options;
    const reference = this.#reference;
    const blobBytes = layers.reduce(
      (sum, diffId) => sum + (exported.layers.get(diffId)?.sizeBytes ?? 0),
      0,
    );
    const needed = spaceNeededBytes({ blobBytes, imageBytes: this.#image.imageBytes });
    if (answer.freeBytes !== null && answer.freeBytes < needed) {
      throw new TscError(
        'E_DISK_FULL',
        `${machine} has ${megabytes(answer.freeBytes)} free, the image needs ${megabytes(needed)}`,
        { hint: 'see `docker system df` there; nothing was sent' },
      );
    }
    onEvent?.({ type: 'sending', reference, machine, layerCount: layers.length, blobBytes });
    await target.load({
      image: this.#image,
      references: [reference],
      layers,
      exported,
      onSent: (bytes) => {
        const sentBytes = (this.#sentBytes.get(machine) ?? 0) + bytes;
        this.#sentBytes.set(machine, sentBytes);
        onEvent?.({ type: 'sent', reference, machine, sentBytes });
      },
    });
  }

  #result(
    machine: string,
    outcome: PushResult['outcome'],
    more: Pick<Partial<PushResult>, 'error' | 'sentLayerCount'> = {},
  ): PushResult {
    return {
      reference: this.#reference,
      machine,
      configDigest: this.#image.configDigest,
      outcome,
      sentBytes: this.#sentBytes.get(machine) ?? 0,
      sentLayerCount: 0,
      layerCount: this.#image.diffIds.length,
      ...more,
    };
  }
}

interface Planned {
  readonly machine: string;
  readonly target: ImageTarget;
  readonly answer: PlanAnswer;
  readonly step: TargetStep;
}

async function describeIfHere(
  reference: string,
  session: Session,
): Promise<SourceImage | undefined> {
  try {
    return await fromEngine(() => session.source(reference).describe(reference));
  } catch (error) {
    // A computer without Docker has no images of its own.
    if (error instanceof TscError && error.code === 'E_ENGINE_UNREACHABLE') return undefined;
    throw error;
  }
}

function requireReference(reference: string): string {
  const name = normalReference(reference);
  if (name !== undefined) return name;
  throw new TscError('E_IMAGE_REFERENCE', `"${reference}" is no name with a tag`, {
    hint: 'machines know images by name: give it one with `docker tag`',
  });
}

function notHere(reference: string): TscError {
  return new TscError('E_IMAGE_NOT_FOUND', `the Docker engine here has no image "${reference}"`, {
    hint: 'build or pull it first; DOCKER_HOST says which engine is asked',
  });
}

/** Calls of the client's own engine, whose absence is told as such. */
async function fromEngine<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const code: unknown = cause instanceof Error ? Reflect.get(cause, 'code') : undefined;
    if (['ENOENT', 'ECONNREFUSED', 'EACCES', 'ENOTFOUND'].includes(String(code))) {
      throw new TscError(
        'E_ENGINE_UNREACHABLE',
        `no Docker engine answers here (${String(code)})`,
        {
          hint: 'start Docker, or set DOCKER_HOST to the engine that has the image',
          cause,
        },
      );
    }
    const status: unknown = cause instanceof Error ? Reflect.get(cause, 'statusCode') : undefined;
    if (cause instanceof Error && typeof status === 'number') {
      throw new TscError('E_ENGINE', cause.message.trim(), { cause });
    }
    throw cause;
  }
}

/** Errors of one target are data; faults of ours are not. */
function tscError(error: unknown): TscError {
  if (error instanceof TscError) return error;
  throw error;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
