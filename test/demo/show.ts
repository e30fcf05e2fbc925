/** What every part of the demo works with. */
import type { Lab } from '../lab/lab.ts';
import type { Machine } from '../lab/machine.ts';
import type { Checks } from './checks.ts';
import type { Facts } from './facts.ts';
import { answerLines, machineLines, versionsOf } from './picture.ts';
import type { Stage } from './stage.ts';
import { Traffic } from './traffic.ts';

export const projectName = 'demo';
export const hostName = 'demo.example.com';
export const replicaCount = 6;

export interface Show {
  readonly stage: Stage;
  readonly checks: Checks;
  readonly lab: Lab;
  readonly facts: Facts;
  /** The folder with the Compose file, the same path inside all machines. */
  readonly folder: string;
}

/** Traffic to all machines of the lab, also to those that will be off. */
export function newTraffic({ lab }: Show): Traffic {
  const entrances = lab.machines.map(({ name, address }) => ({ name, address }));
  return new Traffic({ entrances, host: hostName });
}

/** The live picture; with answers when there is traffic. */
export function picture({ facts, stage }: Show, traffic?: Traffic): () => readonly string[] {
  const { paint } = stage;
  return () => {
    const { machines } = facts;
    const outcomes = traffic?.outcomes ?? [];
    const columns = machineLines({ machines, versions: versionsOf(outcomes), paint });
    if (traffic === undefined) return columns;
    const entrances = machines.map(({ name }) => name);
    const slotOf = (replica: string) => facts.ofHostname(replica)?.slot ?? '';
    return [...columns, ...answerLines({ outcomes, entrances, slotOf, paint })];
  };
}

/** A machine that is on, the first by name, but not this one. */
export function anotherMachine({ lab }: Show, not?: string): Machine {
  const found = lab.machines.find(({ name, isUp }) => isUp && name !== not);
  if (found === undefined) throw new Error('no machine is on');
  return found;
}

/** "3.4 s" */
export function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}
