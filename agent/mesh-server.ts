/**
 * The one port of this agent inside the mesh: WebSockets for gossip and RPC, each opened by the
 * handshake, and a plain POST for machines that want to join. Bound to the mesh address only.
 * Must never hand a connection on whose peer has not proved to be a member.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { TscError } from '../src/lib/errors.ts';
import type { MachineId } from '../src/model/ids.ts';
import { type HelloComponents, type MeshPath, shakeHands } from './hello.ts';
import { asDuplex, handshakeTimeoutMs, socketOptions } from './mesh-socket.ts';
import type { AgentReplica } from './replica.ts';

/** 64 KiB: a join request holds keys and a few facts. */
const maxJoinBytes = 64 << 10;
/** 64 handshakes at once: more than a cluster's machines that start together dial one of us. */
const maxHandshakeCount = 64;

export interface MeshServerComponents extends Omit<HelloComponents, 'members'> {
  readonly replica: AgentReplica;
  /** A member opened an RPC connection: `httpServer.emit('connection', duplex)`. */
  readonly onRpc: (duplex: Duplex, peer: MachineId) => void;
  /** Answers a join request (JSON in, JSON out); a TscError becomes an ApiError. */
  readonly onJoin: (body: unknown, remoteAddress: string) => Promise<unknown>;
  readonly report: (text: string) => void;
}

export interface MeshServerOptions {
  readonly host: string;
  readonly port: number;
}

export class MeshServer {
  readonly #components: MeshServerComponents;
  readonly #options: MeshServerOptions;
  readonly #server: Server;
  readonly #sockets = new WebSocketServer({ ...socketOptions, noServer: true });
  #handshakeCount = 0;

  constructor(components: MeshServerComponents, options: MeshServerOptions) {
    this.#components = components;
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (request, response) => {
      void this.#request(request, response);
    });
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#upgrade(request, socket, head),
    );
  }

  /**
   * Listens.
   * @returns the port (chosen by the system when the option is 0)
   * @throws TscError E_MESH_LISTEN
   */
  start(): Promise<number> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', (cause) => {
        reject(new TscError('E_MESH_LISTEN', `cannot listen on [${host}]:${port}`, { cause }));
      });
      this.#server.listen({ host, port }, () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
  }

  /** Stops listening and ends all connections that came in. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // A connection that breaks before it is a WebSocket concerns nobody.
    const onError = (): void => {
      socket.destroy();
    };
    socket.on('error', onError);
    const path = readPath(request.url);
    if (path === undefined || this.#handshakeCount >= maxHandshakeCount) {
      socket.end(`HTTP/1.1 ${path === undefined ? '404 Not Found' : '503 Busy'}\r\n\r\n`);
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      socket.off('error', onError);
      const { replica, onRpc, signer, verify, report } = this.#components;
      webSocket.on('error', (error) => report(`connection from a peer: ${error.message}`));
      this.#handshakeCount++;
      const components = { signer, verify, members: replica };
      const options = { path, expected: undefined, timeoutMs: handshakeTimeoutMs };
      shakeHands(webSocket, components, options, (result) => {
        this.#handshakeCount--;
        if (!result.isUp) {
          const from = request.socket.remoteAddress ?? 'somewhere';
          if (result.code !== 'closed') report(`refused ${path} from ${from}: ${result.code}`);
        } else if (path === '/gossip') {
          replica.adopt(webSocket, result.peer, false);
        } else {
          onRpc(asDuplex(webSocket), result.peer);
        }
      });
    });
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'POST' || request.url !== '/join') {
      return answer(response, 404, { code: 'E_NOT_FOUND', message: 'nothing here' });
    }
    try {
      const body = await readJson(request);
      const remoteAddress = request.socket.remoteAddress ?? '';
      answer(response, 200, await this.#components.onJoin(body, remoteAddress));
    } catch (error) {
      if (error instanceof TscError) {
        const { code, message, hint } = error;
        return answer(
          response,
          400,
          hint === undefined ? { code, message } : { code, message, hint },
        );
      }
      this.#components.report(`join failed: ${String(error)}`);
      answer(response, 500, { code: 'E_INTERNAL', message: 'the agent failed; see its log' });
    }
  }
}

function readPath(url: string | undefined): MeshPath | undefined {
  return url === '/gossip' || url === '/rpc' ? url : undefined;
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  // A request's chunks are Buffers as long as no encoding is set.
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxJoinBytes) throw new TscError('E_JOIN_REQUEST', 'the request is too large');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch (cause) {
    throw new TscError('E_JOIN_REQUEST', 'the request is not JSON', { cause });
  }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
