/** Records and signers for tests; signatures are the simulation's. */
import { signRecord } from '../../../src/gossip/admission.ts';
import { encodeJson } from '../../../src/gossip/node.ts';
import type { Signer } from '../../../src/gossip/runtime.ts';
import type { ClusterId, MachineId } from '../../../src/model/ids.ts';
import type { ReplicatedRecord } from '../../../src/model/record.ts';
import { fakeSigner } from '../../sim/machine.ts';

export const signerA: Signer = fakeSigner('a');
export const signerB: Signer = fakeSigner('b');
export const signerC: Signer = fakeSigner('c');
/** Founded by A. */
export const cluster = `${signerA.machine}abcdefgh` as ClusterId;

export interface RecordFields {
  readonly key: string;
  readonly hlc?: number;
  /** undefined stands for a small object, null for a tombstone. */
  readonly value?: unknown;
  readonly by?: Signer;
}

export function aRecord({
  key,
  hlc = 1,
  value = {},
  by = signerA,
}: RecordFields): ReplicatedRecord {
  const body = value === null ? null : encodeJson(value);
  return signRecord(cluster, by, { key, hlc, schema: 1, body });
}

export function machineId(letter: string): MachineId {
  return letter.repeat(16) as MachineId;
}
