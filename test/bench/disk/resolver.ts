/** The agent's resolver with a table of its own, for a process that has no containers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { DnsServer } from '../../../agent/dns-server.ts';
import { createLog } from '../../../agent/log.ts';
import type { DnsEndpoint, DnsTable } from '../../../src/render/dns-table.ts';

/** Whoever asks on the loopback counts as a container of project "shop". */
const asker = '127.0.0.1';
/** The name that is looked up. */
export const lookedUpName = 'web';

const endpoint = (number: number): DnsEndpoint => ({
  ip: `10.210.1.${number}`,
  networks: ['net'],
  target: `shop-web-${number}.internal`,
});

const table: DnsTable = {
  gatewayIp: '127.0.0.1',
  subnet: '127.0.0.0/24',
  range: '127.0.0.0/16',
  secondIp: '127.0.255.53',
  askers: { [asker]: { project: 'shop', networks: ['net'], upstreams: [] } },
  names: { shop: { [lookedUpName]: { endpoints: [1, 2, 3].map(endpoint), ports: [] } } },
  machines: {},
  reverse: {},
};

/** Resolves when it listens on port 53 of the loopback. */
export async function startResolver(): Promise<void> {
  const server = new DnsServer({ log: createLog((line) => process.stderr.write(line), 'warn') });
  server.set(table);
  while (!server.status().isListening) await sleep(5);
}
