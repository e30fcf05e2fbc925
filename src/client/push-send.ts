/**
 * The agent's image requests (src/images/protocol.ts) for one machine, through any agent. A load is
 * streamed from the spool; an agent that refuses in the middle is heard, and the rest is not sent.
 */
import { createReadStream } from 'node:fs';
import * as http from 'node:http';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { type Pack, pack } from 'tar-stream';
import type { Digest } from '../images/digest.ts';
import {
  configEntry,
  headerEntry,
  type ImageAnswer,
  type ImageIdentity,
  type LoadHeader,
  layerEntry,
  type PlanAnswer,
  type PlanRequest,
  type TagRequest,
} from '../images/protocol.ts';
import { writeEntry } from '../images/tar.ts';
import { planTimeoutMs } from './limits-push.ts';
import type { ExportedImage } from './push-source.ts';
import { readAnswer, requestJson, unreachable } from './request.ts';

export interface TargetOptions {
  readonly socketPath: string;
  /** Name or id of the machine. */
  readonly machine: string;
  readonly signal?: AbortSignal | undefined;
}

export interface LoadOptions {
  readonly image: ImageIdentity;
  readonly references: readonly string[];
  readonly layers: readonly Digest[];
  readonly exported: ExportedImage;
  /** Told of every piece that left for the machine. */
  readonly onSent: (bytes: number) => void;
}

export class ImageTarget {
  readonly #options: TargetOptions;

  constructor(options: TargetOptions) {
    this.#options = options;
  }

  // Answers of an agent are not validated again: it speaks the version of the API that we do.
  async plan(request: PlanRequest): Promise<PlanAnswer> {
    return (await this.#post('plan', request)) as PlanAnswer;
  }

  async tag(request: TagRequest): Promise<ImageAnswer> {
    return (await this.#post('tag', request)) as ImageAnswer;
  }

  /** Sends what is missing and waits until the machine has checked, loaded and tagged it. */
  async load(options: LoadOptions): Promise<ImageAnswer> {
    const { socketPath, signal } = this.#options;
    const tar = pack();
    // Layers from `docker save` are plain tars; what a registry push gave is compressed already.
    const isPlain = [...sentBlobs(options)].some(({ compression }) => compression === 'none');
    const outgoing = http.request({
      socketPath,
      method: 'POST',
      path: this.#path('load'),
      agent: false,
      headers: {
        host: 'tsc-compose',
        // Else an agent that refuses early would close as soon as it has answered, and what is
        // still being written would break before the answer is read.
        connection: 'keep-alive',
        'content-type': 'application/x-tar',
        ...(isPlain ? { 'content-encoding': 'zstd' } : {}),
      },
      ...(signal === undefined ? {} : { signal }),
    });
    const answered = new Promise<unknown>((resolve, reject) => {
      let isAnswering = false;
      outgoing.on('error', (cause) => {
        // Once an answer comes, what breaks is only the rest of the body, which nobody wants.
        if (!isAnswering) reject(signal?.aborted ? cause : unreachable(socketPath, cause));
      });
      outgoing.once('response', (response) => {
        isAnswering = true;
        readResponse(response).then(resolve, reject);
      });
    });
    const counter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        options.onSent(chunk.length);
        done(null, chunk);
      },
    });
    const sending = Promise.all([
      writeBody(tar, options),
      isPlain ? pipeline(tar, zstd(), counter, outgoing) : pipeline(tar, counter, outgoing),
    ]);
    // The agent's answer decides; a sender that breaks only ends the request.
    sending.catch((cause: unknown) => {
      outgoing.destroy(cause instanceof Error ? cause : new Error(String(cause)));
    });
    try {
      return (await answered) as ImageAnswer;
    } finally {
      tar.destroy();
      outgoing.destroy();
    }
  }

  #post(request: 'plan' | 'tag', body: unknown): Promise<unknown> {
    const { socketPath, signal } = this.#options;
    return requestJson({
      socketPath,
      method: 'POST',
      path: this.#path(request),
      body,
      timeoutMs: planTimeoutMs,
      signal,
    });
  }

  #path(request: string): string {
    return `/v1/machines/${encodeURIComponent(this.#options.machine)}/images/${request}`;
  }
}

function zstd() {
  // Level 1: three times as fast as a gigabit, and a third of the size of programs and libraries.
  return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } });
}

function* sentBlobs({ layers, exported }: LoadOptions) {
  for (const diffId of layers) {
    const blob = exported.layers.get(diffId);
    if (blob !== undefined) yield { ...blob, diffId };
  }
}

async function writeBody(tar: Pack, options: LoadOptions): Promise<void> {
  const { image, references, exported } = options;
  const { configDigest, platform, diffIds } = image;
  const blobs = [...sentBlobs(options)];
  const header: LoadHeader = {
    configDigest,
    platform,
    diffIds,
    references,
    configSizeBytes: exported.config.sizeBytes,
    layers: blobs.map(({ diffId, digest, sizeBytes, compression }) => ({
      diffId,
      blob: { digest, sizeBytes, compression },
    })),
  };
  await writeEntry(tar, headerEntry, JSON.stringify(header));
  await writeFile(tar, configEntry, exported.config);
  for (const blob of blobs) await writeFile(tar, layerEntry(blob.diffId), blob);
  tar.finalize();
}

async function writeFile(
  tar: Pack,
  name: string,
  { path, sizeBytes }: { readonly path: string; readonly sizeBytes: number },
): Promise<void> {
  // 1 MiB pieces: a tenth of the calls, and still little memory per target.
  const file = createReadStream(path, { highWaterMark: 1024 * 1024 });
  await pipeline(file, tar.entry({ name, size: sizeBytes }));
}

async function readResponse(response: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return readAnswer(response.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'));
}
