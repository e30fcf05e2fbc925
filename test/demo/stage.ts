/**
 * Where the demo speaks. On a terminal that is large enough a live picture is drawn over itself
 * below what was said; everywhere else each event is a plain line. Reading time is given to people
 * only. Colours only on a terminal and without NO_COLOR.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Paint } from './paint.ts';
import { colours, plain } from './paint.ts';

/** Three columns of 24 characters and the longest sentence. */
const leastColumns = 80;
/** The live picture has at most 16 lines; it must not scroll while it is drawn. */
const leastRows = 20;
/** 150 ms: fast enough to look alive, slow enough for a remote terminal. */
const drawEveryMs = 150;

export interface StageOptions {
  /** No reading time: for tests. */
  readonly isAuto: boolean;
}

export class Stage {
  readonly isAuto: boolean;
  readonly isTerminal: boolean;
  readonly paint: Paint;
  readonly #output = process.stdout;
  #draw: (() => readonly string[]) | undefined;
  #drawnLineCount = 0;
  #headingCount = 0;

  constructor(options: StageOptions) {
    const { isTTY, columns, rows } = this.#output;
    this.isAuto = options.isAuto;
    this.isTerminal =
      isTTY && columns >= leastColumns && rows >= leastRows && process.env.TERM !== 'dumb';
    this.paint = this.isTerminal && !process.env.NO_COLOR ? colours : plain;
  }

  /** Begins a numbered part. */
  heading(text: string): void {
    this.#headingCount += 1;
    this.say('', this.paint.bold(`${this.#headingCount}. ${text}`));
  }

  /** Lines that stay, above the live picture. */
  say(...lines: readonly string[]): void {
    this.#erase();
    for (const line of lines) this.#output.write(`${line}\n`);
    this.#redraw();
  }

  /** An event that the live picture shows by itself: a line only where there is no picture. */
  note(line: string): void {
    if (!this.isTerminal) this.say(line);
  }

  /** Time for a person to read. */
  async pause(readingMs: number): Promise<void> {
    if (!this.isAuto) await sleep(readingMs);
  }

  /** Draws a picture while the work goes on; the last one stays. */
  async live<T>(draw: () => readonly string[], work: Promise<T>): Promise<T> {
    if (!this.isTerminal) return work;
    this.#draw = draw;
    this.#redraw();
    const timer = setInterval(() => {
      this.#erase();
      this.#redraw();
    }, drawEveryMs);
    try {
      return await work;
    } finally {
      clearInterval(timer);
      this.#erase();
      this.#redraw();
      this.#draw = undefined;
      this.#drawnLineCount = 0;
    }
  }

  #erase(): void {
    if (this.#drawnLineCount > 0) this.#output.write(`\u001B[${this.#drawnLineCount}A\u001B[J`);
    this.#drawnLineCount = 0;
  }

  #redraw(): void {
    if (this.#draw === undefined) return;
    const lines = this.#draw();
    this.#output.write(lines.map((line) => `${line}\n`).join(''));
    this.#drawnLineCount = lines.length;
  }
}
