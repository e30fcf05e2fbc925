/**
 * What random Compose files are made of before they are text: scalars as they are written, lists,
 * mappings, tags. Writing chooses among the styles of YAML, which must make no difference, and
 * puts variables in the place of values.
 */
import type { Random } from '../random.ts';

/** A text is a scalar as it stands in the file, with its quotes. */
export type Tree = string | readonly Tree[] | TreeMap | Tagged;

export class TreeMap {
  readonly entries: readonly (readonly [string, Tree])[];

  constructor(entries: readonly (readonly [string, Tree])[]) {
    this.entries = entries;
  }
}

/** A value with what stands before it: `!reset`, `&anchor`. */
export class Tagged {
  readonly before: string;
  readonly value: Tree;

  constructor(before: string, value: Tree) {
    this.before = before;
    this.value = value;
  }
}

export interface WriteOptions {
  /** How often a scalar is given by a variable. */
  readonly variableShare: number;
  /** Where the values of variables without a default go. */
  readonly variables: Map<string, string>;
}

/** Writes a tree as a YAML document. */
export function writeTree(tree: TreeMap, random: Random, options: WriteOptions): string {
  return new Writer(random, options).block(tree, 0);
}

class Writer {
  readonly #random: Random;
  readonly #options: WriteOptions;

  constructor(random: Random, options: WriteOptions) {
    this.#random = random;
    this.#options = options;
  }

  block(map: TreeMap, indent: number): string {
    const pad = ' '.repeat(indent);
    return map.entries
      .map(([key, value]) => `${pad}${key}:${this.#after(value, indent, indent < 4)}\n`)
      .join('');
  }

  /** What follows a colon or a dash. */
  #after(value: Tree, indent: number, prefersBlock: boolean): string {
    if (value instanceof Tagged) {
      return ` ${value.before}${this.#after(value.value, indent, prefersBlock)}`;
    }
    const isEmpty =
      value instanceof TreeMap ? value.entries.length === 0 : Array.isArray(value) && !value.length;
    if (typeof value === 'string' || isEmpty || !(prefersBlock || this.#random.chance(0.5))) {
      return ` ${this.#flow(value)}`;
    }
    if (value instanceof TreeMap) return `\n${this.block(value, indent + 2).replace(/\n$/, '')}`;
    const pad = ' '.repeat(indent + 2);
    return isList(value)
      ? value.map((item) => `\n${pad}-${this.#after(item, indent + 2, false)}`).join('')
      : '';
  }

  #flow(value: Tree): string {
    if (typeof value === 'string') return this.#scalar(value);
    if (value instanceof Tagged) return `${value.before} ${this.#flow(value.value)}`;
    if (isList(value)) return `[${value.map((item) => this.#flow(item)).join(', ')}]`;
    return `{${value.entries.map(([key, item]) => `${key}: ${this.#flow(item)}`).join(', ')}}`;
  }

  #scalar(written: string): string {
    const { variableShare, variables } = this.#options;
    if (/^[[{]|[$*]/.test(written) || !this.#random.chance(variableShare)) return written;
    const text = written.startsWith('"') ? String(JSON.parse(written)) : written;
    if (/["\\\n}]/.test(text)) return written;
    const name = `V${variables.size + 1}`;
    const kind = this.#random.below(5);
    if (kind < 2) return `"\${UNSET${kind === 0 ? ':-' : '-'}${text}}"`;
    variables.set(name, text);
    if (kind === 2) return `"$${name}"`;
    return kind === 3 ? `"\${${name}}"` : `"\${${name}:-other}"`;
  }
}

function isList(value: Tree): value is readonly Tree[] {
  return Array.isArray(value);
}
