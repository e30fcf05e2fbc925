/**
 * Follows the agent's snapshots over a WebSocket. Each message is a whole snapshot, so nothing is
 * ever merged here and a lost connection loses nothing: after a reconnect the next one says it all.
 */
import * as net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import WebSocket from 'ws';
import { TscError } from '../lib/errors.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { maxAnswerBytes, reconnectPauseMs, reconnectWindowMs } from './limits.ts';
import { errorFromApi, unreachable } from './request.ts';

export interface WatchOptions {
  readonly socketPath: string;
  readonly signal: AbortSignal;
  /** How long an agent that was there may be away before the watch gives up. */
  readonly reconnectWindowMs?: number | undefined;
  /** Called when the connection breaks and when it is back, for a line on stderr. */
  readonly onConnection?: ((isConnected: boolean) => void) | undefined;
}

/**
 * Calls back with every snapshot until the signal fires.
 * @throws TscError E_AGENT_UNREACHABLE when the agent is not there, or stays away too long
 */
export async function watchSnapshots(
  onSnapshot: (snapshot: Snapshot) => void,
  options: WatchOptions,
): Promise<void> {
  const windowMs = options.reconnectWindowMs ?? reconnectWindowMs;
  let wasConnected = false;
  let lostAtMs = 0;
  while (!options.signal.aborted) {
    let isConnected = false;
    try {
      await watchOnce((snapshot) => {
        if (!isConnected) {
          isConnected = true;
          if (lostAtMs > 0) options.onConnection?.(true);
          wasConnected = true;
          lostAtMs = 0;
        }
        onSnapshot(snapshot);
      }, options);
    } catch (error) {
      const isGone = error instanceof TscError && error.code === 'E_AGENT_UNREACHABLE';
      if (!isGone || !wasConnected) throw error;
      const nowMs = performance.now();
      if (lostAtMs === 0) {
        lostAtMs = nowMs;
        options.onConnection?.(false);
      }
      if (nowMs - lostAtMs > windowMs) throw error;
      await pause(reconnectPauseMs);
    }
  }
}

function watchOnce(
  onSnapshot: (snapshot: Snapshot) => void,
  { socketPath, signal }: WatchOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket('ws://tsc-compose/v1/watch', {
      createConnection: () => net.connect(socketPath),
      maxPayload: maxAnswerBytes,
      perMessageDeflate: false,
    });
    const stop = (): void => socket.terminate();
    const finish = (error?: unknown): void => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted || error === undefined) resolve();
      else reject(error);
      socket.terminate();
    };
    signal.addEventListener('abort', stop, { once: true });
    socket.on('unexpected-response', (_request, response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => finish(refusal(response.statusCode ?? 0, Buffer.concat(chunks))));
    });
    // With this type a message is one buffer, never a list of fragments.
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: Buffer) => {
      try {
        // The agent is of the same cluster and sends what snapshot.ts describes.
        onSnapshot(JSON.parse(data.toString('utf8')) as Snapshot);
      } catch (error) {
        finish(error);
      }
    });
    socket.on('error', (error) => finish(unreachable(socketPath, error)));
    socket.on('close', () =>
      finish(unreachable(socketPath, { code: 'ECONNRESET', message: 'the connection closed' })),
    );
    if (signal.aborted) stop();
  });
}

function refusal(status: number, body: Buffer): TscError {
  try {
    const error = errorFromApi(JSON.parse(body.toString('utf8')));
    if (error !== undefined) return error;
  } catch {
    // Not an agent's error: said below with the status.
  }
  return new TscError('E_AGENT_ANSWER', `the agent refused to be watched (HTTP ${status})`);
}
