/**
 * Frames between simulated machines. Every frame is encoded and decoded by the shipping code, but
 * once: a record goes around by hundreds of links, and all machines of the simulation share the
 * objects that came out, as they share the process. Then whatever follows from a record alone (its
 * hash, its parsed body, its part in a view) is worked out once for all machines, too.
 */
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  type FrameCodec,
  frameCodec,
} from '../../src/gossip/frame.ts';
import { compareRecords } from '../../src/gossip/record-map.ts';
import type { ReplicatedRecord } from '../../src/model/record.ts';

type RecordsFrame = Extract<Frame, { type: 'records' }>;

/** A frame of records that was encoded here. */
interface Sent {
  readonly frame: RecordsFrame;
  /** What decoding it gave; undefined until somebody has read it. */
  read: Frame | 'unknown' | 'hostile' | undefined;
}

export class SharedCodec implements FrameCodec {
  readonly #sent = new WeakMap<Uint8Array, Sent>();
  /** Frames of one record, which are most of them. */
  readonly #ofOne = new WeakMap<ReplicatedRecord, Uint8Array>();

  encode(frame: Frame): Uint8Array {
    if (frame.type !== 'records') return frameCodec.encode(frame);
    const [only] = frame.records;
    const isOne = frame.records.length === 1 && only !== undefined;
    const known = isOne ? this.#ofOne.get(only) : undefined;
    if (known !== undefined) return known;
    const bytes = encodeFrame(frame);
    this.#sent.set(bytes, { frame, read: undefined });
    if (isOne) this.#ofOne.set(only, bytes);
    return bytes;
  }

  decode(bytes: Uint8Array): Frame | 'unknown' | 'hostile' {
    const sent = this.#sent.get(bytes);
    if (sent === undefined) return decodeFrame(bytes);
    if (sent.read === undefined) {
      const read = decodeFrame(bytes);
      sent.read = isSameFrame(read, sent.frame) ? sent.frame : read;
    }
    return sent.read;
  }
}

function isSameFrame(read: Frame | 'unknown' | 'hostile', sent: RecordsFrame): boolean {
  if (typeof read === 'string' || read.type !== 'records') return false;
  const { records } = read;
  return (
    records.length === sent.records.length &&
    records.every((record, index) => isSameRecord(record, sent.records[index]))
  );
}

function isSameRecord(record: ReplicatedRecord, other: ReplicatedRecord | undefined): boolean {
  return (
    other !== undefined &&
    record.key === other.key &&
    compareRecords(record, other) === 0 &&
    Buffer.compare(record.signature, other.signature) === 0
  );
}
