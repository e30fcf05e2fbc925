/**
 * Who this machine is: an Ed25519 key that signs its records and proves it to peers, and the
 * X25519 key of its WireGuard device. Made once, kept in `identity.json` (0600) apart from the
 * store, so that a broken store never costs the identity. Never leaves the machine.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { machineIdOf } from '../src/gossip/admission.ts';
import type { Signer, Verify } from '../src/gossip/runtime.ts';
import { TscError } from '../src/lib/errors.ts';
import { meshIp } from '../src/lib/mesh-address.ts';
import type { MachineId } from '../src/model/ids.ts';
import { unseal } from './seal.ts';

export interface Identity extends Signer {
  readonly machine: MachineId;
  /** Base64, as `wg set … private-key` reads it. */
  readonly wgPrivateKey: string;
  /** The fd…/128 of this machine. */
  readonly meshIp: string;
  /**
   * Opens what was sealed for this machine (seal.ts).
   * @throws TscError E_SEAL_BROKEN
   */
  readonly unseal: (context: string, sealed: string) => Buffer;
}

/** The file's content; all values are base64 of 32 raw bytes. */
interface IdentityFile {
  readonly version: 1;
  readonly signingSeed: string;
  readonly wgPrivateKey: string;
}

/** PKCS #8 header of a raw Ed25519 seed (RFC 8410). */
const pkcs8Header = Buffer.from('302e020100300506032b657004220420', 'hex');
/** PKCS #8 header of a raw X25519 key (RFC 8410). */
const x25519Pkcs8Header = Buffer.from('302e020100300506032b656e04220420', 'hex');
/** SubjectPublicKeyInfo header of a raw Ed25519 public key (RFC 8410). */
const spkiHeader = Buffer.from('302a300506032b6570032100', 'hex');
/** Keys of this many machines stay parsed. */
const maxCachedKeyCount = 4096;

/**
 * Reads the identity, or makes one on the first start.
 * @throws TscError E_IDENTITY_FILE when the file is there and cannot be used
 */
export async function loadIdentity(dataDir: string): Promise<Identity> {
  const path = join(dataDir, 'identity.json');
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new TscError('E_IDENTITY_FILE', `${path} cannot be read`, { cause: error });
  });
  if (text !== undefined) return identityFrom(parseFile(path, text));
  const file = await newIdentityFile();
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await writeFileDurably(path, `${JSON.stringify(file)}\n`);
  return identityFrom(file);
}

/** A fresh identity that is kept nowhere; for tests and tools. */
export async function createIdentity(): Promise<Identity> {
  return identityFrom(await newIdentityFile());
}

async function newIdentityFile(): Promise<IdentityFile> {
  // Loaded for the first start only: its tables are 13 MB in the memory of every later one.
  const { x25519 } = await import('@noble/curves/ed25519.js');
  const { privateKey } = generateKeyPairSync('ed25519');
  const der = privateKey.export({ format: 'der', type: 'pkcs8' });
  const wgSecret = x25519.utils.randomSecretKey();
  // Clamped as WireGuard's tools do it, so that `wg show` prints the key that we stored.
  wgSecret[0] = (wgSecret[0] ?? 0) & 248;
  wgSecret[31] = ((wgSecret[31] ?? 0) & 127) | 64;
  return {
    version: 1,
    signingSeed: der.subarray(pkcs8Header.length).toString('base64'),
    wgPrivateKey: Buffer.from(wgSecret).toString('base64'),
  };
}

function parseFile(path: string, text: string): IdentityFile {
  try {
    const file = JSON.parse(text) as Partial<IdentityFile>;
    const isKey = (value: unknown): boolean =>
      typeof value === 'string' && Buffer.from(value, 'base64').length === 32;
    if (file.version === 1 && isKey(file.signingSeed) && isKey(file.wgPrivateKey)) {
      // All three fields were checked.
      return file as IdentityFile;
    }
  } catch (cause) {
    throw brokenFile(path, cause);
  }
  throw brokenFile(path, undefined);
}

function brokenFile(path: string, cause: unknown): TscError {
  return new TscError('E_IDENTITY_FILE', `${path} is damaged`, {
    hint: 'restore it from a backup, or remove the machine from the cluster and join anew',
    cause,
  });
}

function identityFrom({ signingSeed, wgPrivateKey }: IdentityFile): Identity {
  const privateKey = privateKeyFrom(pkcs8Header, signingSeed);
  const publicKey = publicHalf(privateKey);
  const wgPublicKey = x25519PublicKey(wgPrivateKey);
  return {
    machine: machineIdOf(publicKey),
    publicKey,
    wgPublicKey,
    wgPrivateKey,
    meshIp: meshIp(wgPublicKey),
    sign: (bytes) => sign(null, bytes, privateKey),
    unseal: (context, sealed) => unseal(signingSeed, context, sealed),
  };
}

/** The public half of a WireGuard key; both base64. */
export function x25519PublicKey(privateKey: string): string {
  return publicHalf(privateKeyFrom(x25519Pkcs8Header, privateKey));
}

/** @param secret base64 of the raw 32 bytes */
function privateKeyFrom(header: Buffer, secret: string): KeyObject {
  const der = Buffer.concat([header, Buffer.from(secret, 'base64')]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

/** Base64 of the raw 32 bytes. */
function publicHalf(privateKey: KeyObject): string {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return spki.subarray(spkiHeader.length).toString('base64');
}

/** Makes a `Verify` that keeps parsed keys. */
export function createVerify(): Verify {
  const keys = new Map<string, KeyObject>();
  return (publicKey, bytes, signature) => {
    const raw = Buffer.from(publicKey, 'base64');
    if (raw.length !== 32 || signature.length !== 64) return false;
    let key = keys.get(publicKey);
    if (key === undefined) {
      if (keys.size >= maxCachedKeyCount) keys.clear();
      const der = Buffer.concat([spkiHeader, raw]);
      key = createPublicKey({ key: der, format: 'der', type: 'spki' });
      keys.set(publicKey, key);
    }
    return verify(null, bytes, key, signature);
  };
}

/** Writes a secret file so that after a power cut it is there in whole or not at all. */
async function writeFileDurably(path: string, text: string): Promise<void> {
  const temporary = `${path}.new`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await chmod(temporary, 0o600);
  await rename(temporary, path);
}
