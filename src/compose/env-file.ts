/**
 * Reads env files: the dotenv dialect of Compose (quotes, escapes, comments, variables) and the
 * `raw` format, in which a line is taken as it is. A variable sees the environment first, then what
 * the same file said above. A key without `=` takes its value from the environment or is left out.
 */
import { TscError } from '../lib/errors.ts';
import { InvalidTemplate, type Lookup, MissingVariable, substitute } from './template.ts';

/** Where parsed variables go; what it holds already is visible to later lines. */
export type Variables = Map<string, string>;

/**
 * Parses text in the dialect of `.env` files into `variables`.
 * @param warn called for each variable that is used without being set
 */
export function parseEnvFile(
  file: string,
  text: string,
  variables: Variables,
  lookup: Lookup,
  warn: (message: string) => void,
): void {
  new Parser(file, text, variables, lookup, warn).parse();
}

/** Space within a line; a line break is not among them. */
const blank = /[\t\v\f\r \u0085\u00a0]/;
const leadingBlanks = /^[\t\v\f\r \u0085\u00a0]+/;
/** What Go's unicode.IsSpace accepts. */
const space =
  '[\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const trailingSpace = new RegExp(`${space}+$`);
const leadingSpace = new RegExp(`^${space}*`);

class Parser {
  readonly #file: string;
  readonly #variables: Variables;
  readonly #lookup: Lookup;
  readonly #warn: (message: string) => void;
  readonly #text: string;
  #rest: string;

  constructor(
    file: string,
    text: string,
    variables: Variables,
    lookup: Lookup,
    warn: (message: string) => void,
  ) {
    this.#file = file;
    this.#text = text.replace(/^\ufeff/, '');
    this.#rest = this.#text;
    this.#variables = variables;
    this.#lookup = lookup;
    this.#warn = warn;
  }

  parse(): void {
    for (;;) {
      this.#skipToStatement();
      if (this.#rest === '') return;
      const { key, isInherited } = this.#readKey();
      if (key.includes(' ')) throw this.#fault('key cannot contain a space');
      if (isInherited) {
        const value = this.#lookup(key);
        if (value !== undefined) this.#variables.set(key, value);
      } else {
        this.#variables.set(key, this.#readValue());
      }
    }
  }

  #skipToStatement(): void {
    for (;;) {
      this.#rest = this.#rest.replace(leadingSpace, '');
      if (!this.#rest.startsWith('#')) return;
      const end = this.#rest.indexOf('\n');
      this.#rest = end < 0 ? '' : this.#rest.slice(end);
    }
  }

  #readKey(): { key: string; isInherited: boolean } {
    if (/^export[\t\n\f\r ]/.test(this.#rest)) {
      this.#rest = this.#rest.slice('export'.length).replace(leadingBlanks, '');
    }
    const source = this.#rest;
    let key = '';
    let offset = 0;
    let isInherited = false;
    for (const { char, index } of characters(source)) {
      if (blank.test(char)) continue;
      if (char === '=' || char === ':' || char === '\n') {
        key = source.slice(0, index);
        offset = index + 1;
        isInherited = char === '\n';
        break;
      }
      if (!/[_.\-[\]\p{L}\p{N}]/u.test(char)) {
        const line = source.split('\n', 1)[0] ?? '';
        throw this.#fault(
          `unexpected character ${JSON.stringify(char)} in variable name ${JSON.stringify(line)}`,
        );
      }
    }
    if (source === '') throw this.#fault('zero length string');
    this.#rest = source.slice(offset).replace(leadingBlanks, '');
    // A name that the file ends in counts as the value of an empty name.
    return { key: key.replace(trailingSpace, ''), isInherited };
  }

  #readValue(): string {
    const quote = this.#rest[0];
    if (quote === '"' || quote === "'") return this.#readQuoted(quote);
    const end = this.#rest.indexOf('\n');
    const line = end < 0 ? this.#rest : this.#rest.slice(0, end);
    this.#rest = end < 0 ? '' : this.#rest.slice(end + 1);
    const comment = line.indexOf(' #');
    const value = (comment < 0 ? line : line.slice(0, comment)).replace(trailingSpace, '');
    return this.#expand(value);
  }

  #readQuoted(quote: '"' | "'"): string {
    const source = this.#rest;
    let value = '';
    let escaped = false;
    for (let i = 1; i < source.length; i++) {
      const char = source.charAt(i);
      if (char === quote && !escaped) {
        this.#rest = source.slice(i + 1);
        return quote === '"' ? this.#expand(expandEscapes(value)) : value;
      }
      if (char === '\\' && !escaped) {
        escaped = true;
        continue;
      }
      if (escaped && char !== quote) value += '\\';
      escaped = false;
      value += char;
    }
    const line = source.split('\n', 1)[0] ?? '';
    throw this.#fault(`unterminated quoted value ${line}`);
  }

  #expand(value: string): string {
    try {
      return substitute(value, {
        lookup: (name) => this.#lookup(name) ?? this.#variables.get(name),
        onUnset: (name) =>
          this.#warn(`The "${name}" variable is not set. Defaulting to a blank string.`),
      });
    } catch (error) {
      if (error instanceof InvalidTemplate) {
        throw this.#fault(`invalid template: ${JSON.stringify(error.template)}`, error);
      }
      if (error instanceof MissingVariable) {
        throw new TscError(
          'E_COMPOSE_REQUIRED_VARIABLE',
          `failed to read ${this.#file}: ${error.message}`,
          { cause: error },
        );
      }
      throw error;
    }
  }

  #fault(message: string, cause?: unknown): TscError {
    const consumed = this.#text.slice(0, this.#text.length - this.#rest.length);
    const line = consumed.split('\n').length;
    const text = this.#text.split('\n')[line - 1] ?? '';
    return new TscError(
      'E_COMPOSE_PARSE',
      `failed to read ${this.#file}: line ${line}: ${message}`,
      { where: { file: this.#file, line, text }, ...(cause === undefined ? {} : { cause }) },
    );
  }
}

function* characters(text: string): Generator<{ char: string; index: number }> {
  let index = 0;
  for (const char of text) {
    yield { char, index };
    index += char.length;
  }
}

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '"': '"',
  '\\': '\\',
  // A dollar that must not start a variable; the expansion that follows makes it one dollar.
  $: '$$',
};

/** `\c`, and `\0` without three octal digits, are no escapes of Go and stay as they are. */
function expandEscapes(text: string): string {
  return text.replace(
    /\\(?:([abcfnrtv$"\\])|0(\d{0,3}))/g,
    (match, letter: string, octal: string) => {
      if (letter !== undefined) return escapes[letter] ?? match;
      if (!/^[0-3][0-7]{2}$/.test(octal)) return match;
      return String.fromCharCode(Number.parseInt(octal, 8));
    },
  );
}

/** Parses the `raw` format, that of `docker run --env-file`. */
export function parseRawEnvFile(
  file: string,
  text: string,
  variables: Variables,
  lookup: Lookup,
): void {
  const lines = text.replace(/^\ufeff/, '').split('\n');
  for (const line of lines) {
    const content = line.replace(/\r$/, '').replace(leadingSpace, '');
    if (content === '' || content.startsWith('#')) continue;
    const equals = content.indexOf('=');
    const key = equals < 0 ? content : content.slice(0, equals);
    const fault = (why: string): TscError =>
      new TscError('E_COMPOSE_PARSE', `failed to parse env_file ${file}: ${why}`);
    if (key === '') throw fault(`no variable name on line '${content}'`);
    if (/[ \t]/.test(key)) throw fault(`variable '${key}' contains whitespaces`);
    const value = equals < 0 ? lookup(content) : content.slice(equals + 1);
    if (value !== undefined) variables.set(key, value);
  }
}
