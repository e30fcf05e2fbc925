/**
 * Takes the engine's log and exec streams apart: without a TTY they are frames of an 8-byte head
 * (stream, length) and bytes; with one they are the bytes themselves. And cuts bytes into lines
 * without ever breaking a character. Pure.
 */
import { StringDecoder } from 'node:string_decoder';

export type StreamName = 'stdout' | 'stderr';

export interface Frame {
  readonly stream: StreamName;
  readonly bytes: Uint8Array;
}

const headBytes = 8;

/** Cuts a multiplexed stream into frames; chunks may end anywhere. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** @returns the frames, or parts of them, that are complete now */
  push(chunk: Uint8Array): readonly Frame[] {
    let rest = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    const frames: Frame[] = [];
    while (rest.length >= headBytes) {
      const end = headBytes + rest.readUInt32BE(4);
      if (rest.length < end) break;
      frames.push({
        stream: rest[0] === 2 ? 'stderr' : 'stdout',
        bytes: rest.subarray(headBytes, end),
      });
      rest = rest.subarray(end);
    }
    this.#rest = rest;
    return frames;
  }
}

/** 1 MiB: a line that is longer is cut, so that a container cannot fill the memory. */
const maxLineLength = 1024 * 1024;

/** Gathers text into lines; an unfinished last line comes with `end()`. */
export class LineReader {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  push(bytes: Uint8Array): readonly string[] {
    const lines = (this.#rest + this.#decoder.write(Buffer.from(bytes))).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > maxLineLength) {
      lines.push(this.#rest);
      this.#rest = '';
    }
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }

  end(): readonly string[] {
    const rest = this.#rest + this.#decoder.end();
    this.#rest = '';
    return rest === '' ? [] : [rest];
  }
}

/**
 * Prefixes of log lines, as wide as the widest name so far.
 * @returns "web-1  | "
 */
export function logPrefix(name: string, width: number): string {
  return `${name.padEnd(width + 1)} | `;
}
