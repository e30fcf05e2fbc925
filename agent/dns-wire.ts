/** Answers as DNS messages; the wire format itself is the library's. */
import packet, { type Answer, type DecodedPacket } from 'dns-packet';
import { type DnsRecord, dnsTtlSeconds } from '../src/render/dns-table.ts';

/** Response codes (RFC 1035). The library takes them in the low bits of the flags. */
export const rcode = {
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  refused: 5,
} as const;

/** What every client takes over UDP (RFC 1035). */
const plainUdpBytes = 512;
/** What passes without fragments on any path (DNS flag day 2020). */
const largestUdpBytes = 1_232;

/** The longest UDP answer this client takes. */
export function udpSize(query: DecodedPacket): number {
  for (const extra of query.additionals ?? []) {
    if (extra.type !== 'OPT') continue;
    return Math.max(plainUdpBytes, Math.min(largestUdpBytes, extra.udpPayloadSize));
  }
  return plainUdpBytes;
}

/** An answer without records and with a code. */
export function encodeFailure(query: DecodedPacket, code: number): Buffer {
  return packet.encode({ ...responseHead(query), flags: responseFlags(query) | code });
}

/**
 * An answer with records. What does not fit loses the additional records first; then as many
 * records as fit are sent, marked as truncated, so that clients that cannot ask by TCP have some.
 */
export function encodeAnswer(
  query: DecodedPacket,
  result: { readonly records: readonly DnsRecord[]; readonly additionals: readonly DnsRecord[] },
  limitBytes: number | undefined,
): Buffer {
  const answers = result.records.map(toAnswer);
  const flags = responseFlags(query) | packet.AUTHORITATIVE_ANSWER;
  const head = { ...responseHead(query), flags };
  const full = packet.encode({ ...head, answers, additionals: result.additionals.map(toAnswer) });
  if (limitBytes === undefined || full.length <= limitBytes) return full;
  const bare = packet.encode({ ...head, answers });
  if (bare.length <= limitBytes) return bare;
  const empty = packet.encode(head).length;
  const perRecord = (bare.length - empty) / answers.length;
  const count = Math.max(0, Math.floor((limitBytes - empty) / perRecord));
  return packet.encode({
    ...head,
    flags: flags | packet.TRUNCATED_RESPONSE,
    answers: answers.slice(0, count),
  });
}

function responseHead(query: DecodedPacket) {
  return { type: 'response', id: query.id ?? 0, questions: query.questions ?? [] } as const;
}

function responseFlags(query: DecodedPacket): number {
  return packet.RECURSION_AVAILABLE | (query.flag_rd ? packet.RECURSION_DESIRED : 0);
}

function toAnswer(record: DnsRecord): Answer {
  const { name } = record;
  switch (record.type) {
    case 'A':
      return { type: 'A', name, ttl: dnsTtlSeconds, data: record.address };
    case 'PTR':
      return { type: 'PTR', name, ttl: dnsTtlSeconds, data: record.target };
    case 'SRV':
      return {
        type: 'SRV',
        name,
        ttl: dnsTtlSeconds,
        data: { priority: 0, weight: 10, port: record.port, target: record.target },
      };
  }
}
