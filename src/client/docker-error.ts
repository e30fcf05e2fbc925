/**
 * Errors of dockerode as TscErrors. What fails may be the way to the agent, the way from the agent
 * to the machine (the agent then answers with its own error), or the engine itself.
 */
import { TscError } from '../lib/errors.ts';
import { errorFromApi, unreachable } from './request.ts';

/** @returns the error to show; what is no error of HTTP or of a socket is returned as it is */
export function dockerError(error: unknown, socketPath: string): unknown {
  if (error instanceof TscError || !(error instanceof Error)) return error;
  // docker-modem adds these to its errors; a socket's error carries `code` and `syscall`.
  const { statusCode, json, code, syscall } = error as {
    readonly statusCode?: unknown;
    readonly json?: unknown;
    readonly code?: unknown;
    readonly syscall?: unknown;
  };
  if (typeof statusCode === 'number') {
    return (
      errorFromApi(json) ??
      new TscError('E_ENGINE', engineMessage(json) ?? error.message.trim(), { cause: error })
    );
  }
  if (typeof code === 'string' && (typeof syscall === 'string' || code === 'ECONNRESET')) {
    return unreachable(socketPath, error);
  }
  return error;
}

function engineMessage(json: unknown): string | undefined {
  const { message } = (typeof json === 'object' && json !== null ? json : {}) as {
    readonly message?: unknown;
  };
  return typeof message === 'string' ? message : undefined;
}
