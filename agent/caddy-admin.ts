/** Caddy's admin API over its unix socket: read the configuration, load another. */
import { request } from 'node:http';
import { TscError } from '../src/lib/errors.ts';
import type { CaddyConfig } from '../src/render/ingress.ts';

/** 20 s: a load waits for listeners and, in old versions, for requests of the old configuration. */
const requestTimeoutMs = 20_000;

/** Reads what is loaded; null when Caddy runs without a configuration. */
export async function readConfig(socketPath: string): Promise<unknown> {
  const { status, body } = await call(socketPath, 'GET', '/config/', undefined);
  if (status !== 200) throw refused(status, body);
  return JSON.parse(body);
}

/**
 * Loads a configuration. Caddy keeps the old one when it refuses the new.
 * @throws TscError E_CADDY_REFUSED with Caddy's reason
 */
export async function loadConfig(socketPath: string, config: CaddyConfig): Promise<void> {
  const { status, body } = await call(socketPath, 'POST', '/load', JSON.stringify(config));
  if (status !== 200) throw refused(status, body);
}

function refused(status: number, body: string): TscError {
  return new TscError('E_CADDY_REFUSED', `Caddy refused with ${status}: ${reasonIn(body)}`);
}

/** Caddy answers `{"error": "…"}`, with every step in front of the reason. */
function reasonIn(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null && 'error' in parsed) {
      return String(parsed.error);
    }
  } catch {
    // Not JSON: the text itself is the reason.
  }
  return body.trim().slice(0, 500);
}

interface AdminResponse {
  readonly status: number;
  readonly body: string;
}

function call(
  socketPath: string,
  method: string,
  path: string,
  body: string | undefined,
): Promise<AdminResponse> {
  return new Promise((resolve, reject) => {
    // Versions before 2.7 check the Host also on a unix socket, against `origins`.
    const headers: Record<string, string> = { Host: 'localhost' };
    if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
      headers['Content-Length'] = `${Buffer.byteLength(body)}`;
    }
    const sent = request({ socketPath, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
      });
    });
    sent.setTimeout(requestTimeoutMs, () => sent.destroy(new Error('no answer')));
    sent.on('error', (cause) => {
      reject(new TscError('E_CADDY_UNREACHABLE', `${socketPath}: ${cause.message}`, { cause }));
    });
    sent.end(body);
  });
}
