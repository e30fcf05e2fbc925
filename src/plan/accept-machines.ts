/**
 * What operators change about machines, as the accepting agent writes it down: drain and activate,
 * labels, weight, countable resources; and the moves of `rebalance`. Pure; nothing is written when
 * it throws.
 */
import { TscError } from '../lib/errors.ts';
import type { MachineOptionsRequest } from '../model/api.ts';
import type { MachineId } from '../model/ids.ts';
import { type MachineOptionsRecord, recordKey } from '../model/record.ts';
import type { MachineView, View } from '../model/view.ts';
import { compareText, sortedEntries } from '../view/order.ts';
import type { OperationWrite } from './accept.ts';
import { movePlanVersion } from './limits.ts';
import { indexContainers, ownersOf } from './owner.ts';
import { type PlannedMove, rebalanceMoves } from './rebalance.ts';
import { moveOperations } from './rebalance-records.ts';

/**
 * A machine of the cluster by name or id.
 * @throws TscError E_MACHINE_UNKNOWN
 */
export function machineNamed(view: View, nameOrId: string): MachineView {
  const machines = [...view.machines.values()];
  const found =
    view.machines.get(nameOrId as MachineId) ?? machines.find(({ name }) => name === nameOrId);
  if (found !== undefined) return found;
  const names = machines.map(({ name }) => name).sort(compareText);
  throw new TscError('E_MACHINE_UNKNOWN', `no machine of this cluster is called "${nameOrId}"`, {
    hint: `machines: ${names.join(', ')}`,
  });
}

/**
 * Turns a change of a machine's options into its record.
 * @param before the record as it is
 * @throws TscError for labels and numbers that cannot be meant
 */
export function acceptMachineOptions(
  before: MachineOptionsRecord,
  request: MachineOptionsRequest,
): MachineOptionsRecord {
  for (const label of Object.keys(request.labels ?? {})) {
    if (/^[a-z0-9](?:[\w./-]*[a-z0-9])?$/i.test(label)) continue;
    throw new TscError('E_LABEL_INVALID', `"${label}" is no name of a label`, {
      hint: 'letters, digits, ".", "-", "_" and "/", a letter or digit at both ends',
    });
  }
  const { weight: oldWeight, labels, resources, ...kept } = before;
  const weight = request.weight === undefined ? oldWeight : (request.weight ?? undefined);
  if (weight !== undefined && !(weight > 0 && weight <= maxWeight)) {
    throw new TscError('E_WEIGHT_INVALID', `a weight is a number above 0, ${maxWeight} at most`);
  }
  return {
    ...kept,
    ...(request.drain === undefined ? {} : { drain: request.drain }),
    ...(weight === undefined ? {} : { weight }),
    ...merged('labels', labels, request.labels),
    ...merged('resources', resources, request.resources),
  };
}

/** A million times an ordinary machine: more is a slip of the finger. */
const maxWeight = 1_000_000;

/** Entries of null are taken out. */
function merged<Key extends string, T>(
  key: Key,
  before: Readonly<Record<string, T>> | undefined,
  change: Readonly<Record<string, T | null>> | undefined,
): { readonly [K in Key]?: Readonly<Record<string, T>> } {
  const entries = sortedEntries<T | null>({ ...before, ...change }).flatMap(([name, value]) =>
    value === null ? [] : [[name, value] as const],
  );
  if (entries.length === 0) return {};
  // A computed key widens to string; it is the one key of the answer's type.
  return { [key]: Object.fromEntries(entries) } as {
    readonly [K in Key]?: Readonly<Record<string, T>>;
  };
}

export interface AcceptedRebalance {
  readonly moves: readonly PlannedMove[];
  readonly writes: readonly OperationWrite[];
}

/**
 * The moves that make the counts even again.
 * @param projects names; empty: all
 * @throws TscError E_UNKNOWN_PROJECT, E_AGENT_OLD
 */
export function acceptRebalance(view: View, projects: readonly string[]): AcceptedRebalance {
  // An agent that does not read moves would keep the slot, and the replica would run twice.
  const old = [...view.machines.values()].filter(({ versions }) => versions.plan < movePlanVersion);
  if (old.length > 0) {
    const names = old.map(({ name }) => name).sort(compareText);
    throw new TscError('E_AGENT_OLD', `the agents of ${names.join(', ')} know no rebalancing`, {
      hint: 'update tsc-compose there first',
    });
  }
  for (const name of projects) {
    if (view.projects.get(name)?.pointer !== undefined) continue;
    throw new TscError('E_UNKNOWN_PROJECT', `no such project: ${name}`);
  }
  const index = indexContainers(view);
  const owners = ownersOf(view, index);
  const moves = rebalanceMoves(
    view,
    { owners, index },
    ({ project }) => projects.length === 0 || projects.includes(project),
  );
  const writes = moveOperations(view, moves).map(({ service, operation }) => ({
    key: recordKey.operation(service.project, service.name),
    value: operation,
  }));
  return { moves, writes };
}
