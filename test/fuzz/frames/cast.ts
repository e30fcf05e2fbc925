/**
 * Who takes part in a fuzz session: machines with real Ed25519 keys that depend on their names
 * alone, so that a seed gives the same bytes on every run. The victim is a member like the others;
 * the honest ones have signed what is in `genuine` and nothing else; the hostile ones are members
 * too and have keys of their own, and no others.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import {
  admit,
  createGenesis,
  type MachineFacts,
  machineIdOf,
  signRecord,
} from '../../../src/gossip/admission.ts';
import { encodeJson } from '../../../src/gossip/node.ts';
import type { Signer } from '../../../src/gossip/runtime.ts';
import { sha256 } from '../../../src/lib/hash.ts';
import { hlcFromMs } from '../../../src/lib/hlc.ts';
import type { ClusterId, MachineId } from '../../../src/model/ids.ts';
import { type MachineRecord, type ReplicatedRecord, recordKey } from '../../../src/model/record.ts';

/** Wall clock at the start of a session. */
export const epochMs = Date.UTC(2026, 0, 1);

/** PKCS #8 header of a raw Ed25519 seed (RFC 8410). */
const pkcs8Header = Buffer.from('302e020100300506032b657004220420', 'hex');

function signerOf(name: string): Signer {
  const der = Buffer.concat([pkcs8Header, sha256(`seed of ${name}`)]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const publicKey = spki.subarray(-32).toString('base64');
  return {
    machine: machineIdOf(publicKey),
    publicKey,
    wgPublicKey: Buffer.from(sha256(`x25519 of ${name}`)).toString('base64'),
    sign: (bytes) => sign(null, bytes, key),
  };
}

export interface Cast {
  readonly cluster: ClusterId;
  readonly victim: Signer;
  readonly honest: readonly Signer[];
  readonly hostile: readonly Signer[];
  /** No member; the hostile ones would like it to be one. */
  readonly stranger: Signer;
  /** `m/` records of all members. */
  readonly roots: readonly ReplicatedRecord[];
  /** What the honest ones signed: several versions of keys of every kind. */
  readonly genuine: readonly ReplicatedRecord[];
  /** Signed by the honest ones for another cluster. */
  readonly foreign: readonly ReplicatedRecord[];
}

const facts = (name: string): MachineFacts => ({
  name,
  endpoints: ['192.0.2.1:51820'],
  platform: 'linux/amd64',
  cpuCount: 2,
  memoryBytes: 1 << 30,
  versions: { agent: '0.1.0', engine: '28.0.0', protocol: 1, plan: 1 },
});

function makeCast(): Cast {
  const victim = signerOf('victim');
  const honest = ['founder', 'second'].map(signerOf);
  // Many, because each is banned for ten seconds after almost every frame.
  const hostile = Array.from({ length: 24 }, (_, index) => signerOf(`hostile ${index}`));
  const [founder] = honest;
  if (founder === undefined) throw new Error('a cast without a founder');
  const cluster = `${founder.machine}abcdefgh` as ClusterId;
  const other = `${founder.machine}hgfedcba` as ClusterId;
  const range = '10.210.0.0/16';
  const hlc = hlcFromMs(epochMs - 60_000);
  const taken: string[] = [];
  const roots = [founder, ...honest.slice(1), victim, ...hostile].map((signer, index) => {
    const name = `m${index}`;
    let record: MachineRecord;
    if (signer === founder) {
      record = createGenesis(founder, { ...facts(name), cluster, range, hlc });
    } else {
      const { publicKey, wgPublicKey } = signer;
      const admission = admit(founder, {
        cluster,
        range,
        takenSubnets: taken,
        joiner: signer,
        hlc: hlc + index,
      });
      record = { ...facts(name), publicKey, wgPublicKey, admission };
    }
    taken.push(record.admission.subnet);
    const body = encodeJson(record);
    return signRecord(cluster, signer, {
      key: recordKey.machine(signer.machine),
      hlc: hlc + 100 + index,
      schema: 1,
      body,
    });
  });
  return {
    cluster,
    victim,
    honest,
    hostile,
    stranger: signerOf('stranger'),
    roots,
    genuine: honest.flatMap((signer) => versions(cluster, signer, hlc)),
    foreign: honest.flatMap((signer) => versions(other, signer, hlc + 5_000_000)),
  };
}

/** Three versions of keys of every kind, tombstones among them. */
function versions(cluster: ClusterId, signer: Signer, hlc: number): readonly ReplicatedRecord[] {
  const { machine } = signer;
  const links = { up: [{ machine: 'x', sinceMs: 1 }], able: true, headless: [] };
  const keys: readonly (readonly [string, unknown])[] = [
    [recordKey.links(machine), links],
    [recordKey.container(machine, 'a1'), { name: 'web-1', state: 'running' }],
    [recordKey.failure(machine, 'shop', 'web'), { rollout: 'r', slot: '1', why: 'exit code 1' }],
    [recordKey.pointer('shop'), { services: {}, createdMs: 1, parent: null }],
    [recordKey.revision('shop', machine), { project: { name: 'shop' } }],
    [recordKey.operation('shop', 'web'), { scale: 3 }],
    [recordKey.machineOptions(machine), { drain: true }],
    ['future/kind', { of: 'a newer agent' }],
  ];
  return keys.flatMap(([key, value]) =>
    [0, 1, 2].map((version) =>
      signRecord(cluster, signer, {
        key,
        hlc: hlc + 10_000 + version * 1000,
        schema: 1,
        body: version === 2 && !key.startsWith('links/') ? null : encodeJson({ value, version }),
      }),
    ),
  );
}

let shared: Cast | undefined;

/** The same for all sessions; made once. */
export function theCast(): Cast {
  shared ??= makeCast();
  return shared;
}

/** All keys by machine, for checking what was accepted. */
export function keysOf(cast: Cast): ReadonlyMap<MachineId, string> {
  const all = [cast.victim, ...cast.honest, ...cast.hostile];
  return new Map(all.map(({ machine, publicKey }) => [machine, publicKey]));
}
