/**
 * Who is a member, and who wrote a record. A machine's id is the hash of its key; its `m/` record
 * carries the key and the admission that a member signed. Authenticity is monotone: an `m/` record
 * counts once its admission verifies with the admitter's key, back to the genesis machine, whose
 * id the cluster's id begins with (so nobody can found the same cluster again). Membership is then
 * a pure function of the `m/` and `x/` records, whatever the order of their arrival.
 */
import { encodeBase32 } from '../lib/base32.ts';
import { TscError } from '../lib/errors.ts';
import { sha256, stableHash } from '../lib/hash.ts';
import type { ClusterId, Hlc, MachineId } from '../model/ids.ts';
import type { Admission, MachineRecord, ReplicatedRecord } from '../model/record.ts';
import type { Signer, Verify } from './runtime.ts';

/** `x/<machine>`: removed for good. */
export interface RemovalRecord {
  /** Machines admitted by the removed one that stay members. */
  readonly keeps: readonly MachineId[];
}

/** The id of the machine with this key (base64 of the raw 32 bytes). */
export function machineIdOf(publicKey: string): MachineId {
  const digest = sha256(Buffer.from(publicKey, 'base64'));
  // The one place where ids are made.
  return encodeBase32(digest.subarray(0, 10)) as MachineId;
}

/** A new cluster's id: begins with the genesis machine's, so its first admission is provable. */
export function clusterIdFor(genesis: MachineId, random: () => number): ClusterId {
  const bytes = Uint8Array.from({ length: 5 }, () => Math.floor(random() * 256));
  return `${genesis}${encodeBase32(bytes)}` as ClusterId;
}

/** Whether the cluster was founded by this machine. */
export function isGenesis(cluster: ClusterId, machine: MachineId): boolean {
  return cluster.startsWith(machine);
}

/** The bytes that the origin of a record signs. */
export function recordPayload(
  cluster: ClusterId,
  record: Omit<ReplicatedRecord, 'signature'>,
): Uint8Array {
  const { key, origin, hlc, schema, body } = record;
  // JSON has no raw line break, so head and body cannot run into each other.
  const head = JSON.stringify(['tsc-compose record 1', cluster, key, origin, hlc, schema]);
  return Buffer.concat([Buffer.from(`${head}\n${body === null ? '-' : '+'}`), body ?? noBytes]);
}

const noBytes = new Uint8Array(0);

/** The bytes that the admitting member signs. */
export function admissionPayload(admission: Omit<Admission, 'signature'>): Uint8Array {
  const { cluster, machine, publicKey, wgPublicKey, subnet, range, admittedBy, hlc } = admission;
  return Buffer.from(
    JSON.stringify([
      'tsc-compose admission 1',
      cluster,
      machine,
      publicKey,
      wgPublicKey,
      subnet,
      range,
      admittedBy,
      hlc,
    ]),
  );
}

/** Makes a signed record of this machine's. */
export function signRecord(
  cluster: ClusterId,
  signer: Signer,
  fields: Omit<ReplicatedRecord, 'signature' | 'origin'>,
): ReplicatedRecord {
  const record = { ...fields, origin: signer.machine };
  return { ...record, signature: signer.sign(recordPayload(cluster, record)) };
}

function signAdmission(signer: Signer, admission: Omit<Admission, 'signature'>): Admission {
  const signature = Buffer.from(signer.sign(admissionPayload(admission))).toString('base64');
  return { ...admission, signature };
}

/** What a machine says about itself; the rest of its record is the admission. */
export type MachineFacts = Omit<MachineRecord, 'publicKey' | 'wgPublicKey' | 'admission'>;

export interface GenesisOptions extends MachineFacts {
  readonly cluster: ClusterId;
  /** The cluster's container range, "10.210.0.0/16". */
  readonly range: string;
  readonly hlc: Hlc;
}

/** The `m/` record of a cluster's first machine, which admits itself. */
export function createGenesis(signer: Signer, options: GenesisOptions): MachineRecord {
  const { cluster, range, hlc, ...facts } = options;
  const { machine, publicKey, wgPublicKey } = signer;
  const subnet = subnetsOf(range)[0];
  if (subnet === undefined) throw new TscError('E_RANGE_SIZE', `range ${range} holds no /24`);
  const admission = signAdmission(signer, {
    cluster,
    machine,
    publicKey,
    wgPublicKey,
    subnet,
    range,
    admittedBy: machine,
    hlc,
  });
  return { ...facts, publicKey, wgPublicKey, admission };
}

export interface AdmitOptions {
  readonly cluster: ClusterId;
  readonly range: string;
  /** Subnets of all members, removed ones included. */
  readonly takenSubnets: readonly string[];
  readonly joiner: { readonly publicKey: string; readonly wgPublicKey: string };
  readonly hlc: Hlc;
}

/**
 * Admits a machine: chooses a free /24 and signs.
 * @throws TscError E_SUBNET_NONE when the range is used up
 */
export function admit(signer: Signer, options: AdmitOptions): Admission {
  const { cluster, range, takenSubnets, joiner, hlc } = options;
  const machine = machineIdOf(joiner.publicKey);
  return signAdmission(signer, {
    cluster,
    machine,
    publicKey: joiner.publicKey,
    wgPublicKey: joiner.wgPublicKey,
    subnet: freeSubnet(range, takenSubnets, machine),
    range,
    admittedBy: signer.machine,
    hlc,
  });
}

/**
 * A free /24 for a machine. Chosen by its id, because two members that admit two machines at the
 * same moment must not both take the lowest free one.
 */
export function freeSubnet(range: string, taken: readonly string[], machine: MachineId): string {
  const free = subnetsOf(range).filter((subnet) => !taken.includes(subnet));
  const subnet = free[stableHash(machine) % Math.max(1, free.length)];
  if (subnet === undefined) {
    throw new TscError('E_SUBNET_NONE', `no free /24 is left in the cluster range ${range}`, {
      hint: 'a subnet is used once, also by machines that were removed: make a cluster with a larger --range',
    });
  }
  return subnet;
}

/** All /24 networks of an IPv4 range, in order. */
export function subnetsOf(range: string): string[] {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(range);
  const [a, b, c, d, bits] = (match ?? []).slice(1).map(Number);
  if (a === undefined || b === undefined || c === undefined || d === undefined) return [];
  if (bits === undefined || bits < 8 || bits > 24 || Math.max(a, b, c, d) > 255) return [];
  const count = 2 ** (24 - bits);
  const first = Math.floor((a * 65536 + b * 256 + c) / count) * count;
  return Array.from({ length: count }, (_, index) => {
    const number = first + index;
    return `${number >>> 16}.${(number >>> 8) & 255}.${number & 255}.0/24`;
  });
}

/** A parsed `m/` body, if it has the parts that membership needs. */
export function readMachineRecord(value: unknown): MachineRecord | undefined {
  if (!isObject(value) || !isObject(value['admission'])) return undefined;
  const { admission } = value;
  const hasText =
    [value['publicKey'], value['wgPublicKey'], value['name']].every(isText) &&
    ['cluster', 'machine', 'publicKey', 'wgPublicKey', 'subnet', 'range'].every((name) =>
      isText(admission[name]),
    ) &&
    ['admittedBy', 'signature'].every((name) => isText(admission[name]));
  if (!hasText || typeof admission['hlc'] !== 'number') return undefined;
  // Checked above as far as membership goes; the view checks what it reads beyond.
  return value as unknown as MachineRecord;
}

/** A parsed `x/` body; an unreadable one removes and keeps nobody. */
export function readRemoval(value: unknown): RemovalRecord {
  const keeps = isObject(value) && Array.isArray(value['keeps']) ? value['keeps'] : [];
  return { keeps: keeps.filter((id): id is MachineId => typeof id === 'string') };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= 256;
}

export interface AdmissionCheck {
  readonly cluster: ClusterId;
  readonly verify: Verify;
  /** Key of a machine whose `m/` record counts; undefined when there is none. */
  readonly keyOf: (machine: MachineId) => string | undefined;
}

/**
 * Whether a machine's record is backed by its admission. The record's own signature is a matter of
 * `verifyRecord`.
 * @returns 'valid', 'unknown' when the admitter's record has not come yet, or 'forged'
 */
export function checkAdmission(
  machine: MachineId,
  record: MachineRecord,
  { cluster, verify, keyOf }: AdmissionCheck,
): 'valid' | 'unknown' | 'forged' {
  const { admission } = record;
  if (machineIdOf(record.publicKey) !== machine || admission.machine !== machine) return 'forged';
  if (admission.publicKey !== record.publicKey) return 'forged';
  if (admission.wgPublicKey !== record.wgPublicKey || admission.cluster !== cluster) {
    return 'forged';
  }
  const isSelfAdmitted = admission.admittedBy === machine;
  if (isSelfAdmitted && !isGenesis(cluster, machine)) return 'forged';
  const admitterKey = isSelfAdmitted ? record.publicKey : keyOf(admission.admittedBy);
  if (admitterKey === undefined) return 'unknown';
  const signature = Buffer.from(admission.signature, 'base64');
  return verify(admitterKey, admissionPayload(admission), signature) ? 'valid' : 'forged';
}

/** Whether a record is signed by the key. */
export function verifyRecord(
  cluster: ClusterId,
  publicKey: string,
  record: ReplicatedRecord,
  verify: Verify,
): boolean {
  return verify(publicKey, recordPayload(cluster, record), record.signature);
}

export interface MembershipInput {
  /** Authentic `m/` records, by machine. */
  readonly machines: ReadonlyMap<MachineId, MachineRecord>;
  readonly removals: ReadonlyMap<MachineId, RemovalRecord>;
}

/**
 * The members: not removed, and admitted by a member, or by a removed one whose removal keeps
 * them. In order of id.
 */
export function membersOf({ machines, removals }: MembershipInput): MachineId[] {
  const isMember = (machine: MachineId, visited: readonly MachineId[]): boolean => {
    const record = machines.get(machine);
    if (record === undefined || removals.has(machine) || visited.includes(machine)) return false;
    const { admittedBy } = record.admission;
    if (admittedBy === machine) return true;
    const removal = removals.get(admittedBy);
    if (removal !== undefined) return removal.keeps.includes(machine);
    return isMember(admittedBy, [...visited, machine]);
  };
  return [...machines.keys()].filter((machine) => isMember(machine, [])).sort();
}
