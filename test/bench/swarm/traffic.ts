/**
 * Requests during an update or a power cut, by the client of app.ts: inside a container, where the
 * service is looked up by name, or outside, where requests enter through Caddy on the machines.
 */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { httpGet } from '../../lab/http.ts';
import type { Machine } from '../../lab/machine.ts';
import { clientSource, host } from './app.ts';

/** 60 s: Caddy is up a second after the first replica, on a quiet machine. */
const openTimeoutMs = 60_000;
const openPollMs = 50;

export interface Request {
  readonly kind: 'fresh' | 'kept';
  readonly startMs: number;
  readonly endMs: number;
  readonly problem?: string;
  readonly where?: string;
}

export interface Rates {
  readonly freshPerS: number;
  readonly keptPerS: number;
  readonly timeoutMs: number;
  readonly durationMs: number;
}

/** Requests from a container to a service by its name. */
export function fromContainer(
  machine: Machine,
  container: string,
  name: string,
  rates: Rates,
): Promise<readonly Request[]> {
  const given = JSON.stringify({ name, host: name, ...rates });
  const argv = machine.enterCommand(['docker', 'exec', container, 'node', '/app/client.js', given]);
  return collect(argv, { ...process.env, ...machine.env });
}

/** Requests from outside through the ingress of machines. */
export function throughIngress(
  machines: readonly Machine[],
  rates: Rates,
): Promise<readonly Request[]> {
  const targets = machines.map(({ address }) => address);
  const given = JSON.stringify({ targets, host, ...rates });
  return collect([process.execPath, '-e', clientSource, given], process.env);
}

/** Waits until every machine answers for the service: the first replica brings the ingress along. */
export async function ingressIsOpen(machines: readonly Machine[]): Promise<void> {
  const endMs = Date.now() + openTimeoutMs;
  for (const { name, address } of machines) {
    const answers = () =>
      httpGet({ address, host }).then(
        ({ status }) => status === 200,
        () => false,
      );
    while (!(await answers())) {
      if (Date.now() > endMs) throw new Error(`the ingress of ${name} does not answer`);
      await sleep(openPollMs);
    }
  }
}

function collect(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<readonly Request[]> {
  return new Promise((resolve, reject) => {
    const [program = '', ...rest] = argv;
    const child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`the client ended with ${code}: ${said}`));
      // The client's own lines.
      const lines = text.split('\n').filter((line) => line.startsWith('{'));
      resolve(lines.map((line) => JSON.parse(line) as Request));
    });
  });
}
