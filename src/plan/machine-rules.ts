/**
 * Which machines a definition names: `x-machines` (Uncloud's names, with exclusion, labels and a
 * number added) and `deploy.placement.constraints`. A rule that cannot be understood excludes every
 * machine and says so: guessing would put data on the wrong one. The acceptor refuses such a rule
 * before that (placementProblems).
 */
import type { Json, Service } from '../model/project.ts';
import type { MachineView } from '../model/view.ts';
import { type Constraint, engineLabelsOf, meets, parseConstraint } from './constraints.ts';

export interface MachineRules {
  readonly names: readonly string[];
  readonly excluded: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Constraints among the names: `node.labels.disk == ssd`. */
  readonly constraints: readonly string[];
  /** On how many machines the service may stand at most; undefined: on any number. */
  readonly count: number | undefined;
}

/** Reads `x-machines`: a name, "a, b", a list, "!name", or `{names, labels, count}`. */
export function machineRulesOf(spec: Service): MachineRules {
  const value = spec['x-machines'];
  if (!isObject(value)) return { ...namesOf(value), labels: {}, count: undefined };
  const labels = isObject(value['labels']) ? value['labels'] : {};
  const { count } = value;
  return {
    ...namesOf(value['names']),
    labels: Object.fromEntries(
      Object.entries(labels).map(([key, text]) => [key, scalarText(text)]),
    ),
    count: isPositive(count) ? count : undefined,
  };
}

function namesOf(value: Json | undefined): Omit<MachineRules, 'labels' | 'count'> {
  const words = wordsOf(value).filter((word) => word !== '');
  const constraints = words.filter(isConstraint);
  const names = words.filter((word) => !isConstraint(word));
  return {
    names: names.filter((word) => !word.startsWith('!')),
    excluded: names.filter((word) => word.startsWith('!')).map((word) => word.slice(1).trim()),
    constraints,
  };
}

function wordsOf(value: Json | undefined): readonly string[] {
  const list = Array.isArray(value) ? value : typeof value === 'string' ? [value] : [];
  return list
    .flatMap((item) => (typeof item === 'string' ? item.split(',') : []))
    .map((word) => word.trim());
}

/** No machine has a name with "=" in it. */
function isConstraint(word: string): boolean {
  return word.includes('=');
}

function isPositive(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
}

/** A label of a file is text, but YAML may have read it as a number or a flag. */
function scalarText(value: Json | undefined): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value ?? '');
}

function isObject(value: unknown): value is Readonly<Record<string, Json | undefined>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names in `x-machines` that no machine has: a typing mistake, most likely. */
export function unknownMachines(spec: Service, machines: Iterable<MachineView>): readonly string[] {
  const known = new Set([...machines].flatMap((machine) => [machine.name, machine.id as string]));
  const { names, excluded } = rulesOf(spec).machines;
  return [...names, ...excluded].filter((name) => !known.has(name));
}

interface Rules {
  readonly machines: MachineRules;
  readonly constraints: readonly (Constraint | string)[];
}

/** Definitions never change, and are asked about every machine at every decision. */
const known = new WeakMap<Service, Rules>();

function rulesOf(spec: Service): Rules {
  let rules = known.get(spec);
  if (rules === undefined) {
    const machines = machineRulesOf(spec);
    const texts = [...machines.constraints, ...(spec.deploy?.placement?.constraints ?? [])];
    rules = { machines, constraints: texts.map((text) => parseConstraint(text) ?? text) };
    known.set(spec, rules);
  }
  return rules;
}

/** Why the rules exclude a machine; undefined when they allow it. */
export function rulesRefusal(spec: Service, machine: MachineView): string | undefined {
  const { machines, constraints } = rulesOf(spec);
  const { names, excluded, labels } = machines;
  const isNamed = (name: string): boolean => name === machine.name || name === machine.id;
  if (names.length > 0 && !names.some(isNamed)) return 'is not named in x-machines';
  if (excluded.some(isNamed)) return 'is excluded in x-machines';
  for (const [key, wanted] of Object.entries(labels)) {
    if (machine.labels[key] !== wanted) return `has no label ${key}=${wanted}`;
  }
  for (const constraint of constraints) {
    if (typeof constraint === 'string') return `constraint "${constraint}" is not understood`;
    if (!meets(machine, constraint)) return `does not meet "${constraint.text}"`;
  }
  return undefined;
}

/** How many machines the service may stand on at most. */
export function machineCountOf(spec: Service): number | undefined {
  return rulesOf(spec).machines.count;
}

/** A label by which replicas are spread, and how it is read from a machine. */
export interface Spread {
  readonly text: string;
  readonly of: (machine: MachineView) => string;
}

/** `placement.preferences` in order; machines without the label form a group of their own. */
export function spreadsOf(spec: Service): readonly Spread[] {
  return (spec.deploy?.placement?.preferences ?? []).flatMap(
    ({ spread }) => parseSpread(spread ?? '') ?? [],
  );
}

function parseSpread(text: string): Spread | undefined {
  const [, kind, label = ''] = /^(node|engine)\.labels\.(\S+)$/i.exec(text.trim()) ?? [];
  if (kind === undefined) return undefined;
  return {
    text: label,
    of: (machine) =>
      (kind.toLowerCase() === 'node' ? machine.labels : engineLabelsOf(machine))[label] ?? '',
  };
}

/** What of the rules cannot be understood, as sentences; a file with such a rule is not accepted. */
export function placementProblems(spec: Service): readonly string[] {
  const { constraints } = rulesOf(spec);
  return [
    ...formProblems(spec['x-machines']),
    ...constraints.flatMap((constraint) =>
      typeof constraint === 'string' ? `constraint "${constraint}" is not understood` : [],
    ),
    ...(spec.deploy?.placement?.preferences ?? []).flatMap(({ spread }) =>
      parseSpread(spread ?? '') === undefined
        ? `preference "spread: ${spread ?? ''}" is not understood: spread over node.labels.NAME`
        : [],
    ),
  ];
}

function formProblems(value: Json | undefined): readonly string[] {
  if (value === undefined || value === null) return [];
  if (isObject(value)) {
    const { names, labels, count, ...others } = value;
    return [
      ...formProblems(names),
      ...(labels === undefined || isObject(labels) ? [] : ['x-machines.labels is no mapping']),
      ...(count === undefined || isPositive(count)
        ? []
        : ['x-machines.count is no number of machines']),
      ...Object.keys(others)
        .filter((key) => !key.startsWith('x-'))
        .map((key) => `x-machines.${key} is not known: there are names, labels and count`),
    ];
  }
  if (
    Array.isArray(value)
      ? value.some((item) => typeof item !== 'string')
      : typeof value !== 'string'
  ) {
    return ['x-machines is a name, a list of names, or {names, labels, count}'];
  }
  return wordsOf(value).some((word) => /^!?$/.test(word)) ? ['x-machines has an empty name'] : [];
}
