/**
 * stdout and stderr, written straight to their file descriptors. Node's own streams are opened only
 * for what they alone know (is it a terminal, how wide): opening one takes 3 ms, a tenth of a short
 * command. On Linux Node writes to files, pipes and terminals synchronously as well, so nothing
 * changes for a slow reader.
 * What it must never do: lose a part of the text because the reader is slow.
 */
import { writeSync } from 'node:fs';
import { exitCode, type Output } from './cli.ts';

export class StandardStream implements Output {
  readonly #descriptor: 1 | 2;
  #isSlow = false;

  constructor(name: 'stdout' | 'stderr') {
    this.#descriptor = name === 'stdout' ? 1 : 2;
  }

  get isTTY(): boolean {
    return this.#node.isTTY;
  }

  /** Of a terminal. */
  get columns(): number | undefined {
    // Typed as always there, and absent on what is no terminal.
    return this.#node.columns as number | undefined;
  }

  /** Writes all of it before it returns, if the reader allows. */
  write(text: string | Uint8Array): void {
    let rest = typeof text === 'string' ? Buffer.from(text) : text;
    try {
      while (rest.length > 0 && !this.#isSlow) {
        rest = rest.subarray(writeSync(this.#descriptor, rest));
      }
    } catch (error) {
      // Whoever gave us the descriptor has made it non-blocking: from here on Node waits for it.
      if (codeOf(error) === 'EAGAIN') this.#slow();
      else this.#failed(error);
    }
    if (rest.length > 0 && this.#isSlow) this.#node.write(rest);
  }

  get #node(): NodeJS.WriteStream {
    return this.#descriptor === 1 ? process.stdout : process.stderr;
  }

  #slow(): void {
    this.#isSlow = true;
    this.#node.on('error', (error) => this.#failed(error));
  }

  /** `tsc-compose logs | head`: a reader that has seen enough is no error. */
  #failed(error: unknown): void {
    if (codeOf(error) !== 'EPIPE') throw error;
    if (this.#descriptor === 1) process.exit(exitCode.ok);
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
