import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { acceptsConnections, allAccept } from '../../../agent/readiness-probe.ts';

let server: Server;
let port: number;

beforeAll(async () => {
  server = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  port = typeof address === 'object' ? (address?.port ?? 0) : 0;
});
afterAll(() => server.close());

test('a listening port accepts, a closed one does not', async () => {
  expect(await acceptsConnections('127.0.0.1', port)).toBe(true);
  // Port 1 (tcpmux) is served nowhere.
  expect(await acceptsConnections('127.0.0.1', 1)).toBe(false);
});

test('all ports must accept', async () => {
  expect(await allAccept('127.0.0.1', [port])).toBe(true);
  expect(await allAccept('127.0.0.1', [port, 1])).toBe(false);
  expect(await allAccept('127.0.0.1', [])).toBe(true);
});
