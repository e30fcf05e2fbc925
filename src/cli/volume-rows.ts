/** Rows of `volume ls`: what the records say of homes, beside what the engines have. Pure. */
import type { MachineId } from '../model/ids.ts';
import { composeLabel, label } from '../model/names.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { machineName } from './ps-rows.ts';

export interface EngineVolume {
  readonly machine: MachineId;
  readonly name: string;
  readonly driver: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface VolumeRow {
  readonly name: string;
  readonly machine: string;
  readonly project: string;
  /** Services that mount it. */
  readonly services: readonly string[];
  readonly driver: string;
  /** home, not made yet, away, shared, or kept: nothing uses it. */
  readonly state: string;
}

/** @returns in order of project, name and machine */
export function volumeRows(
  snapshot: Snapshot,
  found: readonly EngineVolume[],
): readonly VolumeRow[] {
  const rows: VolumeRow[] = [];
  const homes = snapshot.projects.flatMap((project) =>
    Object.entries(project.volumes).map(([name, machine]) => ({ project, name, machine })),
  );
  for (const { project, name, machine } of homes) {
    const there = found.find((one) => one.name === name && one.machine === machine);
    const liveness = snapshot.machines.find(({ id }) => id === machine)?.liveness;
    const isAway = liveness !== 'reachable';
    rows.push({
      name,
      machine: machineName(snapshot, machine),
      project: project.name,
      services: project.services
        .filter((service) => service.volumes?.includes(name) === true)
        .map((service) => service.name),
      driver: there?.driver ?? 'local',
      state: isAway
        ? `away: the machine is ${liveness ?? 'removed'}`
        : there === undefined
          ? 'not made yet'
          : project.isRemoved
            ? 'kept: the project is down'
            : 'home',
    });
  }
  for (const volume of found) {
    if (volume.labels[label.cluster] !== snapshot.cluster) continue;
    const isHome = homes.some(
      ({ name, machine }) => name === volume.name && machine === volume.machine,
    );
    if (isHome) continue;
    const users = snapshot.projects.flatMap((project) =>
      project.services
        .filter((service) => service.volumes?.includes(volume.name) === true)
        .map((service) => ({ project: project.name, service: service.name, mode: service.mode })),
    );
    const isShared = volume.driver !== 'local' || !homes.some(({ name }) => name === volume.name);
    rows.push({
      name: volume.name,
      machine: machineName(snapshot, volume.machine),
      project: volume.labels[label.project] ?? volume.labels[composeLabel.project] ?? '',
      services: isShared ? users.map(({ service }) => service) : [],
      driver: volume.driver,
      state: isShared && users.length > 0 ? 'used on this machine' : 'kept: nothing uses it',
    });
  }
  return rows.sort((a, b) =>
    [a.project, a.name, a.machine].join('\0') < [b.project, b.name, b.machine].join('\0') ? -1 : 1,
  );
}
