/**
 * Faults of the world or of the user. Each has a code, a sentence, and where possible the place
 * and what to do next. Faults of ours are `AssertionError` (assert.ts).
 */

/** Where in a source text an error stands. Lines and columns count from 1. */
export interface Place {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  /** The text of the line, for the caret. */
  readonly text?: string;
  /** How many columns the caret underlines. */
  readonly length?: number;
}

export interface TscErrorOptions {
  readonly hint?: string;
  readonly where?: Place;
  readonly cause?: unknown;
  /** Other faults found at the same time, each with a place of its own. */
  readonly also?: readonly TscError[];
}

/** Codes are `E_<AREA>_<WHAT>`; they are stable and may be matched by scripts. */
export type ErrorCode = `E_${string}`;

/** An expected failure, shown to the user without a stack. */
export class TscError extends Error {
  override readonly name = 'TscError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly where: Place | undefined;
  readonly also: readonly TscError[];

  constructor(code: ErrorCode, message: string, options: TscErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.where = options.where;
    this.also = options.also ?? [];
  }
}

/**
 * Renders an error for a terminal: `file:line:col: message`, the line, a caret, the hint; then what
 * else was found.
 * @returns text without a trailing newline
 */
export function formatError(error: TscError): string {
  return [error, ...error.also].map(formatOne).join('\n');
}

function formatOne(error: TscError): string {
  const { where, hint } = error;
  if (where === undefined) return hint ? `${error.message}\n  hint: ${hint}` : error.message;
  const position = [where.file, where.line, where.column].filter((x) => x !== undefined).join(':');
  const head = `${position}: ${error.message}`;
  if (where.line === undefined || where.text === undefined) {
    return hint ? `${head}\n  hint: ${hint}` : head;
  }
  const gutter = `${where.line}`.padStart(5);
  const caretLine = `${' '.repeat((where.column ?? 1) - 1)}${'^'.repeat(Math.max(1, where.length ?? 1))}`;
  return `${head}\n${gutter} | ${where.text}\n${' '.repeat(5)} | ${caretLine}${hint ? ` ${hint}` : ''}`;
}
