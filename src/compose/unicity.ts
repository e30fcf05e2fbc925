/**
 * Drops repeated entries of lists whose entries have an identity: of two entries with the same key
 * the later one stays, at the place of the earlier one. Runs after each merge, once on the forms
 * as written and once more on the canonical ones, because a range may hide a repetition.
 */
import { FaultAt } from './fault.ts';
import { PathTable, showPath } from './path-table.ts';
import {
  type Dict,
  entriesOf,
  isDict,
  isInteger,
  type KeyPath,
  printValue,
  type Value,
} from './value.ts';
import { parseVolume } from './volumes.ts';

/** The identity of an entry. */
type Indexer = (entry: Value, path: KeyPath) => string;

const indexers = new PathTable<Indexer>({
  'networks.*.labels': byName,
  'networks.*.ipam.options': byName,
  'services.*.annotations': byName,
  'services.*.build.args': byName,
  'services.*.build.additional_contexts': byName,
  'services.*.build.platform': byName,
  'services.*.build.tags': byName,
  'services.*.build.labels': byName,
  'services.*.cap_add': byName,
  'services.*.cap_drop': byName,
  'services.*.devices': byDeviceTarget,
  'services.*.configs': byMountTarget(''),
  'services.*.deploy.labels': byName,
  'services.*.dns': byName,
  'services.*.dns_opt': byName,
  'services.*.dns_search': byName,
  'services.*.environment': byName,
  'services.*.env_file': byPath,
  'services.*.expose': byPortText,
  'services.*.labels': byName,
  'services.*.links': byName,
  'services.*.networks.*.aliases': byName,
  'services.*.networks.*.link_local_ips': byName,
  'services.*.ports': byPort,
  'services.*.profiles': byName,
  'services.*.secrets': byMountTarget('/run/secrets'),
  'services.*.sysctls': byName,
  'services.*.tmpfs': byName,
  'services.*.volumes': byVolumeTarget,
});

/** Whether the entries of the list at this path have an identity. */
export function hasIdentity(path: KeyPath): boolean {
  return indexers.get(path) !== undefined;
}

/** Changes and returns the dictionary. */
export function enforceUnicity(dict: Dict): Dict {
  visit(dict, []);
  return dict;
}

function visit(dict: Dict, path: KeyPath): void {
  for (const [key, value] of entriesOf(dict)) {
    const next = [...path, key];
    if (isDict(value)) visit(value, next);
    else if (Array.isArray(value)) {
      const indexer = indexers.get(next);
      if (indexer !== undefined) dict[key] = dropRepeated(value, indexer, next);
    }
  }
}

function dropRepeated(list: readonly Value[], indexer: Indexer, path: KeyPath): Value[] {
  const byKey = new Map<string, Value>();
  list.forEach((entry, index) => {
    byKey.set(indexer(entry, [...path, index]), entry);
  });
  return [...byKey.values()];
}

function unexpected(path: KeyPath, entry: Value): FaultAt {
  return new FaultAt(
    'E_COMPOSE_MERGE',
    path,
    `${showPath(path)}: unexpected type of ${printValue(entry)}`,
  );
}

function byName(entry: Value, path: KeyPath): string {
  if (typeof entry !== 'string') throw unexpected(path, entry);
  const equals = entry.indexOf('=');
  return equals < 0 ? entry : entry.slice(0, equals);
}

function byVolumeTarget(entry: Value, path: KeyPath): string {
  if (typeof entry === 'string') return parseVolume(entry).target ?? '';
  if (!isDict(entry)) return '';
  if (typeof entry.target === 'string') return entry.target;
  throw new FaultAt(
    'E_COMPOSE_CONSISTENCY',
    path,
    `service volume ${showPath(path)} is missing a mount target`,
  );
}

function byDeviceTarget(entry: Value, path: KeyPath): string {
  if (typeof entry === 'string') {
    const [source = '', target] = entry.split(':');
    return target ?? source;
  }
  if (!isDict(entry)) return '';
  if (typeof entry.target === 'string') return entry.target;
  throw new FaultAt(
    'E_COMPOSE_CONSISTENCY',
    path,
    `service device ${showPath(path)} is missing a mount target`,
  );
}

function byPortText(entry: Value, path: KeyPath): string {
  if (typeof entry === 'string') return entry;
  if (isInteger(entry)) return String(entry);
  throw unexpected(path, entry);
}

function byMountTarget(directory: string): Indexer {
  return (entry, path) => {
    if (typeof entry === 'string') return `${directory}/${entry}`;
    if (!isDict(entry)) throw unexpected(path, entry);
    const { target, source } = entry;
    if (target === undefined) return `${directory}/${printValue(source)}`;
    if (typeof target !== 'string') throw unexpected(path, target);
    return target;
  };
}

function byPort(entry: Value, path: KeyPath): string {
  if (typeof entry === 'string') return entry;
  if (isInteger(entry)) return String(entry);
  if (!isDict(entry)) return '';
  if (entry.target === undefined) {
    throw new FaultAt(
      'E_COMPOSE_CONSISTENCY',
      path,
      `service ports ${showPath(path)} is missing a target port`,
    );
  }
  // The number 80 and the text "80" count as two ports, as they do in the reference.
  const published = isInteger(entry.published) ? [entry.published] : printValue(entry.published);
  return JSON.stringify([
    printValue(entry.host_ip ?? '0.0.0.0'),
    Array.isArray(published) ? published.map(String) : published,
    printValue(entry.target),
    printValue(entry.protocol ?? 'tcp'),
  ]);
}

function byPath(entry: Value, path: KeyPath): string {
  if (typeof entry === 'string') return entry;
  if (!isDict(entry)) return '';
  if (typeof entry.path === 'string') return entry.path;
  throw new FaultAt(
    'E_COMPOSE_CONSISTENCY',
    path,
    `environment path attribute ${showPath(path)} is missing`,
  );
}
