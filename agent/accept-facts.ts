/**
 * Asks the machines what the accepting agent must know before it places data: which of the paths
 * that services mount exist there, and how much room there is. A machine that does not answer in
 * time is left out; the plan then goes by what an earlier change found.
 */
import type { FactsAnswer } from '../src/model/api.ts';
import type { MachineId } from '../src/model/ids.ts';
import type { View } from '../src/model/view.ts';
import type { MachineFacts } from '../src/plan/bind-pins.ts';
import type { MachineQuestions } from './api-routes.ts';
import type { Log } from './log.ts';
import { askPeerJson, type ConnectRpc } from './peer-calls.ts';

/** 5 s: looking for a few files is a matter of milliseconds; a hung disk is not waited for. */
const answerMs = 5_000;

export interface FactsComponents {
  readonly machineFacts: Pick<MachineQuestions, 'read'>;
  readonly connectRpc: ConnectRpc;
  readonly log: Log;
}

/** @returns the answers of the machines that can be reached, this one among them */
export async function gatherFacts(
  view: View,
  paths: readonly string[],
  { machineFacts, connectRpc, log }: FactsComponents,
): Promise<ReadonlyMap<MachineId, MachineFacts>> {
  const facts = new Map<MachineId, MachineFacts>();
  await Promise.all(
    [...view.machines.values()].map(async ({ id, liveness }) => {
      if (liveness !== 'reachable') return;
      try {
        const answer =
          id === view.self
            ? await machineFacts.read(paths)
            : await askPeerJson(connectRpc, id, '/v1/facts', { paths }, answerMs);
        if (!isFacts(answer)) throw new Error('the answer has another shape');
        const { existing, freeDiskBytes, freeMemoryBytes } = answer;
        facts.set(id, { existing: new Set(existing), freeDiskBytes, freeMemoryBytes });
      } catch (error) {
        log.warn('a machine did not say what it has', { machine: id, error });
      }
    }),
  );
  return facts;
}

function isFacts(value: unknown): value is FactsAnswer {
  if (typeof value !== 'object' || value === null) return false;
  const existing: unknown = Reflect.get(value, 'existing');
  return (
    Array.isArray(existing) &&
    existing.every((path) => typeof path === 'string') &&
    typeof Reflect.get(value, 'freeDiskBytes') === 'number' &&
    typeof Reflect.get(value, 'freeMemoryBytes') === 'number'
  );
}
