/**
 * Images of this machine, for clients that push: answers what is here, loads what is missing, and
 * tags what it has verified. One image is worked on once at a time. It never tags before the engine
 * holds the image with the right config digest and layers, never removes an image that was here
 * before, and never pulls.
 *
 * Routes, below `/v1/machines/<this>/images`: POST /plan, POST /load, POST /tag
 * (src/images/protocol.ts).
 */
import type * as http from 'node:http';
import type { Readable } from 'node:stream';
import { createZstdDecompress } from 'node:zlib';
import Docker from 'dockerode';
import type { Digest } from '../src/images/digest.ts';
import { type Inventory, presentLayers } from '../src/images/inventory.ts';
import {
  type ImageAnswer,
  type ImageIdentity,
  type PlanAnswer,
  type PlanRequest,
  readPlanRequest,
  readTagRequest,
  type TagRequest,
} from '../src/images/protocol.ts';
import { parseReference } from '../src/images/reference.ts';
import { TscError } from '../src/lib/errors.ts';
import type { ApiError } from '../src/model/api.ts';
import { statusOf } from './api-routes.ts';
import { engineError, statusOfCause } from './engine-errors.ts';
import { freeBytes } from './images-content.ts';
import { InventoryReader, storeFacts } from './images-inventory.ts';
import { loadImage } from './images-load.ts';
import type { Log } from './log.ts';

/** 1 MiB: the largest request that is JSON names 127 layers. */
const maxJsonBytes = 1024 * 1024;

export interface ImagesOptions {
  readonly socketPath: string;
  readonly log: Log;
}

export class Images {
  readonly #docker: Docker;
  readonly #socketPath: string;
  readonly #log: Log;
  readonly #inventories: InventoryReader;
  /** Config digest to the work that is under way for it. */
  readonly #busy = new Map<Digest, Promise<unknown>>();

  constructor({ socketPath, log }: ImagesOptions) {
    this.#docker = new Docker({ socketPath });
    this.#socketPath = socketPath;
    this.#log = log.part('images');
    this.#inventories = new InventoryReader(this.#docker);
  }

  /**
   * Serves one request; every error becomes its answer.
   * @param path what follows `/v1/machines/<this>/images`
   */
  async handleImageRequest(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    path: string,
  ): Promise<void> {
    try {
      send(response, 200, await this.#answer(request, path));
    } catch (error) {
      const answer = this.#errorOf(error);
      refuse(request, response, answer);
    }
  }

  /** What the image needs to be here under its names. */
  async plan(request: PlanRequest): Promise<PlanAnswer> {
    return this.#engineCall('look for images', async () => {
      const facts = await storeFacts(this.#docker);
      const [inventory, version, free] = await Promise.all([
        this.#inventories.read(facts),
        this.#docker.version(),
        freeBytes(facts.root),
      ]);
      const { configDigest, diffIds, references } = request;
      return {
        store: facts.store,
        platform: `${version.Os}/${version.Arch}`,
        isComplete: inventory.images.has(configDigest),
        isTagged: references.every((one) => inventory.tags.get(one)?.includes(configDigest)),
        present: presentLayers(inventory, diffIds),
        freeBytes: free,
      };
    });
  }

  /** Names an image that is here. */
  async tag({ configDigest, references }: TagRequest): Promise<ImageAnswer> {
    const inventory = await this.#inventory();
    const engineId = inventory.images.get(configDigest);
    if (engineId === undefined) {
      throw new TscError('E_IMAGE_NOT_FOUND', `${configDigest} is not on this machine (any more)`);
    }
    await this.#tagAll(engineId, references);
    return { configDigest, engineId };
  }

  /**
   * Takes in an image of which only the missing layers come.
   * @param body the tar of the protocol, decompressed
   */
  async load(body: Readable): Promise<ImageAnswer> {
    let hadBefore = false;
    let release = (): void => undefined;
    let identity: ImageIdentity | undefined;
    try {
      const loaded = await loadImage(body, {
        socketPath: this.#socketPath,
        cleanUp: async (manifestDigest) => {
          if (!hadBefore) await this.#removeUntagged(manifestDigest);
        },
        begin: async (header) => {
          identity = header;
          release = await this.#claim(header.configDigest);
          const inventory = await this.#inventory();
          hadBefore = inventory.images.has(header.configDigest);
          return inventory;
        },
      });
      const { header, manifestDigest } = loaded;
      const { store } = await storeFacts(this.#docker);
      const engineId = store === 'classic' ? header.configDigest : manifestDigest;
      try {
        await this.#verify(engineId, header);
        await this.#tagAll(engineId, header.references);
      } catch (error) {
        if (!hadBefore) await this.#removeUntagged(engineId);
        throw error;
      }
      this.#log.info('image loaded', {
        references: header.references.join(','),
        config: header.configDigest,
        layers: header.diffIds.length,
        sent: header.layers.length,
      });
      return { configDigest: header.configDigest, engineId };
    } catch (error) {
      this.#log.warn('image not loaded', { config: identity?.configDigest ?? '', error });
      throw error;
    } finally {
      release();
    }
  }

  async #answer(request: http.IncomingMessage, path: string): Promise<unknown> {
    const route = `${request.method ?? 'GET'} ${path.split('?', 1)[0] ?? ''}`;
    switch (route) {
      case 'POST /plan':
        return this.plan(readPlanRequest(await readJson(request)));
      case 'POST /tag':
        return this.tag(readTagRequest(await readJson(request)));
      case 'POST /load': {
        const body = decoded(request);
        try {
          return await this.load(body);
        } finally {
          if (body !== request) body.destroy();
        }
      }
      default:
        throw new TscError('E_ROUTE_NOT_FOUND', `the agent has no image request "${route}"`, {
          hint: 'are the command and the agent of the same version?',
        });
    }
  }

  async #inventory(): Promise<Inventory> {
    return this.#engineCall('look for images', async () =>
      this.#inventories.read(await storeFacts(this.#docker)),
    );
  }

  /** Waits until nobody else works on the image. @returns what lets the next one in */
  async #claim(configDigest: Digest): Promise<() => void> {
    while (this.#busy.has(configDigest)) await this.#busy.get(configDigest);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#busy.set(configDigest, promise);
    return () => {
      this.#busy.delete(configDigest);
      resolve(undefined);
    };
  }

  /** The engine must now hold exactly this image. */
  async #verify(engineId: string, { configDigest, diffIds }: ImageIdentity): Promise<void> {
    const found = await this.#engineCall(`look at ${configDigest}`, () =>
      this.#docker.getImage(engineId).inspect(),
    );
    const layers = found.RootFS.Layers ?? [];
    if (found.Id !== engineId || layers.join() !== diffIds.join()) {
      throw new TscError('E_IMAGE_DIFFERS', `the engine made another image of ${configDigest}`, {
        hint: 'nothing was tagged; this is a fault of tsc-compose or of the engine',
      });
    }
  }

  async #tagAll(engineId: string, references: readonly string[]): Promise<void> {
    for (const reference of references) {
      const parsed = parseReference(reference);
      if (parsed === undefined) continue;
      await this.#engineCall(`tag ${reference}`, () =>
        this.#docker.getImage(engineId).tag({ repo: parsed.repository, tag: parsed.tag }),
      );
    }
  }

  /** Takes back what a load that failed has left; without force, so that a name protects it. */
  async #removeUntagged(engineId: string): Promise<void> {
    try {
      await this.#docker.getImage(engineId).remove();
    } catch (cause) {
      if (statusOfCause(cause) === 404) return;
      this.#log.warn('a broken image could not be removed', { engineId, error: cause });
    }
  }

  async #engineCall<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw engineError(cause, what);
    }
  }

  #errorOf(error: unknown): ApiError {
    if (error instanceof TscError) {
      const { code, message, hint } = error;
      return { code, message, ...(hint === undefined ? {} : { hint }) };
    }
    this.#log.error('a fault of ours', { error });
    return {
      code: 'E_INTERNAL',
      message: 'the agent failed on this request',
      hint: 'its log says more',
    };
  }
}

function decoded(request: http.IncomingMessage): Readable {
  const encoding = request.headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return request;
  if (encoding !== 'zstd') {
    throw new TscError('E_REQUEST_INVALID', `the encoding "${encoding}" is not known`);
  }
  const plain = createZstdDecompress();
  // A body that breaks off must end what is read from it, too.
  request.once('error', (error) => plain.destroy(error));
  return request.pipe(plain);
}

async function readJson(request: http.IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > maxJsonBytes) {
      throw new TscError('E_REQUEST_TOO_LARGE', 'the request is larger than 1 MiB');
    }
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new TscError('E_REQUEST_SYNTAX', 'the body of the request is not JSON', { cause });
  }
}

function send(response: http.ServerResponse, status: number, value: unknown): void {
  if (response.destroyed || response.headersSent) return;
  const text = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/**
 * Answers a request that may still be on its way. The answer is whole at once; but the connection
 * must not close before the client has read it and stopped, or it would see only a broken pipe.
 */
function refuse(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  error: ApiError,
): void {
  if (response.destroyed || response.headersSent) return;
  const text = JSON.stringify(error);
  response.writeHead(statusOf(error.code), {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    connection: 'close',
  });
  response.write(text);
  request.unpipe();
  request.once('close', () => response.end());
  request.resume();
  if (request.readableEnded || request.destroyed) response.end();
}
