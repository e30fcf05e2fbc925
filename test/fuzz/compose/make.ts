/** Small makers of random trees, from which the forms of every Compose key are put together. */
import type { Random } from '../random.ts';
import { type Tree, TreeMap } from './tree.ts';

export type Make = (random: Random) => Tree;

/** One of some scalars, separated by spaces. */
export function words(texts: string): Make {
  const items = texts.trim().split(/\s+/);
  return (random) => random.pick(items) ?? '';
}

/** One of some scalars, as they are written in YAML. */
export function one(...texts: readonly [string, ...string[]]): Make {
  return (random) => random.pick(texts);
}

export function either(...makes: readonly [Make, ...Make[]]): Make {
  return (random) => random.pick(makes)(random);
}

/** Up to three entries, seldom none, and seldom the same twice, which many keys refuse. */
export function list(item: Make, most = 3): Make {
  return (random) => {
    const length = random.chance(0.05) ? 0 : 1 + random.below(most);
    const items = Array.from({ length }, () => item(random));
    if (random.chance(0.03)) return items;
    return [...new Map(items.map((entry) => [JSON.stringify(entry), entry])).values()];
  };
}

/** A mapping of some of these members, with all that are required. */
export function members(
  optional: Readonly<Record<string, Make>>,
  required: Readonly<Record<string, Make>> = {},
): Make {
  return (random) => {
    const keys = Object.keys(optional);
    const some =
      keys.length === 0 || (random.chance(0.1) && Object.keys(required).length > 0)
        ? []
        : random.some(keys, Math.min(keys.length, 4));
    const entries = Object.entries({ ...required, ...optional }).filter(
      ([key]) => key in required || some.includes(key),
    );
    return new TreeMap(entries.map(([key, make]): [string, Tree] => [key, make(random)]));
  };
}

/** A mapping of some of these names to values of one kind. */
export function named(names: string, value: Make, most = 3): Make {
  const all = names.trim().split(/\s+/);
  return (random) =>
    new TreeMap(random.some(all, most).map((name): [string, Tree] => [name, value(random)]));
}

/** `name=value` texts, or a mapping. */
export function pairs(names: string, value: Make, withoutValue = true): Make {
  const all = names.trim().split(/\s+/);
  const mapping = named(names, value);
  return (random) => {
    if (random.chance(0.5)) return mapping(random);
    return random.some(all, 3).map((name) => {
      if (withoutValue && random.chance(0.2)) return JSON.stringify(name);
      const written = value(random);
      const text = typeof written === 'string' ? written.replace(/^"(.*)"$/, '$1') : '';
      return JSON.stringify(`${name}=${text === 'null' ? '' : text}`);
    });
  };
}
