import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { asDuplex, socketOptions } from '../../../agent/mesh-socket.ts';

const servers: WebSocketServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Both ends of a stream over a real WebSocket on loopback. */
async function pair(): Promise<{ near: Duplex; far: Duplex; socket: WebSocket }> {
  const server = new WebSocketServer({ ...socketOptions, host: '127.0.0.1', port: 0 });
  servers.push(server);
  await once(server, 'listening');
  // A server that listens on TCP has an address with a port.
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection');
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, socketOptions);
  const near = asDuplex(socket);
  const [peer] = (await accepted) as [WebSocket];
  if (socket.readyState !== WebSocket.OPEN) await once(socket, 'open');
  return { near, far: asDuplex(peer), socket };
}

async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('one direction ends while the other goes on', async () => {
  const { near, far } = await pair();
  near.end('question');
  expect((await readAll(far)).toString()).toBe('question');
  far.write('a late ');
  await new Promise((resolve) => setTimeout(resolve, 20));
  far.end('answer');
  expect((await readAll(near)).toString()).toBe('a late answer');
});

test('a chunk larger than a message arrives whole', async () => {
  const { near, far } = await pair();
  const bytes = Buffer.alloc(3_000_001, 'abcdefg');
  near.end(bytes);
  far.end();
  expect((await readAll(far)).equals(bytes)).toBe(true);
});

test('a reader that does not read holds the writer back', async () => {
  const { near, far } = await pair();
  far.pause();
  let writtenCount = 0;
  const chunk = Buffer.alloc(1 << 20);
  near.on('error', () => undefined);
  const pump = (): void => {
    if (writtenCount >= 200) return;
    near.write(chunk, () => {
      writtenCount += 1;
      pump();
    });
  };
  pump();
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(writtenCount).toBeLessThan(200);
  near.destroy();
  far.on('error', () => undefined);
  far.destroy();
});

test('a connection that breaks without an end is an error, not an end', async () => {
  const { far, socket, near } = await pair();
  near.on('error', () => undefined);
  near.write('half');
  await once(far, 'readable');
  const failed = readAll(far);
  socket.terminate();
  await expect(failed).rejects.toThrow('closed the connection');
});
