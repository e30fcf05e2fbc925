/** One HTTP request to a machine, with a deadline and a fresh connection each time. */
import { request } from 'node:http';
import { TscError } from '../../src/lib/errors.ts';

export interface HttpRequest {
  readonly address: string;
  /** 80 when not given. */
  readonly port?: number;
  /** Host header; the address when not given. */
  readonly host?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** 5 s when not given. */
  readonly timeoutMs?: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

const defaultTimeoutMs = 5_000;

/** Asks a machine over HTTP. @throws TscError when there is no whole answer in time */
export function httpGet(options: HttpRequest): Promise<HttpAnswer> {
  const { address, port = 80, path = '/', timeoutMs = defaultTimeoutMs } = options;
  const headers = { ...options.headers, host: options.host ?? address, connection: 'close' };
  return new Promise((resolve, reject) => {
    const fail = (cause: Error) => {
      const what = `http://${address}:${port}${path}: ${cause.message || cause.name}`;
      reject(new TscError('E_LAB_HTTP', what, { cause }));
    };
    const signal = AbortSignal.timeout(timeoutMs);
    const sent = request({ host: address, port, path, headers, agent: false, signal }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', fail);
      answer.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body });
      });
    });
    sent.on('error', fail);
    sent.end();
  });
}
