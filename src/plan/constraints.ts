/**
 * `deploy.placement.constraints` in Swarm's grammar: KEY == VALUE and KEY != VALUE, values compared
 * without regard to case. Compose's own example (`disktype=ssd`) means a label of the machine, too.
 *
 * There is no leader, so every machine is manager and worker at once: whatever a file says about
 * `node.role` holds everywhere. A file that keeps its replicas off the managers keeps them off
 * nothing here, since no machine has a control plane to be spared.
 */
import ipaddr from 'ipaddr.js';
import type { MachineView } from '../model/view.ts';

export interface Constraint {
  /** As the file has it. */
  readonly text: string;
  readonly key: string;
  readonly isEqual: boolean;
  readonly value: string;
}

/** Swarm compares what the kernel calls the machine; a platform has Go's name. */
const kernelNames: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  aarch64: 'arm64',
  armv7l: 'arm',
  i386: '386',
  i686: '386',
};

const labelKey = /^(node|engine)\.labels\.(.+)$/i;

/** @returns undefined when the text is no constraint that a machine could be asked about */
export function parseConstraint(text: string): Constraint | undefined {
  const match = /^\s*([a-z_][\w.\-/]*)\s*(==|!=|=)\s*(\S(?:.*\S)?)\s*$/i.exec(text);
  const [, key = '', operator = '', value = ''] = match ?? [];
  if (match === null) return undefined;
  const constraint = { text, key, isEqual: operator !== '!=', value };
  const label = labelKey.exec(key);
  if (label !== null)
    return { ...constraint, key: `${label[1]?.toLowerCase()}.labels.${label[2]}` };
  const lower = key.toLowerCase();
  if (lower === 'node.role') {
    return /^(manager|worker)$/i.test(value) ? { ...constraint, key: lower } : undefined;
  }
  if (lower === 'node.ip') {
    return isAddress(value) ? { ...constraint, key: lower } : undefined;
  }
  if (lower in attributes) return { ...constraint, key: lower };
  const isPlainLabel = operator === '=' && !key.includes('.');
  return isPlainLabel ? { ...constraint, key: `node.labels.${key}` } : undefined;
}

/** Whether a machine meets a constraint. */
export function meets(machine: MachineView, { key, isEqual, value }: Constraint): boolean {
  if (key === 'node.role') return true;
  if (key === 'node.ip') return hasAddress(machine, value) === isEqual;
  const isSame = attributeOf(machine, key).toLowerCase() === wantedOf(key, value);
  return isSame === isEqual;
}

function wantedOf(key: string, value: string): string {
  const lower = value.toLowerCase();
  return key === 'node.platform.arch' ? (kernelNames[lower] ?? lower) : lower;
}

const attributes: Readonly<Record<string, (machine: MachineView) => string>> = {
  'node.id': (machine) => machine.id,
  'node.hostname': (machine) => machine.name,
  'node.platform.os': (machine) => machine.platform.split('/')[0] ?? '',
  'node.platform.arch': (machine) => machine.platform.split('/')[1] ?? '',
};

/** A machine without the label has the empty one: it differs from every value. */
function attributeOf(machine: MachineView, key: string): string {
  const label = labelKey.exec(key);
  if (label === null) return attributes[key]?.(machine) ?? '';
  const labels = label[1] === 'engine' ? engineLabelsOf(machine) : machine.labels;
  return labels[label[2] ?? ''] ?? '';
}

/** Labels that were given to the machine count as its engine's: they need no restart of it. */
export function engineLabelsOf(machine: MachineView): Readonly<Record<string, string>> {
  return { ...machine.labels, ...machine.engineLabels };
}

function isAddress(text: string): boolean {
  if (text.includes('/')) return ipaddr.isValidCIDR(text);
  // The library takes "10.1" for an address, too.
  return ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text);
}

/** Whether one of the addresses at which the machine is reached is this one, or in this network. */
function hasAddress(machine: MachineView, value: string): boolean {
  return machine.endpoints.some((endpoint) => {
    const host = endpoint.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    if (!ipaddr.isValid(host)) return false;
    const address = ipaddr.process(host);
    if (!value.includes('/')) return address.toString() === ipaddr.process(value).toString();
    const [network, bits] = ipaddr.parseCIDR(value);
    return network.kind() === address.kind() && address.match(network, bits);
  });
}
