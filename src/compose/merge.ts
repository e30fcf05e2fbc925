/**
 * Lays one Compose file over another. Mappings merge key by key, sequences append, anything else
 * is replaced; the table below lists where Compose says otherwise. Never looks at canonical forms:
 * either side may still be in its short form, so several rules bring both sides to one form first.
 */
import { TscError } from '../lib/errors.ts';
import { FaultAt } from './fault.ts';
import { PathTable, showPath } from './path-table.ts';
import {
  compareText,
  type Dict,
  dictOf,
  entriesOf,
  isDict,
  type KeyPath,
  printValue,
  sameValue,
  type Value,
} from './value.ts';

type Rule = (base: Value, override: Value, path: KeyPath) => Value;

const rules = new PathTable<Rule>({
  'networks.*.ipam.config': mergeIpamConfig,
  'networks.*.labels': mergeAsSequence,
  'volumes.*.labels': mergeAsSequence,
  'services.*.annotations': mergeAsSequence,
  'services.*.build': mergeBuild,
  'services.*.build.args': mergeAsSequence,
  'services.*.build.additional_contexts': mergeAsSequence,
  'services.*.build.extra_hosts': mergeHosts,
  'services.*.build.labels': mergeAsSequence,
  'services.*.command': replace,
  'services.*.depends_on': mergeDependencies,
  'services.*.deploy.labels': mergeAsSequence,
  'services.*.dns': mergeAsSequence,
  'services.*.dns_opt': mergeAsSequence,
  'services.*.dns_search': mergeAsSequence,
  'services.*.entrypoint': replace,
  'services.*.env_file': mergeAsSequence,
  'services.*.label_file': mergeAsSequence,
  'services.*.environment': mergeAsSequence,
  'services.*.extra_hosts': mergeHosts,
  'services.*.healthcheck.test': replace,
  'services.*.labels': mergeAsSequence,
  'services.*.logging': mergeLogging,
  'services.*.models': mergeNames,
  'services.*.networks': mergeNames,
  'services.*.sysctls': mergeAsSequence,
  'services.*.tmpfs': mergeAsSequence,
  'services.*.ulimits.*': replace,
});

/** Merges a document over what earlier files said. Changes and returns `base`. */
export function mergeProjects(base: Dict, override: Dict): Dict {
  return mergeMappings(base, override, []);
}

/** Merges a service over the one that it extends. Changes and returns `base`. */
export function mergeServices(base: Dict, override: Dict, name: string): Dict {
  return mergeMappings(base, override, ['services', name]);
}

function merge(base: Value, override: Value, path: KeyPath): Value {
  const rule = rules.get(path);
  if (rule !== undefined) return rule(base, override, path);
  if (override === null) return base;
  if (isDict(base)) {
    if (!isDict(override)) throw cannotOverride(path);
    return mergeMappings(base, override, path);
  }
  if (Array.isArray(base)) {
    if (!Array.isArray(override)) throw cannotOverride(path);
    return [...base, ...override];
  }
  return override;
}

function mergeMappings(base: Dict, override: Dict, path: KeyPath): Dict {
  for (const [key, value] of entriesOf(override)) {
    const existing = base[key];
    base[key] = existing === undefined ? value : merge(existing, value, [...path, key]);
  }
  return base;
}

function cannotOverride(path: KeyPath): FaultAt {
  return new FaultAt('E_COMPOSE_MERGE', path, `cannot override ${showPath(path)}`, {
    hint: 'both files must use the same form here: a mapping over a mapping, a list over a list',
  });
}

function replace(_base: Value, override: Value): Value {
  return override;
}

/** Options of two different drivers have nothing to do with each other. */
function mergeLogging(base: Value, override: Value, path: KeyPath): Value {
  if (!isDict(base) || !isDict(override)) throw cannotOverride(path);
  const { driver } = override;
  if (driver === undefined || base.driver === undefined || sameValue(driver, base.driver)) {
    return mergeMappings(base, override, path);
  }
  return override;
}

function mergeBuild(base: Value, override: Value, path: KeyPath): Value {
  const asBuild = (value: Value): Dict | undefined =>
    typeof value === 'string' ? dictOf([['context', value]]) : isDict(value) ? value : undefined;
  return mergeIfPresent(asBuild(base), asBuild(override), path);
}

function mergeDependencies(base: Value, override: Value, path: KeyPath): Value {
  const asMapping = (value: Value): Dict | undefined =>
    namesToMapping(value, () =>
      dictOf([
        ['condition', 'service_started'],
        ['required', true],
      ]),
    );
  return mergeIfPresent(asMapping(base), asMapping(override), path);
}

function mergeNames(base: Value, override: Value, path: KeyPath): Value {
  const asMapping = (value: Value): Dict | undefined => namesToMapping(value, () => null);
  return mergeIfPresent(asMapping(base), asMapping(override), path);
}

/** A side that has no usable form counts as absent; something cannot be merged into nothing. */
function mergeIfPresent(base: Dict | undefined, override: Dict | undefined, path: KeyPath): Value {
  if (override === undefined || Object.keys(override).length === 0) return base ?? null;
  if (base === undefined) throw cannotOverride(path);
  return mergeMappings(base, override, path);
}

function namesToMapping(value: Value, fresh: () => Value): Dict | undefined {
  if (isDict(value)) return value;
  if (!Array.isArray(value)) return undefined;
  return dictOf(value.map((item) => [requireText(item), fresh()]));
}

function requireText(item: Value): string {
  if (typeof item === 'string') return item;
  throw new TscError('E_COMPOSE_MERGE', `unexpected value ${printValue(item)} in a list of names`);
}

function mergeHosts(base: Value, override: Value): Value {
  const first = toSequence(base);
  const added = toSequence(override).filter((item) => !first.some((seen) => sameValue(seen, item)));
  return [...first, ...added];
}

function mergeAsSequence(base: Value, override: Value): Value {
  return [...toSequence(base), ...toSequence(override)];
}

/** `{a: 1, b: null}` as `[a=1, b]`, sorted, since a mapping has no order. */
function toSequence(value: Value): Value[] {
  if (Array.isArray(value)) return value;
  if (typeof value === 'string') return [value];
  if (!isDict(value)) return [];
  const items: string[] = [];
  for (const [key, item] of entriesOf(value)) {
    if (item === null) items.push(key);
    else if (Array.isArray(item)) items.push(...item.map((one) => `${key}=${printValue(one)}`));
    else items.push(`${key}=${printValue(item)}`);
  }
  return items.sort(compareText);
}

/** Address pools are the same pool if they have the same subnet. */
function mergeIpamConfig(base: Value, override: Value, path: KeyPath): Value {
  if (!Array.isArray(base) || !Array.isArray(override)) {
    throw new FaultAt('E_COMPOSE_MERGE', path, `${showPath(path)}: unexpected type`);
  }
  const pools: Dict[] = [];
  const indexOf = (subnet: Value | undefined): number =>
    pools.findIndex((pool) => sameValue(pool.subnet, subnet));
  for (const original of base) {
    const left = isDict(original) ? original : dictOf([]);
    for (const item of override) {
      const right = isDict(item) ? item : dictOf([]);
      if (!sameValue(left.subnet, right.subnet) && indexOf(right.subnet) < 0) {
        pools.push(right);
        continue;
      }
      const merged = mergeMappings(left, right, path);
      const at = indexOf(merged.subnet);
      if (at >= 0) pools[at] = merged;
      else pools.push(merged);
    }
  }
  return pools;
}
