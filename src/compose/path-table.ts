/**
 * Rules that hold at certain places of a Compose file, looked up by path. A pattern is written
 * with dots; `*` stands for any key or position, `[]` for a position only. A key with a dot in it
 * is one part of a path, so it never matches two parts of a pattern.
 */
import type { KeyPath } from './value.ts';

interface Branch<T> {
  readonly children: Map<string, Branch<T>>;
  rule?: T;
}

export class PathTable<T> {
  readonly #root: Branch<T> = { children: new Map() };

  constructor(rules: Readonly<Record<string, T>>) {
    for (const [pattern, rule] of Object.entries(rules)) {
      let branch = this.#root;
      for (const part of pattern.split('.')) {
        let next = branch.children.get(part);
        if (next === undefined) {
          next = { children: new Map() };
          branch.children.set(part, next);
        }
        branch = next;
      }
      branch.rule = rule;
    }
  }

  /** @returns the rule whose pattern matches the whole path; a named key beats `*` */
  get(path: KeyPath): T | undefined {
    return find(this.#root, path, 0);
  }
}

function find<T>(branch: Branch<T>, path: KeyPath, at: number): T | undefined {
  const part = path[at];
  if (part === undefined) return branch.rule;
  const named = branch.children.get(typeof part === 'number' ? '[]' : part);
  const found = named === undefined ? undefined : find(named, path, at + 1);
  if (found !== undefined) return found;
  const any = branch.children.get('*');
  return any === undefined ? undefined : find(any, path, at + 1);
}

/** A path as messages show it: services.web.ports[0] is written services.web.ports.[]. */
export function showPath(path: KeyPath): string {
  return path.map((part) => (typeof part === 'number' ? '[]' : part)).join('.');
}
