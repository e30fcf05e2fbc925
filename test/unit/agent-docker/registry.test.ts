/** Sealing, and registry credentials as they travel between members. */
import { createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { afterEach, describe, expect, test } from 'vitest';
import { createIdentity, type Identity } from '../../../agent/identity.ts';
import { createLog } from '../../../agent/log.ts';
import { RegistryCredentialsKeeper } from '../../../agent/registry-credentials.ts';
import { seal } from '../../../agent/seal.ts';
import type { ClusterId, MachineId } from '../../../src/model/ids.ts';
import type { CredentialsRecord } from '../../../src/model/record.ts';
import { recordKey } from '../../../src/model/record.ts';
import type { View } from '../../../src/model/view.ts';
import { buildView } from '../../../src/view/build-view.ts';
import { aMachineRecord, RecordMap } from '../../lib/builders.ts';

const cluster = 'cluster' as ClusterId;
const host = 'registry.example:5000';
const image = `${host}/team/app:1`;
const mine = { username: 'someone', password: 's3cret' };

const [one, other] = await Promise.all([createIdentity(), createIdentity()]);

describe('sealing', () => {
  const sealed = seal(one.publicKey, 'use', Buffer.from('secret'));

  test('only the machine that it is for can open it', () => {
    expect(one.unseal('use', sealed).toString()).toBe('secret');
    expect(() => other.unseal('use', sealed)).toThrow('not for this machine');
    expect(Buffer.from(sealed, 'base64').includes('secret')).toBe(false);
  });

  test('it opens for no other use, and not when a bit was changed', () => {
    expect(() => one.unseal('other', sealed)).toThrow('not for this machine');
    const bytes = Buffer.from(sealed, 'base64');
    for (const place of [0, 33, bytes.length - 1]) {
      const changed = Buffer.from(bytes);
      changed[place] = (changed[place] ?? 0) ^ 1;
      expect(() => one.unseal('use', changed.toString('base64'))).toThrow('damaged');
    }
  });

  test('what is no sealed message at all is refused, not a fault', () => {
    expect(() => one.unseal('use', '')).toThrow('damaged');
    expect(() => one.unseal('use', 'AAAA')).toThrow('damaged');
  });

  test('the key is that of the library, for any machine', () => {
    const seed = randomBytes(32);
    const publicKey = Buffer.from(ed25519.getPublicKey(new Uint8Array(seed)));
    const box = Buffer.from(seal(publicKey.toString('base64'), 'x', Buffer.alloc(3)), 'base64');
    const secret = ed25519.utils.toMontgomerySecret(new Uint8Array(seed));
    const shared = x25519.getSharedSecret(secret, new Uint8Array(box.subarray(0, 32)));
    const recipient = ed25519.utils.toMontgomery(new Uint8Array(publicKey));
    const salt = createHash('sha256').update(box.subarray(0, 32)).update(recipient).digest();
    const key = Buffer.from(hkdfSync('sha256', shared, salt, 'tsc-compose seal 1', 32));
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.alloc(12));
    decipher.setAAD(Buffer.from('x'));
    decipher.setAuthTag(box.subarray(-16));
    const plain = Buffer.concat([decipher.update(box.subarray(32, -16)), decipher.final()]);
    expect(plain).toEqual(Buffer.alloc(3));
  });

  test('what is no key can have nothing sealed for it', () => {
    const identityPoint = Buffer.from([1, ...Buffer.alloc(31)]).toString('base64');
    expect(() => seal(identityPoint, 'x', Buffer.alloc(1))).toThrow('no key');
    expect(() => seal('AAAA', 'x', Buffer.alloc(1))).toThrow('no key');
  });

  test('two seals of one secret are not alike', () => {
    expect(seal(one.publicKey, 'use', Buffer.from('secret'))).not.toBe(sealed);
  });
});

/** Members that share one map of records. */
class Members {
  readonly records = new RecordMap();
  readonly identities: Identity[] = [];
  readonly keepers: RegistryCredentialsKeeper[] = [];
  readonly #listeners = new Set<(keys: readonly string[]) => void>();
  #hlc = 0;

  async join(): Promise<RegistryCredentialsKeeper> {
    const identity = await createIdentity();
    const { machine, publicKey, wgPublicKey } = identity;
    const record = aMachineRecord(machine, this.identities.length + 1);
    const admission = { ...record.admission, machine };
    this.identities.push(identity);
    this.#put(recordKey.machine(machine), machine, {
      ...record,
      publicKey,
      wgPublicKey,
      admission,
    });
    const keeper = new RegistryCredentialsKeeper(
      {
        replica: {
          get: (key) => this.records.get(key),
          entries: (prefix) => this.records.entries(prefix),
          write: async (key, value) => ({ hlc: this.#put(key, machine, value) }),
          subscribe: (listener) => {
            this.#listeners.add(listener);
            return () => this.#listeners.delete(listener);
          },
        },
        identity,
        view: () => this.#view(machine),
        log: createLog(() => undefined),
      },
      { cluster },
    );
    keeper.start();
    this.keepers.push(keeper);
    return keeper;
  }

  stored(): CredentialsRecord | null | undefined {
    return this.records.get(recordKey.credentials('app'))?.value as CredentialsRecord | null;
  }

  #view(self: MachineId): View {
    const liveness = new Map(this.identities.map(({ machine }) => [machine, 'reachable' as const]));
    return buildView(this.records, { self, cluster, nowMs: 1, liveness, guards: [] });
  }

  #put(key: string, origin: MachineId, value: unknown): number {
    this.#hlc += 1;
    this.records.set({ key, origin, hlc: this.#hlc, value });
    for (const listener of this.#listeners) listener([key]);
    return this.#hlc;
  }
}

describe('credentials of a project', () => {
  let members = new Members();
  afterEach(() => {
    for (const keeper of members.keepers) keeper.stop();
    members = new Members();
  });

  test('every member can use them, and no record shows them', async () => {
    const [first, second] = [await members.join(), await members.join()];
    await first.replace('app', { [host]: mine }, [image]);
    for (const keeper of [first, second]) {
      expect(keeper.authFor('app', image)).toEqual({ ...mine, serveraddress: host });
      expect(keeper.authFor('app', 'busybox')).toBeUndefined();
      expect(keeper.authFor('other', image)).toBeUndefined();
    }
    expect(JSON.stringify(members.stored())).not.toContain(mine.password);
  });

  test('a machine that joins gets them from a member, and waits for that', async () => {
    const first = await members.join();
    await first.replace('app', { [host]: mine }, [image]);
    const late = await members.join();
    expect(late.authFor('app', image)).toBeUndefined();
    expect(await late.awaitAuth('app', image)).toEqual({ ...mine, serveraddress: host });
  });

  test('a change without any keeps them, one with others replaces them', async () => {
    const keeper = await members.join();
    await keeper.replace('app', { [host]: mine }, [image]);
    const before = members.stored();
    await keeper.replace('app', {}, [image, 'busybox']);
    await keeper.replace('app', { [host]: mine }, [image]);
    expect(members.stored()).toBe(before);
    await keeper.replace('app', { [host]: { ...mine, password: 'new' } }, [image]);
    expect(keeper.authFor('app', image)?.password).toBe('new');
  });

  test('they are deleted when no service needs them, and with the project', async () => {
    const keeper = await members.join();
    await keeper.replace('app', { [host]: mine }, [image]);
    await keeper.replace('app', {}, ['busybox']);
    expect(members.stored()).toBeNull();
    await keeper.replace('app', { [host]: mine }, [image]);
    await keeper.replace('app', {}, []);
    expect(members.stored()).toBeNull();
    expect(keeper.authFor('app', image)).toBeUndefined();
  });

  test('Docker Hub and tokens have names of their own', async () => {
    const keeper = await members.join();
    const token = { username: '', password: '', identityToken: 't0ken' };
    await keeper.replace('app', { 'docker.io': token }, ['busybox']);
    expect(keeper.authFor('app', 'docker.io/library/redis')).toEqual({
      username: '',
      password: '',
      identitytoken: 't0ken',
      serveraddress: 'https://index.docker.io/v1/',
    });
  });
});
