import { mkdtempSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { asDuplex } from '../../../agent/mesh-socket.ts';

let folder: string;
let listener: http.Server;
let accepted: Promise<Duplex>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tsc-rpc-'));
  const server = new WebSocketServer({ noServer: true });
  listener = http.createServer();
  accepted = new Promise((resolve) => {
    listener.on('upgrade', (request, socket, head) =>
      server.handleUpgrade(request, socket, head, (ws) => resolve(asDuplex(ws))),
    );
  });
  await new Promise<void>((resolve) => listener.listen(join(folder, 's'), resolve));
});
afterEach(() => {
  listener.close();
  listener.closeAllConnections();
  rmSync(folder, { recursive: true });
});

async function pair(): Promise<readonly [Duplex, Duplex]> {
  const socket = new WebSocket('ws://x/', {
    createConnection: () => net.connect(join(folder, 's')),
  });
  await new Promise((resolve) => socket.once('open', resolve));
  return [asDuplex(socket), await accepted];
}

test('the end of one half leaves the other open', async () => {
  const [near, far] = await pair();
  near.end('question');
  expect(await text(far)).toBe('question');
  far.write('first ');
  far.end('answer');
  expect(await text(near)).toBe('first answer');
  await expect.poll(() => near.closed && far.closed).toBe(true);
});

test('much data goes through whole and in order, though the reader is slow', async () => {
  const [near, far] = await pair();
  const data = Buffer.alloc(8 * 1024 * 1024, 'abcdefghijk');
  near.end(data);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect((await buffer(far)).equals(data)).toBe(true);
  far.end();
});

test('a stream that is given up closes the other end', async () => {
  const [near, far] = await pair();
  const isClosed = new Promise((resolve) => far.once('close', resolve));
  near.destroy();
  await isClosed;
  expect(far.destroyed).toBe(true);
});

test('HTTP runs over it', async () => {
  const [near, far] = await pair();
  const server = http.createServer((request, response) => {
    response.end(`${request.method} ${request.url}`);
  });
  server.emit('connection', far);
  const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.get({ createConnection: () => near, path: '/v1/info' }, resolve).on('error', reject);
  });
  expect(await text(answer)).toBe('GET /v1/info');
});
