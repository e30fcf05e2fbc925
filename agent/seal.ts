/**
 * Sealing: bytes that only one machine can read. The machine's Ed25519 key, which its id is derived
 * from, serves as an X25519 key (the birational map of RFC 7748, section 4.1), so that whoever knows
 * a member can seal for it and nobody has to hand out a further key. An ephemeral key for each
 * message, HKDF-SHA256 over the shared secret and both public keys, AES-256-GCM. What the message is
 * for (`context`) is bound in: sealed for one use it opens for no other.
 *
 * The map is computed here: a library for it would cost each agent 13 MB of tables.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { TscError } from '../src/lib/errors.ts';

const keyBytes = 32;
/** The key is used once, so the nonce may be constant. */
const nonce = Buffer.alloc(12);
const tagBytes = 16;
const purpose = 'tsc-compose seal 1';
/** Headers of raw X25519 keys (RFC 8410). */
const spkiHeader = Buffer.from('302a300506032b656e032100', 'hex');
const pkcs8Header = Buffer.from('302e020100300506032b656e04220420', 'hex');
/** 2^255 - 19: the prime of both curves. */
const prime = 2n ** 255n - 19n;

/**
 * Seals for the holder of an Ed25519 key.
 * @param publicKey base64 of 32 raw bytes
 * @returns base64: ephemeral key, ciphertext, tag
 * @throws TscError E_SEAL_KEY
 */
export function seal(publicKey: string, context: string, plain: Uint8Array): string {
  const recipient = montgomery(Buffer.from(publicKey, 'base64'));
  const pair = generateKeyPairSync('x25519');
  const ephemeral = rawOf(pair.publicKey);
  const key = messageKey(pair.privateKey, recipient, { ephemeral, recipient });
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(context, 'utf8'));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([ephemeral, body, cipher.getAuthTag()]).toString('base64');
}

/**
 * Opens what was sealed for this machine.
 * @param signingSeed base64 of the 32 secret bytes of its Ed25519 key
 * @throws TscError E_SEAL_BROKEN when it was sealed for another machine or use, or was changed
 */
export function unseal(signingSeed: string, context: string, sealed: string): Buffer {
  const bytes = Buffer.from(sealed, 'base64');
  try {
    const secret = secretOf(Buffer.from(signingSeed, 'base64'));
    const recipient = rawOf(createPublicKey(secret));
    const ephemeral = bytes.subarray(0, keyBytes);
    const key = messageKey(secret, ephemeral, { ephemeral, recipient });
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

function messageKey(
  secret: KeyObject,
  other: Buffer,
  { ephemeral, recipient }: { readonly ephemeral: Buffer; readonly recipient: Buffer },
): Buffer {
  const der = Buffer.concat([spkiHeader, other]);
  const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' });
  // The engine underneath refuses points of low order: the secret would be nobody's.
  const shared = diffieHellman({ privateKey: secret, publicKey });
  const salt = createHash('sha256').update(ephemeral).update(recipient).digest();
  return Buffer.from(hkdfSync('sha256', shared, salt, purpose, keyBytes));
}

/** The X25519 key of an Ed25519 seed: the scalar that signatures are made with (RFC 8032, 5.1.5). */
function secretOf(seed: Buffer): KeyObject {
  const scalar = createHash('sha512').update(seed).digest().subarray(0, keyBytes);
  const der = Buffer.concat([pkcs8Header, scalar]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

/** u = (1 + y) / (1 - y): the Montgomery form of an Edwards point, of which only y is needed. */
function montgomery(publicKey: Buffer): Buffer {
  const y = numberOf(publicKey) & (2n ** 255n - 1n);
  if (publicKey.length !== keyBytes || y === 1n || y >= prime) {
    throw new TscError('E_SEAL_KEY', 'a machine has no key that can be sealed for');
  }
  const u = ((1n + y) * inverse((1n - y + prime) % prime)) % prime;
  return Buffer.from(u.toString(16).padStart(2 * keyBytes, '0'), 'hex').reverse();
}

/** By Fermat: the value to the power of prime - 2. It is public, so its timing tells nothing. */
function inverse(value: bigint): bigint {
  let result = 1n;
  let base = value;
  for (let power = prime - 2n; power > 0n; power >>= 1n) {
    if (power & 1n) result = (result * base) % prime;
    base = (base * base) % prime;
  }
  return result;
}

/** Little-endian. */
function numberOf(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex') || '0'}`);
}

function rawOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ format: 'der', type: 'spki' }).subarray(spkiHeader.length);
}
