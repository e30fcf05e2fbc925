/**
 * What users and engines do while things go wrong: projects are brought up, changed, scaled and
 * taken down through the shipping acceptor, and records of all kinds of writers come and go.
 */
import { encodeFrame } from '../../src/gossip/frame.ts';
import { encodeJson } from '../../src/gossip/node.ts';
import { TscError } from '../../src/lib/errors.ts';
import type { UpRequest } from '../../src/model/api.ts';
import type { MachineId } from '../../src/model/ids.ts';
import type { Project } from '../../src/model/project.ts';
import { type ReplicatedRecord, recordKey } from '../../src/model/record.ts';
import { acceptDown, acceptScale, acceptUp } from '../../src/plan/accept.ts';
import { changeId } from '../../src/plan/conflict.ts';
import { acceptOperation } from '../../src/plan/operate.ts';
import { reachableMachines } from '../../src/view/endpoints.ts';
import type { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';
import { aProject, projectName } from './projects.ts';

/** How long an author waits for others to hold the change. */
const ackTimeoutMs = 5000;
/** Frames of a later version: an unknown type, and a known one with a further field. */
const unknownType = 42;

/** A machine of the cluster that runs now. */
export function anyRunning(cluster: SimCluster): SimMachine | undefined {
  return cluster.world.pick(
    cluster.members().filter((machine) => machine.isRunning && !machine.isAsleep),
  );
}

/** A machine that can be asked for something now. */
function anyAnswering(cluster: SimCluster): SimMachine | undefined {
  const machine = anyRunning(cluster);
  const isMember = machine?.node?.isMember(machine.machine) === true;
  return isMember && !machine.isPaused ? machine : undefined;
}

/** One write of somebody. */
export function work(cluster: SimCluster): void {
  const { world } = cluster;
  const machine = anyAnswering(cluster);
  const node = machine?.node;
  if (machine === undefined || node === undefined) return;
  const filler = world.random() < 0.02 ? 'x'.repeat(20_000) : '';
  const value = encodeJson({ at: Math.floor(world.nowMs), by: machine.name, filler });
  const number = Math.floor(world.random() * 8);
  if (world.random() < 0.3) {
    // A kind that nobody here knows: stored and relayed as it is.
    node.write(`future/p${number}`, value, machine.isNewer ? 7 : 1);
  } else {
    const key = recordKey.failure(machine.machine, 'work', `s${number}`);
    node.write(key, world.random() < 0.3 ? null : value);
  }
  if (machine.isNewer) speakNewer(cluster, machine);
}

function speakNewer(cluster: SimCluster, machine: SimMachine): void {
  const target = cluster.world.pick(cluster.network.linksOf(machine));
  if (target === undefined) return;
  const known = encodeFrame({ type: 'want', keys: [] });
  const isLonger = cluster.world.random() < 0.5;
  // MessagePack: an array of two with a number that is no type, or of three instead of two.
  const bytes = isLonger
    ? Uint8Array.from([0x93, ...known.subarray(1), 7])
    : Uint8Array.from([0x92, unknownType, 7]);
  cluster.network.send(machine, target.link, bytes);
}

/** A machine that takes a change now, or why there is none. */
function anyAcceptor(cluster: SimCluster) {
  const machine = anyAnswering(cluster);
  const view = machine?.agent?.view();
  const node = machine?.node;
  if (machine === undefined || view === undefined || node === undefined) return 'nothing';
  // It waits until it knows what the others have: agent/accept.ts.
  const isUnsure = view.guards.includes('booting') || view.guards.includes('stale');
  return isUnsure ? 'nothing: the view is not sure' : { machine, view, node };
}

/** What a plain `up` of the whole project asks for. */
export function upRequest(project: Project): UpRequest {
  return {
    project,
    services: [],
    disabledServices: [],
    scale: {},
    removeOrphans: true,
    isDryRun: false,
    forceRecreate: false,
    contents: {},
    workingDir: '/app',
    composeFiles: ['/app/compose.yaml'],
  };
}

/** Brings the project up or changes it. @returns what was done */
export function bringUp(cluster: SimCluster): string {
  const { world } = cluster;
  const acceptor = anyAcceptor(cluster);
  if (typeof acceptor === 'string') return acceptor;
  const { machine, view, node } = acceptor;
  const project = aProject(world, view.machines.size);
  const request = upRequest(project);
  const newId = (): string => `r${Math.floor(world.random() * 2 ** 40).toString(36)}`;
  const facts = { self: machine.machine, nowMs: machine.now(), images: {}, newId };
  // What is brought up is on the machines before anything is written, unless it was pruned since.
  const isPulled = world.random() < 0.6;
  try {
    const { revision, pointer, ...operations } = acceptUp(view, request, facts);
    if (isPulled) pullEverywhere(cluster, project);
    node.write(recordKey.revision(projectName, revision.hash), encodeJson(revision.record));
    acknowledge(cluster, machine, node.write(recordKey.pointer(projectName), encodeJson(pointer)));
    for (const key of operations.operationsToClear) node.write(key, null);
    for (const { key, value } of operations.operationsToWrite) node.write(key, encodeJson(value));
    return `up at ${machine.name}`;
  } catch (error) {
    // Refused, as a user would see it: no machine is eligible on this side.
    if (error instanceof TscError) return `up at ${machine.name} refused: ${error.code}`;
    throw error;
  }
}

/** Scales or restarts a service, or sends it a signal. @returns what was done */
export function operate(cluster: SimCluster): string {
  const { world } = cluster;
  const acceptor = anyAcceptor(cluster);
  if (typeof acceptor === 'string') return acceptor;
  const { machine, view, node } = acceptor;
  const nowMs = machine.now();
  const by = { machine: machine.machine };
  const services = [world.pick(['web', 'web', 'one', 'db']) ?? ''];
  const count = Math.floor(world.random() * 5);
  const act = world.pick(['scale', 'restart', 'kill'] as const) ?? 'scale';
  try {
    const writes =
      act === 'scale'
        ? acceptScale(view, projectName, { scale: { web: count } }, { ...by, atMs: nowMs })
        : acceptOperation(view, projectName, { act, services, signal: 'SIGHUP' }, nowMs, by).writes;
    for (const { key, value } of writes) node.write(key, encodeJson(value));
    return `${act} ${act === 'scale' ? count : services.join()} at ${machine.name}`;
  } catch (error) {
    // There is no such project or service, or no machine for more of it.
    if (error instanceof TscError) return `${act} at ${machine.name} refused: ${error.code}`;
    throw error;
  }
}

function pullEverywhere({ machines }: SimCluster, { services }: Project): void {
  for (const { image } of Object.values(services)) {
    for (const { engine } of machines) engine.images.add(image ?? '');
  }
}

/** Remembers a change once its author was told that it is safe. */
function acknowledge(
  cluster: SimCluster,
  machine: SimMachine,
  { key, hlc }: ReplicatedRecord,
): void {
  const view = machine.agent?.view();
  const count = view === undefined ? 0 : Math.min(2, reachableMachines(view).length - 1);
  machine.node?.askStored({ key, hlc, count, timeoutMs: ackTimeoutMs }, (holderCount) => {
    if (holderCount < count) return;
    const copies = { copyCount: holderCount + 1, lostDiskCount: 0 };
    cluster.acknowledged.push({ key, hlc, by: machine, ...copies });
  });
}

export function takeDown(cluster: SimCluster): string {
  const acceptor = anyAcceptor(cluster);
  if (typeof acceptor === 'string') return acceptor;
  const { machine, view, node } = acceptor;
  const self: MachineId = machine.machine;
  const facts = { self, nowMs: machine.now() };
  const volumes = cluster.world.random() < 0.3;
  const { tombstone, operationsToClear } = acceptDown(view, projectName, { volumes }, facts);
  if (tombstone === undefined) return 'nothing is up';
  acknowledge(cluster, machine, node.write(recordKey.pointer(projectName), encodeJson(tombstone)));
  for (const key of operationsToClear) node.write(key, null);
  if (volumes) cluster.deletions.set(changeId(tombstone), tombstone.ancestors ?? []);
  return `down${volumes ? ' -v' : ''} at ${machine.name}`;
}
