/**
 * What the accepting agent refuses before anything is written: two projects cannot have one
 * published port, one hostname or one container name, and a machine that is named must exist.
 * Compose leaves these to fail on one engine; here the engines are several, and none would notice.
 */
import { TscError } from '../lib/errors.ts';
import type { Project, Service } from '../model/project.ts';
import type { View } from '../model/view.ts';
import { parseXPorts } from '../render/x-ports.ts';
import { modeOf, replicaCountOf } from '../view/service-spec.ts';
import { placementProblems, unknownMachines } from './machine-rules.ts';
import { clash, hostnamesOf, openPortsOf, portText } from './published.ts';

/** A service that will exist beside those being checked. */
export interface OtherService {
  readonly project: string;
  readonly name: string;
  readonly spec: Service;
}

/** Every service of every project that this change leaves as it is. */
export function otherServices(
  view: View,
  project: string,
  isReplaced: (service: string) => boolean,
): readonly OtherService[] {
  return [...view.projects.values()].flatMap((other) =>
    [...other.services.values()].filter(
      (service) => service.project !== project || !isReplaced(service.name),
    ),
  );
}

/** @throws TscError when a service cannot live beside the others */
export function checkService(
  view: View,
  project: Project,
  name: string,
  others: readonly OtherService[],
): void {
  const spec = project.services[name] ?? {};
  const [problem] = placementProblems(spec);
  if (problem !== undefined) {
    throw new TscError('E_PLACEMENT_INVALID', `service "${name}": ${problem}`, {
      hint: 'constraints are of the form node.labels.NAME == VALUE',
    });
  }
  const unknown = unknownMachines(spec, view.machines.values());
  if (unknown.length > 0) {
    const names = [...view.machines.values()].map((machine) => machine.name).sort();
    throw new TscError(
      'E_UNKNOWN_MACHINE',
      `service "${name}": x-machines names ${unknown.map((word) => `"${word}"`).join(', ')}, which is no machine`,
      { hint: `machines: ${names.join(', ')}` },
    );
  }
  parseXPorts(spec['x-ports']);
  checkContainerName(view, { project: project.name, name, spec }, others);
  for (const other of others) checkPorts({ project: project.name, name, spec }, other);
}

function checkContainerName(
  view: View,
  service: OtherService,
  others: readonly OtherService[],
): void {
  const wanted = service.spec.container_name;
  if (wanted === undefined) return;
  if (modeOf(service.spec) === 'replicated' && replicaCountOf(service.spec) > 1) {
    throw new TscError(
      'E_CONTAINER_NAME_SCALE',
      `service "${service.name}" has container_name "${wanted}" and cannot have more than one replica`,
      { hint: 'remove container_name, or run one replica' },
    );
  }
  const owner = others.find((other) => other.spec.container_name === wanted);
  const holder = view.containers.find(
    (container) =>
      container.name === wanted &&
      !(container.project === service.project && container.service === service.name) &&
      others.some(
        (other) => other.project === container.project && other.name === container.service,
      ),
  );
  const taken = owner ?? (holder && { project: holder.project, name: holder.service });
  if (taken !== undefined) {
    throw new TscError(
      'E_CONTAINER_NAME_TAKEN',
      `container name "${wanted}" of service "${service.name}" is used by service "${taken.name}" of project "${taken.project}"`,
      { hint: 'container names are unique in the cluster' },
    );
  }
}

function checkPorts(service: OtherService, other: OtherService): void {
  const whose = `service "${other.name}" of project "${other.project}"`;
  for (const port of openPortsOf(service.spec)) {
    // Two host ports only meet when both replicas stand on one machine; placement keeps them apart.
    const taken = openPortsOf(other.spec).find(
      (candidate) =>
        clash(port, candidate) && (port.mode === 'ingress' || candidate.mode === 'ingress'),
    );
    if (taken !== undefined) {
      throw new TscError(
        'E_PORT_TAKEN',
        `port ${portText(port)} of service "${service.name}" is published by ${whose}`,
        { hint: 'publish another port, or take the other service down first' },
      );
    }
  }
  if (service.project === other.project) return;
  const hostname = hostnamesOf(service.spec).find((name) => hostnamesOf(other.spec).includes(name));
  if (hostname !== undefined) {
    throw new TscError(
      'E_PORT_TAKEN',
      `hostname "${hostname}" of service "${service.name}" is answered by ${whose}`,
      { hint: 'use another hostname, or take the other service down first' },
    );
  }
}
