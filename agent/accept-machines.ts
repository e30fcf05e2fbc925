/**
 * The accepting agent for what operators change about machines: options (drain, labels, weight),
 * removals, and the moves of `rebalance`. It lets the pure part decide and writes the records; each
 * is a read-modify-write, one at a time on this agent, the last writer wins between agents.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  ChangeAnswer,
  MachineOptionsRequest,
  RebalanceAnswer,
  RebalanceRequest,
  RemoveMachineAnswer,
  RemoveMachineRequest,
} from '../src/model/api.ts';
import { recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { View, ViewContext } from '../src/model/view.ts';
import {
  acceptMachineOptions,
  acceptRebalance,
  machineNamed,
} from '../src/plan/accept-machines.ts';
import { acceptRemoval } from '../src/plan/accept-removal.ts';
import { buildView } from '../src/view/build-view.ts';
import { reachableMachines } from '../src/view/endpoints.ts';
import { isMachineOptions } from '../src/view/record-checks.ts';
import { storedOnCount } from './acknowledge.ts';
import type { MachineChanges } from './api-routes.ts';
import type { RecordVersion } from './applied.ts';
import type { Log } from './log.ts';
import type { AgentReplica } from './replica.ts';

/** 100 ms: the guards end by themselves, half a minute after the start at the latest. */
const settlePollMs = 100;

export interface MachineAcceptorComponents {
  readonly replica: Replica & Pick<AgentReplica, 'takeOver' | 'remove'>;
  readonly viewContext: () => ViewContext;
  readonly log: Log;
}

export class MachineAcceptor implements MachineChanges {
  readonly #components: MachineAcceptorComponents;
  #last: Promise<unknown> = Promise.resolve();

  constructor(components: MachineAcceptorComponents) {
    this.#components = components;
  }

  /** @throws TscError E_MACHINE_UNKNOWN, and for what cannot be meant */
  setOptions(machine: string, request: MachineOptionsRequest): Promise<ChangeAnswer> {
    return this.#oneAtATime(async () => {
      const { replica, log } = this.#components;
      const view = await this.#settledView();
      const { id, name } = machineNamed(view, machine);
      const key = recordKey.machineOptions(id);
      const found = replica.get(key)?.value;
      const options = acceptMachineOptions(isMachineOptions(found) ? found : {}, request);
      const { hlc } = await replica.write(key, options);
      log.info('set the options of a machine', { machine: name, options: JSON.stringify(options) });
      return { hlc, storedOnCount: await this.#stored(view, [{ key, hlc }]) };
    });
  }

  /**
   * Everybody has what the machine wrote for all, signed by this one, before it is a stranger:
   * nobody drops a project for a moment. The answer counts the disks without the machine's own.
   * @throws TscError as acceptRemoval, and what the disk says
   */
  removeMachine(machine: string, request: RemoveMachineRequest): Promise<RemoveMachineAnswer> {
    return this.#oneAtATime(async () => {
      const { replica, log, viewContext } = this.#components;
      const view = await this.#settledView();
      const { machine: found, notes } = acceptRemoval(view, machine, request);
      const { id, name } = found;
      const taken = await replica.takeOver(id);
      await this.#stored(view, taken);
      const removal = await replica.remove(id);
      log.info('removed a machine from the cluster', { machine: name, id, taken: taken.length });
      // Those of now: the machine itself may have been among those that have the records.
      const after = buildView(replica, viewContext());
      const storedOnCount = await this.#stored(after, [...taken, ...removal]);
      return { hlc: removal.at(-1)?.hlc ?? 0, storedOnCount, name, notes };
    });
  }

  rebalance({ projects, isDryRun }: RebalanceRequest): Promise<RebalanceAnswer> {
    return this.#oneAtATime(async () => {
      const view = await this.#settledView();
      const { moves, writes } = acceptRebalance(view, projects);
      if (isDryRun) return { moves, storedOnCount: 0 };
      let storedOnCount = 0;
      for (const { key, value } of writes) {
        const { hlc } = await this.#components.replica.write(key, value);
        storedOnCount = await this.#stored(view, [{ key, hlc }]);
      }
      return { moves, storedOnCount };
    });
  }

  /** An agent that has just started may not know yet what the others have: see the guards. */
  async #settledView(): Promise<View> {
    const { replica, viewContext } = this.#components;
    for (;;) {
      const context = viewContext();
      const isOld = context.guards.includes('booting') || context.guards.includes('stale');
      if (!isOld) return buildView(replica, context);
      await sleep(settlePollMs);
    }
  }

  /** @returns on how many machines all of the records are durable, this one included */
  #stored(view: View, records: readonly RecordVersion[]): Promise<number> {
    const { replica } = this.#components;
    return storedOnCount(replica, records, reachableMachines(view).length);
  }

  #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    // What became of the change before is its author's business.
    const result = this.#last.then(work, work);
    this.#last = result;
    return result;
  }
}
