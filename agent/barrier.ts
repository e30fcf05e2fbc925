/**
 * Before something is ended that others may still send traffic to, and before a command says that all
 * is ready: every machine that can be reached is asked to answer once its DNS, firewall and ingress act
 * on the records that say so. No machine is waited for longer than ten seconds, and one that does not
 * answer is left out for a while, because a rollout must go on beside a machine that is ill, or of an
 * earlier version that knows no such question.
 */
import { TscError } from '../src/lib/errors.ts';
import type { MachineId } from '../src/model/ids.ts';
import type { View } from '../src/model/view.ts';
import type { RecordVersion } from './applied.ts';
import type { Log } from './log.ts';
import { askPeerJson, type ConnectRpc } from './peer-calls.ts';

/** 10 s: several times what the slowest driver takes on a busy machine. */
export const barrierMs = 10_000;
/** 500 ms less at the machine that is asked, so that its answer is what comes back. */
const answerMarginMs = 500;
/** 30 s in which a machine that did not answer is not asked again. */
const leftOutMs = 30_000;
/** 5 ms: containers of one project leave traffic together. */
const gatherMs = 5;

export const barrierPath = '/v1/barrier';

/** What a machine answers. */
export interface BarrierAnswer {
  readonly isApplied: boolean;
}

/** A machine that does not say that it acts on the records. */
export interface MissingAnswer {
  /** Its name. */
  readonly machine: string;
  /** Why there was no answer at all. */
  readonly error?: unknown;
  /** It was not asked, since it gave no answer a moment ago. */
  readonly isLeftOut?: true;
}

export interface BarrierComponents {
  readonly view: () => View;
  readonly connectRpc: ConnectRpc;
  /** This machine's own answer. */
  readonly applied: (records: readonly RecordVersion[], timeoutMs: number) => Promise<boolean>;
  readonly now: () => number;
  readonly log: Log;
}

export class Barrier {
  readonly #components: BarrierComponents;
  readonly #leftOutUntilMs = new Map<MachineId, number>();
  #gathered: RecordVersion[] = [];
  #round: Promise<void> | undefined;

  constructor(components: BarrierComponents) {
    this.#components = components;
  }

  /** Resolves when all machines act on the record, or have had their time. Never rejects. */
  pass(record: RecordVersion): Promise<void> {
    this.#gathered.push(record);
    this.#round ??= new Promise((resolve) => {
      setTimeout(() => {
        const records = this.#gathered;
        this.#gathered = [];
        this.#round = undefined;
        void this.everywhere(records).then((missing) => {
          for (const one of missing) if (one.isLeftOut !== true) this.#warn(one);
          resolve();
        });
      }, gatherMs);
    });
    return this.#round;
  }

  /**
   * Resolves when all machines act on the records, or have had their time. Never rejects.
   * @returns those that do not say so, also those that are left out
   */
  async everywhere(records: readonly RecordVersion[]): Promise<readonly MissingAnswer[]> {
    const { view, applied } = this.#components;
    const { self, machines } = view();
    const inReach = [...machines.values()].filter(
      ({ id, liveness }) => id === self || liveness === 'reachable',
    );
    const missing = await Promise.all(
      inReach.map(async ({ id, name }): Promise<readonly MissingAnswer[]> => {
        if (id === self) return (await applied(records, barrierMs)) ? [] : [{ machine: name }];
        if (this.#isLeftOut(id)) return [{ machine: name, isLeftOut: true }];
        return this.#askPeer(id, name, records);
      }),
    );
    return missing.flat();
  }

  #isLeftOut(machine: MachineId): boolean {
    return (this.#leftOutUntilMs.get(machine) ?? 0) > this.#components.now();
  }

  async #askPeer(
    id: MachineId,
    machine: string,
    records: readonly RecordVersion[],
  ): Promise<readonly MissingAnswer[]> {
    const { connectRpc, now } = this.#components;
    try {
      const answer = await askPeerJson(connectRpc, id, barrierPath, { records }, barrierMs);
      return isApplied(answer) ? [] : [{ machine }];
    } catch (error) {
      this.#leftOutUntilMs.set(id, now() + leftOutMs);
      return [{ machine, error }];
    }
  }

  #warn(missing: MissingAnswer): void {
    this.#components.log.warn('goes on although a machine may still send traffic there', {
      ...missing,
    });
  }
}

function isApplied(answer: unknown): boolean {
  return typeof answer === 'object' && answer !== null && 'isApplied' in answer
    ? answer.isApplied === true
    : false;
}

/** How long the machine that is asked waits itself. */
export const barrierAnswerMs = barrierMs - answerMarginMs;

/**
 * The question as it came from another machine.
 * @throws TscError E_REQUEST_INVALID
 */
export function readBarrier(body: unknown): readonly RecordVersion[] {
  const records = typeof body === 'object' && body !== null && 'records' in body && body.records;
  if (Array.isArray(records) && records.every(isRecordVersion)) return records;
  throw new TscError('E_REQUEST_INVALID', '"records" must be a list of keys with their versions');
}

function isRecordVersion(value: unknown): value is RecordVersion {
  if (typeof value !== 'object' || value === null) return false;
  if (!('key' in value) || !('hlc' in value)) return false;
  return typeof value.key === 'string' && Number.isSafeInteger(value.hlc);
}
