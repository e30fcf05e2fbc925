/** The agent's command line. */
import { hostname, networkInterfaces } from 'node:os';
import { Command } from 'commander';
import { bridgeDevice, wgDevice, wgPort } from '../src/model/names.ts';
import type { LogLevel } from './log.ts';

export interface AgentOptions {
  readonly name: string;
  /** Identity, records, secrets' files; survives reboots. */
  readonly dataDir: string;
  /** Socket of the API, Caddy's socket; may vanish at a reboot. */
  readonly runDir: string;
  readonly dockerSocket: string;
  readonly wgPort: number;
  /** `host:port` under which other machines reach this machine's WireGuard, best first. */
  readonly endpoints: readonly string[];
  readonly caddyImage: string;
  readonly logLevel: LogLevel;
}

/** Addresses of this machine's own interfaces: what others may try when nothing was declared. */
export function localEndpoints(port: number): string[] {
  const found: string[] = [];
  for (const [device, addresses] of Object.entries(networkInterfaces())) {
    if (/^(lo|docker|br-|veth)/.test(device) || [wgDevice, bridgeDevice].includes(device)) continue;
    for (const address of addresses ?? []) {
      if (address.internal || address.address.startsWith('fe80')) continue;
      found.push(
        address.family === 'IPv4' ? `${address.address}:${port}` : `[${address.address}]:${port}`,
      );
    }
  }
  return found;
}

/**
 * @param argv arguments without node and script
 * @throws CommanderError on a wrong flag; commander has printed it by then
 */
export function parseAgentOptions(argv: readonly string[], version: string): AgentOptions {
  const command = new Command('tsc-compose-agent')
    .description('The agent of tsc-compose: runs on every machine of a cluster.')
    .version(version)
    .option('--name <name>', 'name of this machine', hostname())
    .option('--data-dir <dir>', 'identity and records', '/var/lib/tsc-compose')
    .option('--run-dir <dir>', 'sockets', '/run/tsc-compose')
    .option('--docker-socket <path>', "the engine's socket", '/var/run/docker.sock')
    .option('--wg-port <port>', 'UDP port of WireGuard', String(wgPort))
    .option(
      '--endpoint <host:port...>',
      'where others reach WireGuard here (default: local addresses)',
    )
    .option('--caddy-image <image>', 'image of the ingress', 'caddy:2')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .parse([...argv], { from: 'user' });
  const values = command.opts<{
    name: string;
    dataDir: string;
    runDir: string;
    dockerSocket: string;
    wgPort: string;
    endpoint?: string[];
    caddyImage: string;
    logLevel: LogLevel;
  }>();
  const port = Number(values.wgPort);
  const declared = (values.endpoint ?? []).map((e) => (/:\d+$/.test(e) ? e : `${e}:${port}`));
  return {
    name: values.name,
    dataDir: values.dataDir,
    runDir: values.runDir,
    dockerSocket: values.dockerSocket,
    wgPort: port,
    endpoints: declared.length > 0 ? declared : localEndpoints(port),
    caddyImage: values.caddyImage,
    logLevel: values.logLevel,
  };
}
