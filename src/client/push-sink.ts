/**
 * A write-only registry on 127.0.0.1, for one push of one image. The engine's API can hand out an
 * image only whole; but `docker push` asks a registry for each layer first, and does not even read
 * a layer that the registry says it has. So this one "has" whatever no target needs.
 *
 * It binds the loopback only, gives nothing back, lives as long as the push, and believes only what
 * hashes to its digest. The tag it takes a manifest for is random, so nobody else can name it.
 * Registry protocol: OCI distribution spec, the part for pushing.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { type Digest, digestFromHex, digestOf, isDigest } from '../images/digest.ts';
import { sinkPort } from './limits-push.ts';
import type { Spool } from './push-spool.ts';

/** Said of a blob before the engine reads it: its size if it need not come, else undefined. */
export type SkipBlob = (digest: Digest) => number | undefined;

const repository = 'tsc-push';

interface Upload {
  readonly path: string;
  readonly hash: ReturnType<typeof createHash>;
  sizeBytes: number;
}

export class PushSink {
  readonly #server: http.Server;
  readonly #spool: Spool;
  readonly #skip: SkipBlob;
  readonly #token = randomBytes(12).toString('hex');
  readonly #uploads = new Map<string, Upload>();
  #manifest: string | undefined;
  #requestCount = 0;

  private constructor(spool: Spool, skip: SkipBlob) {
    this.#spool = spool;
    this.#skip = skip;
    this.#server = http.createServer((request, response) => {
      this.#requestCount += 1;
      this.#handle(request, response).catch((error: unknown) => {
        // The engine reports it as the reason why its push failed.
        answer(response, 500, {}, errorBody(error instanceof Error ? error.message : 'failed'));
      });
    });
    // Engines try TLS first. An answer in plain HTTP tells them to go on without; the containerd
    // store takes a mere close for a failure.
    this.#server.on('clientError', (_error, socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n');
      else socket.destroy();
    });
  }

  static async open(spool: Spool, skip: SkipBlob): Promise<PushSink> {
    const sink = new PushSink(spool, skip);
    // Always the same port if it is free: engines remember what a registry has by its address.
    await listen(sink.#server, sinkPort).catch(() => listen(sink.#server, 0));
    return sink;
  }

  /** Where the engine is to push to. */
  get repository(): string {
    // A server that listens on TCP has an address of this kind.
    const { port } = this.#server.address() as AddressInfo;
    return `127.0.0.1:${port}/${repository}`;
  }

  /** The tag to push; nothing else is taken as the manifest. */
  get tag(): string {
    return this.#token;
  }

  /** Whether any request came: else the engine does not share our loopback. */
  get wasReached(): boolean {
    return this.#requestCount > 0;
  }

  /** The manifest that was pushed, as text; it names config and layers. */
  get manifest(): string | undefined {
    return this.#manifest;
  }

  async close(): Promise<void> {
    const isClosed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await isClosed;
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://sink');
    const { method = 'GET' } = request;
    if (url.pathname === '/v2/') return answer(response, 200, {}, '{}');
    const [, kind = '', rest = ''] =
      new RegExp(`^/v2/${repository}/(blobs/uploads|blobs|manifests)/(.*)$`).exec(url.pathname) ??
      [];
    if (kind === 'blobs' && method === 'HEAD') return this.#headBlob(response, rest);
    if (kind === 'blobs/uploads') return this.#upload(request, response, { url, id: rest });
    if (kind === 'manifests' && method === 'PUT') {
      return this.#putManifest(request, response, rest);
    }
    // Reading is not for anyone, and there never is an older manifest.
    request.resume();
    answer(response, 404, {}, errorBody('unknown'));
  }

  #headBlob(response: http.ServerResponse, digest: string): void {
    const size = isDigest(digest) ? this.#sizeOf(digest) : undefined;
    if (size === undefined) return answer(response, 404);
    // Engines copy this length into the manifest, so it must be the true one.
    answer(response, 200, { 'content-length': `${size}`, 'docker-content-digest': digest });
  }

  #sizeOf(digest: Digest): number | undefined {
    return this.#spool.get(digest)?.sizeBytes ?? this.#skip(digest);
  }

  async #upload(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    { url, id }: { readonly url: URL; readonly id: string },
  ): Promise<void> {
    if (request.method === 'POST') {
      request.resume();
      const mount = url.searchParams.get('mount');
      if (isDigest(mount) && this.#sizeOf(mount) !== undefined) return created(response, mount);
      const fresh = randomBytes(12).toString('hex');
      const path = this.#spool.newPath();
      this.#uploads.set(fresh, { path, hash: createHash('sha256'), sizeBytes: 0 });
      return this.#accepted(response, fresh, 0);
    }
    const upload = this.#uploads.get(id);
    if (upload === undefined) {
      request.resume();
      return answer(response, 404, {}, errorBody('unknown upload'));
    }
    await append(upload, request);
    if (request.method === 'PATCH') return this.#accepted(response, id, upload.sizeBytes);
    this.#uploads.delete(id);
    const wanted = url.searchParams.get('digest');
    const digest = digestFromHex(upload.hash.digest('hex'));
    if (wanted !== digest) return answer(response, 400, {}, errorBody('digest does not match'));
    await this.#spool.adopt(upload.path, digest);
    created(response, digest);
  }

  #accepted(response: http.ServerResponse, id: string, sizeBytes: number): void {
    answer(response, 202, {
      location: `/v2/${repository}/blobs/uploads/${id}`,
      range: `0-${Math.max(0, sizeBytes - 1)}`,
      'docker-upload-uuid': id,
    });
  }

  async #putManifest(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    reference: string,
  ): Promise<void> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const digest = digestOf(bytes);
    // A manifest of an index is pushed by digest, before the index: only one is asked for here.
    if (reference !== this.#token && reference !== digest) {
      return answer(response, 404, {}, errorBody('unknown'));
    }
    this.#manifest = bytes.toString('utf8');
    created(response, digest);
  }
}

async function append(upload: Upload, request: http.IncomingMessage): Promise<void> {
  const hashed = async function* () {
    for await (const chunk of request as AsyncIterable<Uint8Array>) {
      upload.hash.update(chunk);
      upload.sizeBytes += chunk.length;
      yield chunk;
    }
  };
  await pipeline(hashed, createWriteStream(upload.path, { flags: 'a', mode: 0o600 }));
}

function listen(server: http.Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1' }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function created(response: http.ServerResponse, digest: Digest): void {
  answer(response, 201, {
    location: `/v2/${repository}/blobs/${digest}`,
    'docker-content-digest': digest,
  });
}

function errorBody(message: string): string {
  return JSON.stringify({ errors: [{ code: 'UNKNOWN', message }] });
}

function answer(
  response: http.ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body = '',
): void {
  if (response.headersSent) return;
  response.writeHead(status, {
    'docker-distribution-api-version': 'registry/2.0',
    'content-length': `${Buffer.byteLength(body)}`,
    ...headers,
  });
  response.end(body);
}
