/**
 * Two definitions of a project, compared by service and key: what stands in one and not in the
 * other, each value under the path of its key. Pure. Contents of secrets and configs are compared
 * by hash and never shown.
 */
import type { DefinitionAnswer } from '../model/api.ts';
import type { Json, Project } from '../model/project.ts';
import { canonicalJson } from '../plan/canonical.ts';

export interface DiffLine {
  /** " " for the path of a key, "-" for what runs, "+" for what the file says. */
  readonly sign: ' ' | '-' | '+';
  readonly text: string;
}

export interface FileDefinition {
  readonly project: Project;
  readonly contentHashes: Readonly<Record<string, string>>;
}

/** @returns nothing when `up` would find all as it is */
export function projectDiff(running: DefinitionAnswer, file: FileDefinition): readonly DiffLine[] {
  const before = withScale(running.project, running.scale);
  const lines: DiffLine[] = [];
  for (const kind of ['services', 'networks', 'volumes', 'secrets', 'configs'] as const) {
    compare([kind], asJson(before[kind]), asJson(file.project[kind]), lines);
  }
  const keys = new Set([...Object.keys(running.contentHashes), ...Object.keys(file.contentHashes)]);
  for (const key of [...keys].sort()) {
    const [old, next] = [running.contentHashes[key], file.contentHashes[key]];
    // One that is gone or new has been listed with its definition.
    if (old === undefined || next === undefined || old === next) continue;
    lines.push({ sign: ' ', text: `content of ${key.replace('/', ' ')}` });
    lines.push({ sign: '-', text: `hash ${old}` }, { sign: '+', text: `hash ${next}` });
  }
  return lines;
}

/** `up` takes back what `scale` has set. */
function withScale(project: Project, scale: Readonly<Record<string, number>>): Project {
  const services = Object.fromEntries(
    Object.entries(project.services).map(([name, spec]) => {
      const count = scale[name];
      if (count === undefined) return [name, spec];
      if (spec.deploy === undefined) return [name, { ...spec, scale: count }];
      return [name, { ...spec, deploy: { ...spec.deploy, replicas: count } }];
    }),
  );
  return { ...project, services };
}

// Members of a project are JSON; the model just gives many of them names.
function asJson(value: unknown): Json | undefined {
  return (value ?? undefined) as Json | undefined;
}

function compare(
  path: readonly string[],
  before: Json | undefined,
  after: Json | undefined,
  lines: DiffLine[],
): void {
  if (canonicalJson(before ?? null) === canonicalJson(after ?? null)) return;
  // A service, and what stands beside services, is opened even when one side lacks it.
  const isOpened = path.length < 3;
  const left = isMap(before) ? before : isOpened && before === undefined ? {} : undefined;
  const right = isMap(after) ? after : isOpened && after === undefined ? {} : undefined;
  if (left !== undefined && right !== undefined) {
    const keys = new Set([...Object.keys(left), ...Object.keys(right)]);
    for (const key of [...keys].sort()) compare([...path, key], left[key], right[key], lines);
    return;
  }
  lines.push({ sign: ' ', text: path.join('.') });
  const [old, next] = [textsOf(before), textsOf(after)];
  const gone = old.filter((text) => !next.includes(text));
  const come = next.filter((text) => !old.includes(text));
  // The same items in another order: only all of them together show it.
  const isReordered = gone.length === 0 && come.length === 0;
  for (const text of isReordered ? old : gone) lines.push({ sign: '-', text });
  for (const text of isReordered ? next : come) lines.push({ sign: '+', text });
}

function isMap(value: Json | undefined): value is { readonly [key: string]: Json | undefined } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A list by its items, so that each stands on a line. */
function textsOf(value: Json | undefined): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return [textOf(value)];
  return value.map((item: Json) => textOf(item));
}

function textOf(value: Json): string {
  return typeof value === 'string' ? value : canonicalJson(value);
}
