/**
 * This machine's Docker API behind the agent's own: `/v1/machines/<machine>/docker/…`. Calls go to
 * the engine's socket as they came, byte for byte, so logs, exec, stats and image load are plain
 * dockerode calls wherever a container is. It reads no body, changes nothing but the path, and
 * decides nothing about who may call: the API's socket does.
 */
import * as http from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ApiError } from '../src/model/api.ts';
import { answerUpgradeError, joinStreams } from './api-forward.ts';
import { engineError } from './engine-errors.ts';

/** Headers that belong to one connection and are set anew on the next. */
const perConnection = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade']);

/**
 * Sends a plain call to the engine and its answer back; `path` begins after ".../docker".
 * Followed logs and events end on the engine when the client goes away.
 */
export function proxyDocker(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  socketPath: string,
  path: string,
): void {
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name]) => !perConnection.has(name)),
  );
  const outgoing = http.request({ socketPath, method: request.method, path, headers });
  response.once('close', () => outgoing.destroy());
  outgoing.once('error', (cause) => answerError(response, cause));
  outgoing.once('response', (answer) => {
    const kept = answer.rawHeaders.filter((_, index, all) => {
      const name = all[index - (index % 2)]?.toLowerCase() ?? '';
      return !perConnection.has(name) && name !== 'transfer-encoding';
    });
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, kept);
    // The first byte of followed logs may be hours away; that there is an answer is news already.
    response.flushHeaders();
    pipeline(answer, response).catch(() => response.destroy());
  });
  // The engine may answer, and refuse, before it has read the whole body.
  pipeline(request, outgoing).catch(() => undefined);
}

/** A call that takes over the connection (exec, attach): both directions as they come. */
export function proxyDockerUpgrade(
  request: http.IncomingMessage,
  socket: Duplex,
  head: Buffer,
  target: { readonly socketPath: string; readonly path: string },
): void {
  // The client may want to say the end of its input and still read the answer.
  const engine = connect({ path: target.socketPath, allowHalfOpen: true });
  engine.once('connect', () => {
    engine.write(requestHead(request, target.path));
    if (head.length > 0) engine.write(head);
    engine.off('error', refuse);
    joinStreams(socket, engine);
  });
  function refuse(cause: Error): void {
    answerUpgradeError(socket, 502, apiErrorOf(cause));
  }
  engine.once('error', refuse);
}

/** The request line with the engine's path, and the headers as they came. */
function requestHead(request: http.IncomingMessage, path: string): string {
  const lines = [`${request.method ?? 'GET'} ${path} HTTP/1.1`];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    lines.push(`${request.rawHeaders[index]}: ${request.rawHeaders[index + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function answerError(response: http.ServerResponse, cause: Error): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { code, message } = apiErrorOf(cause);
  response.writeHead(502, { 'content-type': 'application/json' });
  // `message` is what Docker's own clients look for, `code` is for ours.
  response.end(JSON.stringify({ code, message }));
}

function apiErrorOf(cause: Error): ApiError {
  const { code, message, hint } = engineError(cause, 'forward a call');
  return { code, message, ...(hint === undefined ? {} : { hint }) };
}
