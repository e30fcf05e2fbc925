/**
 * Whether a machine may be removed from the cluster, and what its operator must know then. It is
 * refused where somebody may have meant another machine, or has forgotten what is on it: what
 * serves there, and data that no other machine has. Whoever means it says so by force. Pure; what
 * is removed is a member, never a container or a volume: those stay on the machine as they are.
 */
import { TscError } from '../lib/errors.ts';
import type { RemoveMachineRequest } from '../model/api.ts';
import { removeContainersCommand } from '../model/names.ts';
import type { ContainerView, MachineView, View } from '../model/view.ts';
import { isInTraffic } from '../view/endpoints.ts';
import { machineNamed } from './accept-machines.ts';
import { isAlive } from './leave.ts';

/** 5: more names than that are read by nobody, and `volume ls` has them all. */
const namedCount = 5;

export interface AcceptedRemoval {
  readonly machine: MachineView;
  /** What goes on there, and what waits for the operator. */
  readonly notes: readonly string[];
}

interface KeptVolume {
  readonly project: string;
  /** Engine name. */
  readonly name: string;
  /** The project was taken down and left it. */
  readonly isDown: boolean;
}

/**
 * A removal that may be carried out.
 * @param nameOrId as `machine ls` shows it
 * @throws TscError E_MACHINE_UNKNOWN, E_MACHINE_SELF, E_MACHINE_IN_USE, E_MACHINE_HAS_DATA
 */
export function acceptRemoval(
  view: View,
  nameOrId: string,
  { force }: RemoveMachineRequest,
): AcceptedRemoval {
  const machine = machineNamed(view, nameOrId);
  if (machine.id === view.self) throw itself(view, machine);
  const running = [...view.containers, ...(view.hookContainers ?? [])].filter(
    (container) => container.machine === machine.id && isAlive(container),
  );
  const volumes = volumesOn(view, machine);
  if (!force) {
    const isServing = running.length > 0 && isInTraffic(view, machine.id);
    // A drained machine runs no more than what its data holds there: that has to go first.
    const dataFirst = machine.isDrained && volumes.length > 0;
    if (isServing && !dataFirst) throw inUse(machine, running);
    if (volumes.length > 0) throw hasData(view, machine, volumes);
  }
  return {
    machine,
    notes: [
      ...runningNotes(view, machine, running),
      ...volumeNotes(machine, volumes),
      ...pinNotes(view, machine),
    ],
  };
}

function itself(view: View, { id, name }: MachineView): TscError {
  const others = [...view.machines.values()].filter((machine) => machine.id !== id);
  const other = others.find(({ liveness }) => liveness === 'reachable') ?? others[0];
  return new TscError('E_MACHINE_SELF', `${name} is the machine that was asked`, {
    hint:
      other === undefined
        ? `${name} is the only member: to leave, stop its agent and remove its data folder`
        : `another member removes it; run on ${other.name}: tsc-compose machine rm ${name}`,
  });
}

function inUse(
  { name, liveness, isDrained }: MachineView,
  running: readonly ContainerView[],
): TscError {
  const what = plural(running.length, 'container');
  return new TscError('E_MACHINE_IN_USE', `${name} is ${liveness} and runs ${what}`, {
    hint: isDrained
      ? `\`tsc-compose why\` says why they stay; \`machine rm --force ${name}\` cuts it off with them`
      : `\`tsc-compose machine drain ${name}\` moves them to others first; ` +
        `\`machine rm --force ${name}\` cuts it off with them`,
  });
}

function hasData(view: View, machine: MachineView, volumes: readonly KeptVolume[]): TscError {
  const { name } = machine;
  const [first] = volumes.filter(({ isDown }) => !isDown);
  const [left] = volumes.filter(({ isDown }) => isDown);
  const isThere = isInTraffic(view, machine.id);
  const hints = [
    ...(first === undefined
      ? []
      : [
          isThere
            ? `\`tsc-compose volume mv ${first.name} MACHINE\` takes its data along`
            : `when ${name} does not come back, \`tsc-compose volume abandon ${first.name}\` goes on without`,
        ]),
    ...(left === undefined
      ? []
      : [
          `\`tsc-compose -p ${left.project} down -v\` deletes what a project that is down has left`,
        ]),
    `\`machine rm --force ${name}\` removes it all the same`,
  ];
  return new TscError('E_MACHINE_HAS_DATA', `${name} has data: ${namesOf(volumes)}`, {
    hint: hints.join('; '),
  });
}

function runningNotes(
  { cluster }: View,
  { name, liveness }: MachineView,
  running: readonly ContainerView[],
): readonly string[] {
  if (running.length === 0) return [];
  const what = plural(running.length, 'container');
  if (liveness !== 'reachable') {
    return [
      `${name} is ${liveness} and ran ${what}: should it still be on, they go on until it is switched off`,
    ];
  }
  return [
    `${name} still runs ${what}, and nobody looks after them; to end them, on ${name}: ` +
      removeContainersCommand(cluster),
  ];
}

function volumeNotes({ name }: MachineView, volumes: readonly KeptVolume[]): readonly string[] {
  const used = volumes.filter(({ isDown }) => !isDown);
  const left = volumes.filter(({ isDown }) => isDown);
  return [
    ...(used.length === 0
      ? []
      : [
          `the data of ${namesOf(used)} stays on ${name}; services that use it wait until ` +
            '`tsc-compose volume abandon VOLUME`',
        ]),
    ...(left.length === 0
      ? []
      : [
          `the data of ${namesOf(left)} stays on ${name}; their projects are down, and come up ` +
            'again after `tsc-compose -p PROJECT down -v`',
        ]),
  ];
}

/** Files that were mounted from a folder of the machine: only an `up` elsewhere brings others. */
function pinNotes(view: View, { id, name }: MachineView): readonly string[] {
  const pinned = [...view.projects.values()].flatMap((project) =>
    [...project.services.values()]
      .filter((service) => service.pinned === id)
      .map((service) => `${project.name}/${service.name}`),
  );
  if (pinned.length === 0) return [];
  return [`the files of ${someOf(pinned)} are on ${name}: run \`up\` again where others have them`];
}

/** Homes that the changes in force, and those of projects that are down, gave to the machine. */
function volumesOn(view: View, { id }: MachineView): readonly KeptVolume[] {
  return [...view.projects.values()].flatMap(({ name: project, pointer, tombstone }) =>
    Object.entries(pointer?.volumes ?? tombstone?.volumes ?? {})
      .filter(([, home]) => home === id)
      .map(([name]) => ({ project, name, isDown: pointer === undefined })),
  );
}

function namesOf(volumes: readonly KeptVolume[]): string {
  const names = volumes.map(({ project, name }) => `${project}/${name}`);
  return `${volumes.length === 1 ? 'volume' : 'volumes'} ${someOf(names)}`;
}

function someOf(names: readonly string[]): string {
  const more = names.length - namedCount;
  const named = names.slice(0, namedCount).join(', ');
  return more > 0 ? `${named} and ${more} more` : named;
}

function plural(amount: number, what: string): string {
  return `${amount} ${what}${amount === 1 ? '' : 's'}`;
}
