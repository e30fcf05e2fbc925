/**
 * Hands a request on to another member over an RPC stream, byte for byte: plain calls as HTTP,
 * upgraded ones (exec, attach) as raw streams in both directions. It reads no body and knows
 * nothing of Docker. A member that cannot be reached becomes E_MACHINE_UNREACHABLE.
 */
import * as http from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TscError } from '../src/lib/errors.ts';
import type { ApiError } from '../src/model/api.ts';

/** Headers that belong to one connection and are set anew on the next. */
const perConnection = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade']);

/**
 * Sends the request over a new stream and the answer back.
 * @throws TscError E_MACHINE_UNREACHABLE before anything was answered
 */
export async function forwardRequest(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  connect: () => Promise<Duplex>,
): Promise<void> {
  const stream = await open(connect);
  const outgoing = http.request({
    createConnection: () => stream,
    method: request.method,
    path: request.url,
    headers: {
      ...Object.fromEntries(
        Object.entries(request.headers).filter(([name]) => !perConnection.has(name)),
      ),
      connection: 'close',
    },
  });
  // The client's going away ends the call on the other machine as well: followed logs stop.
  response.once('close', () => outgoing.destroy());
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', (cause) => reject(unreachable(cause)));
  });
  // An engine may answer before it has read the whole body; the rest is then of no interest.
  pipeline(request, outgoing).catch(() => outgoing.destroy());
  const answer = await answered;
  outgoing.on('error', () => response.destroy());
  const headers = answer.rawHeaders.filter((_, index, all) => {
    const name = all[index - (index % 2)]?.toLowerCase() ?? '';
    return !perConnection.has(name) && name !== 'transfer-encoding';
  });
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers);
  response.flushHeaders();
  await pipeline(answer, response).catch(() => response.destroy());
}

export interface Upgrade {
  readonly request: http.IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** Joins an upgraded connection with a new stream to the other machine. */
export function forwardUpgrade(upgrade: Upgrade, connect: () => Promise<Duplex>): void {
  const { request, socket, head } = upgrade;
  open(connect).then(
    (stream) => {
      stream.write(requestHead(request));
      if (head.length > 0) stream.write(head);
      joinStreams(socket, stream);
    },
    (error: unknown) => {
      const { code, message, hint } = error instanceof TscError ? error : unreachable(error);
      answerUpgradeError(socket, 502, { code, message, ...(hint === undefined ? {} : { hint }) });
    },
  );
}

/** Pipes two streams into each other; the end of one half stays a half end. */
export function joinStreams(a: Duplex, b: Duplex): void {
  a.on('error', () => b.destroy());
  b.on('error', () => a.destroy());
  a.once('close', () => b.destroy());
  // What was read from b is still written to a before a is closed.
  b.once('close', () => a.end());
  a.pipe(b);
  b.pipe(a);
}

/** Answers an upgrade that is refused, as an ordinary HTTP error. */
export function answerUpgradeError(socket: Duplex, status: number, error: ApiError): void {
  const text = JSON.stringify(error);
  socket.end(
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? 'Error'}\r\n` +
      'content-type: application/json\r\nconnection: close\r\n' +
      `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
}

/** The request line and headers as they came. */
function requestHead(request: http.IncomingMessage): string {
  const lines = [`${request.method ?? 'GET'} ${request.url ?? '/'} HTTP/1.1`];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    lines.push(`${request.rawHeaders[index]}: ${request.rawHeaders[index + 1]}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

async function open(connect: () => Promise<Duplex>): Promise<Duplex> {
  try {
    return await connect();
  } catch (cause) {
    throw cause instanceof TscError ? cause : unreachable(cause);
  }
}

function unreachable(cause: unknown): TscError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new TscError('E_MACHINE_UNREACHABLE', `the other machine does not answer: ${why}`, {
    hint: 'see `tsc-compose machine ls`',
    cause,
  });
}
