/**
 * Carries out `!reset` and `!override`: what earlier files say at the tagged places is dropped
 * before the file with the tags is merged. Entries of lists are not dropped, since a position in
 * one file means nothing in another.
 */
import { type Dict, entriesOf, isDict, type KeyPath, type Value } from './value.ts';

export type ResetPaths = readonly KeyPath[];

/** Changes the dictionary. */
export function applyResets(dict: Dict, paths: ResetPaths): void {
  for (const path of paths) drop(dict, path);
}

function drop(value: Value, path: KeyPath): void {
  const [key, ...rest] = path;
  if (key === undefined || !isDict(value)) return;
  const keys = key === '*' ? entriesOf(value).map(([name]) => name) : [String(key)];
  for (const name of keys) {
    const member = value[name];
    if (member === undefined) continue;
    if (rest.length === 0) delete value[name];
    else drop(member, rest);
  }
}
