/**
 * Join tokens. A token lets one machine in: it names a member (its WireGuard key, mesh address and
 * endpoints) and carries a one-time X25519 key that this member has admitted as a WireGuard peer,
 * so that joining happens inside the tunnel. The issuer keeps what is pending in a file of its own
 * (0600); a token is used once and lives an hour. A token is a secret: it is never logged.
 */
import { createHash, generateKeyPairSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { dirname, join } from 'node:path';
import { TscError } from '../src/lib/errors.ts';
import type { ClusterId, MachineId } from '../src/model/ids.ts';

/** 1 h: long enough to copy a token to a machine, short enough to forget it. */
export const tokenLifeMs = 3_600_000;

/** 32: tokens that wait to be used; more at a time are a script gone wrong. */
const maxPendingCount = 32;

const tokenVersion = 1;

export interface TokenIssuer {
  readonly id: MachineId;
  /** Ed25519, base64 of the raw 32 bytes. */
  readonly publicKey: string;
  /** X25519, base64 of the raw 32 bytes. */
  readonly wgPublicKey: string;
  readonly meshIp: string;
  /** `host:port`, best first. */
  readonly endpoints: readonly string[];
  /** TCP port on the mesh address at which joining is answered. */
  readonly port: number;
}

export interface JoinToken {
  readonly cluster: ClusterId;
  readonly range: string;
  readonly issuer: TokenIssuer;
  /** X25519 private key, base64: the joining machine's WireGuard key until it is admitted. */
  readonly oneTimeKey: string;
  /** Proves inside the tunnel that the joiner holds the token. */
  readonly secret: string;
  readonly expiresMs: number;
}

/** What the issuer keeps of a token: enough to recognise it, not enough to make it again. */
export interface PendingToken {
  /** WireGuard public key of the one-time key: the peer to admit. */
  readonly oneTimePublicKey: string;
  /** SHA-256 of the secret, base64. */
  readonly secretHash: string;
  readonly expiresMs: number;
}

export interface IssuedToken {
  readonly token: JoinToken;
  readonly pending: PendingToken;
}

/** Makes a token of fresh keys. */
export function issueToken(
  cluster: { readonly cluster: ClusterId; readonly range: string; readonly issuer: TokenIssuer },
  nowMs: number,
): IssuedToken {
  const pair = generateKeyPairSync('x25519');
  const { d = '' } = pair.privateKey.export({ format: 'jwk' });
  const { x = '' } = pair.publicKey.export({ format: 'jwk' });
  const secret = randomBytes(32).toString('base64');
  const expiresMs = nowMs + tokenLifeMs;
  return {
    token: { ...cluster, oneTimeKey: toBase64(d), secret, expiresMs },
    pending: { oneTimePublicKey: toBase64(x), secretHash: hashSecret(secret), expiresMs },
  };
}

/** @returns one word that survives a terminal and a chat window */
export function encodeToken(token: JoinToken): string {
  return Buffer.from(JSON.stringify({ v: tokenVersion, ...token }), 'utf8').toString('base64url');
}

/**
 * Reads a token.
 * @throws TscError E_TOKEN_SYNTAX, E_TOKEN_VERSION, E_TOKEN_EXPIRED
 */
export function decodeToken(text: string, nowMs: number): JoinToken {
  const value = parse(text);
  if (value.v !== tokenVersion) {
    throw new TscError('E_TOKEN_VERSION', `the token is of version ${String(value.v)}`, {
      hint: `this agent reads version ${tokenVersion}; use the same version on both machines`,
    });
  }
  const issuer = isFields(value.issuer) ? value.issuer : {};
  const token: JoinToken = {
    // Identities are checked where they are used: against the issuer's signature.
    cluster: field(value, 'cluster') as ClusterId,
    range: field(value, 'range'),
    issuer: {
      id: field(issuer, 'id') as MachineId,
      publicKey: keyField(issuer, 'publicKey'),
      wgPublicKey: keyField(issuer, 'wgPublicKey'),
      meshIp: field(issuer, 'meshIp'),
      endpoints: endpointsOf(issuer),
      port: numberField(issuer, 'port'),
    },
    oneTimeKey: keyField(value, 'oneTimeKey'),
    secret: field(value, 'secret'),
    expiresMs: numberField(value, 'expiresMs'),
  };
  if (!isIPv6(token.issuer.meshIp)) throw syntax('its mesh address is no address');
  if (token.expiresMs <= nowMs) {
    const agoMinutes = Math.ceil((nowMs - token.expiresMs) / 60_000);
    throw new TscError('E_TOKEN_EXPIRED', `the token expired ${agoMinutes} min ago`, {
      hint: 'make a new one with `tsc-compose machine token`; are the clocks of both machines right?',
    });
  }
  return token;
}

/** The tokens that wait to be used, in the issuer's data directory. */
export class PendingTokens {
  readonly #path: string;
  readonly #now: () => number;
  #pending: readonly PendingToken[];
  /** Writes follow each other: two at a time would lose one. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(path: string, now: () => number, pending: readonly PendingToken[]) {
    this.#path = path;
    this.#now = now;
    this.#pending = pending;
  }

  /** Reads the file of an earlier run, if there is one. */
  static async open(dataDir: string, now: () => number): Promise<PendingTokens> {
    const path = join(dataDir, 'tokens.json');
    return new PendingTokens(path, now, await readPending(path));
  }

  /** Those that may still be used: their one-time keys are the WireGuard peers to admit. */
  list(): readonly PendingToken[] {
    const nowMs = this.#now();
    return this.#pending.filter(({ expiresMs }) => expiresMs > nowMs);
  }

  /**
   * Keeps a token until it is used or expires.
   * @throws TscError E_TOKEN_TOO_MANY
   */
  async add(pending: PendingToken): Promise<void> {
    const valid = this.list();
    if (valid.length >= maxPendingCount) {
      throw new TscError('E_TOKEN_TOO_MANY', `${valid.length} tokens are waiting to be used`, {
        hint: 'they expire within the hour',
      });
    }
    this.#pending = [...valid, pending];
    await this.#save();
  }

  /**
   * Uses up the token with this secret; a second call with it fails, also after a restart.
   * @throws TscError E_TOKEN_UNKNOWN
   */
  async use(secret: string): Promise<PendingToken> {
    const wanted = Buffer.from(hashSecret(secret), 'base64');
    const found = this.list().find(({ secretHash }) => {
      const hash = Buffer.from(secretHash, 'base64');
      return hash.length === wanted.length && timingSafeEqual(hash, wanted);
    });
    if (found === undefined) {
      throw new TscError(
        'E_TOKEN_UNKNOWN',
        'the token was used already, or is not of this machine',
        {
          hint: 'make a new one with `tsc-compose machine token`; each is good for one machine',
        },
      );
    }
    this.#pending = this.list().filter((pending) => pending !== found);
    await this.#save();
    return found;
  }

  #save(): Promise<void> {
    const write = async (): Promise<void> => {
      const temporary = `${this.#path}.new`;
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(JSON.stringify(this.#pending));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
      await syncDirectory(dirname(this.#path));
    };
    this.#writing = this.#writing.then(write, write);
    return this.#writing;
  }
}

/** A rename is on disk once its folder is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function readPending(path: string): Promise<readonly PendingToken[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  const value: unknown = parseJson(text);
  if (!Array.isArray(value)) {
    throw new TscError('E_TOKEN_FILE', `${path} is damaged`, {
      hint: 'remove it: tokens that were not used yet are then void',
    });
  }
  return value.filter(isFields).map((entry) => ({
    oneTimePublicKey: field(entry, 'oneTimePublicKey'),
    secretHash: field(entry, 'secretHash'),
    expiresMs: numberField(entry, 'expiresMs'),
  }));
}

function hashSecret(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('base64');
}

function toBase64(base64url: string): string {
  return Buffer.from(base64url, 'base64url').toString('base64');
}

type Fields = { readonly [key: string]: unknown };

function parse(text: string): Fields {
  const word = text.trim();
  if (!/^[A-Za-z0-9_-]+$/.test(word)) throw syntax('it holds characters that no token has');
  const value = parseJson(Buffer.from(word, 'base64url').toString('utf8'));
  if (!isFields(value)) throw syntax('it is cut off or changed');
  return value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function field(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === 'string' && value !== '') return value;
  throw syntax(`"${name}" is missing`);
}

function keyField(fields: Fields, name: string): string {
  const value = field(fields, name);
  if (Buffer.from(value, 'base64').length === 32) return value;
  throw syntax(`"${name}" is no key`);
}

function numberField(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
  throw syntax(`"${name}" is missing`);
}

function endpointsOf(issuer: Fields): readonly string[] {
  const value = issuer.endpoints;
  if (Array.isArray(value) && value.length > 0 && value.every((e) => typeof e === 'string')) {
    return value;
  }
  throw syntax('it names no endpoint');
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function syntax(why: string): TscError {
  return new TscError('E_TOKEN_SYNTAX', `this is not a whole token: ${why}`, {
    hint: 'copy the line that `tsc-compose machine token` prints, all of it',
  });
}
