/**
 * Fills in what a canonical project may leave out, and checks the few rules that the schema cannot
 * express and that hold for a file without looking at other keys.
 */
import { FaultAt } from './fault.ts';
import { PathTable, showPath } from './path-table.ts';
import { isAddress } from './ports.ts';
import {
  type Dict,
  entriesOf,
  hasKey,
  isDict,
  type KeyPath,
  printValue,
  type Value,
} from './value.ts';

type Rule = (value: Value, path: KeyPath) => void;

const defaults = new PathTable<Rule>({
  'services.*.build': (value) => {
    if (isDict(value)) value.context ??= '.';
  },
  'services.*.secrets.*': (value) => {
    if (isDict(value)) value.target ??= `/run/secrets/${printValue(value.source)}`;
  },
  'services.*.ports.*': (value) => {
    if (!isDict(value)) return;
    value.protocol ??= 'tcp';
    value.mode ??= 'ingress';
  },
  'services.*.deploy.resources.reservations.devices.*': defaultDeviceCount,
  'services.*.gpus.*': defaultDeviceCount,
});

const checks = new PathTable<Rule>({
  'volumes.*': checkVolume,
  'configs.*': checkSources(['file', 'environment', 'content']),
  'secrets.*': checkSources(['file', 'environment']),
  'services.*.ports.*': checkAddress,
  'services.*.develop.watch.*.path': (value, path) => {
    if (value === '') throw fault(path, "value can't be blank");
  },
  'services.*.deploy.resources.reservations.devices.*': checkDevice,
  'services.*.gpus.*': checkDevice,
});

/** Changes the dictionary. */
export function setDefaults(dict: Dict): void {
  visit(dict, [], defaults);
}

/** @throws E_COMPOSE_CONSISTENCY */
export function checkRules(dict: Dict): void {
  visit(dict, [], checks);
}

function visit(value: Value, path: KeyPath, rules: PathTable<Rule>): void {
  const rule = rules.get(path);
  if (rule !== undefined) rule(value, path);
  else if (isDict(value)) {
    for (const [key, item] of entriesOf(value)) visit(item, [...path, key], rules);
  } else if (Array.isArray(value)) {
    value.forEach((item, index) => {
      visit(item, [...path, index], rules);
    });
  }
}

function fault(path: KeyPath, why: string): FaultAt {
  return new FaultAt('E_COMPOSE_CONSISTENCY', path, `${showPath(path)}: ${why}`);
}

function defaultDeviceCount(value: Value, path: KeyPath): void {
  if (!isDict(value)) throw fault(path, 'invalid type for device request');
  if (value.device_ids === undefined) value.count ??= 'all';
}

function checkDevice(value: Value, path: KeyPath): void {
  if (isDict(value) && hasKey(value, 'count') && hasKey(value, 'device_ids')) {
    throw fault(path, '"count" and "device_ids" attributes are exclusive');
  }
}

/** A resource made elsewhere cannot be described here. */
function checkVolume(value: Value, path: KeyPath): void {
  if (value === null) return;
  if (!isDict(value)) throw fault(path, `expected volume, got ${printValue(value)}`);
  if (value.external === undefined || value.external === false) return;
  if (value.external !== true) throw fault(path, 'external must be a boolean');
  for (const key of Object.keys(value)) {
    if (key !== 'name' && key !== 'external' && !key.startsWith('x-')) {
      throw fault(path, `conflicting parameters "external" and ${JSON.stringify(key)} specified`);
    }
  }
}

function checkSources(sources: readonly string[]): Rule {
  return (value, path) => {
    if (!isDict(value)) throw fault(path, 'must be a mapping');
    const given = sources.filter((source) => hasKey(value, source));
    const names = sources.join('|');
    if (given.length > 1) throw fault(path, `${names} attributes are mutually exclusive`);
    if (given.length === 0 && !hasKey(value, 'driver') && !hasKey(value, 'external')) {
      throw fault(path, `one of ${names} must be set`);
    }
  };
}

function checkAddress(value: Value, path: KeyPath): void {
  if (!isDict(value) || value.host_ip === undefined) return;
  const ip = printValue(value.host_ip);
  if (!isAddress(ip)) throw fault(path, `invalid ip address: ${ip}`);
}
