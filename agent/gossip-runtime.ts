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

export class SocketRuntime implements Runtime {
  readonly #events: RuntimeEvents;
  readonly #sockets = new Map<LinkId, WebSocket>();
  #lastLink = 0;

  constructor(events: RuntimeEvents) {
    this.#events = events;
  }

  /** Takes over a socket whose handshake is done; its frames come as events. */
  adopt(socket: WebSocket): LinkId {
    const link = ++this.#lastLink;
    this.#sockets.set(link, socket);
    socket.on('message', (data: RawData, isBinary: boolean) => {
      if (!this.#sockets.has(link)) return;
      // `ws` hands out Buffers; text is no frame, and the node treats it as nonsense.
      this.#events.frame(link, isBinary && Buffer.isBuffer(data) ? data : new Uint8Array(0));
    });
    socket.once('close', (code: number) => {
      if (this.#sockets.delete(link)) this.#events.ended(link, reasonOf(code));
    });
    return link;
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
    if (socket?.readyState === socket?.OPEN) socket?.send(frame);
  }

  bufferedBytes(link: LinkId): number {
    return this.#sockets.get(link)?.bufferedAmount ?? 0;
  }

  close(link: LinkId, reason: CloseReason): void {
    const socket = this.#sockets.get(link);
    if (socket === undefined) return;
    this.#sockets.delete(link);
    const code = closeCodes.get(reason);
    if (code === undefined) return socket.terminate();
    socket.close(code);
    const timer = setTimeout(() => socket.terminate(), 1000);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }

  /** Ends all connections without a word. */
  closeAll(): void {
    for (const socket of this.#sockets.values()) socket.terminate();
    this.#sockets.clear();
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
