/**
 * One text for one value: JSON with keys in order and absent values left out. Hashes of it name
 * revisions and services, so two machines (or two orders of keys in a file) never disagree.
 */
import { createHash } from 'node:crypto';
import { compareText } from '../view/order.ts';

/** JSON with object keys sorted; undefined values are absent, as in JSON itself. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(
      Object.entries(inner).sort(([left], [right]) => compareText(left, right)),
    );
  });
}

/** 64 bits of SHA-256, in hex: enough to tell the revisions of one project apart. */
export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
