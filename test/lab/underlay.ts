/**
 * The wire between the machines: a bridge in a network namespace of its own, so that neither the
 * firewall nor the addresses of this machine play a part, plus one link into the root namespace
 * that lets a test talk to the machines.
 *
 * Faults are one nftables ruleset of the bridge family, written whole from the lab's state each
 * time. They match port names, so they stay in force when a machine is switched off and on.
 */
import { join } from 'node:path';
import { TscError } from '../../src/lib/errors.ts';
import { run, runOrThrow } from './run.ts';
import { type LabState, netnsName, rootLinkName } from './state.ts';

export interface UnderlayTools {
  readonly ip: string;
  readonly nft: string;
}

/** Last number of the root namespace's address on the underlay. */
const rootIndex = 254;

/** 253: the addresses below that of the root namespace. */
export const machineLimit = rootIndex - 1;

/** Address of a machine by its index. */
export function underlayAddress(subnet: string, index: number): string {
  return `${subnet}.${index}`;
}

/** Address of the root namespace on the underlay. */
export function rootAddress(subnet: string): string {
  return underlayAddress(subnet, rootIndex);
}

/** A subnet and the loose end of the link that claims it, to be plugged into the bridge. */
export interface SubnetClaim {
  readonly subnet: string;
  readonly peer: string;
}

let claimCount = 0;

/** Says whose claim a link is before any file does: cleaning up spares those of the living. */
function claimName(pid: number): string {
  claimCount += 1;
  return `tp${pid}-${claimCount % 100}`;
}

/** The pid in the name of a loose end. */
export function claimant(peer: string): number | undefined {
  const pid = /^tp(?<pid>\d+)-\d+$/u.exec(peer)?.groups?.['pid'];
  return pid === undefined ? undefined : Number(pid);
}

/**
 * Finds a free /24 and claims it by the name of a link.
 * @param wanted a subnet that must be taken, or undefined to look for a free one
 * @param seed spreads labs over the range, so that they seldom try the same one
 */
export async function claimSubnet(
  ip: string,
  wanted: string | undefined,
  seed: number,
): Promise<SubnetClaim> {
  const routes = await runOrThrow([ip, '-4', 'route', 'show', 'table', 'all']);
  const candidates =
    wanted === undefined
      ? Array.from({ length: 256 }, (_, step) => `10.201.${(seed + step) % 256}`)
      : [wanted];
  for (const subnet of candidates) {
    if (routes.stdout.split(/\s+/u).some((word) => word.startsWith(`${subnet}.`))) continue;
    const link = rootLinkName(subnet);
    const peer = claimName(process.pid);
    const add = await run([ip, 'link', 'add', link, 'type', 'veth', 'peer', 'name', peer]);
    if (add.code === 0) return { subnet, peer };
    if (!add.stderr.includes('File exists')) {
      throw new TscError('E_LAB_RUN', `cannot add a link: ${add.stderr.trim()}`);
    }
  }
  throw new TscError('E_LAB_SUBNET', `no free subnet among ${candidates.length}`);
}

/** Makes the bridge; `claimSubnet` has made the link to it. */
export async function createUnderlay(
  state: LabState,
  peer: string,
  tools: UnderlayTools,
): Promise<void> {
  const netns = netnsName(state.name, 'underlay');
  const link = rootLinkName(state.subnet);
  await runOrThrow([tools.ip, 'netns', 'add', netns]);
  await batch(tools.ip, undefined, [
    `link set ${peer} netns ${netns}`,
    `addr add ${rootAddress(state.subnet)}/24 dev ${link}`,
    `link set ${link} up`,
  ]);
  await batch(tools.ip, netns, [
    'link set lo up',
    'link add br0 type bridge',
    'link set br0 up',
    `link set ${peer} name root master br0 up`,
  ]);
  // Frames on the wire are nobody's business but the wire's: no iptables hook of this namespace.
  await runOrThrow([
    tools.ip,
    'netns',
    'exec',
    netns,
    'sh',
    '-c',
    'f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo 0 > $f',
  ]);
  await applyFaults(state, tools);
}

/** Makes a machine's network namespace and plugs its cable in. */
export async function plug(
  state: LabState,
  machine: { readonly name: string; readonly index: number },
  tools: UnderlayTools,
): Promise<void> {
  const netns = netnsName(state.name, machine.name);
  await runOrThrow([tools.ip, 'netns', 'add', netns]);
  await batch(tools.ip, netnsName(state.name, 'underlay'), [
    `link add ${machine.name} type veth peer name eth0 address ${hardwareAddress(state, machine.index)} netns ${netns}`,
    `link set ${machine.name} master br0 up`,
  ]);
  await batch(tools.ip, netns, [
    'link set lo up',
    `addr add ${underlayAddress(state.subnet, machine.index)}/24 dev eth0`,
    'link set eth0 up',
  ]);
}

/** Cuts a machine's cable: from here on not one frame leaves it, no RST and no FIN. */
export async function unplug(lab: string, machine: string, ip: string): Promise<void> {
  const result = await run([ip, '-n', netnsName(lab, 'underlay'), 'link', 'del', machine]);
  if (result.code !== 0 && !result.stderr.includes('Cannot find device')) {
    throw new TscError('E_LAB_RUN', `cannot cut ${machine}: ${result.stderr.trim()}`);
  }
}

/** Puts the cuts and losses of the state in force, and no others. */
export async function applyFaults(state: LabState, tools: UnderlayTools): Promise<void> {
  const netns = netnsName(state.name, 'underlay');
  await runOrThrow([tools.ip, 'netns', 'exec', netns, tools.nft, '-f', '-'], {
    input: faultRules(state),
  });
}

/** The ruleset for the faults of a state. */
export function faultRules(state: Pick<LabState, 'cuts' | 'losses'>): string {
  const rules = state.cuts.map(([from, to]) => `iifname "${from}" oifname "${to}" drop`);
  for (const [machine, percent] of Object.entries(state.losses)) {
    const lost = `numgen random mod 1000 < ${Math.round(percent * 10)} drop`;
    rules.push(`iifname "${machine}" ${lost}`, `oifname "${machine}" ${lost}`);
  }
  return [
    'table bridge lab',
    'delete table bridge lab',
    'table bridge lab {',
    '  chain faults {',
    '    type filter hook forward priority 0; policy accept;',
    ...rules.map((rule) => `    ${rule}`),
    '  }',
    '}',
    '',
  ].join('\n');
}

/** The same at every boot, as of a real card: neighbours keep addresses for half a minute. */
function hardwareAddress(state: LabState, index: number): string {
  const bytes = [2, ...state.subnet.split('.').map(Number), 0, index];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

async function batch(ip: string, netns: string | undefined, lines: readonly string[]) {
  const target = netns === undefined ? [] : ['-n', netns];
  await runOrThrow([ip, ...target, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** Paths of the tools that make the wire. */
export function underlayTools(bin: string): UnderlayTools {
  return { ip: join(bin, 'ip'), nft: join(bin, 'nft') };
}
