/** The server on loopback addresses with real sockets; a second one plays the machine's resolver. */
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import packet, { type DecodedPacket } from 'dns-packet';
import { afterEach, describe, expect, test } from 'vitest';
import { parseNameservers } from '../../../agent/dns-forwarder.ts';
import { DnsServer } from '../../../agent/dns-server.ts';
import type { DnsEndpoint, DnsTable } from '../../../src/render/dns-table.ts';
import { aLog } from './silent-log.ts';

const asker = '127.0.0.1';
const endpoint = (number: number): DnsEndpoint => ({
  ip: `10.210.1.${number}`,
  networks: ['net'],
  target: `shop-web-${number}.internal`,
});

function aTable(changes: Partial<DnsTable> = {}): DnsTable {
  const many = Array.from({ length: 60 }, (_, i) => endpoint(i + 1));
  return {
    gatewayIp: '127.0.0.1',
    subnet: '127.0.0.0/24',
    range: '127.0.0.0/16',
    secondIp: '127.0.255.53',
    askers: { [asker]: { project: 'shop', networks: ['net'], upstreams: [] } },
    names: {
      shop: {
        web: { endpoints: [endpoint(1), endpoint(2)], ports: [] },
        many: { endpoints: many, ports: [] },
      },
    },
    machines: {},
    reverse: {},
    ...changes,
  };
}

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A port that is free for UDP at this moment; TCP has so many that it is free there too. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => {
    socket.bind(0, '127.0.0.1', resolve);
  });
  const { port } = socket.address();
  await new Promise<void>((resolve) => {
    socket.close(() => resolve());
  });
  return port;
}

async function aServer(table: DnsTable, upstreams: readonly string[] = [], upstreamPort = 53) {
  const folder = mkdtempSync(join(tmpdir(), 'tsc-dns-'));
  const resolvConfPath = join(folder, 'resolv.conf');
  writeFileSync(resolvConfPath, upstreams.map((ip) => `nameserver ${ip}\n`).join(''));
  const port = await freePort();
  const server = new DnsServer({
    log: aLog().log,
    port,
    resolvConfPath,
    upstreamPort,
    random: () => 0,
  });
  closers.push(() => {
    server.stop();
    rmSync(folder, { recursive: true });
  });
  server.set(table);
  await expect.poll(() => server.status().isListening, { interval: 2 }).toBe(true);
  return { server, port };
}

const encode = (name: string, udpPayloadSize = 0): Buffer =>
  packet.encode({
    type: 'query',
    id: 4711,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: 'A' }],
    additionals:
      udpPayloadSize === 0
        ? []
        : [
            {
              type: 'OPT',
              name: '.',
              udpPayloadSize,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ],
  });

function askUdp(port: number, query: Buffer, from = asker): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.on('error', reject);
    socket.on('message', (response) => {
      socket.close();
      resolve(response);
    });
    socket.bind(0, from, () => socket.send(query, port, '127.0.0.1'));
  });
}

function askTcp(port: number, queries: readonly Buffer[]): Promise<readonly DecodedPacket[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    const answers: DecodedPacket[] = [];
    let buffered = Buffer.alloc(0);
    socket.on('error', reject);
    for (const query of queries) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.length);
      // In pieces, as TCP may deliver them.
      socket.write(length.subarray(0, 1));
      socket.write(Buffer.concat([length.subarray(1), query]));
    }
    socket.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        const end = 2 + buffered.readUInt16BE(0);
        answers.push(packet.decode(buffered.subarray(2, end)));
        buffered = buffered.subarray(end);
      }
      if (answers.length < queries.length) return;
      socket.destroy();
      resolve(answers);
    });
  });
}

const rcodeOf = (response: Buffer): number => response.readUInt16BE(2) & 15;
const addressesIn = (response: DecodedPacket): readonly unknown[] =>
  (response.answers ?? []).map((found) => ('data' in found ? found.data : undefined));

/** A resolver that answers every question with an address, or with a code, or is "silent". */
async function anUpstream(ip: string, port: number, behaviour: string | number) {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (query, from) => {
    const { id, questions = [] } = packet.decode(query);
    const name = questions[0]?.name ?? '';
    asked.push(name);
    if (behaviour === 'silent') return;
    const isCode = typeof behaviour === 'number';
    const response = packet.encode({
      type: 'response',
      id: id ?? 0,
      flags: isCode ? behaviour : 0,
      questions,
      answers: isCode ? [] : [{ type: 'A', name, ttl: 60, data: behaviour }],
    });
    socket.send(response, from.port, from.address);
  });
  await new Promise<void>((resolve) => {
    socket.bind(port, ip, resolve);
  });
  closers.push(() => socket.close());
  return asked;
}

describe('the resolver', () => {
  test('answers a known name over UDP, with a short life and the id of the question', async () => {
    const { port } = await aServer(aTable());
    const response = packet.decode(await askUdp(port, encode('web')));
    expect(response.id).toBe(4711);
    expect(response.flag_aa && response.flag_ra && response.flag_rd).toBe(true);
    expect(response.answers).toMatchObject([
      { name: 'web', type: 'A', ttl: 1, data: '10.210.1.1' },
      { name: 'web', type: 'A', ttl: 1, data: '10.210.1.2' },
    ]);
  });

  test('answers several questions on one TCP connection, in pieces', async () => {
    const { port } = await aServer(aTable());
    const answers = await askTcp(port, [encode('web'), encode('many')]);
    expect(answers.map((found) => addressesIn(found).length)).toEqual([2, 60]);
    expect(answers.every((found) => !found.flag_tc)).toBe(true);
  });

  test('sends what fits in a plain UDP answer, marked as truncated', async () => {
    const { port } = await aServer(aTable());
    const bytes = await askUdp(port, encode('many'));
    const response = packet.decode(bytes);
    expect(bytes.length).toBeLessThanOrEqual(512);
    expect(response.flag_tc).toBe(true);
    expect(addressesIn(response).length).toBeGreaterThan(20);
    const larger = await askUdp(port, encode('many', 4_096));
    expect(larger.length).toBeGreaterThan(512);
    expect(larger.length).toBeLessThanOrEqual(1_232);
  });

  test('takes a new table at once', async () => {
    const { port, server } = await aServer(aTable());
    server.set(aTable({ names: { shop: { web: { endpoints: [endpoint(9)], ports: [] } } } }));
    const response = packet.decode(await askUdp(port, encode('web')));
    expect(addressesIn(response)).toEqual(['10.210.1.9']);
  });

  test('holds the question of a new container until a table names it', async () => {
    const { port, server } = await aServer(aTable());
    const pending = askUdp(port, encode('web'), '127.0.0.5');
    setTimeout(() => {
      const asked = { project: 'shop', networks: ['net'], upstreams: [] };
      server.set(aTable({ askers: { '127.0.0.5': asked } }));
    }, 30);
    expect(addressesIn(packet.decode(await pending))).toHaveLength(2);
  });

  test('gives up on a container that stays unknown before its client does', async () => {
    const { port } = await aServer(aTable());
    const startMs = performance.now();
    expect(rcodeOf(await askUdp(port, encode('web'), '127.0.0.5'))).toBe(2);
    expect(performance.now() - startMs).toBeLessThan(1_000);
  });

  test('refuses outsiders, and does not answer what is no question', async () => {
    const { port } = await aServer(
      aTable({ range: '10.210.0.0/16', askers: {}, gatewayIp: asker }),
    );
    expect(rcodeOf(await askUdp(port, encode('web'), '127.0.0.9'))).toBe(5);
    const nonsense = askUdp(port, Buffer.from('nonsense'), '127.0.0.9');
    const timeout = new Promise((resolve) => {
      setTimeout(resolve, 100, 'nothing');
    });
    expect(await Promise.race([nonsense, timeout])).toBe('nothing');
    nonsense.catch(() => undefined);
  });

  test('says why it does not listen and goes on trying', async () => {
    const blocker = createSocket('udp4');
    await new Promise<void>((resolve) => {
      blocker.bind(0, '127.0.0.1', resolve);
    });
    const { log } = aLog();
    const server = new DnsServer({ log, port: blocker.address().port });
    closers.push(() => server.stop());
    server.set(aTable());
    await expect.poll(() => server.status().error, { interval: 5 }).toMatch('EADDRINUSE');
    blocker.close();
    await expect
      .poll(() => server.status(), { interval: 20, timeout: 3_000 })
      .toMatchObject({ isListening: true, error: undefined });
  });
});

describe('names that are not ours', () => {
  test("are asked of the machine's resolvers, with the answer passed on unread", async () => {
    const upstreamPort = await freePort();
    const asked = await anUpstream('127.0.0.2', upstreamPort, '198.51.100.7');
    const { port } = await aServer(aTable(), ['127.0.0.2'], upstreamPort);
    const response = packet.decode(await askUdp(port, encode('example.com')));
    expect(response.id).toBe(4711);
    expect(addressesIn(response)).toEqual(['198.51.100.7']);
    expect(asked).toEqual(['example.com']);
  });

  test("are asked of the service's own resolvers when it names some", async () => {
    const upstreamPort = await freePort();
    const machine = await anUpstream('127.0.0.2', upstreamPort, '198.51.100.7');
    await anUpstream('127.0.0.3', upstreamPort, '198.51.100.8');
    const own = { project: 'shop', networks: ['net'], upstreams: ['127.0.0.3'] };
    const table = aTable({ askers: { [asker]: own } });
    const { port } = await aServer(table, ['127.0.0.2'], upstreamPort);
    const response = packet.decode(await askUdp(port, encode('example.com')));
    expect(addressesIn(response)).toEqual(['198.51.100.8']);
    expect(machine).toEqual([]);
  });

  test('are asked of the next resolver when one is silent or fails', async () => {
    const upstreamPort = await freePort();
    await anUpstream('127.0.0.2', upstreamPort, 'silent');
    await anUpstream('127.0.0.3', upstreamPort, 2);
    await anUpstream('127.0.0.4', upstreamPort, '198.51.100.9');
    const upstreams = ['127.0.0.2', '127.0.0.3', '127.0.0.4'];
    const { port } = await aServer(aTable(), upstreams, upstreamPort);
    const response = packet.decode(await askUdp(port, encode('example.com')));
    expect(addressesIn(response)).toEqual(['198.51.100.9']);
  });

  test('fail at once when the machine has no resolver but ourselves', async () => {
    const { port } = await aServer(aTable(), ['127.0.0.1', '127.0.255.53']);
    expect(rcodeOf(await askUdp(port, encode('example.com')))).toBe(2);
  });

  test('that do not exist are said not to exist', async () => {
    const upstreamPort = await freePort();
    await anUpstream('127.0.0.2', upstreamPort, 3);
    const { port } = await aServer(aTable(), ['127.0.0.2'], upstreamPort);
    expect(rcodeOf(await askUdp(port, encode('nobody.example')))).toBe(3);
  });
});

test('resolvers are read from a resolv.conf with comments and other lines', () => {
  const text = '# nameserver 1.1.1.1\nsearch lan\n nameserver 9.9.9.9\nnameserver fd00::1 # here\n';
  expect(parseNameservers(text)).toEqual(['9.9.9.9', 'fd00::1']);
});
