/**
 * Lower-case base32 (RFC 4648 alphabet, no padding): ids that survive DNS labels, file names and
 * reading aloud.
 */
const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';

/** Encodes bytes; 5 bytes become 8 characters, the last group is shortened instead of padded. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let pending = 0;
  let pendingBitCount = 0;
  for (const byte of bytes) {
    pending = (pending << 8) | byte;
    pendingBitCount += 8;
    while (pendingBitCount >= 5) {
      pendingBitCount -= 5;
      text += alphabet.charAt((pending >>> pendingBitCount) & 31);
    }
    pending &= (1 << pendingBitCount) - 1;
  }
  if (pendingBitCount > 0) text += alphabet.charAt((pending << (5 - pendingBitCount)) & 31);
  return text;
}

/** Whether a text is base32 as `encodeBase32` writes it, of exactly this many characters. */
export function isBase32(text: string, characterCount: number): boolean {
  return text.length === characterCount && /^[a-z2-7]*$/.test(text);
}
