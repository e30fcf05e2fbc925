/**
 * The project without the keys that --ignore names: what is said to be left out does not travel to
 * the agent. Pure. A key inside an item of a list takes the item with it, because half a mount or
 * half a port means something else than the file says.
 */
import type { Json, JsonObject, Project } from '../model/project.ts';

/** @param paths keys and positions, from the top of the project */
export function withoutKeys(
  project: Project,
  paths: readonly (readonly (string | number)[])[],
): Project {
  // Later positions first, so that those before them keep theirs.
  const ordered = paths.map(upToItem).sort(comparePaths).reverse();
  // A project is JSON by its nature; its interface has no index signature, so the compiler cannot tell.
  let value: Json = project as unknown as JsonObject;
  for (const [index, path] of ordered.entries()) {
    if (index > 0 && comparePaths(path, ordered[index - 1] ?? []) === 0) continue;
    value = without(value, path);
  }
  // Only keys that may be absent are refused, and so left out.
  return value as unknown as Project;
}

function upToItem(path: readonly (string | number)[]): readonly (string | number)[] {
  const item = path.findIndex((part) => typeof part === 'number');
  return item < 0 ? path : path.slice(0, item + 1);
}

function comparePaths(
  left: readonly (string | number)[],
  right: readonly (string | number)[],
): number {
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const [a, b] = [left[index] ?? '', right[index] ?? ''];
    if (a === b) continue;
    if (typeof a === 'number' && typeof b === 'number') return a - b;
    return String(a) < String(b) ? -1 : 1;
  }
  return left.length - right.length;
}

function without(value: Json, [head, ...rest]: readonly (string | number)[]): Json {
  if (head === undefined || value === null || typeof value !== 'object') return value;
  if (isList(value)) {
    if (rest.length === 0) return value.filter((_item, index) => index !== head);
    return value.map((item, index) => (index === head ? without(item, rest) : item));
  }
  const key = String(head);
  const { [key]: member, ...others } = value;
  if (member === undefined) return value;
  if (rest.length === 0) return others;
  // The order of keys stays as the file has it.
  return { ...value, [key]: without(member, rest) };
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
