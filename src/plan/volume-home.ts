/**
 * Another home for the data of services: by a move, which carries the data along, or by an abandon,
 * which leaves it on a machine that is away. Pure: what is checked, what belongs together, and the
 * pointer that is written when the data is there. All volumes of a service lie on one machine, and
 * services that share a volume or a namespace stand together, so a volume takes its group with it.
 */
import { TscError } from '../lib/errors.ts';
import type { MachineId } from '../model/ids.ts';
import { type PointerRecord, type PointerService, recordKey } from '../model/record.ts';
import type { MachineView, ProjectView, ServiceView, View } from '../model/view.ts';
import { compareText } from '../view/order.ts';
import { companionOf, engineVolumeName, localVolumesOf } from '../view/service-spec.ts';
import type { OperationWrite } from './accept.ts';
import { nextAncestors } from './conflict.ts';
import { Load, pickMachine, placeableOf, refusal } from './place.ts';

export interface HomeChange {
  readonly project: string;
  /** Engine names, in order. */
  readonly volumes: readonly string[];
  /** Services that use them, or stand beside one that does. */
  readonly services: readonly ServiceView[];
  readonly from: MachineId;
  readonly to: MachineView;
  /** To be written when the data is there. */
  readonly pointer: PointerRecord;
  /** Operations that hold on after the pointer. */
  readonly operations: readonly OperationWrite[];
}

export interface HomeQuestion {
  /** Engine name, or the key in the Compose file when only one project has it. */
  readonly volume: string;
  /** Name or id. */
  readonly machine: string | undefined;
  readonly user: string | undefined;
}

/**
 * A move of a volume to another machine.
 * @throws TscError when there is no such volume, or the services cannot run there
 */
export function acceptVolumeMove(view: View, question: HomeQuestion): HomeChange {
  const group = findGroup(view, question.volume);
  const to = findMachine(view, question.machine ?? '');
  const from = view.machines.get(group.from);
  if (to.id === group.from) {
    throw new TscError('E_VOLUME_HOME', `volume ${group.volume} is on ${to.name} already`);
  }
  if (from?.liveness !== 'reachable') {
    const state = from === undefined ? 'no longer in the cluster' : from.liveness;
    throw new TscError(
      'E_VOLUME_HOME',
      `volume ${group.volume} is on ${from?.name ?? group.from}, which is ${state}`,
      { hint: 'wait until it is back; `volume abandon` gives its data up' },
    );
  }
  for (const service of group.services) {
    const why = refusal({ ...placeableOf(service), bound: undefined }, to);
    if (why !== undefined) throw cannotRun(service, to, why);
    if (service.pinned !== undefined && service.pinned !== to.id) {
      const why = 'has not its bind mounts';
      throw cannotRun(service, to, why);
    }
  }
  return changeOf(view, group, to, question.user);
}

/**
 * An abandon: the services go on with empty volumes on another machine. What is left stays where it
 * is and is never deleted.
 * @throws TscError when the machine that has the data is there
 */
export function acceptVolumeAbandon(view: View, question: HomeQuestion): HomeChange {
  const group = findGroup(view, question.volume);
  const from = view.machines.get(group.from);
  if (from !== undefined && (from.liveness === 'reachable' || from.liveness === 'headless')) {
    throw new TscError(
      'E_VOLUME_HOME',
      `volume ${group.volume} is on ${from.name}, which is there`,
      {
        hint: '`volume mv` takes the data along',
      },
    );
  }
  const services = group.services.map((service) => ({
    ...placeableOf(service),
    bound: undefined,
  }));
  const fits = (machine: MachineView): boolean =>
    services.every((service) => refusal(service, machine) === undefined);
  const first = services[0];
  const named = question.machine === undefined ? undefined : findMachine(view, question.machine);
  if (named !== undefined && !fits(named)) {
    const broken = group.services.find(
      (service) => refusal({ ...placeableOf(service), bound: undefined }, named) !== undefined,
    );
    const why = broken && refusal({ ...placeableOf(broken), bound: undefined }, named);
    if (broken !== undefined) throw cannotRun(broken, named, why ?? 'it does not fit');
  }
  const to =
    named ??
    (first &&
      pickMachine(first, group.volume, [...view.machines.values()].filter(fits), new Load()));
  if (to === undefined) {
    throw new TscError(
      'E_NO_ELIGIBLE_MACHINE',
      `no machine can run ${group.services.map(({ name }) => name).join(', ')}`,
    );
  }
  return changeOf(view, group, to, question.user);
}

interface Group {
  readonly project: ProjectView;
  readonly before: PointerRecord;
  /** The one that was asked for. */
  readonly volume: string;
  readonly volumes: readonly string[];
  readonly services: readonly ServiceView[];
  readonly from: MachineId;
}

function findGroup(view: View, wanted: string): Group {
  const found = [...view.projects.values()].flatMap((project) =>
    Object.keys(project.pointer?.volumes ?? {})
      .filter((name) => name === wanted || isKey(project, wanted, name))
      .map((name) => ({ project, name })),
  );
  const exact = found.filter(({ name }) => name === wanted);
  const matches = exact.length > 0 ? exact : found;
  const [first, ...more] = matches;
  if (first === undefined) {
    throw new TscError('E_VOLUME_UNKNOWN', `no volume of the cluster is called "${wanted}"`, {
      hint: 'see `tsc-compose volume ls`',
    });
  }
  if (more.length > 0) {
    const names = matches.map(({ project, name }) => `${name} (project ${project.name})`);
    throw new TscError('E_VOLUME_SHARED', `"${wanted}" may be ${names.join(' or ')}`, {
      hint:
        exact.length > 0
          ? 'one volume of several projects: take the others down first'
          : 'use the whole name',
    });
  }
  const { project, name } = first;
  const before = project.pointer;
  const from = before?.volumes[name];
  if (before === undefined || from === undefined || !project.isComplete) {
    throw new TscError(
      'E_VOLUME_UNKNOWN',
      `the definition of project ${project.name} is not here yet`,
    );
  }
  return { project, before, volume: name, from, ...membersOf(project, name) };
}

function isKey(project: ProjectView, key: string, name: string): boolean {
  return [...project.services.values()].some(
    ({ definition }) =>
      definition.volumes?.[key] !== undefined && engineVolumeName(definition, key) === name,
  );
}

/** Everything that shares a volume or a namespace with the volume's services, over any number of steps. */
function membersOf(
  project: ProjectView,
  volume: string,
): { readonly volumes: readonly string[]; readonly services: readonly ServiceView[] } {
  const volumes = new Set([volume]);
  const names = new Set<string>();
  const replicated = [...project.services.values()].filter(({ mode }) => mode === 'replicated');
  for (let size = -1; size !== volumes.size + names.size; ) {
    size = volumes.size + names.size;
    for (const service of replicated) {
      const own = localVolumesOf(service.definition, service.spec);
      const companion = companionOf(service.spec);
      const isMember =
        names.has(service.name) ||
        own.some((name) => volumes.has(name)) ||
        (companion !== undefined && names.has(companion));
      if (!isMember) continue;
      names.add(service.name);
      if (companion !== undefined) names.add(companion);
      for (const name of own) volumes.add(name);
    }
  }
  return {
    volumes: [...volumes].sort(compareText),
    services: replicated.filter(({ name }) => names.has(name)),
  };
}

function changeOf(
  view: View,
  { project, before, volumes, services, from }: Group,
  to: MachineView,
  user: string | undefined,
): HomeChange {
  const moved = Object.fromEntries(volumes.map((name) => [name, to.id]));
  const changed: Record<string, PointerService> = { ...before.services };
  for (const { name } of services) {
    const pointed = changed[name];
    if (pointed === undefined) continue;
    const slots = Object.keys(pointed.slots).map((slot) => [slot, to.id]);
    changed[name] = { ...pointed, slots: Object.fromEntries(slots) };
  }
  return {
    project: project.name,
    volumes,
    services,
    from,
    to,
    pointer: {
      ...before,
      services: changed,
      volumes: { ...before.volumes, ...moved },
      createdMs: view.nowMs,
      parent: project.pointerHlc,
      author: { machine: view.self, ...(user === undefined ? {} : { user }) },
      ancestors: nextAncestors(project),
    },
    operations: [...project.services.values()].flatMap(({ name, operation }) =>
      operation === undefined
        ? []
        : [{ key: recordKey.operation(project.name, name), value: operation }],
    ),
  };
}

function findMachine(view: View, wanted: string): MachineView {
  const all = [...view.machines.values()];
  const found = all.find(({ id }) => id === wanted) ?? all.find(({ name }) => name === wanted);
  if (found !== undefined) return found;
  throw new TscError('E_MACHINE_UNKNOWN', `no machine of this cluster is called "${wanted}"`, {
    hint: `machines: ${all.map(({ name }) => name).join(', ')}`,
  });
}

function cannotRun({ name }: ServiceView, machine: MachineView, why: string): TscError {
  return new TscError(
    'E_NO_ELIGIBLE_MACHINE',
    `service "${name}" uses the volume and cannot run on ${machine.name}: it ${why}`,
  );
}
