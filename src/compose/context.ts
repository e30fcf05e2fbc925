/**
 * What every step of loading needs: how files are read, what was warned about, where a key stands
 * in which file. One context lives for one call of the loader and is shared by included files.
 */
import { isUtf8 } from 'node:buffer';
import { posix } from 'node:path';
import { type ErrorCode, type Place, TscError } from '../lib/errors.ts';
import { FaultAt } from './fault.ts';
import { maxFileBytes, maxPorts, tooLarge } from './limits.ts';
import type { KeyPath } from './value.ts';
import { type Located, type ParsedText, parseText, type SourceFile } from './yaml-source.ts';

/** Reads files for the loader, which itself touches no disk. Paths are absolute. */
export interface ProjectReader {
  /** @returns undefined when there is no such file; throws on any other failure */
  readFile(path: string): Uint8Array | undefined;
  isDirectory(path: string): boolean;
  /** Resolves symbolic links; undefined when the path does not exist. */
  realPath?(path: string): string | undefined;
  /** The text of standard input, for `-f -`. */
  readStdin?(): Uint8Array;
}

export type Environment = Readonly<Record<string, string>>;

export interface Positions {
  /** @returns where the deepest known key of the path is written; undefined before any file */
  find(path: KeyPath): Place | undefined;
  /** Whether some file spells out the whole path, so that it is not implied by Compose. */
  has(path: KeyPath): boolean;
}

export class LoadContext implements Positions {
  readonly reader: ProjectReader;
  /** The directory that relative paths of the command line refer to. */
  readonly cwd: string;
  readonly home: string | undefined;
  readonly warnings: string[] = [];
  readonly #sources: SourceFile[] = [];
  #stdin: string | undefined;
  #portCount = 0;
  readonly #parsed = new Map<string, ParsedText>();
  /** What is being read, or was last. */
  #lastFile: string | undefined;

  constructor(reader: ProjectReader, cwd: string, home: string | undefined) {
    this.reader = withCodes(reader);
    this.cwd = cwd;
    this.home = home;
  }

  /** Counts ports of ranges that are written out. */
  countPorts(count: number): void {
    this.#portCount += count;
    if (this.#portCount > maxPorts) {
      throw tooLarge(`the ranges under ports have more than ${maxPorts} ports`);
    }
  }

  /** The syntax tree of a text: the name of a project is looked for before its files are loaded. */
  parse(text: string, file?: string): ParsedText {
    const known = this.#parsed.get(text);
    if (known !== undefined) return known;
    const parsed = parseText(text, file);
    this.#parsed.set(text, parsed);
    return parsed;
  }

  /** Each distinct warning is given once. */
  warn(message: string): void {
    if (!this.warnings.includes(message)) this.warnings.push(message);
  }

  addSource(source: SourceFile): void {
    this.#sources.push(source);
  }

  find(path: KeyPath): Place | undefined {
    return this.#locate(path)?.place;
  }

  has(path: KeyPath): boolean {
    return this.#locate(path)?.depth === path.length;
  }

  #locate(path: KeyPath): Located | undefined {
    let best: Located | undefined;
    for (const source of this.#sources) {
      const found = source.locate(path);
      // Of two files that write the same key, the later one is to blame.
      if (found !== undefined && (best === undefined || found.depth >= best.depth)) best = found;
    }
    return best;
  }

  /** An error about the value at a path of the file. */
  error(code: ErrorCode, message: string, path: KeyPath = [], hint?: string): TscError {
    const where = this.find(path);
    return new TscError(code, message, {
      ...(where === undefined ? {} : { where }),
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #readStdin(): Uint8Array {
    const bytes = this.reader.readStdin?.();
    if (bytes !== undefined) return bytes;
    throw new TscError(
      'E_COMPOSE_FILE_MISSING',
      'standard input cannot be read here: no such file or directory',
    );
  }

  /** Runs a step, and lays a missing file at the door of the key that names it. */
  blaming<T>(path: KeyPath, run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (!(error instanceof TscError) || error.where !== undefined) throw error;
      if (error.code !== 'E_COMPOSE_FILE_MISSING') throw error;
      throw this.error(error.code, error.message, path, error.hint);
    }
  }

  /**
   * Runs a step, and adds the place to a fault that knows only its path. What is nested so deep, or
   * grows so long, that the engine gives up is a fault of the file as well.
   */
  placing<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      if (error instanceof RangeError) {
        throw new TscError('E_COMPOSE_TOO_LARGE', `nested too deep: ${error.message}`, {
          cause: error,
          ...(this.#lastFile === undefined ? {} : { where: { file: this.#lastFile } }),
        });
      }
      if (!(error instanceof FaultAt) || error.where !== undefined) throw error;
      throw this.error(error.code, error.message, error.path, error.hint);
    }
  }

  absolute(path: string): string {
    return posix.resolve(this.cwd, path);
  }

  /** Text of a file that must exist; `-` is standard input, which can be read only once. */
  readText(path: string): string {
    if (path === '-') {
      this.#stdin ??= decodeText(path, this.#readStdin());
      return this.#stdin;
    }
    const absolute = this.absolute(path);
    this.#lastFile = absolute;
    if (this.reader.isDirectory(absolute)) {
      throw new TscError('E_COMPOSE_FILE_MISSING', `read ${absolute}: is a directory`);
    }
    const bytes = this.reader.readFile(absolute);
    if (bytes === undefined) {
      throw new TscError('E_COMPOSE_FILE_MISSING', `open ${absolute}: no such file or directory`);
    }
    return decodeText(absolute, bytes);
  }
}

/** A disk that refuses (no permission, too many links) is not a fault of ours. */
function withCodes(reader: ProjectReader): ProjectReader {
  const guard = <T>(path: string, read: () => T): T => {
    try {
      return read();
    } catch (cause) {
      if (cause instanceof TscError) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new TscError('E_COMPOSE_FILE_UNREADABLE', `cannot read ${path}: ${why}`, {
        where: { file: path },
        cause,
      });
    }
  };
  return {
    readFile: (path) => guard(path, () => reader.readFile(path)),
    isDirectory: (path) => guard(path, () => reader.isDirectory(path)),
    realPath: (path) => guard(path, () => reader.realPath?.(path)),
    ...(reader.readStdin === undefined
      ? {}
      : { readStdin: () => guard('-', () => reader.readStdin?.() ?? new Uint8Array()) }),
  };
}

/** UTF-8 only: a file with other bytes is refused instead of being garbled. */
export function decodeText(path: string, bytes: Uint8Array): string {
  if (bytes.length > maxFileBytes) {
    throw tooLarge(`the file has more than ${maxFileBytes} bytes`, path);
  }
  // Not TextDecoder: Node loads it when it is first used, which takes longer than reading a file.
  if (isUtf8(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  throw new TscError('E_COMPOSE_SYNTAX', `yaml: ${path}: invalid UTF-8`, { where: { file: path } });
}
