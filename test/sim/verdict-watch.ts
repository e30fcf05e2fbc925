/**
 * A verdict is written once: who acted on it must not be told otherwise. Two parts of a cluster that
 * both may judge can find the same thing at two moments, which is shown and which nobody acts on;
 * what was decided is the same.
 *
 * One change is let pass (docs/limits.md): those in reach are enough to judge only with a machine that
 * held the first verdict and whose disk was lost or put back since, and nobody in reach holds it any
 * more. Any two parts that may judge share a machine, and here that one has forgotten. A verdict that
 * was not on its way yet when the other one was written, or that a power cut took, is no such case.
 */
import type { MachineId } from '../../src/model/ids.ts';
import type { ReplicatedRecord } from '../../src/model/record.ts';
import { recordKey, recordKind } from '../../src/model/record.ts';
import type { ServiceView, View } from '../../src/model/view.ts';
import { isEnoughToJudge } from '../../src/plan/verdict.ts';
import { isVerdict } from '../../src/view/record-checks.ts';
import type { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';
import { Violation } from './violation.ts';

/** What was decided of one rollout, and who knows it. */
interface Told {
  readonly holders: Set<SimMachine>;
  /** Held it on a disk that was lost, or put back to an earlier day. */
  readonly forgetful: Set<SimMachine>;
  /** What had been decided before, and nobody in reach knew any more. */
  readonly excused: Set<string>;
}

export class VerdictWatch {
  readonly #cluster: SimCluster;
  /** By key, then by what was decided, in the order of time. */
  readonly #told = new Map<string, Map<string, Told>>();
  /** How often a machine's disk had been replaced when its process started last. */
  readonly #replacedCounts = new Map<SimMachine, number>();

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /** A process starts with what its disk holds. */
  started(machine: SimMachine, records: readonly ReplicatedRecord[]): void {
    const { replacedCount } = machine.disk;
    const isReplaced = replacedCount !== (this.#replacedCounts.get(machine) ?? 0);
    this.#replacedCounts.set(machine, replacedCount);
    const found = new Map<string, string>();
    for (const record of records) {
      if (recordKind(record.key) === 'verdict') found.set(record.key, meaningOf(record));
    }
    for (const [key, told] of this.#told) {
      for (const [meaning, { holders, forgetful }] of told) {
        if (!holders.has(machine) || found.get(key) === meaning) continue;
        holders.delete(machine);
        if (isReplaced) forgetful.add(machine);
      }
    }
  }

  /**
   * A machine has a verdict, from another one or as the one that writes it.
   * @param isCompared false while two live machines of one identity judge for one
   */
  delivered(
    machine: SimMachine,
    record: ReplicatedRecord,
    before: ReplicatedRecord | undefined,
    isCompared: boolean,
  ): void {
    const { key } = record;
    const meaning = meaningOf(record);
    const told = this.#told.get(key) ?? new Map<string, Told>();
    this.#told.set(key, told);
    let own = told.get(meaning);
    if (own === undefined) {
      const earlier = [...told].filter(([, other]) => this.#isForgotten(machine, key, other));
      const excused = new Set(earlier.map(([was]) => was));
      own = { holders: new Set(), forgetful: new Set(), excused };
      told.set(meaning, own);
    }
    for (const { holders } of told.values()) holders.delete(machine);
    own.holders.add(machine);
    own.forgetful.delete(machine);
    if (before === undefined || !isCompared) return;
    const was = meaningOf(before);
    // Which of the two stands is said by the clocks, not by who was first.
    const isExcused = own.excused.has(was) || told.get(was)?.excused.has(meaning) === true;
    if (was === meaning || isExcused) return;
    throw new Violation(`${machine.name} sees that ${key} has changed from ${was} to ${meaning}`);
  }

  /** Whether the judge could only judge with those who have forgotten the earlier verdict. */
  #isForgotten(judge: SimMachine, key: string, { holders, forgetful }: Told): boolean {
    const view = judge.agent?.view();
    const service = view === undefined ? undefined : serviceOf(view, key);
    if (view === undefined || service === undefined) return false;
    const isAmong = (set: ReadonlySet<SimMachine>, id: MachineId): boolean => {
      const machine = id === judge.machine ? judge : this.#cluster.find(id);
      return machine !== undefined && set.has(machine);
    };
    const ids = [...view.machines.keys()];
    const present = ids.filter((id) => view.machines.get(id)?.liveness === 'reachable');
    if (present.some((id) => isAmong(holders, id))) return false;
    const absent = ids.filter((id) => !present.includes(id));
    const unknowing = present.filter((id) => isAmong(forgetful, id));
    return (
      isEnoughToJudge(view, service, { key, absent }) &&
      !isEnoughToJudge(view, service, { key, absent: [...absent, ...unknowing] })
    );
  }
}

function serviceOf(view: View, key: string): ServiceView | undefined {
  for (const project of view.projects.values()) {
    for (const service of project.services.values()) {
      const rollouts = [service.rollout, service.takenBack?.rollout];
      const isOf = rollouts.some(
        (rollout) =>
          rollout !== undefined && recordKey.verdict(project.name, service.name, rollout) === key,
      );
      if (isOf) return service;
    }
  }
  return undefined;
}

function meaningOf({ body }: ReplicatedRecord): string {
  if (body === null) return 'nothing';
  const value: unknown = JSON.parse(Buffer.from(body).toString());
  if (!isVerdict(value)) return 'no verdict';
  const { result, revision = '', hash = '' } = value;
  return `${result} ${revision} ${hash}`.trim();
}
