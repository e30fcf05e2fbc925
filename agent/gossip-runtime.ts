/**
 * The real world for a GossipNode: clocks, timers and WebSockets. It decides nothing. Frames that
 * are sent in one turn leave in one turn; a link that is given up is destroyed, one that ends in
 * order is closed after what was sent.
 */
import type { RawData, WebSocket } from 'ws';
import type { Cancel, CloseReason, Delivery, LinkId, Runtime } from '../src/gossip/runtime.ts';
import type { Hlc, MachineId } from '../src/model/ids.ts';

/** What the runtime calls; the replica implements it. */
export interface RuntimeEvents {
  dial(machine: MachineId): void;
  deliver(delivery: Delivery): void;
  livenessChanged(): void;
  whenDurable(key: string, hlc: Hlc, then: () => void): void;
  report(text: string): void;
  /** A frame came, or the connection ended. */
  frame(link: LinkId, bytes: Uint8Array): void;
  ended(link: LinkId, reason: CloseReason | undefined): void;
}

/**
 * Reasons for which the other end should still read what was sent, as WebSocket close codes (4000
 * to 4999 are free for applications).
 */
const closeCodes: ReadonlyMap<CloseReason, number> = new Map([
  ['duplicate', 4001],
  ['stranger', 4002],
  ['surplus', 4003],
  ['stopping', 4004],
]);

function reasonOf(code: number): CloseReason | undefined {
  for (const [reason, number] of closeCodes) if (number === code) return reason;
  return undefined;
}

/** 2 min between questions for the round-trip time: 8 B/s for a machine with four links. */
const pingMs = 120_000;

/** What went over links. */
interface Traffic {
  sentBytes: number;
  receivedBytes: number;
  sentFrames: number;
  receivedFrames: number;
}

interface Counted extends Traffic {
  roundTripMs: number | null;
  /** When the open question left; undefined without one. */
  pingedMs: number | undefined;
}

const noTraffic: Counted = {
  sentBytes: 0,
  receivedBytes: 0,
  sentFrames: 0,
  receivedFrames: 0,
  roundTripMs: null,
  pingedMs: undefined,
};

export class SocketRuntime implements Runtime {
  readonly #events: RuntimeEvents;
  readonly #sockets = new Map<LinkId, WebSocket>();
  readonly #counted = new Map<LinkId, Counted>();
  /** Over all links, those that are gone included. */
  readonly total = { sentBytes: 0, receivedBytes: 0, lostLinkCount: 0 };
  #pings: NodeJS.Timeout | undefined;
  #lastLink = 0;

  constructor(events: RuntimeEvents) {
    this.#events = events;
  }

  /** Takes over a socket whose handshake is done; its frames come as events. */
  adopt(socket: WebSocket): LinkId {
    const link = ++this.#lastLink;
    this.#sockets.set(link, socket);
    const counted: Counted = { ...noTraffic };
    this.#counted.set(link, counted);
    this.#ping(link);
    // Agents of any version answer: it is a part of WebSocket.
    socket.on('pong', () => {
      if (counted.pingedMs === undefined) return;
      counted.roundTripMs = this.monotonic() - counted.pingedMs;
      counted.pingedMs = undefined;
    });
    socket.on('message', (data: RawData, isBinary: boolean) => {
      if (!this.#sockets.has(link)) return;
      const sizeBytes = Buffer.isBuffer(data) ? data.length : 0;
      counted.receivedBytes += sizeBytes;
      counted.receivedFrames++;
      this.total.receivedBytes += sizeBytes;
      // `ws` hands out Buffers; text is no frame, and the node treats it as nonsense.
      this.#events.frame(link, isBinary && Buffer.isBuffer(data) ? data : new Uint8Array(0));
    });
    socket.once('close', (code: number) => {
      if (!this.#drop(link)) return;
      this.total.lostLinkCount++;
      this.#events.ended(link, reasonOf(code));
    });
    return link;
  }

  /** What went over a link, and how long an answer takes on it. */
  traffic(link: LinkId): Traffic & { readonly roundTripMs: number | null } {
    const { sentBytes, receivedBytes, sentFrames, receivedFrames, roundTripMs } =
      this.#counted.get(link) ?? noTraffic;
    return { sentBytes, receivedBytes, sentFrames, receivedFrames, roundTripMs };
  }

  /** @returns whether it was there */
  #drop(link: LinkId): boolean {
    this.#counted.delete(link);
    if (this.#sockets.size === 1 && this.#sockets.has(link)) {
      clearInterval(this.#pings);
      this.#pings = undefined;
    }
    return this.#sockets.delete(link);
  }

  #ping(link: LinkId): void {
    const socket = this.#sockets.get(link);
    const counted = this.#counted.get(link);
    if (socket?.readyState !== socket?.OPEN || counted === undefined) return;
    counted.pingedMs = this.monotonic();
    socket?.ping();
    this.#pings ??= setInterval(() => {
      for (const each of this.#sockets.keys()) this.#ping(each);
    }, pingMs).unref();
  }

  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  random(): number {
    return Math.random();
  }

  schedule(delayMs: number, run: () => void): Cancel {
    if (delayMs <= 0) {
      const immediate = setImmediate(run);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  }

  send(link: LinkId, frame: Uint8Array): void {
    const socket = this.#sockets.get(link);
    const counted = this.#counted.get(link);
    if (socket?.readyState !== socket?.OPEN || counted === undefined) return;
    counted.sentBytes += frame.length;
    counted.sentFrames++;
    this.total.sentBytes += frame.length;
    socket?.send(frame);
  }

  bufferedBytes(link: LinkId): number {
    return this.#sockets.get(link)?.bufferedAmount ?? 0;
  }

  close(link: LinkId, reason: CloseReason): void {
    const socket = this.#sockets.get(link);
    if (socket === undefined) return;
    this.#drop(link);
    const code = closeCodes.get(reason);
    if (code === undefined) return socket.terminate();
    socket.close(code);
    const timer = setTimeout(() => socket.terminate(), 1000);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }

  /** Ends all connections without a word. */
  closeAll(): void {
    for (const [link, socket] of this.#sockets) {
      this.#drop(link);
      socket.terminate();
    }
  }

  dial(machine: MachineId): void {
    this.#events.dial(machine);
  }

  deliver(delivery: Delivery): void {
    this.#events.deliver(delivery);
  }

  livenessChanged(): void {
    this.#events.livenessChanged();
  }

  whenDurable(key: string, hlc: Hlc, then: () => void): void {
    this.#events.whenDurable(key, hlc, then);
  }

  report(text: string): void {
    this.#events.report(text);
  }
}
