/**
 * What `status` shows of a snapshot, as plain objects: the one source of the screen, the table and
 * `--format json`. Pure; whether a service is ready is decided by src/plan/rollout-status.ts.
 */
import type { ProjectSnapshot, ServiceSnapshot, Snapshot } from '../../model/snapshot.ts';
import type { ContainerView } from '../../model/view.ts';
import { rolloutStatus } from '../../plan/rollout-status.ts';
import { usableXPorts } from '../../render/x-ports.ts';
import { slotNumber } from '../../view/order.ts';
import { wayIn } from '../answers-at.ts';
import { machineObjects } from '../commands/machine.ts';
import { machineName, publisherOf } from '../ps-rows.ts';
import { statusNotes } from './notes.ts';

export type ServiceState = 'ready' | 'progressing' | 'failed' | 'stopped';

export interface ServiceObject {
  readonly project: string;
  readonly name: string;
  readonly image: string;
  readonly ready: number;
  readonly wanted: number;
  readonly state: ServiceState;
  /** What is going on; "" when nothing is. */
  readonly why: string;
  readonly isOrphan: boolean;
  readonly answersAt: readonly string[];
}

export type ReplicaVersion = 'current' | 'old' | 'surplus' | 'removed';

export interface ReplicaObject {
  readonly id: string;
  readonly name: string;
  readonly project: string;
  readonly service: string;
  readonly machine: string;
  readonly state: string;
  readonly exitCode: number;
  readonly sinceMs: number;
  readonly health: string;
  readonly isReady: boolean;
  readonly hash: string;
  readonly version: ReplicaVersion;
  readonly address: string;
}

export interface StatusObject {
  readonly cluster: string;
  readonly machines: ReturnType<typeof machineObjects>;
  readonly services: readonly ServiceObject[];
  readonly replicas: readonly ReplicaObject[];
  /** Sentences: conflicts, failures, what waits and why, most important first. */
  readonly notes: readonly string[];
}

/** @returns the object of `status --format json` */
export function statusObject(snapshot: Snapshot): StatusObject {
  const services = snapshot.projects.flatMap((project) => serviceObjects(snapshot, project));
  return {
    cluster: snapshot.cluster,
    machines: machineObjects(snapshot),
    services,
    replicas: snapshot.containers.map((container) => replicaObject(snapshot, container)),
    notes: statusNotes(
      snapshot,
      services.filter(({ state }) => state === 'progressing'),
    ),
  };
}

function serviceObjects(snapshot: Snapshot, project: ProjectSnapshot): readonly ServiceObject[] {
  const names = project.services.map(({ name }) => name);
  const { lines } = rolloutStatus(snapshot, project.name, 0, names);
  const known = project.services.map((service): ServiceObject => {
    const line = lines.find((candidate) => candidate.service === service.name);
    const incomplete = 'its definition has not arrived completely';
    const why = line?.why ?? incomplete;
    return {
      project: project.name,
      name: service.name,
      image: service.image,
      ready: line?.ready ?? 0,
      wanted: service.wantedCount,
      state:
        service.isStopped && line?.state === 'ready' ? 'stopped' : (line?.state ?? 'progressing'),
      why,
      isOrphan: service.isOrphan,
      answersAt: waysIn(service),
    };
  });
  const leaving = lines.filter(({ service }) => !names.includes(service));
  return [
    ...known,
    ...leaving.map(
      ({ service, state, why }): ServiceObject => ({
        project: project.name,
        name: service,
        image: '',
        ready: 0,
        wanted: 0,
        state,
        why,
        isOrphan: false,
        answersAt: [],
      }),
    ),
  ];
}

/** "http://guestbook.example.com", "*:8080->80/tcp"; ports that are not published say nothing. */
function waysIn(service: ServiceSnapshot): readonly string[] {
  const routes = usableXPorts(service.xPorts).map((port) => wayIn(port).replace(' -> ', '->'));
  const ports = service.ports.flatMap((text) => {
    const publisher = publisherOf(text);
    if (publisher === undefined || publisher.PublishedPort === 0) return [];
    const { URL: host, PublishedPort, TargetPort, Protocol } = publisher;
    return [`${host === '0.0.0.0' ? '*' : host}:${PublishedPort}->${TargetPort}/${Protocol}`];
  });
  return [...routes, ...ports];
}

function replicaObject(snapshot: Snapshot, container: ContainerView): ReplicaObject {
  const { id, name, project, service, state, exitCode, hash, ip } = container;
  const machine = snapshot.machines.find((candidate) => candidate.id === container.machine);
  const isSeen = machine?.liveness === 'reachable' || machine?.liveness === 'headless';
  return {
    id,
    name,
    project,
    service,
    machine: machineName(snapshot, container.machine),
    state,
    exitCode,
    sinceMs: state === 'running' ? container.startedMs : container.finishedMs,
    health: isSeen ? healthOf(container) : (machine?.liveness ?? 'machine removed'),
    isReady: isSeen && container.ready && !container.draining,
    hash,
    version: versionOf(snapshot, container),
    address: ip,
  };
}

/** Without a health check the agent's own rule speaks: ports accept, or it has run for a while. */
function healthOf({ state, health, ready, draining }: ContainerView): string {
  if (state !== 'running') return '';
  if (draining) return 'draining';
  if (health !== 'none') return health;
  return ready ? 'ready' : 'not ready';
}

function versionOf(snapshot: Snapshot, container: ContainerView): ReplicaVersion {
  const service = snapshot.projects
    .find(({ name }) => name === container.project)
    ?.services.find(({ name }) => name === container.service);
  if (service === undefined) return 'removed';
  if (service.hash !== container.hash) return 'old';
  const isWanted =
    service.mode === 'global'
      ? service.owners[container.slot] !== undefined
      : (slotNumber(container.slot) ?? 0) <= service.wantedCount;
  return isWanted || service.isStopped ? 'current' : 'surplus';
}
