/**
 * View -> Snapshot: what the API shows. Only a change of form: lists instead of maps, and per
 * service the few facts that the command line would otherwise have to derive from the definition.
 * Owners are handed in because they are decided by the planner, which stands above the view.
 */
import type { Waiting } from '../model/action.ts';
import type { MachineId, Slot } from '../model/ids.ts';
import type { Json, Port } from '../model/project.ts';
import type { ProjectSnapshot, ServiceSnapshot, Snapshot } from '../model/snapshot.ts';
import type { ProjectView, ServiceView, View } from '../model/view.ts';
import { isInTraffic } from './endpoints.ts';
import {
  engineVolumeName,
  isJob,
  isNamedVolume,
  mayComplete,
  optionalDurationMs,
} from './service-spec.ts';

/** `<project>/<service>` to slot to the machine that owns it; undefined while none can. */
export type Owners = ReadonlyMap<string, ReadonlyMap<Slot, MachineId | undefined>>;

export function serviceKey(project: string, service: string): string {
  return `${project}/${service}`;
}

/** What `ps`, `status` and `up` show of a view. */
export function toSnapshot(view: View, waiting: readonly Waiting[], owners: Owners): Snapshot {
  return {
    self: view.self,
    cluster: view.cluster,
    nowMs: view.nowMs,
    guards: view.guards,
    machines: [...view.machines.values()],
    projects: [...view.projects.values()].map((project) => projectSnapshot(view, project, owners)),
    containers: view.containers,
    failures: view.failures,
    waiting,
  };
}

function projectSnapshot(view: View, project: ProjectView, owners: Owners): ProjectSnapshot {
  const services = [...project.services.values()];
  const newest = services.find((service) => !service.isOrphan) ?? services[0];
  return {
    name: project.name,
    pointerHlc: project.pointerHlc,
    isRemoved: project.tombstone !== undefined,
    isComplete: project.isComplete,
    composeFiles: newest?.revision.composeFiles ?? [],
    workingDir: newest?.revision.workingDir ?? '',
    services: services.map((service) =>
      serviceSnapshot(view, service, owners.get(serviceKey(project.name, service.name))),
    ),
    volumes: project.pointer?.volumes ?? project.tombstone?.volumes ?? {},
    conflicts: project.conflicts,
  };
}

function serviceSnapshot(
  view: View,
  service: ServiceView,
  slots: ReadonlyMap<Slot, MachineId | undefined> | undefined,
): ServiceSnapshot {
  const owners: Record<Slot, MachineId> = {};
  let wantedCount = 0;
  for (const [slot, machine] of slots ?? []) {
    if (machine !== undefined) owners[slot] = machine;
    // A global service is not waited for on a machine that is away.
    const isAway = machine === undefined || !isInTraffic(view, machine);
    if (service.mode === 'replicated' || !isAway) wantedCount += 1;
  }
  const monitorMs = optionalDurationMs(service.spec.deploy?.update_config?.monitor);
  return {
    name: service.name,
    revision: service.revisionHash,
    ...(service.verdict === undefined ? {} : { verdict: service.verdict }),
    ...(service.takenBack === undefined ? {} : { takenBack: service.takenBack }),
    ...(service.done === undefined ? {} : { doneSlots: [...service.done.keys()] }),
    ...(service.spec.depends_on === undefined
      ? {}
      : { dependsOn: Object.keys(service.spec.depends_on) }),
    ...(isJob(service.spec) ? { isJob: true } : {}),
    ...(monitorMs === undefined ? {} : { monitorMs }),
    image: service.spec.image ?? service.revision.images[service.name]?.reference ?? '',
    hash: service.hash,
    rollout: service.rollout,
    mode: service.mode,
    wantedCount: service.isStopped ? 0 : wantedCount,
    isStopped: service.isStopped,
    isOrphan: service.isOrphan,
    ...pendingStarts(service),
    owners,
    mayComplete: mayComplete(service.spec),
    ports: (service.spec.ports ?? []).map(portText),
    volumes: (service.spec.volumes ?? [])
      .filter(isNamedVolume)
      .map(({ source }) => engineVolumeName(service.definition, source)),
    xPorts: textsOf(service.spec['x-ports']),
  };
}

function pendingStarts({
  operation,
}: ServiceView): Pick<ServiceSnapshot, 'restartAtMs' | 'restarts' | 'startAtMs'> {
  const { restartAtMs, restarts, startAtMs } = operation ?? {};
  return {
    ...(restartAtMs === undefined ? {} : { restartAtMs }),
    ...(restarts === undefined ? {} : { restarts }),
    ...(startAtMs === undefined ? {} : { startAtMs }),
  };
}

function textsOf(value: Json | undefined): readonly string[] {
  const list: readonly Json[] = Array.isArray(value) ? value : [value ?? null];
  return list.filter((item) => item !== null).map(String);
}

/** As Compose writes it: "127.0.0.1:8080:80/tcp". */
function portText(port: Port): string {
  const target = `${port.target}/${port.protocol ?? 'tcp'}`;
  if (port.published === undefined || port.published === '') return target;
  const host = port.host_ip === undefined || port.host_ip === '' ? '' : `${port.host_ip}:`;
  return `${host}${port.published}:${target}`;
}
