/**
 * One JSON request over a unix socket. Every way in which it can fail leaves here as a TscError:
 * an agent that is not there, one that hangs, one that refuses, one that is no agent.
 */
import * as http from 'node:http';
import type { ErrorCode, Place } from '../lib/errors.ts';
import { TscError } from '../lib/errors.ts';
import { maxAnswerBytes } from './limits.ts';

export interface JsonRequest {
  readonly socketPath: string;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: unknown;
  /** Undefined: wait as long as it takes (an `up` may pull an image). */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends a request and reads the JSON answer.
 * @throws TscError E_AGENT_UNREACHABLE, E_AGENT_SILENT, E_AGENT_ANSWER, or the agent's own error
 */
export function requestJson(request: JsonRequest): Promise<unknown> {
  const body = request.body === undefined ? undefined : JSON.stringify(request.body);
  return new Promise((resolve, reject) => {
    const outgoing = http.request({
      socketPath: request.socketPath,
      method: request.method,
      path: request.path,
      agent: false,
      headers: {
        host: 'tsc-compose',
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      },
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
    const fail = (error: unknown): void => {
      clearTimeout(timer);
      reject(request.signal?.aborted ? error : unreachable(request.socketPath, error));
    };
    const timer =
      request.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            reject(silent(request.timeoutMs ?? 0));
            outgoing.destroy();
          }, request.timeoutMs);
    outgoing.on('error', fail);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      let sizeBytes = 0;
      response.on('data', (chunk: Buffer) => {
        sizeBytes += chunk.length;
        if (sizeBytes > maxAnswerBytes) {
          outgoing.destroy(new Error(`the answer is larger than ${maxAnswerBytes} bytes`));
        } else chunks.push(chunk);
      });
      response.on('error', fail);
      response.on('end', () => {
        clearTimeout(timer);
        try {
          resolve(readAnswer(response.statusCode ?? 0, Buffer.concat(chunks).toString('utf8')));
        } catch (error) {
          reject(error);
        }
      });
    });
    outgoing.end(body);
  });
}

/**
 * Makes the value or the error of an answer's text.
 * @throws TscError the agent's own error, or E_AGENT_ANSWER when this is not an agent's answer
 */
export function readAnswer(status: number, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TscError('E_AGENT_ANSWER', `the agent's answer is not JSON (HTTP ${status})`, {
      hint: 'is another program listening on this socket?',
      cause,
    });
  }
  if (status >= 200 && status < 300) return value;
  throw (
    errorFromApi(value) ??
    new TscError('E_AGENT_ANSWER', `the agent answered HTTP ${status} without saying why`)
  );
}

/** @returns the TscError that an ApiError describes; undefined when the value is something else */
export function errorFromApi(value: unknown): TscError | undefined {
  if (!isObject(value) || typeof value.code !== 'string' || typeof value.message !== 'string') {
    return undefined;
  }
  const code: ErrorCode = isErrorCode(value.code) ? value.code : 'E_AGENT_ANSWER';
  const where = placeOf(value.where);
  return new TscError(code, value.message, {
    ...(typeof value.hint === 'string' ? { hint: value.hint } : {}),
    ...(where === undefined ? {} : { where }),
  });
}

/** Turns what a socket says into what the user can do about it. */
export function unreachable(socketPath: string, cause: unknown): TscError {
  const code = isObject(cause) && typeof cause.code === 'string' ? cause.code : '';
  const message = cause instanceof Error ? cause.message : String(cause);
  const [why, hint] =
    code === 'ENOENT'
      ? ['there is no socket', 'start the agent on this machine, or name its socket by --socket']
      : code === 'ECONNREFUSED'
        ? ['nobody listens', 'the agent is not running; start it again']
        : code === 'EACCES' || code === 'EPERM'
          ? ['permission denied', 'run the command as root, or as a member of the socket’s group']
          : code === 'ECONNRESET' || code === 'EPIPE'
            ? ['the connection broke', 'the agent may just be restarting; try again']
            : [message, undefined];
  return new TscError('E_AGENT_UNREACHABLE', `no agent answers at ${socketPath}: ${why}`, {
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}

function silent(timeoutMs: number): TscError {
  return new TscError('E_AGENT_SILENT', `the agent did not answer within ${timeoutMs / 1000} s`, {
    hint: 'it accepts connections but hangs; look at its log',
  });
}

function placeOf(value: unknown): Place | undefined {
  if (!isObject(value) || typeof value.file !== 'string') return undefined;
  return {
    file: value.file,
    ...(typeof value.line === 'number' ? { line: value.line } : {}),
    ...(typeof value.column === 'number' ? { column: value.column } : {}),
    ...(typeof value.text === 'string' ? { text: value.text } : {}),
    ...(typeof value.length === 'number' ? { length: value.length } : {}),
  };
}

function isErrorCode(text: string): text is ErrorCode {
  return text.startsWith('E_');
}

function isObject(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === 'object' && value !== null;
}
