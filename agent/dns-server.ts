/**
 * The resolver of a machine's containers, on UDP and TCP port 53 of the gateway address. It answers
 * from the table it was given last and forwards every other name to the machine's own resolvers,
 * or to those that the asking container's service names. The mesh device carries the gateway
 * address, so it can listen before the engine has made the bridge; until then it tries again.
 */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import packet, { type DecodedPacket, type Question } from 'dns-packet';
import { answer } from '../src/render/dns-answer.ts';
import type { DnsTable } from '../src/render/dns-table.ts';
import { DnsForwarder } from './dns-forwarder.ts';
import { encodeAnswer, encodeFailure, rcode, udpSize } from './dns-wire.ts';
import type { Log } from './log.ts';

/** 500 ms between tries to listen while the address is not there. */
const bindRetryMs = 500;
/** 800 ms: a new container may ask before its record is here; clients wait one second. */
const unknownAskerMs = 800;
/** Held questions of containers that no record names yet. */
const heldLimit = 256;
/** 10 s without a question end a TCP connection. */
const tcpIdleMs = 10_000;
const tcpConnectionLimit = 256;

export interface DnsServerOptions {
  readonly log: Log;
  readonly port?: number;
  /** Where the machine's own resolvers stand. */
  readonly resolvConfPath?: string;
  readonly random?: () => number;
  /** Port of the resolvers that are asked; another one in tests. */
  readonly upstreamPort?: number;
}

export interface DnsServerStatus {
  readonly isListening: boolean;
  readonly error: string | undefined;
  readonly answeredCount: number;
  readonly forwardedCount: number;
}

/** One question on its way: how to answer it is up to the transport. */
interface Exchange {
  readonly query: Buffer;
  readonly askerIp: string;
  readonly transport: 'udp' | 'tcp';
  readonly reply: (response: Buffer) => void;
}

export class DnsServer {
  readonly #options: DnsServerOptions;
  readonly #forwarder: DnsForwarder;
  readonly #random: () => number;
  #table: DnsTable | undefined;
  #address: string | undefined;
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  readonly #connections = new Set<Socket>();
  #retry: NodeJS.Timeout | undefined;
  #error: string | undefined;
  #held: (() => void)[] = [];
  #answeredCount = 0;
  #forwardedCount = 0;

  constructor(options: DnsServerOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#forwarder = new DnsForwarder({
      resolvConfPath: options.resolvConfPath ?? '/etc/resolv.conf',
      port: options.upstreamPort ?? 53,
      isOwn: (ip) => ip === this.#table?.gatewayIp || ip === this.#table?.secondIp,
    });
  }

  /** Answers from this table from now on; listens where it says. */
  set(table: DnsTable): void {
    this.#table = table;
    const held = this.#held;
    this.#held = [];
    for (const proceed of held) proceed();
    if (this.#address === table.gatewayIp) return;
    this.#close();
    this.#address = table.gatewayIp;
    this.#listen(table.gatewayIp);
  }

  status(): DnsServerStatus {
    return {
      isListening: this.#udp !== undefined && this.#tcp !== undefined,
      error: this.#error,
      answeredCount: this.#answeredCount,
      forwardedCount: this.#forwardedCount,
    };
  }

  stop(): void {
    this.#close();
    this.#address = undefined;
    this.#forwarder.stop();
  }

  #close(): void {
    clearTimeout(this.#retry);
    this.#udp?.close();
    this.#udp = undefined;
    this.#tcp?.close();
    this.#tcp = undefined;
    for (const connection of this.#connections) connection.destroy();
  }

  #listen(address: string): void {
    this.#listenUdp(address);
    this.#listenTcp(address);
  }

  #listenUdp(address: string): void {
    const socket = createSocket('udp4');
    const fail = (error: Error) => {
      socket.close();
      if (this.#udp === socket) this.#udp = undefined;
      this.#again(address, error);
    };
    socket.once('error', fail);
    socket.on('message', (query, from) => this.#takeUdp(socket, query, from));
    socket.bind(this.#options.port ?? 53, address, () => {
      if (this.#address !== address) {
        socket.close();
        return;
      }
      this.#udp = socket;
      this.#listening(address);
    });
  }

  #listenTcp(address: string): void {
    const server = createServer({ noDelay: true }, (socket) => this.#takeTcp(socket));
    server.maxConnections = tcpConnectionLimit;
    server.once('error', (error) => {
      if (this.#tcp === server) this.#tcp = undefined;
      this.#again(address, error);
    });
    server.listen(this.#options.port ?? 53, address, () => {
      if (this.#address !== address) {
        server.close();
        return;
      }
      this.#tcp = server;
      this.#listening(address);
    });
  }

  #listening(address: string): void {
    if (this.#udp === undefined || this.#tcp === undefined) return;
    this.#error = undefined;
    this.#options.log.info('resolver listens', { address });
  }

  /** Tries what does not listen yet again; says why once. */
  #again(address: string, error: Error): void {
    if (this.#address !== address) return;
    if (this.#error !== error.message) {
      this.#options.log.warn('resolver cannot listen yet', { address, error });
    }
    this.#error = error.message;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (this.#address !== address) return;
      if (this.#udp === undefined) this.#listenUdp(address);
      if (this.#tcp === undefined) this.#listenTcp(address);
    }, bindRetryMs);
    this.#retry.unref();
  }

  #takeUdp(socket: UdpSocket, query: Buffer, from: RemoteInfo): void {
    const reply = (response: Buffer) => {
      if (this.#udp === socket) socket.send(response, from.port, from.address, () => undefined);
    };
    this.#take({ query, askerIp: from.address, transport: 'udp', reply });
  }

  #takeTcp(socket: Socket): void {
    this.#connections.add(socket);
    socket.setTimeout(tcpIdleMs, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#connections.delete(socket));
    const askerIp = socket.remoteAddress ?? '';
    let buffered = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        const end = 2 + buffered.readUInt16BE(0);
        const query = buffered.subarray(2, end);
        buffered = buffered.subarray(end);
        const reply = (response: Buffer) => {
          if (socket.destroyed) return;
          const length = Buffer.alloc(2);
          length.writeUInt16BE(response.length);
          socket.write(Buffer.concat([length, response]));
        };
        this.#take({ query, askerIp, transport: 'tcp', reply });
      }
    });
  }

  #take(exchange: Exchange): void {
    const query = decode(exchange.query);
    if (query === undefined || query.type !== 'query') return;
    const [question] = query.questions ?? [];
    if (question === undefined || (query.questions ?? []).length !== 1) {
      exchange.reply(encodeFailure(query, rcode.formatError));
      return;
    }
    this.#resolve(exchange, query, question, performance.now() + unknownAskerMs);
  }

  #resolve(
    exchange: Exchange,
    query: DecodedPacket,
    question: Question,
    unknownUntilMs: number,
  ): void {
    const table = this.#table;
    if (table === undefined) {
      exchange.reply(encodeFailure(query, rcode.serverFailure));
      return;
    }
    const result = answer(table, exchange.askerIp, question, this.#random());
    switch (result.type) {
      case 'records': {
        this.#answeredCount += 1;
        const limit = exchange.transport === 'udp' ? udpSize(query) : undefined;
        exchange.reply(encodeAnswer(query, result, limit));
        return;
      }
      case 'nxdomain':
        this.#answeredCount += 1;
        exchange.reply(encodeFailure(query, rcode.noSuchName));
        return;
      case 'refuse':
        exchange.reply(encodeFailure(query, rcode.refused));
        return;
      case 'unknown-asker':
        this.#hold(exchange, query, question, unknownUntilMs);
        return;
      case 'forward':
        void this.#forward(exchange, query, result.upstreams);
    }
  }

  /** Asks again when the next table comes; when none names the asker in time, it is not ours. */
  #hold(
    exchange: Exchange,
    query: DecodedPacket,
    question: Question,
    unknownUntilMs: number,
  ): void {
    const remainingMs = unknownUntilMs - performance.now();
    if (remainingMs <= 0 || this.#held.length >= heldLimit) {
      exchange.reply(encodeFailure(query, rcode.serverFailure));
      return;
    }
    const proceed = () => {
      clearTimeout(timer);
      this.#resolve(exchange, query, question, unknownUntilMs);
    };
    const timer = setTimeout(() => {
      this.#held = this.#held.filter((other) => other !== proceed);
      exchange.reply(encodeFailure(query, rcode.serverFailure));
    }, remainingMs);
    timer.unref();
    this.#held.push(proceed);
  }

  async #forward(
    exchange: Exchange,
    query: DecodedPacket,
    upstreams: readonly string[],
  ): Promise<void> {
    this.#forwardedCount += 1;
    const response = await this.#forwarder.ask(exchange.query, exchange.transport, upstreams);
    exchange.reply(response ?? encodeFailure(query, rcode.serverFailure));
  }
}

/** Undefined for what is no DNS message: there is nobody to answer. */
function decode(bytes: Buffer): DecodedPacket | undefined {
  try {
    return packet.decode(bytes);
  } catch {
    return undefined;
  }
}
