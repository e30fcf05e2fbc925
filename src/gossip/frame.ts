/**
 * Frames on gossip links: MessagePack arrays whose first element is the type. Everything that
 * comes from a peer is checked here by hand, once; the rest of the module works with typed frames.
 * An unknown type is ignored (a newer agent), anything malformed makes the frame hostile. Decoding
 * never throws.
 */
import { Packr } from 'msgpackr';
import { isBase32 } from '../lib/base32.ts';
import type { Hlc, MachineId } from '../model/ids.ts';
import type { ReplicatedRecord } from '../model/record.ts';
import { bucketCount, hashBytes } from './content-hash.ts';
import { isPlainMessagePack } from './frame-scan.ts';
import { maxBodyBytes, maxEntriesPerFrame, maxFrameBytes, maxKeyLength } from './limits.ts';

/** What a peer has under a key: enough to see who must send to whom. */
export interface SummaryEntry {
  readonly key: string;
  readonly hlc: Hlc;
  readonly fingerprint: Uint8Array;
}

export type Frame =
  | {
      readonly type: 'heartbeat';
      readonly hash: Uint8Array;
      readonly nowMs: number;
      /** The sender has not made sure of its records since its start; older agents never say so. */
      readonly isBooting?: boolean;
    }
  | { readonly type: 'records'; readonly records: readonly ReplicatedRecord[] }
  | { readonly type: 'buckets'; readonly hashes: Uint8Array }
  | {
      readonly type: 'summary';
      readonly buckets: readonly number[];
      readonly entries: readonly SummaryEntry[];
    }
  | { readonly type: 'want'; readonly keys: readonly string[] }
  | {
      readonly type: 'askStored';
      readonly question: number;
      readonly key: string;
      readonly hlc: Hlc;
    }
  | { readonly type: 'stored'; readonly question: number }
  | { readonly type: 'bye'; readonly reason: string; readonly expectBackMs: number };

export type FrameType = Frame['type'];

/** How frames become bytes and bytes frames. */
export interface FrameCodec {
  /** The bytes of a frame. */
  encode(frame: Frame): Uint8Array;
  /** Reads a frame: 'unknown' is one of a newer agent. */
  decode(bytes: Uint8Array): Frame | 'unknown' | 'hostile';
}

/** Type numbers on the wire; a number is never given a second meaning. */
const typeNumber = {
  heartbeat: 0,
  records: 1,
  buckets: 2,
  summary: 3,
  want: 4,
  askStored: 5,
  stored: 6,
  bye: 7,
} as const satisfies Record<FrameType, number>;

const packr = new Packr({ useRecords: false });

/** The bytes of a frame. */
export function encodeFrame(frame: Frame): Uint8Array {
  return packr.pack([typeNumber[frame.type], ...fieldsOf(frame)]);
}

/** A record as it stands in a frame; also its form in the handshake. */
export function packRecord(record: ReplicatedRecord): unknown[] {
  const { key, origin, hlc, schema, body, signature } = record;
  return [key, origin, hlc, schema, body, signature];
}

function fieldsOf(frame: Frame): unknown[] {
  switch (frame.type) {
    case 'heartbeat':
      return frame.isBooting ? [frame.hash, frame.nowMs, true] : [frame.hash, frame.nowMs];
    case 'records':
      return [frame.records.map(packRecord)];
    case 'buckets':
      return [frame.hashes];
    case 'summary':
      return [frame.buckets, frame.entries.map((x) => [x.key, x.hlc, x.fingerprint])];
    case 'want':
      return [frame.keys];
    case 'askStored':
      return [frame.question, frame.key, frame.hlc];
    case 'stored':
      return [frame.question];
    case 'bye':
      return [frame.reason, frame.expectBackMs];
  }
}

/**
 * Reads a frame.
 * @returns the frame, 'unknown' for a type of a newer agent, or 'hostile'
 */
export function decodeFrame(bytes: Uint8Array): Frame | 'unknown' | 'hostile' {
  const message = decodeArray(bytes);
  if (message === undefined) return 'hostile';
  const type = message[0];
  if (typeof type !== 'number') return 'hostile';
  const name = typeNames.get(type);
  if (name === undefined) return 'unknown';
  return readers[name](message.slice(1)) ?? 'hostile';
}

/** Decodes bytes that should be one MessagePack array; undefined when they are anything else. */
export function decodeArray(bytes: Uint8Array): readonly unknown[] | undefined {
  if (bytes.length > maxFrameBytes || !isPlainMessagePack(bytes)) return undefined;
  try {
    const message: unknown = packr.unpack(bytes);
    return Array.isArray(message) ? message : undefined;
  } catch {
    // The decoder rejects it, so the sender is not one of us.
    return undefined;
  }
}

/** The bytes of any array; for the handshake, which is no gossip frame. */
export function encodeArray(message: readonly unknown[]): Uint8Array {
  return packr.pack(message);
}

const typeNames: ReadonlyMap<number, FrameType> = new Map(
  // Object.entries loses the key type; the object above has exactly these keys.
  (Object.entries(typeNumber) as [FrameType, number][]).map(([name, number]) => [number, name]),
);

type Reader = (fields: readonly unknown[]) => Frame | undefined;

const readers: Readonly<Record<FrameType, Reader>> = {
  heartbeat: ([hash, nowMs, isBooting]) =>
    isBytes(hash, hashBytes) && isCount(nowMs)
      ? { type: 'heartbeat', hash: copy(hash), nowMs, ...(isBooting === true && { isBooting }) }
      : undefined,
  records: ([list]) => {
    const records = readList(list, readRecord);
    return records && { type: 'records', records };
  },
  buckets: ([hashes]) =>
    isBytes(hashes, bucketCount * hashBytes)
      ? { type: 'buckets', hashes: copy(hashes) }
      : undefined,
  summary: ([numbers, list]) => {
    const buckets = readList(numbers, (x) => (isCount(x) && x < bucketCount ? x : undefined));
    const entries = readList(list, readSummaryEntry);
    return buckets && entries && { type: 'summary', buckets, entries };
  },
  want: ([list]) => {
    const keys = readList(list, (x) => (isKey(x) ? x : undefined));
    return keys && { type: 'want', keys };
  },
  askStored: ([question, key, hlc]) =>
    isCount(question) && isKey(key) && isCount(hlc)
      ? { type: 'askStored', question, key, hlc }
      : undefined,
  stored: ([question]) => (isCount(question) ? { type: 'stored', question } : undefined),
  bye: ([reason, expectBackMs]) =>
    typeof reason === 'string' && reason.length <= 64 && isCount(expectBackMs)
      ? { type: 'bye', reason, expectBackMs }
      : undefined,
};

/** A record from its form in a frame; undefined when any part is not as it must be. */
export function readRecord(value: unknown): ReplicatedRecord | undefined {
  if (!Array.isArray(value)) return undefined;
  const [key, origin, hlc, schema, body, signature]: unknown[] = value;
  if (!isKey(key) || !isMachineId(origin) || !isCount(hlc) || !isCount(schema)) return undefined;
  if (body !== null && !(body instanceof Uint8Array && body.length <= maxBodyBytes)) {
    return undefined;
  }
  if (!isBytes(signature, 64)) return undefined;
  // Copied, because the decoder's bytes are windows into the frame and would keep all of it.
  return {
    key,
    origin,
    hlc,
    schema,
    body: body === null ? null : copy(body),
    signature: copy(signature),
  };
}

function readSummaryEntry(value: unknown): SummaryEntry | undefined {
  if (!Array.isArray(value)) return undefined;
  const [key, hlc, fingerprint]: unknown[] = value;
  if (!isKey(key) || !isCount(hlc) || !isBytes(fingerprint, hashBytes)) return undefined;
  return { key, hlc, fingerprint: copy(fingerprint) };
}

function readList<T>(value: unknown, read: (item: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(value) || value.length > maxEntriesPerFrame) return undefined;
  const items: T[] = [];
  for (const raw of value) {
    const item = read(raw);
    if (item === undefined) return undefined;
    items.push(item);
  }
  return items;
}

/** Whether a value may be a machine's id: 16 characters of base32. */
export function isMachineId(value: unknown): value is MachineId {
  return typeof value === 'string' && isBase32(value, 16);
}

/** Keys are printable ASCII with at least one slash. */
export function isKey(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value.length <= maxKeyLength &&
    /^[a-z]+\/[\x21-\x7e]*$/.test(value)
  );
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isBytes(value: unknown, length: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length === length;
}

function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** The one of every agent. */
export const frameCodec: FrameCodec = { encode: encodeFrame, decode: decodeFrame };
