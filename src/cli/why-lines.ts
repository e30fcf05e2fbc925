/** The answer of `why` as lines for people. Pure. */
import type { Snapshot } from '../model/snapshot.ts';
import type { WhyAnswer, WhyContainer, WhyMachine, WhySlot } from '../model/why.ts';
import { humanDuration } from './human-time.ts';
import { machineName } from './ps-rows.ts';
import { formatTable } from './table.ts';

/** Ranks are 48-bit numbers: shown as parts of one. */
const rankRange = 2 ** 48;

/** @returns lines for stdout: what was asked for, the replicas, the machines, the failures */
export function whyLines(answer: WhyAnswer, snapshot: Snapshot): readonly string[] {
  const ago = (ms: number): string => `${humanDuration(snapshot.nowMs - ms)} ago`;
  const names = (id: WhyMachine['machine']): string => machineName(snapshot, id);
  const state = answer.isStopped ? 'stopped' : `${answer.wantedCount} wanted`;
  return [
    `${answer.service} of project ${answer.project}: ${answer.mode}, ${state}`,
    ...answer.changes.map(({ act, user, machine, atMs }) => {
      const by = user === undefined ? '' : ` by ${user}`;
      return `  ${act}${by} on ${names(machine)}, ${ago(atMs)}`;
    }),
    '',
    ...formatTable(
      ['REPLICA', 'MACHINE', 'BECAUSE', 'STATE', 'LAST CHANGE'],
      answer.slots.flatMap((slot) => slotRows(answer, slot, { names, ago })),
    ),
    ...answer.slots.flatMap(({ slot, waiting }) =>
      waiting.map((why) => `  ${shownSlot(answer, slot, names)}: ${why}`),
    ),
    '',
    ...machineLines(answer, names),
    ...answer.failures.map(
      ({ machine, slot, why, atMs }) =>
        `failed: ${answer.service}-${shownSlot(answer, slot, names)} on ${names(machine)}, ${ago(atMs)}: ${why}`,
    ),
  ];
}

interface Words {
  readonly names: (id: WhyMachine['machine']) => string;
  readonly ago: (ms: number) => string;
}

function slotRows(
  answer: WhyAnswer,
  { slot, owner, because, containers }: WhySlot,
  { names, ago }: Words,
): readonly (readonly string[])[] {
  const head = [shownSlot(answer, slot, names), owner === null ? '-' : names(owner), because];
  if (containers.length === 0) return [[...head, 'no container', '']];
  return containers.map((container, index) => {
    const { machine, cause } = container;
    const where = machine === owner ? '' : ` on ${names(machine)}`;
    const last = cause === null ? '' : `${cause.what}, ${ago(cause.atMs)}: ${cause.why}`;
    return [...(index === 0 ? head : ['', '', '']), `${stateText(container)}${where}`, last];
  });
}

function stateText({ state, ready, exitCode }: WhyContainer): string {
  if (state === 'exited') return `exited (${exitCode})`;
  return state === 'running' && ready ? 'ready' : state;
}

function machineLines(answer: WhyAnswer, names: Words['names']): readonly string[] {
  const { machines, placedSlot, mode } = answer;
  const fitting = machines.filter(({ refusal }) => refusal === null);
  const refused = machines.filter(({ refusal }) => refusal !== null);
  const heads = (fitting[0]?.costs ?? []).map(({ name }) => name.toUpperCase());
  const title =
    mode === 'global'
      ? 'Machines on which it runs:'
      : `Machines for replica ${placedSlot}, best first:`;
  return [
    ...(fitting.length === 0 ? ['No machine may run a further replica.'] : [title]),
    ...(fitting.length === 0
      ? []
      : formatTable(
          ['MACHINE', ...heads],
          fitting.map(({ machine, costs }) => [names(machine), ...costs.map(costText)]),
        )),
    ...refused.map(({ machine, refusal }) => `${names(machine)} may not: ${refusal}`),
  ];
}

/** Less is better in every column; of the rank, which only breaks ties, more is. */
function costText({ name, value }: WhyMachine['costs'][number]): string {
  return name === 'rank' ? (-value / rankRange).toFixed(3) : `${value}`;
}

/** A global service's slot is a machine's id. */
function shownSlot({ mode }: WhyAnswer, slot: string, names: Words['names']): string {
  // Of a global service the slot is the machine.
  return mode === 'global' ? names(slot as WhyMachine['machine']) : slot;
}
