/**
 * Sealing: bytes that only one machine can read. The machine's Ed25519 key, which its id is derived
 * from, serves as an X25519 key (RFC 7748; the map of RFC 8032's curve to Montgomery form), so that
 * whoever knows a member can seal for it and nobody has to hand out a further key. An ephemeral key
 * for each message, HKDF-SHA256 over the shared secret and both public keys, AES-256-GCM. What the
 * message is for (`context`) is bound in: sealed for one use it opens for no other.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { TscError } from '../src/lib/errors.ts';

const keyBytes = 32;
/** The key is used once, so the nonce may be constant. */
const nonce = Buffer.alloc(12);
const tagBytes = 16;
const purpose = 'tsc-compose seal 1';

/**
 * Seals for the holder of an Ed25519 key.
 * @param publicKey base64 of 32 raw bytes
 * @returns base64: ephemeral key, ciphertext, tag
 */
export function seal(publicKey: string, context: string, plain: Uint8Array): string {
  const recipient = ed25519.utils.toMontgomery(raw(publicKey));
  const secret = x25519.utils.randomSecretKey();
  const ephemeral = x25519.getPublicKey(secret);
  const key = messageKey(x25519.getSharedSecret(secret, recipient), ephemeral, recipient);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(context, 'utf8'));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([ephemeral, body, cipher.getAuthTag()]).toString('base64');
}

/**
 * Opens what was sealed for this machine.
 * @param signingSeed the 32 secret bytes of its Ed25519 key
 * @throws TscError E_SEAL_BROKEN when it was sealed for another machine or use, or was changed
 */
export function unseal(signingSeed: Uint8Array, context: string, sealed: string): Buffer {
  const bytes = Buffer.from(sealed, 'base64');
  try {
    const secret = ed25519.utils.toMontgomerySecret(signingSeed);
    const recipient = x25519.getPublicKey(secret);
    const ephemeral = new Uint8Array(bytes.subarray(0, keyBytes));
    const key = messageKey(x25519.getSharedSecret(secret, ephemeral), ephemeral, recipient);
    const decipher = createDecipheriv('aes-256-gcm', key, nonce);
    decipher.setAAD(Buffer.from(context, 'utf8'));
    decipher.setAuthTag(bytes.subarray(-tagBytes));
    return Buffer.concat([decipher.update(bytes.subarray(keyBytes, -tagBytes)), decipher.final()]);
  } catch (cause) {
    throw new TscError('E_SEAL_BROKEN', 'sealed bytes are not for this machine, or are damaged', {
      cause,
    });
  }
}

function messageKey(shared: Uint8Array, ephemeral: Uint8Array, recipient: Uint8Array): Buffer {
  const salt = createHash('sha256').update(ephemeral).update(recipient).digest();
  return Buffer.from(hkdfSync('sha256', shared, salt, purpose, keyBytes));
}

function raw(publicKey: string): Uint8Array {
  const bytes = Buffer.from(publicKey, 'base64');
  if (bytes.length === keyBytes) return new Uint8Array(bytes);
  throw new TscError('E_SEAL_KEY', 'a machine has no key that can be sealed for');
}
