/** The agent's copy of the replicated map, as the other parts of the agent use it. */
import type { Hlc, MachineId } from './ids.ts';
import type { RecordReader } from './record.ts';
import type { Guard, Liveness } from './view.ts';

export interface Replica extends RecordReader {
  readonly self: MachineId;

  /**
   * Writes a record of this machine's: visible here at once, flooded at once, and resolved when it
   * is durable here.
   * @param value the JSON body; null writes a tombstone
   * @throws TscError E_STORE_FULL when the disk refuses; the record is then taken back
   */
  write(key: string, value: unknown): Promise<{ readonly hlc: Hlc }>;

  /**
   * Writes an observed record: flooded at once, kept on disk without a flush. Does nothing when
   * the value is the one already there.
   */
  observe(key: string, value: unknown): void;

  /**
   * Waits until the record with this key and at least this hlc is durable on `count` machines
   * besides this one (`linked`: on all that this one is linked with), or the time is over.
   * @returns the number of other machines that hold it
   */
  replicated(key: string, hlc: Hlc, count: number | 'linked', timeoutMs: number): Promise<number>;

  /** Called after any change of records, liveness or guards, with the keys that changed. */
  subscribe(listener: (keys: readonly string[]) => void): () => void;

  /** Of every member, this machine included (always reachable). */
  liveness(): ReadonlyMap<MachineId, Liveness>;
  guards(): readonly Guard[];
}
