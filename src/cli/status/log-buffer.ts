/** The last lines of the logs that are looked at, numbered, so that a position outlives new ones. */

export interface LogLine {
  readonly name: string;
  readonly text: string;
}

/** 5000 lines: an hour of a chatty service, and a megabyte at most of memory for short lines. */
const maxLineCount = 5_000;
/** 2000 characters: nobody sees more of a line on one screen. */
const maxLineLength = 2_000;

export class LogBuffer {
  #lines: LogLine[] = [];
  #first = 0;

  /** Number of the oldest line that is kept. */
  get first(): number {
    return this.#first;
  }

  /** Number after the newest line. */
  get end(): number {
    return this.#first + this.#lines.length;
  }

  push(line: LogLine): void {
    this.#lines.push({ ...line, text: line.text.slice(0, maxLineLength) });
    // Dropping in large pieces keeps a push cheap.
    if (this.#lines.length > 2 * maxLineCount) {
      this.#first += this.#lines.length - maxLineCount;
      this.#lines = this.#lines.slice(-maxLineCount);
    }
  }

  /**
   * @param top number of the first line; undefined for the last ones
   * @returns as many lines as are there, at most `height`
   */
  window(top: number | undefined, height: number): readonly LogLine[] {
    const last = Math.max(this.#first, this.end - height);
    const start = top === undefined ? last : Math.min(Math.max(top, this.#first), last);
    return this.#lines.slice(start - this.#first, start - this.#first + height);
  }
}
