/**
 * Text of a Compose file -> values. Reads YAML with the `yaml` package, but decides by itself what
 * scalars, aliases, merge keys, duplicate keys and the tags `!reset` and `!override` mean, so that
 * the answers are those of go-yaml and of the Compose specification.
 * Visits at most `maxNodes` nodes of a document, aliases counted each time they are used: a file of
 * nested aliases ends with an error instead of filling the memory.
 * Keeps the syntax tree, so that a message can name line and column of any key.
 */
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  Parser,
  type Scalar,
  type YAMLMap,
} from 'yaml';
import { type ErrorCode, type Place, TscError } from '../lib/errors.ts';
import { resolvePlain, resolveTagged } from './go-scalar.ts';
import { maxNodes, maxTokens, tooLarge } from './limits.ts';
import { type Dict, isDict, type KeyPath, newDict, type Value } from './value.ts';

export interface SourceDocument {
  readonly value: Value;
  /** Paths tagged !reset or !override: what earlier files say there is dropped before merging. */
  readonly resets: readonly KeyPath[];
}

export interface SourceFile {
  readonly file: string;
  readonly documents: readonly SourceDocument[];
  /** @returns the place of the deepest key of `path` that this file spells out, and that depth */
  locate(path: KeyPath): Located | undefined;
}

/** A place and how many keys of the path lead to it. */
export interface Located {
  readonly place: Place;
  readonly depth: number;
}

/** The syntax tree of a text. */
export interface ParsedText {
  readonly documents: readonly Document[];
  readonly lines: LineCounter;
}

/**
 * Parses a text, without looking at what it says.
 * @throws E_COMPOSE_TOO_LARGE
 */
export function parseText(text: string, file?: string): ParsedText {
  const lines = new LineCounter();
  const composer = new Composer({
    schema: 'failsafe',
    resolveKnownTags: false,
    uniqueKeys: false,
    merge: false,
    prettyErrors: false,
    logLevel: 'silent',
    lineCounter: lines,
  });
  return { documents: [...composer.compose(countedTokens(text, lines, file))], lines };
}

/** Reads all documents of a file. */
export function parseSource(
  file: string,
  text: string,
  { documents, lines }: ParsedText = parseText(text, file),
): SourceFile {
  const source = new Source(file, text, lines);
  return {
    file,
    documents: documents.map((document, index) => {
      if (index > 0) source.requireStart(document);
      return source.read(document);
    }),
    locate(path) {
      let best: Located | undefined;
      for (const document of documents) {
        const found = source.find(document, path);
        if (found !== undefined && (best === undefined || found.depth >= best.depth)) best = found;
      }
      return best;
    },
  };
}

/** What the YAML parser reads, as long as it is not too much: the tree is far larger than the text. */
function* countedTokens(
  text: string,
  lines: LineCounter,
  file: string | undefined,
): Generator<CST.Token> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let count = 0;
  for (const token of new Lexer().lex(text)) {
    if (++count > maxTokens) {
      throw tooLarge(`the file has more than ${maxTokens} words and signs`, file);
    }
    yield* parser.next(token);
  }
  yield* parser.end();
}

class Source {
  readonly #file: string;
  readonly #text: string;
  readonly #lines: LineCounter;
  /** Which node each alias stands for: the nearest anchor of that name above it. */
  readonly #targets = new Map<Node, Node>();
  /** The anchors met so far. They outlive their document, as they do in go-yaml. */
  readonly #anchors = new Map<string, Node>();

  constructor(file: string, text: string, lines: LineCounter) {
    this.#file = file;
    this.#text = text;
    this.#lines = lines;
  }

  /** After `...` only `---` begins another document. */
  requireStart(document: Document): void {
    if (document.directives?.docStart === true || document.contents === null) return;
    const offset = document.contents.range?.[0] ?? 0;
    throw this.#error('E_COMPOSE_SYNTAX', 'did not find expected <document start>', offset);
  }

  read(document: Document): SourceDocument {
    const [problem] = document.errors;
    if (problem !== undefined) {
      throw this.#error('E_COMPOSE_SYNTAX', problem.message, problem.pos[0]);
    }
    const root = document.contents;
    if (root === null) return { value: null, resets: [] };
    this.#bindAliases(root);
    const walk = new Walk(
      this.#targets,
      { text: this.#text, lineOf: (node) => this.#lines.linePos(node.range?.[0] ?? 0).line },
      (code, message, node) => this.#error(code, message, node.range?.[0] ?? 0),
    );
    const value = walk.convert(root, []);
    return { value: value ?? null, resets: walk.resets };
  }

  #bindAliases(node: unknown): void {
    if (!isNode(node) && !isPair(node)) return;
    if (isPair(node)) {
      this.#bindAliases(node.key);
      this.#bindAliases(node.value);
      return;
    }
    if (isAlias(node)) {
      const target = this.#anchors.get(node.source);
      if (target === undefined) {
        const message = `unknown anchor '${node.source}' referenced`;
        throw this.#error('E_COMPOSE_SYNTAX', message, node.range?.[0] ?? 0);
      }
      this.#targets.set(node, target);
      return;
    }
    if ('anchor' in node && typeof node.anchor === 'string') this.#anchors.set(node.anchor, node);
    if (isMap(node) || isSeq(node)) {
      for (const item of node.items) this.#bindAliases(item);
    }
  }

  find(document: Document, path: KeyPath): Located | undefined {
    let node: unknown = document.contents;
    let best: Located | undefined;
    let depth = 0;
    for (const key of path) {
      node = this.#deref(node);
      const next = isMap(node) ? this.#member(node, String(key)) : undefined;
      if (next !== undefined) {
        node = next.value;
        best = { place: this.#place(next.key), depth: ++depth };
        continue;
      }
      if (!isSeq(node) || typeof key !== 'number') break;
      node = node.items[key];
      if (!isNode(node)) break;
      best = { place: this.#place(node), depth: ++depth };
    }
    return best;
  }

  #deref(node: unknown): unknown {
    return isAlias(node) ? this.#targets.get(node) : node;
  }

  /** The pair of a key, looked up through merge keys as well. */
  #member(map: YAMLMap, name: string): { key: Node; value: unknown } | undefined {
    for (const pair of map.items) {
      if (isScalar(pair.key) && pair.key.value === name)
        return { key: pair.key, value: pair.value };
    }
    for (const pair of map.items) {
      if (!isMergeKey(pair.key)) continue;
      const merged = this.#deref(pair.value);
      for (const source of isSeq(merged) ? merged.items : [merged]) {
        const target = this.#deref(source);
        const found = isMap(target) ? this.#member(target, name) : undefined;
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  #place(node: Node): Place {
    const [start, end] = node.range ?? [0, 0];
    return this.#placeAt(start, end - start);
  }

  #placeAt(offset: number, length: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    if (line === 0) return { file: this.#file };
    const begin = offset - col + 1;
    const end = this.#text.indexOf('\n', begin);
    const text = this.#text.slice(begin, end < 0 ? undefined : end).replace(/\r$/, '');
    const shown = Math.max(1, Math.min(length, text.length - col + 1));
    return { file: this.#file, line, column: col, text, length: shown };
  }

  #error(code: ErrorCode, message: string, offset: number): TscError {
    const where = this.#placeAt(offset, 1);
    const line = where.line === undefined ? '' : `line ${where.line}: `;
    return new TscError(code, `yaml: ${line}${message}`, { where });
  }
}

interface SourceText {
  readonly text: string;
  lineOf(node: Node): number;
}

type Fail = (code: ErrorCode, message: string, node: Node) => TscError;

/** One walk over a document: turns nodes into values and collects reset paths. */
class Walk {
  readonly resets: KeyPath[] = [];
  readonly #targets: ReadonlyMap<Node, Node>;
  readonly #source: SourceText;
  readonly #fail: Fail;
  readonly #open = new Set<Node>();
  #visits = 0;

  constructor(targets: ReadonlyMap<Node, Node>, source: SourceText, fail: Fail) {
    this.#targets = targets;
    this.#source = source;
    this.#fail = fail;
  }

  /** @returns undefined when the node is tagged !reset */
  convert(node: Node, path: KeyPath): Value | undefined {
    if (++this.#visits > maxNodes) {
      throw this.#fail('E_COMPOSE_SYNTAX', 'compose file exceeds maximum node visit limit', node);
    }
    if (isAlias(node)) {
      const target = this.#targets.get(node);
      if (target === undefined || this.#open.has(target)) {
        const message = `cycle detected: anchor '${node.source}' value contains itself`;
        throw this.#fail('E_COMPOSE_CYCLE', message, node);
      }
      return this.convert(target, path);
    }
    if (node.tag === '!reset') {
      this.resets.push(path);
      return undefined;
    }
    if (node.tag === '!override') this.resets.push(path);
    if (isScalar(node)) return this.#scalar(node);
    this.#open.add(node);
    try {
      if (isMap(node)) return this.#loneKey(node) ?? this.#mapping(node, path);
      if (isSeq(node)) {
        const list: Value[] = [];
        node.items.forEach((item, index) => {
          if (node.flow === true) this.#refuseColon(item);
          const value = isNode(item) ? this.convert(item, [...path, index]) : null;
          if (value !== undefined) list.push(value);
        });
        return list;
      }
    } finally {
      this.#open.delete(node);
    }
    throw this.#fail('E_COMPOSE_SYNTAX', 'unexpected node', node);
  }

  #mapping(map: YAMLMap, path: KeyPath): Dict {
    const dict = newDict();
    const known = new Map<string, Node>();
    let merged: { node: Node; value: Value } | undefined;
    for (const pair of map.items) {
      const key = isNode(pair.key) ? pair.key : undefined;
      const target = key !== undefined && isAlias(key) ? this.#targets.get(key) : key;
      if (!isScalar(target) || key === undefined) {
        throw this.#fail('E_COMPOSE_SYNTAX', nonStringKey(path), key ?? map);
      }
      const isMerge = isMergeKey(target);
      const name = isMerge ? '<<' : this.#key(target, path) + this.#colonOf(map, key);
      const earlier = known.get(name);
      if (earlier !== undefined) {
        const message = `mapping key ${JSON.stringify(name)} already defined at line ${this.#source.lineOf(earlier)}`;
        throw this.#fail('E_COMPOSE_DUPLICATE_KEY', message, key);
      }
      known.set(name, key);
      if (map.flow === true) this.#refuseColon(pair.value);
      const next = isMerge ? path : [...path, name];
      const value = isNode(pair.value) ? this.convert(pair.value, next) : null;
      if (value === undefined) continue;
      if (isMerge) merged = { node: key, value };
      else dict[name] = value;
    }
    if (merged !== undefined) this.#merge(dict, merged.value, merged.node);
    return dict;
  }

  /**
   * In `{a:}` and `[a:]` go-yaml takes the colon for a part of the text, since no space follows.
   * @returns the colon, if there is one that belongs to the key
   */
  #colonOf(map: YAMLMap, key: Node): string {
    if (map.flow !== true || !isScalar(key) || key.type !== 'PLAIN') return '';
    const end = key.range?.[1] ?? 0;
    return /^:[,[\]{}]/.test(this.#source.text.slice(end, end + 2)) ? ':' : '';
  }

  /** Within brackets a value that starts with a colon is none. */
  #refuseColon(node: unknown): void {
    if (isScalar(node) && node.type === 'PLAIN' && String(node.value).startsWith(':')) {
      throw this.#fail('E_COMPOSE_SYNTAX', 'did not find expected node content', node);
    }
  }

  /** The text that `a:` is in `[a:]`, where the parser saw a mapping without braces. */
  #loneKey(map: YAMLMap): string | undefined {
    const [pair] = map.items;
    if (map.items.length !== 1 || !isScalar(pair?.key) || map.flow !== true) return undefined;
    if (this.#source.text[map.range?.[0] ?? 0] === '{') return undefined;
    return this.#colonOf(map, pair.key) === '' ? undefined : `${String(pair.key.value)}:`;
  }

  #key(key: Scalar, path: KeyPath): string {
    const value = this.#scalar(key);
    if (typeof value !== 'string') {
      throw this.#fail('E_COMPOSE_SYNTAX', nonStringKey(path), key);
    }
    return value;
  }

  /** Keys written out win over merged ones, earlier merged ones over later. */
  #merge(dict: Dict, value: Value, node: Node): void {
    for (const source of Array.isArray(value) ? value : [value]) {
      if (!isDict(source)) {
        const message = 'map merge requires map or sequence of maps as the value';
        throw this.#fail('E_COMPOSE_SYNTAX', message, node);
      }
      for (const key of Object.keys(source)) {
        if (!(key in dict)) dict[key] = source[key];
      }
    }
  }

  #scalar(node: Scalar): Value {
    const text = typeof node.value === 'string' ? node.value : '';
    const tag = shortTag(node.tag);
    const isQuoted = node.type !== undefined && node.type !== 'PLAIN';
    if (tag === '!!str' || (tag === undefined && isQuoted)) return text;
    if (tag === undefined) return resolvePlain(text).value;
    if (tag === '!!binary') return Buffer.from(text, 'base64').toString('utf8');
    const value = resolveTagged(tag, text);
    if (value === undefined) {
      throw this.#fail('E_COMPOSE_SYNTAX', `cannot decode \`${text}\` as a ${tag}`, node);
    }
    return value;
  }
}

function nonStringKey(path: KeyPath): string {
  return path.length === 0 ? 'non-string key at top level' : `non-string key in ${path.join('.')}`;
}

function isMergeKey(key: unknown): boolean {
  if (!isScalar(key) || key.value !== '<<') return false;
  const tag = shortTag(key.tag);
  return tag === '!!merge' || (tag === undefined && key.type === 'PLAIN');
}

/** "!!int" for the tags of YAML itself, the tag as written for others, undefined for none. */
function shortTag(tag: string | undefined): string | undefined {
  if (tag === undefined || tag === '' || tag === '!') return undefined;
  return tag.replace(/^tag:yaml\.org,2002:/, '!!');
}
