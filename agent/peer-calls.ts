/**
 * Calls of one agent to another over an RPC stream, as plain HTTP. A member that cannot be reached,
 * hangs or refuses is a TscError; what to do about it is the caller's business.
 */
import * as http from 'node:http';
import type { Duplex } from 'node:stream';
import { TscError } from '../src/lib/errors.ts';
import type { MachineId } from '../src/model/ids.ts';

export type ConnectRpc = (machine: MachineId) => Promise<Duplex>;

export interface PeerRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'HEAD';
  readonly path: string;
  readonly body?: Buffer;
  readonly timeoutMs: number;
}

export interface PeerAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/** 32 MiB: more than anything that members ask each other for as a whole. */
const maxAnswerBytes = 32 * 1024 * 1024;

/**
 * Sends a request to a member and reads the whole answer.
 * @throws TscError E_MACHINE_UNREACHABLE when nothing whole came back in time
 */
export async function askPeer(
  connectRpc: ConnectRpc,
  machine: MachineId,
  request: PeerRequest,
): Promise<PeerAnswer> {
  const stream = await connectRpc(machine);
  try {
    return await new Promise<PeerAnswer>((resolve, reject) => {
      const { method, path, body, timeoutMs } = request;
      const outgoing = http.request({
        createConnection: () => stream,
        method,
        path,
        headers: {
          host: 'tsc-compose',
          connection: 'close',
          ...(body === undefined ? {} : { 'content-length': body.length }),
        },
        signal: AbortSignal.timeout(timeoutMs),
      });
      outgoing.once('error', reject);
      outgoing.once('response', (answer) => {
        const chunks: Buffer[] = [];
        let sizeBytes = 0;
        answer.on('data', (chunk: Buffer) => {
          sizeBytes += chunk.length;
          if (sizeBytes > maxAnswerBytes) outgoing.destroy(new Error('the answer is too large'));
          else chunks.push(chunk);
        });
        answer.once('error', reject);
        answer.once('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks) }),
        );
      });
      outgoing.end(body);
    });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TscError('E_MACHINE_UNREACHABLE', `machine ${machine} did not answer: ${why}`, {
      cause,
    });
  } finally {
    stream.destroy();
  }
}

/**
 * Asks a member a question in JSON.
 * @throws TscError E_MACHINE_UNREACHABLE, also when the member does not know the question
 */
export async function askPeerJson(
  connectRpc: ConnectRpc,
  machine: MachineId,
  path: string,
  question: unknown,
  timeoutMs: number,
): Promise<unknown> {
  const body = Buffer.from(JSON.stringify(question));
  const answer = await askPeer(connectRpc, machine, { method: 'POST', path, body, timeoutMs });
  if (answer.status !== 200) {
    throw new TscError(
      'E_MACHINE_UNREACHABLE',
      `machine ${machine} refused ${path} (${answer.status})`,
    );
  }
  return JSON.parse(answer.body.toString('utf8'));
}
