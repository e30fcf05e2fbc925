/**
 * Which machines a definition names: `x-machines` (Uncloud's names, with exclusion and labels
 * added) and `deploy.placement.constraints` in Swarm's grammar. A rule that cannot be understood
 * excludes every machine and says so: guessing would put data on the wrong one.
 */
import type { Json, Service } from '../model/project.ts';
import type { MachineView } from '../model/view.ts';

export interface MachineRules {
  readonly names: readonly string[];
  readonly excluded: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** Reads `x-machines`: a name, "a, b", a list, "!name", or `{names, labels}`. */
export function machineRulesOf(spec: Service): MachineRules {
  const value = spec['x-machines'];
  if (isObject(value)) {
    const labels = isObject(value['labels']) ? value['labels'] : {};
    return {
      ...namesOf(value['names']),
      labels: Object.fromEntries(
        Object.entries(labels).map(([key, text]) => [key, scalarText(text)]),
      ),
    };
  }
  return { ...namesOf(value), labels: {} };
}

function namesOf(value: Json | undefined): Omit<MachineRules, 'labels'> {
  const list = Array.isArray(value) ? value : typeof value === 'string' ? [value] : [];
  const words = list
    .flatMap((item) => (typeof item === 'string' ? item.split(',') : []))
    .map((word) => word.trim())
    .filter((word) => word !== '');
  return {
    names: words.filter((word) => !word.startsWith('!')),
    excluded: words.filter((word) => word.startsWith('!')).map((word) => word.slice(1)),
  };
}

/** A label of a file is text, but YAML may have read it as a number or a flag. */
function scalarText(value: Json | undefined): string {
  return typeof value === 'object' ? JSON.stringify(value) : String(value ?? '');
}

function isObject(value: unknown): value is Readonly<Record<string, Json | undefined>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** True when the file itself says where the service may run. */
export function namesMachines(spec: Service): boolean {
  const rules = machineRulesOf(spec);
  return rules.names.length + rules.excluded.length + Object.keys(rules.labels).length > 0;
}

/** Names in `x-machines` that no machine has: a typing mistake, most likely. */
export function unknownMachines(spec: Service, machines: Iterable<MachineView>): readonly string[] {
  const known = new Set([...machines].flatMap((machine) => [machine.name, machine.id as string]));
  const rules = machineRulesOf(spec);
  return [...rules.names, ...rules.excluded].filter((name) => !known.has(name));
}

/** Why the rules exclude a machine; undefined when they allow it. */
export function rulesRefusal(spec: Service, machine: MachineView): string | undefined {
  const { names, excluded, labels } = machineRulesOf(spec);
  const isNamed = (name: string): boolean => name === machine.name || name === machine.id;
  if (names.length > 0 && !names.some(isNamed)) return 'is not named in x-machines';
  if (excluded.some(isNamed)) return 'is excluded in x-machines';
  for (const [key, wanted] of Object.entries(labels)) {
    if (machine.labels[key] !== wanted) return `has no label ${key}=${wanted}`;
  }
  for (const constraint of spec.deploy?.placement?.constraints ?? []) {
    const refusal = constraintRefusal(constraint, machine);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** Swarm compares what the kernel calls the machine; a platform has Go's name. */
const kernelNames: Readonly<Record<string, string>> = { x86_64: 'amd64', aarch64: 'arm64' };

/** `node.labels.disk == ssd`; the specification's own `disktype=ssd` means a label, too. */
function constraintRefusal(constraint: string, machine: MachineView): string | undefined {
  const match = /^\s*([\w.-]+)\s*(==|!=|=)\s*(.+?)\s*$/.exec(constraint);
  const [, key = '', operator = '', wanted = ''] = match ?? [];
  // Every machine is both: there is no leader that a manager could be.
  if (key === 'node.role' && operator !== '!=') return undefined;
  const actual = match === null ? undefined : attributeOf(machine, key, operator);
  if (actual === undefined) return `constraint "${constraint}" is not understood`;
  const value = key === 'node.platform.arch' ? (kernelNames[wanted] ?? wanted) : wanted;
  const isEqual = actual.toLowerCase() === value.toLowerCase();
  return isEqual === (operator !== '!=') ? undefined : `does not meet "${constraint}"`;
}

function attributeOf(machine: MachineView, key: string, operator: string): string | undefined {
  const label = /^(?:node|engine)\.labels\.(.+)$/.exec(key)?.[1];
  if (label !== undefined) return machine.labels[label] ?? '';
  switch (key) {
    case 'node.id':
      return machine.id;
    case 'node.hostname':
      return machine.name;
    case 'node.platform.os':
      return machine.platform.split('/')[0] ?? '';
    case 'node.platform.arch':
      return machine.platform.split('/')[1] ?? '';
    default:
      return operator === '=' && !key.includes('.') ? (machine.labels[key] ?? '') : undefined;
  }
}
