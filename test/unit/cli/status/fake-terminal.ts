/**
 * A terminal of which ink draws and reads: keeps what was written, and shows it as the screen that
 * a real one would show. Knows the few sequences that ink uses; an unknown one is an error.
 */
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';

export class FakeTerminal {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly rawModes: boolean[] = [];
  written = '';
  readonly #out = new EventEmitter();
  readonly #in = new PassThrough();
  #size: { columns: number; rows: number };

  constructor(columns: number, rows: number) {
    this.#size = { columns, rows };
    // ink uses these members of the streams; the types have a hundred more.
    this.stdout = Object.assign(this.#out, {
      isTTY: true,
      write: (text: string, done?: unknown) => {
        this.written += text;
        if (typeof done === 'function') done();
        return true;
      },
    }) as unknown as NodeJS.WriteStream;
    Object.defineProperties(this.stdout, {
      columns: { get: () => this.#size.columns },
      rows: { get: () => this.#size.rows },
    });
    // As above: what ink uses of a stream.
    this.stdin = Object.assign(this.#in, {
      isTTY: true,
      setRawMode: (isRaw: boolean) => this.rawModes.push(isRaw),
      ref: () => undefined,
      unref: () => undefined,
    }) as unknown as NodeJS.ReadStream;
  }

  press(keys: string): void {
    this.#in.write(keys);
  }

  resize(columns: number, rows: number): void {
    this.#size = { columns, rows };
    this.#out.emit('resize');
  }

  /** The first word of the row that is marked. */
  selected(): string | undefined {
    return this.screen()
      .find((line) => line.startsWith('› '))
      ?.split(' ')[1];
  }

  /** The lines of the window, without blanks at their ends. */
  screen(): readonly string[] {
    return drawn(this.written, this.#size.rows);
  }
}

/** A sequence with its numbers and its letter, a line end, or text. */
const escape = String.fromCharCode(27);
const sequence = new RegExp(
  `${escape}\\[(\\??)([\\d;]*)([A-Za-z])|\\n|\\r|[^${escape}\\n\\r]+`,
  'g',
);

/** Plays what was written. */
function drawn(written: string, rowCount: number): readonly string[] {
  let lines: string[] = [];
  let [row, column] = [0, 0];
  const put = (text: string): void => {
    const line = (lines[row] ?? '').padEnd(column);
    lines[row] = line.slice(0, column) + text + line.slice(column + text.length);
    column += text.length;
  };
  for (const [text, isPrivate, numbers = '', final] of written.matchAll(sequence)) {
    const [first = 1, second = 1] = numbers.split(';').map((number) => Number(number || 1));
    if (final === undefined) {
      if (text === '\n') [row, column] = [Math.min(row + 1, rowCount - 1), 0];
      else if (text === '\r') column = 0;
      else put(text);
    } else if (isPrivate === '?') {
      // Entering and leaving the other screen, cursor, synchronised output, pasting.
      if (numbers === '1049') lines = [];
    } else if (final === 'm') continue;
    else if (final === 'A') row = Math.max(0, row - first);
    else if (final === 'B') row += first;
    else if (final === 'C') column += first;
    else if (final === 'G') column = first - 1;
    else if (final === 'E') [row, column] = [row + first, 0];
    else if (final === 'F') [row, column] = [Math.max(0, row - first), 0];
    else if (final === 'H') [row, column] = [first - 1, second - 1];
    else if (final === 'J') {
      lines = numbers === '2' || numbers === '3' ? [] : lines.slice(0, row + 1);
      if (numbers !== '2' && numbers !== '3') lines[row] = (lines[row] ?? '').slice(0, column);
    } else if (final === 'K') {
      lines[row] = numbers === '2' ? '' : (lines[row] ?? '').slice(0, column);
    } else throw new Error(`unknown sequence ${JSON.stringify(text)}`);
  }
  return Array.from({ length: rowCount }, (_, index) => (lines[index] ?? '').trimEnd());
}
