/**
 * What server and client of the mesh share: options of the WebSockets, and the Duplex that carries
 * HTTP over one. A WebSocket can only be closed as a whole, but `exec` and `docker load` end their
 * input and go on reading; so the end of one direction is a message of its own, the empty one.
 */
import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { maxFrameBytes } from '../src/gossip/limits.ts';

/** Never compressed: zlib contexts cost more memory than the whole agent. */
export const socketOptions = { perMessageDeflate: false, maxPayload: maxFrameBytes } as const;

/** 2 s for a handshake: eight round trips of the slowest line that gossip is meant for. */
export const handshakeTimeoutMs = 2000;

/** 256 KiB: well below the largest message that a peer takes, large enough to cost nothing. */
const maxMessageBytes = 256 << 10;

const endOfStream = Buffer.alloc(0);

/** A byte stream over a WebSocket, whose directions end one by one. */
class WebSocketDuplex extends Duplex {
  readonly #socket: WebSocket;
  #hasTheirEnd = false;
  #hasOurEnd = false;

  constructor(socket: WebSocket) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data: RawData) => this.#receive(data));
    socket.on('close', () => {
      // Without the end mark before it, bytes may be missing: an error, not an end.
      if (this.#hasTheirEnd) this.destroy();
      else this.destroy(new Error('the other machine closed the connection'));
    });
    socket.on('error', (error) => this.destroy(error));
    // Readers and pipelines have listeners of their own; between two of them a peer that goes away
    // must not end the agent.
    this.on('error', () => undefined);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    if (chunk.length <= maxMessageBytes) {
      if (chunk.length === 0) done();
      else this.#socket.send(chunk, { binary: true }, done);
      return;
    }
    this.#socket.send(chunk.subarray(0, maxMessageBytes), { binary: true }, (error) => {
      if (error) done(error);
      else this._write(chunk.subarray(maxMessageBytes), _encoding, done);
    });
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#hasOurEnd = true;
    this.#socket.send(endOfStream, { binary: true }, (error) => {
      done(error);
      this.#closeWhenBothEnded();
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#hasOurEnd && this.#hasTheirEnd) this.#socket.close();
    else this.#socket.terminate();
    done(error);
  }

  #receive(data: RawData): void {
    // 'nodebuffer' gives one Buffer a message.
    const bytes = data as Buffer;
    if (bytes.length === 0) {
      this.#hasTheirEnd = true;
      this.push(null);
      this.#closeWhenBothEnded();
      return;
    }
    if (!this.push(bytes)) this.#socket.pause();
  }

  #closeWhenBothEnded(): void {
    if (this.#hasOurEnd && this.#hasTheirEnd) this.#socket.close();
  }
}

/**
 * A byte stream over a WebSocket that Node's HTTP takes for a socket: it calls a socket's own
 * methods, which have no meaning here.
 */
export function asDuplex(socket: WebSocket): Duplex {
  const duplex = new WebSocketDuplex(socket);
  const nothing = (): Duplex => duplex;
  return Object.assign(duplex, {
    setTimeout: nothing,
    setNoDelay: nothing,
    setKeepAlive: nothing,
    ref: nothing,
    unref: nothing,
  });
}
