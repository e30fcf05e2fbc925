/**
 * Turns what the engine answers into errors a user can act on. The only place where texts of the
 * engine are matched; they were read in Docker 20.10, 26.1 and 28.5. Callers ask the predicates.
 */
import { TscError } from '../src/lib/errors.ts';

/** Errors of the socket itself: no engine listens, or it went away in the middle. */
const connectionCodes = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'EACCES']);

/**
 * The error of an engine call as a TscError.
 * @param what was tried: "create web-1"
 */
export function engineError(cause: unknown, what: string): TscError {
  if (cause instanceof TscError) return cause;
  const { code, statusCode, message, name } = partsOf(cause);
  if (name === 'AbortError' || name === 'TimeoutError' || code === 'ABORT_ERR') {
    return new TscError('E_ENGINE_TIMEOUT', `Docker did not answer in time: ${what}`, { cause });
  }
  if (code !== undefined && connectionCodes.has(code)) {
    return new TscError('E_ENGINE_UNREACHABLE', `Docker does not answer (${code}): ${what}`, {
      hint: 'is Docker running on this machine?',
      cause,
    });
  }
  // No engine answers with this: an agent does that could not reach its own.
  if (statusCode === 502) return new TscError('E_ENGINE_UNREACHABLE', message, { cause });
  const port = takenPort(message);
  if (port !== undefined) {
    return new TscError('E_PORT_TAKEN', `port ${port} is taken on this machine: ${what}`, {
      hint: 'another program or container listens there; see: ss -ltnp',
      cause,
    });
  }
  if (statusCode === 409 && /name "[^"]*" is already in use/.test(message)) {
    return new TscError('E_CONTAINER_NAME_TAKEN', `${what}: ${message}`, { cause });
  }
  if (statusCode === 404 && /no such image|image.*not found/i.test(message)) {
    return new TscError('E_IMAGE_NOT_FOUND', `${what}: ${message}`, { cause });
  }
  if (/network [0-9a-f]{64} not found/.test(message)) {
    return new TscError('E_NETWORK_NOT_FOUND', `${what}: ${message}`, { cause });
  }
  if (statusCode === 404)
    return new TscError('E_ENGINE_NOT_FOUND', `${what}: ${message}`, { cause });
  if (statusCode === 409)
    return new TscError('E_ENGINE_CONFLICT', `${what}: ${message}`, { cause });
  return new TscError('E_ENGINE_REFUSED', `${what}: ${message}`, { cause });
}

/** Container, volume or network is not there (any more). */
export function isNotFound(error: unknown): boolean {
  return error instanceof TscError && error.code === 'E_ENGINE_NOT_FOUND';
}

/** The engine does that already, or the thing is in use. */
export function isConflict(error: unknown): boolean {
  return error instanceof TscError && error.code === 'E_ENGINE_CONFLICT';
}

/** The container remembers a network that has been made anew since. */
export function isNetworkGone(error: unknown): boolean {
  return error instanceof TscError && error.code === 'E_NETWORK_NOT_FOUND';
}

/** Another container has the name. */
export function isNameTaken(error: unknown): boolean {
  return error instanceof TscError && error.code === 'E_CONTAINER_NAME_TAKEN';
}

/** The engine is down or hangs; says nothing about containers. */
export function isEngineDown(error: unknown): boolean {
  return (
    error instanceof TscError &&
    (error.code === 'E_ENGINE_UNREACHABLE' || error.code === 'E_ENGINE_TIMEOUT')
  );
}

/** A registry that wants other credentials, or any; the engine passes its words on. */
export function isRegistryRefusal(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const words = `${error.message} ${partsOf(error).message}`;
  const isRefusal = /unauthorized|authentication required|no basic auth credentials/i.test(words);
  // Docker Hub says this of names that do not exist as well.
  return isRefusal && !/repository does not exist/i.test(words);
}

/** HTTP status of the engine's answer; undefined when there was none. */
export function statusOfCause(cause: unknown): number | undefined {
  return partsOf(cause).statusCode;
}

/** "Bind for 0.0.0.0:8080 failed: port is already allocated", "listen tcp4 0.0.0.0:80: bind: …" */
function takenPort(message: string): string | undefined {
  if (!/port is already allocated|address already in use/.test(message)) return undefined;
  return /:(\d+)(?:\/\w+)?(?: failed|: bind|:\S* )/.exec(message)?.[1] ?? 'of this container';
}

interface Parts {
  readonly code: string | undefined;
  readonly statusCode: number | undefined;
  readonly name: string;
  readonly message: string;
}

function partsOf(cause: unknown): Parts {
  if (!(cause instanceof Error)) {
    return { code: undefined, statusCode: undefined, name: '', message: String(cause) };
  }
  const code: unknown = Reflect.get(cause, 'code');
  const statusCode: unknown = Reflect.get(cause, 'statusCode');
  const answer: unknown = Reflect.get(cause, 'json');
  const told: unknown =
    typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'message') : undefined;
  return {
    code: typeof code === 'string' ? code : undefined,
    statusCode: typeof statusCode === 'number' ? statusCode : undefined,
    name: cause.name,
    message: typeof told === 'string' ? told.trim() : cause.message,
  };
}
