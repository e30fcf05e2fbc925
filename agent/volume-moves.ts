/**
 * `volume mv` and `volume abandon`, carried out by the agent that was asked. A move stops the
 * services, copies, reads back, and only then writes the pointer that gives the data its new home;
 * the source is deleted after that. Whatever fails before leaves the data where it is and starts the
 * services there again. If this agent dies in between, the services stay stopped and nothing is lost:
 * `start` brings them back, and a second `volume mv` replaces the unfinished copy.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { TscError } from '../src/lib/errors.ts';
import type { VolumeAnswer, VolumeRequest } from '../src/model/api.ts';
import type { MachineId } from '../src/model/ids.ts';
import { composeLabel, label } from '../src/model/names.ts';
import { type OperationRecord, recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { MachineView, ServiceView, View } from '../src/model/view.ts';
import { acceptVolumeAbandon, acceptVolumeMove, type HomeChange } from '../src/plan/volume-home.ts';
import { volumeLabels } from '../src/render/container-labels.ts';
import { containersOfService } from '../src/view/endpoints.ts';
import { engineVolumeName, graceMsOf } from '../src/view/service-spec.ts';
import { statusOfCause } from './engine-errors.ts';
import { digestFor, ensureImage } from './engine-image.ts';
import type { Log } from './log.ts';
import { copyVolume, removeLeftMounts, type VolumeEnd } from './volume-copy.ts';

/** On a volume that is being filled: until its machine is its home, it is nobody's data. */
const movingLabel = 'tsc-compose.moving';
/** 100 ms: how often the view is asked whether the containers have stopped. */
const pollMs = 100;
/** 30 s more than the longest grace period: an agent notices, drains, stops. */
const stopMarginMs = 30_000;

export interface VolumeMoveComponents {
  readonly replica: Pick<Replica, 'get' | 'write'>;
  readonly view: () => View;
  readonly docker: (machine: MachineId) => Promise<Dockerode>;
  /** Waits until a record is durable on some machines. @returns on how many */
  readonly stored: (view: View, key: string, hlc: number) => Promise<number>;
  readonly now: () => number;
  readonly log: Log;
}

/** Gives volumes another home without their data. */
export async function abandonVolume(
  components: VolumeMoveComponents,
  volume: string,
  request: VolumeRequest,
): Promise<VolumeAnswer> {
  const view = components.view();
  const change = acceptVolumeAbandon(view, questionOf(volume, request));
  const storedOnCount = await writeChange(components, change);
  const left = nameOf(view, change.from);
  return answerOf(view, change, {
    storedOnCount,
    sizeBytes: 0,
    notes: change.volumes.map((name) => `what ${left} has of ${name} is kept there and not used`),
  });
}

/** Moves volumes, with the services that use them, to another machine. */
export async function moveVolume(
  components: VolumeMoveComponents,
  volume: string,
  request: VolumeRequest,
  signal: AbortSignal,
): Promise<VolumeAnswer> {
  const view = components.view();
  const change = acceptVolumeMove(view, questionOf(volume, request));
  const { from, to, services, volumes } = change;
  const source = { docker: await components.docker(from), machineName: nameOf(view, from) };
  const target = { docker: await components.docker(to.id), machineName: to.name };
  const image = await ensureImages(components, change, target);
  for (const name of volumes) await refuseForeign(view, name, target);
  const before = services.map(({ operation }) => operation);
  const made: string[] = [];
  let sizeBytes = 0;
  try {
    await stopServices(components, change, signal);
    const ends = {
      from: { ...source, image: await imageOn(source.docker, services, image) },
      to: { ...target, image },
    };
    for (const name of volumes) {
      if (!(await hasVolume(source.docker, name))) continue;
      made.push(name);
      await createTarget(view, change, { name, ...ends });
      const content = await copyVolume(ends.from, ends.to, {
        cluster: view.cluster,
        volume: name,
        signal,
      });
      sizeBytes += content.sizeBytes;
    }
    signal.throwIfAborted();
    const storedOnCount = await writeChange(components, change);
    const notes = await cleanUp(components, change, source);
    return answerOf(view, change, { storedOnCount, sizeBytes, notes });
  } catch (error) {
    // The pointer may have been written and only the answer was lost: then the copy is the data.
    if (!isHome(components.view(), change)) {
      for (const name of made) await removeTarget(components, view, name, target);
      await startAgain(components, change, before);
    }
    throw error;
  }
}

function questionOf(volume: string, { machine, user }: VolumeRequest) {
  return { volume, machine, user };
}

/** What the services run is on the new machine before anything stops. @returns one of the images */
async function ensureImages(
  { log }: VolumeMoveComponents,
  { services, to }: HomeChange,
  { docker, machineName }: Omit<VolumeEnd, 'image'>,
): Promise<string> {
  let image = '';
  for (const { name, spec, revision } of services) {
    const resolved = revision.images[name];
    const digest = digestFor(resolved, to.platform);
    const found = await ensureImage(
      docker,
      {
        reference: resolved?.reference ?? spec.image ?? '',
        policy: spec.pull_policy === 'always' ? undefined : spec.pull_policy,
        platform: spec.platform,
        resolvedId: resolved?.ids[to.platform],
        ...(digest === undefined ? {} : { digest }),
        machineName,
      },
      log,
    );
    image = found.createFrom;
  }
  return image;
}

/** Any image of the services that the old machine has: it ran them. */
async function imageOn(
  docker: Dockerode,
  services: readonly ServiceView[],
  other: string,
): Promise<string> {
  for (const { name, spec, revision } of services) {
    const known = [...Object.values(revision.images[name]?.ids ?? {}), spec.image ?? ''];
    for (const reference of known) {
      const found = await docker
        .getImage(reference)
        .inspect()
        .catch(() => undefined);
      if (found !== undefined) return reference;
    }
  }
  return other;
}

/** @throws TscError E_VOLUME_EXISTS when the new machine has data of its own under the name */
async function refuseForeign(
  view: View,
  name: string,
  { docker, machineName }: Omit<VolumeEnd, 'image'>,
): Promise<void> {
  const found = await inspectVolume(docker, name);
  if (found === undefined) return;
  // An earlier move that broke off, or what a move away could not delete.
  await removeLeftMounts({ docker }, { cluster: view.cluster, volume: name });
  if (found.Labels?.[movingLabel] === view.cluster) return;
  throw new TscError('E_VOLUME_EXISTS', `${machineName} has a volume ${name} of its own already`, {
    hint: `look at what is in it; remove it there: docker volume rm ${name}`,
  });
}

async function stopServices(
  { replica, view, now }: VolumeMoveComponents,
  { services, project, from }: HomeChange,
  signal: AbortSignal,
): Promise<void> {
  for (const { name, operation } of services) {
    const value: OperationRecord = { ...operation, stopped: true };
    await replica.write(recordKey.operation(project, name), value);
  }
  const graceMs = Math.max(0, ...services.map(({ spec }) => graceMsOf(spec)));
  const untilMs = now() + graceMs + stopMarginMs;
  for (;;) {
    const current = view();
    const running = services.flatMap(({ name }) =>
      containersOfService(current, project, name).filter(
        ({ state, machine }) => machine === from && !['exited', 'dead', 'created'].includes(state),
      ),
    );
    if (running.length === 0) return;
    signal.throwIfAborted();
    if (now() > untilMs) {
      throw new TscError('E_VOLUME_BUSY', `${running[0]?.name ?? ''} has not stopped in time`, {
        hint: 'nothing has been moved',
      });
    }
    await sleep(pollMs);
  }
}

/** Makes the volume on the new machine, as the project would make it. */
async function createTarget(
  view: View,
  { services, project }: HomeChange,
  { name, to }: { readonly name: string; readonly to: VolumeEnd },
): Promise<void> {
  const { docker } = to;
  if (await hasVolume(docker, name)) await docker.getVolume(name).remove();
  const definition = services.find(({ definition: found }) =>
    Object.keys(found.volumes ?? {}).some((key) => engineVolumeName(found, key) === name),
  )?.definition;
  const key = Object.keys(definition?.volumes ?? {}).find(
    (candidate) => definition !== undefined && engineVolumeName(definition, candidate) === name,
  );
  const declared = definition?.volumes?.[key ?? ''];
  await docker.createVolume({
    Name: name,
    DriverOpts: { ...declared?.driver_opts },
    Labels: {
      ...volumeLabels(view.cluster, project, key ?? name, declared?.labels),
      [movingLabel]: view.cluster,
    },
  });
}

/** @throws TscError E_PROJECT_CHANGED when somebody else changed the project meanwhile */
async function writeChange(
  { replica, view, stored }: VolumeMoveComponents,
  { project, pointer, operations }: HomeChange,
): Promise<number> {
  const current = view();
  if (current.projects.get(project)?.pointerHlc !== pointer.parent) {
    throw new TscError('E_PROJECT_CHANGED', `project ${project} was changed by someone else`, {
      hint: 'look at what they did, and run the command again. Nothing of yours was applied',
    });
  }
  const key = recordKey.pointer(project);
  const { hlc } = await replica.write(key, pointer);
  for (const { key: operation, value } of operations) await replica.write(operation, value);
  return stored(current, key, hlc);
}

/** The data is at its new home, durable: what is left of it is deleted. @returns what could not be */
async function cleanUp(
  { view, log }: VolumeMoveComponents,
  { project, services, volumes, from }: HomeChange,
  { docker, machineName }: Omit<VolumeEnd, 'image'>,
): Promise<readonly string[]> {
  const notes: string[] = [];
  for (const { name } of services) {
    for (const { id, machine } of containersOfService(view(), project, name)) {
      if (machine !== from) continue;
      await docker
        .getContainer(id)
        .remove({ force: true })
        .catch((error: unknown) =>
          log.warn('an old container could not be removed', { id, error }),
        );
    }
  }
  for (const name of volumes) {
    try {
      const found = await inspectVolume(docker, name);
      if (found === undefined) continue;
      const labels = found.Labels ?? {};
      const isOwn =
        labels[label.cluster] === view().cluster || labels[composeLabel.project] === project;
      if (!isOwn) {
        notes.push(`${machineName} keeps its volume ${name}, which somebody else made there`);
        continue;
      }
      await docker.getVolume(name).remove();
    } catch (error) {
      log.warn('an old volume could not be removed', { volume: name, error });
      notes.push(
        `${machineName} still has volume ${name}: remove it with docker volume rm ${name}`,
      );
    }
  }
  return notes;
}

async function removeTarget(
  { log }: VolumeMoveComponents,
  view: View,
  name: string,
  { docker }: Omit<VolumeEnd, 'image'>,
): Promise<void> {
  try {
    await removeLeftMounts({ docker }, { cluster: view.cluster, volume: name });
    await docker.getVolume(name).remove();
  } catch (error) {
    log.warn('an unfinished copy of a volume is left', { volume: name, error });
  }
}

/** Takes the stop back; what ran is started, whatever its restart policy says. */
async function startAgain(
  { replica, now }: VolumeMoveComponents,
  { services, project }: HomeChange,
  before: readonly (OperationRecord | undefined)[],
): Promise<void> {
  for (const [index, { name }] of services.entries()) {
    const operation = before[index];
    const value: OperationRecord =
      operation?.stopped === true
        ? operation
        : { ...operation, stopped: false, restartAtMs: now() };
    await replica.write(recordKey.operation(project, name), value);
  }
}

function isHome(view: View, { project, volumes, to }: HomeChange): boolean {
  const homes = view.projects.get(project)?.pointer?.volumes ?? {};
  return volumes.every((name) => homes[name] === to.id);
}

function answerOf(
  view: View,
  { project, volumes, services, from, to }: HomeChange,
  result: Pick<VolumeAnswer, 'storedOnCount' | 'sizeBytes' | 'notes'>,
): VolumeAnswer {
  return {
    project,
    volumes,
    services: services.map(({ name }) => name),
    from: nameOf(view, from),
    to: to.name,
    ...result,
  };
}

function nameOf(view: View, machine: MachineId): string {
  const found: MachineView | undefined = view.machines.get(machine);
  return found?.name ?? machine;
}

async function hasVolume(docker: Dockerode, name: string): Promise<boolean> {
  return (await inspectVolume(docker, name)) !== undefined;
}

async function inspectVolume(
  docker: Dockerode,
  name: string,
): Promise<Dockerode.VolumeInspectInfo | undefined> {
  try {
    return await docker.getVolume(name).inspect();
  } catch (cause) {
    if (statusOfCause(cause) === 404) return undefined;
    throw cause;
  }
}
