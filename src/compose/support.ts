/**
 * Says for every key of a loaded project what the cluster does with it. The decision is data, in
 * support-table.ts; here is only the walk. Keys that Compose implies (the default network, a
 * command of null) are no keys of the file and are not listed.
 */
import type { Place } from '../lib/errors.ts';
import type { Json, Project } from '../model/project.ts';
import type { Positions } from './context.ts';
import { PathTable } from './path-table.ts';
import {
  type SupportEntry,
  type SupportRule,
  supportTable,
  type Verdict,
} from './support-table.ts';
import type { KeyPath } from './value.ts';

export interface KeyVerdict {
  /** Dotted, with positions in brackets: services.web.volumes[0].type */
  readonly path: string;
  readonly keyPath: KeyPath;
  readonly verdict: Verdict;
  readonly note?: string;
  readonly where?: Place;
}

const table = new PathTable<SupportEntry>(supportTable);

/** Keys that Compose adds to what the file says. */
const implied = new PathTable<true>({
  name: true,
  'networks.default': true,
  'networks.*.name': true,
  'networks.*.ipam': true,
  'volumes.*.name': true,
  'secrets.*.name': true,
  'configs.*.name': true,
  'services.*.networks': true,
  'services.*.command': true,
  'services.*.entrypoint': true,
  'services.*.depends_on': true,
  'services.*.volumes.*.bind': true,
  'services.*.volumes.*.volume': true,
});

const unknown: SupportRule = {
  verdict: 'refused',
  note: 'the cluster does not know this key; leave it out',
};

/** @returns the keys in the order of the project; none at all for an empty one */
export function checkSupport(project: Project, positions: Positions): readonly KeyVerdict[] {
  const verdicts: KeyVerdict[] = [];
  for (const [key, value] of Object.entries(project)) {
    // Members of a project are JSON; the model just gives many of them names.
    visit(value as Json, [key], positions, verdicts);
  }
  return verdicts;
}

/** The keys that keep the project from running. */
export function refusedKeys(verdicts: readonly KeyVerdict[]): readonly KeyVerdict[] {
  return verdicts.filter(({ verdict }) => verdict === 'refused');
}

function visit(
  value: Json | undefined,
  path: KeyPath,
  positions: Positions,
  into: KeyVerdict[],
): void {
  if (value === undefined || (implied.get(path) === true && !positions.has(path))) return;
  const entry = table.get(path);
  if (entry === 'members') {
    if (Array.isArray(value)) {
      value.forEach((item, index) => {
        visit(item, [...path, index], positions, into);
      });
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, member] of Object.entries(value)) {
        visit(member, [...path, key], positions, into);
      }
    }
    return;
  }
  const rule = ruleFor(entry, value, path);
  if (rule === undefined) return;
  const where = positions.find(path);
  into.push({
    path: showKeyPath(path),
    keyPath: path,
    verdict: rule.verdict,
    ...(rule.note === undefined ? {} : { note: rule.note }),
    ...(where === undefined ? {} : { where }),
  });
}

/** @returns undefined when the value asks for nothing, such as `use_api_socket: false` */
function ruleFor(
  entry: readonly SupportRule[] | undefined,
  value: Json,
  path: KeyPath,
): SupportRule | undefined {
  if (entry !== undefined) return entry.find(({ when }) => when === undefined || when(value));
  if (String(path.at(-1)).startsWith('x-')) return { verdict: 'honoured', note: 'kept as it is' };
  return unknown;
}

function showKeyPath(path: KeyPath): string {
  return path.reduce<string>((shown, part) => {
    if (typeof part === 'number') return `${shown}[${part}]`;
    return shown === '' ? part : `${shown}.${part}`;
  }, '');
}
