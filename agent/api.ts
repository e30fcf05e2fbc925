/**
 * The agent's API: HTTP and WebSocket on a unix socket, and the same over RPC streams of other
 * members with a shorter list of routes. It decides nothing: it checks shapes, calls the part that
 * decides, and turns every error into an `ApiError`. It never sends a stack, never keeps a slow
 * watcher's old snapshots, and never takes the socket away from an agent that lives.
 */
import { chmod, lstat, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import * as http from 'node:http';
import * as net from 'node:net';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { TscError } from '../src/lib/errors.ts';
import type { ApiError } from '../src/model/api.ts';
import type { MachineId } from '../src/model/ids.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import { answerUpgradeError, forwardRequest, forwardUpgrade } from './api-forward.ts';
import type { Route, RouteComponents } from './api-routes.ts';
import { jsonRoutes, statusOf } from './api-routes.ts';
import { watchers } from './api-watch.ts';
import { metricsContentType } from './metrics.ts';

/** 16 MiB: a project with its secrets and configs; gossip carries less anyway. */
const maxBodyBytes = 16 * 1024 * 1024;

/** 256 KiB: dockerode repeats small bodies in the address, which an engine accepts. */
const maxHeaderSize = 256 * 1024;

/** Serves one Docker call for this machine's engine; `path` begins after ".../docker". */
export interface LocalDocker {
  request(request: http.IncomingMessage, response: http.ServerResponse, path: string): void;
  upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer, path: string): void;
}

export interface ApiComponents extends RouteComponents {
  readonly localDocker: LocalDocker;
  /** Serves a push to this machine (agent/images.ts); `path` begins after ".../images". */
  readonly localImages?: (
    request: http.IncomingMessage,
    response: http.ServerResponse,
    path: string,
  ) => Promise<void>;
  /** Serves copies of bind-mounted files (agent/copies.ts); `path` begins after ".../copies". */
  readonly localCopies?: (
    request: http.IncomingMessage,
    response: http.ServerResponse,
    path: string,
  ) => Promise<void>;
  /** What `GET /metrics` answers (agent/metrics.ts). */
  readonly metrics: () => string;
  /** Opens an RPC stream to another member. */
  readonly connectRpc: (machine: MachineId) => Promise<Duplex>;
  /** What watchers are told of a change: as of the last evaluation. */
  readonly evaluated: () => Snapshot;
  /** Called after anything that a snapshot shows has changed; returns what ends the calls. */
  readonly subscribe: (listener: () => void) => () => void;
  /** Faults of ours that a request met: logged by the agent, never shown to the client. */
  readonly reportFault: (error: unknown) => void;
}

/** A call of `/v1/machines/<machine>/…`; `machine` is undefined for this one. */
interface Target {
  readonly part: 'docker' | 'images' | 'copies' | 'links';
  readonly machine: MachineId | undefined;
  readonly rest: string;
}

export interface ApiOptions {
  readonly socketPath: string;
}

export class ApiServer {
  readonly #components: ApiComponents;
  readonly #socketPath: string;
  readonly #routes: readonly Route[];
  readonly #server: http.Server;
  readonly #peerServer: http.Server;
  readonly #watchers: ReturnType<typeof watchers>;
  readonly #sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  #isListening = false;

  constructor(components: ApiComponents, options: ApiOptions) {
    this.#components = components;
    this.#socketPath = options.socketPath;
    this.#routes = jsonRoutes(components);
    this.#watchers = watchers(components);
    this.#server = this.#makeServer(false);
    this.#peerServer = this.#makeServer(true);
  }

  /**
   * Listens on the unix socket (mode 0660). A socket left by a dead agent is replaced.
   * @throws TscError E_AGENT_RUNNING when another agent answers there
   */
  async start(): Promise<void> {
    const folder = dirname(this.#socketPath);
    await mkdir(folder, { recursive: true });
    await refuseIfAlive(this.#socketPath);
    // Made in a folder of our own and moved in place when its mode is set: it is never open to
    // all, not for a moment, and a dead predecessor's socket is replaced in one step.
    const hidden = await mkdtemp(join(folder, '.new-'));
    try {
      const path = join(hidden, 's');
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(path, () => {
          this.#server.off('error', reject);
          resolve();
        });
      });
      await chmod(path, 0o660);
      await rename(path, this.#socketPath);
      this.#isListening = true;
    } finally {
      await rm(hidden, { recursive: true });
    }
  }

  async stop(): Promise<void> {
    this.#watchers.stop();
    for (const socket of this.#sockets.clients) socket.terminate();
    const isClosed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    this.#peerServer.closeAllConnections();
    await isClosed;
    if (this.#isListening) await rm(this.#socketPath, { force: true });
    this.#isListening = false;
  }

  /** Serves another member's RPC stream; only the routes for peers are open on it. */
  servePeer(stream: Duplex): void {
    stream.on('error', () => stream.destroy());
    this.#peerServer.emit('connection', stream);
  }

  #makeServer(isPeer: boolean): http.Server {
    const server = http.createServer({ maxHeaderSize }, (request, response) => {
      void this.#handle(request, response, isPeer);
    });
    // Uploads of images and followed logs last as long as they last.
    server.requestTimeout = 0;
    server.on('upgrade', (request, socket, head) => {
      socket.on('error', () => socket.destroy());
      try {
        this.#upgrade(request, socket, head, isPeer);
      } catch (error) {
        const answer = this.#errorOf(error);
        answerUpgradeError(socket, statusOf(answer.code), answer);
      }
    });
    server.on('clientError', (_error, socket) => socket.destroy());
    return server;
  }

  async #handle(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    isPeer: boolean,
  ): Promise<void> {
    try {
      const { path, target } = this.#locate(request, isPeer);
      if (path === '/metrics' && !isPeer) return sendMetrics(response, this.#components.metrics());
      if (target !== undefined) {
        const { machine } = target;
        if (machine === undefined) await this.#serveHere(request, response, target);
        else await forwardRequest(request, response, () => this.#components.connectRpc(machine));
        return;
      }
      const route = this.#routes.find(
        (candidate) => candidate.method === request.method && candidate.pattern.test(path),
      );
      if (route === undefined) throw noRoute(request.method, path);
      if (isPeer && !route.isForPeers) throw notForPeers(path);
      const parameters = (route.pattern.exec(path) ?? []).slice(1).map(decode);
      const body = route.method === 'POST' ? await readJson(request) : undefined;
      const aborter = new AbortController();
      response.once('close', () => aborter.abort());
      send(response, 200, await route.handle({ parameters, body, signal: aborter.signal }));
    } catch (error) {
      const answer = this.#errorOf(error);
      if (response.headersSent) response.destroy();
      else send(response, statusOf(answer.code), answer);
    }
  }

  #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer, isPeer: boolean): void {
    const { path, target } = this.#locate(request, isPeer);
    if (target?.part === 'docker') {
      const { machine, rest } = target;
      if (machine === undefined) {
        this.#components.localDocker.upgrade(request, socket, head, rest);
      } else {
        forwardUpgrade({ request, socket, head }, () => this.#components.connectRpc(machine));
      }
      return;
    }
    if (path !== '/v1/watch') throw noRoute('WebSocket', path);
    if (isPeer) throw notForPeers(path);
    // A machine without a cluster has nothing to watch: said as an answer, not as a closed socket.
    this.#components.snapshot();
    this.#sockets.handleUpgrade(request, socket, head, (client) => this.#watchers.add(client));
  }

  async #serveHere(
    request: http.IncomingMessage,
    response: http.ServerResponse,
    { part, rest }: Target,
  ): Promise<void> {
    const { localDocker, localImages, localCopies, gossipStatus } = this.#components;
    if (part === 'links') send(response, 200, gossipStatus());
    else if (part === 'docker') localDocker.request(request, response, rest);
    else if (part === 'copies' && localCopies !== undefined)
      await localCopies(request, response, rest);
    else if (part === 'copies' || localImages === undefined)
      throw noRoute(request.method, request.url ?? '/');
    else await localImages(request, response, rest);
  }

  /** Finds out what a request asks for, and of which machine. */
  #locate(
    request: http.IncomingMessage,
    isPeer: boolean,
  ): { readonly path: string; readonly target: Target | undefined } {
    const url = request.url ?? '/';
    const path = url.split('?', 1)[0] ?? '/';
    const match = /^\/v1\/machines\/([^/?]+)\/(docker|images|copies|links)(\/.*)$/.exec(url);
    if (match === null) return { path, target: undefined };
    // The pattern lets nothing else through.
    const part = match[2] as Target['part'];
    const wanted = decode(match[1] ?? '');
    const rest = match[3] ?? '/';
    const { self, machines } = this.#components.snapshot();
    const machine =
      machines.find(({ id }) => id === wanted) ?? machines.find(({ name }) => name === wanted);
    if (wanted === self || machine?.id === self) {
      return { path, target: { part, machine: undefined, rest } };
    }
    if (isPeer) throw notForPeers(path);
    if (machine === undefined) {
      throw new TscError('E_MACHINE_UNKNOWN', `no machine of this cluster is called "${wanted}"`, {
        hint: 'list them with `tsc-compose machine ls`',
      });
    }
    return { path, target: { part, machine: machine.id, rest } };
  }

  #errorOf(error: unknown): ApiError {
    if (error instanceof TscError) {
      return {
        code: error.code,
        message: error.message,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        ...(error.where === undefined ? {} : { where: error.where }),
      };
    }
    this.#components.reportFault(error);
    return {
      code: 'E_INTERNAL',
      message: 'the agent failed on this request',
      hint: 'its log says more',
    };
  }
}

/** Nobody's socket, or a dead predecessor's, may be replaced. */
async function refuseIfAlive(socketPath: string): Promise<void> {
  const code = await new Promise<string>((resolve) => {
    const probe = net.connect(socketPath);
    probe.once('connect', () => {
      probe.destroy();
      resolve('ALIVE');
    });
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'UNKNOWN'));
  });
  if (code === 'ALIVE') {
    throw new TscError('E_AGENT_RUNNING', `another agent already answers at ${socketPath}`);
  }
  if (code === 'ENOENT') return;
  // A plain file refuses connections as well as a dead socket does.
  if (code === 'ECONNREFUSED' && (await lstat(socketPath)).isSocket()) return;
  throw new TscError('E_AGENT_SOCKET', `${socketPath} cannot be used as the socket (${code})`, {
    hint: 'it must be a path that holds nothing, or a socket of an earlier agent',
  });
}

async function readJson(request: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request) {
    // A request without an encoding yields buffers.
    const bytes = chunk as Buffer;
    sizeBytes += bytes.length;
    if (sizeBytes > maxBodyBytes) {
      throw new TscError('E_REQUEST_TOO_LARGE', 'the request is larger than 16 MiB', {
        hint: 'secrets and configs travel with it: are they that large?',
      });
    }
    chunks.push(bytes);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8') || '{}');
  } catch (cause) {
    throw new TscError('E_REQUEST_SYNTAX', 'the body of the request is not JSON', { cause });
  }
}

function send(response: http.ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value ?? null);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    // An answer sent before the body was read to its end must not leave the rest in the pipe.
    ...(status >= 400 ? { connection: 'close' } : {}),
  });
  response.end(text);
}

function sendMetrics(response: http.ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': metricsContentType });
  response.end(text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new TscError('E_REQUEST_INVALID', `"${text}" is not a valid part of a path`, { cause });
  }
}

function noRoute(method: string | undefined, path: string): TscError {
  return new TscError('E_ROUTE_NOT_FOUND', `the agent has nothing at ${method} ${path}`, {
    hint: 'are the command and the agent of the same version?',
  });
}

function notForPeers(path: string): TscError {
  return new TscError('E_REQUEST_FORBIDDEN', `${path} is not open to other machines`);
}
