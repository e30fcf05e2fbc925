/**
 * The address of a machine inside the mesh: fd…/128 derived from its WireGuard key. It needs no
 * allocation, so gossip works even while two machines dispute a subnet, and nobody can take the
 * address of another without its key.
 */
import { sha256 } from './hash.ts';

/**
 * The IPv6 address (RFC 4193 unique local) of a machine in the mesh.
 * @param wgPublicKey base64 of the raw 32 bytes
 * @returns canonical text (RFC 5952), as the kernel and Node print it
 */
export function meshIp(wgPublicKey: string): string {
  const digest = sha256(Buffer.from(wgPublicKey, 'base64'));
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(digest.subarray(0, 15), 1);
  return formatIpv6(bytes);
}

/** Canonical text of a 16-byte IPv6 address: the longest run of two or more zero groups is "::". */
export function formatIpv6(bytes: Uint8Array): string {
  const groups = Array.from(
    { length: 8 },
    (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0),
  );
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const hex = (part: readonly number[]): string => part.map((x) => x.toString(16)).join(':');
  if (bestStart < 0) return hex(groups);
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`;
}
