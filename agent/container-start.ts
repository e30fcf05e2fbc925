/**
 * Bringing one replica up on this machine: image, network, volumes, files, container, hooks. Called
 * by the executor for the `run` action; it decides only what concerns this one container: its name
 * while a predecessor has the lasting one, and which anonymous volumes it takes over. It is
 * idempotent: a container with the same labels is started, never made twice. When the order has been
 * replaced while the image came, no volume is made for it, and no container.
 */
import { stat } from 'node:fs/promises';
import type Docker from 'dockerode';
import { TscError } from '../src/lib/errors.ts';
import type { ClusterId, Slot } from '../src/model/ids.ts';
import { composeLabel, label } from '../src/model/names.ts';
import type { MachineView, ServiceView } from '../src/model/view.ts';
import { sortBinds } from '../src/plan/bind-pins.ts';
import { lastingName, renderContainer } from '../src/render/container.ts';
import { engineGaps } from '../src/render/container-api.ts';
import type { ContainerBody } from '../src/render/container-body.ts';
import { containerFiles } from '../src/render/container-files.ts';
import { volumeLabels } from '../src/render/container-labels.ts';
import { volumeName } from '../src/render/container-mounts.ts';
import { hasPostStart, runHooks } from './container-hooks.ts';
import { type Copies, copiesOf } from './copies.ts';
import { Creations } from './creations.ts';
import type { EngineCalls, VolumeSpec } from './engine.ts';
import { isNameTaken } from './engine-errors.ts';
import { digestFor, type LocalImage, type RegistryAuth } from './engine-image.ts';
import type { NetworkOutcome, NetworkSpec } from './engine-network.ts';
import type { ContainerFiles, ContainerKey } from './files.ts';
import { Gathered } from './gathered.ts';
import type { Log } from './log.ts';
import { Recent } from './recent.ts';

/** What containers that start side by side share: answers of the engine, and the order of their calls. */
export class SideBySide {
  readonly networks = new Recent<NetworkOutcome>();
  readonly images = new Recent<LocalImage>();
  /** Containers of a service, for those that begin in one turn. */
  readonly containers = new Gathered<readonly Docker.ContainerInfo[]>();
  readonly creations = new Creations();
}

export interface ContainerStartComponents {
  readonly engine: EngineCalls;
  /** Kept by the caller from start to start. */
  readonly shared: SideBySide;
  readonly files: ContainerFiles;
  /** Files of bind mounts that came with the change. */
  readonly copies: Pick<Copies, 'path'>;
  /** The engine's network of this machine, as it should be now. */
  readonly network: () => NetworkSpec;
  /** The text of a container's resolv.conf; undefined leaves Docker's. */
  readonly resolvConf: (service: ServiceView) => string | undefined;
  /** Keeps a container out of traffic that runs already, because its hooks do. */
  readonly setStarting: (id: string, isStarting: boolean) => void;
  /** Credentials of a project for the registry of an image, if the machine has any. */
  readonly registryAuth?: (project: string, reference: string) => Promise<RegistryAuth | undefined>;
  readonly log: Log;
}

/** What brings up a container as long as it is wanted. */
export interface ContainerMaking extends ContainerStartComponents {
  /** False once the order or the run has been replaced: asked before anything is made that lasts. */
  readonly isCurrent: () => boolean;
}

/** What is to run; the service is the view's, and has the hash and rollout that were planned. */
export interface ContainerOrder {
  readonly cluster: ClusterId;
  readonly machine: MachineView;
  readonly service: ServiceView;
  readonly slot: Slot;
}

/**
 * Makes sure that the replica's container exists and runs.
 * @returns its id; undefined when the order was replaced before it was made
 */
export async function startContainer(
  components: ContainerMaking,
  order: ContainerOrder,
): Promise<string | undefined> {
  const { engine, shared } = components;
  const { service, slot, machine } = order;
  const ofSlot = newestFirst(await containersOfSlot(components, order));
  const existing = findExisting(ofSlot, service);
  if (existing !== undefined) {
    await engine.start(existing.Id);
    return existing.Id;
  }
  const body = await containerBody(components, order, {
    name: lastingName(service, slot, machine),
    inheritedVolumes: inheritedVolumes(ofSlot[0]),
  });
  if (body === undefined) return undefined;
  const id = await shared.creations.make(() => createNamed(engine, body, order));
  await shared.creations.ended();
  const hasHooks = hasPostStart(service.spec);
  // Until its hooks have ended it gets no traffic, and its predecessor stays.
  if (hasHooks) components.setStarting(id, true);
  try {
    await engine.start(id);
    await runHooks(engine, id, service.spec, 'post_start');
  } catch (error) {
    // One that never ran has no logs worth keeping, and would hold its name and host ports.
    await engine.remove(id);
    throw error;
  } finally {
    if (hasHooks) components.setStarting(id, false);
  }
  return id;
}

/**
 * Makes available what a container of the service needs, and says how it is created.
 * @param given its name, and the anonymous volumes that it takes over
 * @returns undefined when the order was replaced before anything was made for it
 */
export async function containerBody(
  components: ContainerMaking,
  order: ContainerOrder,
  given: {
    readonly name: string;
    readonly inheritedVolumes: Readonly<Record<string, string>>;
  },
): Promise<ContainerBody | undefined> {
  const { engine, shared, files, log, isCurrent } = components;
  const { service, slot, cluster, machine } = order;
  const { apiVersion } = await engine.version();
  sayGaps(service, apiVersion, log);
  const { spec, definition, revision } = service;
  const resolved = revision.images[service.name];
  const reference = resolved?.reference ?? spec.image ?? '';
  const auth = await components.registryAuth?.(service.project, reference);
  const request = {
    reference,
    policy: spec.pull_policy,
    platform: spec.platform,
    resolvedId: resolved?.ids[machine.platform],
    digest: digestFor(resolved, machine.platform),
    ...(auth === undefined ? {} : { auth }),
  };
  const image = await shared.images.get(JSON.stringify(request), () => engine.ensureImage(request));
  await requirePaths(order);
  await ensureNetwork(components);
  if (!isCurrent()) {
    const { project, name } = service;
    log.info('is not made: its order was replaced', { service: `${project}/${name}`, slot });
    return undefined;
  }
  for (const volume of volumesOf(order)) await engine.ensureVolume(volume);
  const written = await files.write(
    keyOf(order),
    containerFiles(spec, definition, revision.contents),
    components.resolvConf(service),
  );
  return renderContainer({
    service,
    slot,
    cluster,
    name: given.name,
    image: image.createFrom,
    imageId: image.id,
    apiVersion,
    resolvConfPath: written.resolvConfPath,
    files: written.files,
    copies: await copyPaths(components, order),
    companions: await companionsOf(engine, order),
    inheritedVolumes: given.inheritedVolumes,
  });
}

/** Where the copies that the service mounts lie on this machine, by hash. */
async function copyPaths(
  { copies }: ContainerStartComponents,
  { service: { definition, name } }: ContainerOrder,
): Promise<Readonly<Record<string, string>>> {
  const paths: Record<string, string> = {};
  for (const hash of copiesOf(definition, [name])) paths[hash] = await copies.path(hash);
  return paths;
}

/**
 * A machine that joined later was never asked for the paths that the service mounts, and the engine
 * would make empty ones.
 * @throws TscError E_BIND_NOT_FOUND
 */
async function requirePaths({ service, machine }: ContainerOrder): Promise<void> {
  if (service.paths === undefined) return;
  const { definition: project, revision } = service;
  const { absolute } = sortBinds(service.spec, { project, workingDir: revision.workingDir });
  for (const { path } of absolute) {
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined) continue;
    throw new TscError(
      'E_BIND_NOT_FOUND',
      `${path}, which ${service.name} mounts, does not exist on machine ${machine.name}`,
      { hint: 'create it there, or keep the service away with x-machines' },
    );
  }
}

/** What makes the container's labels its own. */
export function keyOf({ service, slot }: ContainerOrder): ContainerKey {
  const { project, name, hash, rollout } = service;
  return { project, service: name, slot, hash, rollout };
}

function newestFirst(found: readonly Docker.ContainerInfo[]): readonly Docker.ContainerInfo[] {
  return [...found].sort((a, b) => b.Created - a.Created);
}

/** @param ofSlot newest first: an older one with the same labels is a leftover that the plan removes */
function findExisting(
  ofSlot: readonly Docker.ContainerInfo[],
  { hash, rollout }: ServiceView,
): Docker.ContainerInfo | undefined {
  return ofSlot.find(
    ({ Labels }) => Labels[label.hash] === hash && Labels[label.rollout] === rollout,
  );
}

/** As the engine has them now; replicas that start side by side are asked for together. */
async function containersOfSlot(
  { engine, shared }: ContainerStartComponents,
  { cluster, service, slot }: ContainerOrder,
): Promise<readonly Docker.ContainerInfo[]> {
  const ofService = [
    `${label.cluster}=${cluster}`,
    `${label.project}=${service.project}`,
    `${label.service}=${service.name}`,
  ];
  const found = await shared.containers.get(JSON.stringify(ofService), (isShared) =>
    engine.listByLabels(isShared ? ofService : [...ofService, `${label.slot}=${slot}`]),
  );
  return found.filter(({ Labels }) => Labels[label.slot] === slot);
}

function sayGaps(service: ServiceView, apiVersion: string, log: Log): void {
  for (const gap of engineGaps(service.spec, apiVersion)) {
    log.warn('this engine is too old for a key of the service', {
      service: `${service.project}/${service.name}`,
      key: gap.key,
      needs: gap.neededVersion,
      has: apiVersion,
      effect: gap.effect,
    });
  }
}

async function ensureNetwork(components: ContainerStartComponents): Promise<void> {
  const { engine, shared, log } = components;
  const spec = components.network();
  const outcome = await shared.networks.get(JSON.stringify(spec), () => engine.ensureNetwork(spec));
  if (outcome.type === 'in-use') {
    log.warn('the network of the containers has old options until they are replaced', {
      differences: outcome.differences,
      containers: outcome.containers,
    });
  }
}

/** Named volumes of the service, in the order of its mounts. */
function volumesOf({ service, cluster }: ContainerOrder): readonly VolumeSpec[] {
  const { spec, definition, project } = service;
  const keys = new Set(
    (spec.volumes ?? [])
      .filter((mount) => mount.type === 'volume' && (mount.source ?? '') !== '')
      .map((mount) => mount.source ?? ''),
  );
  return [...keys].map((key) => {
    const declared = definition.volumes?.[key];
    return {
      name: volumeName(definition, key),
      driver: declared?.driver,
      driverOptions: declared?.driver_opts,
      labels: volumeLabels(cluster, project, key, declared?.labels),
      isExternal: declared?.external === true,
    };
  });
}

/** Containers of this machine that the service shares a namespace or volumes with. */
async function companionsOf(
  engine: EngineCalls,
  { service, slot, cluster }: ContainerOrder,
): Promise<Readonly<Record<string, string>>> {
  const companions: Record<string, string> = {};
  for (const name of companionNames(service)) {
    const found = await engine.listByLabels([
      `${label.cluster}=${cluster}`,
      `${label.project}=${service.project}`,
      `${label.service}=${name}`,
    ]);
    // The one of the same slot first: the group is placed as one, slot by slot.
    const rank = (one: Docker.ContainerInfo) =>
      (one.State === 'running' ? 0 : 2) + (one.Labels[label.slot] === slot ? 0 : 1);
    const best = [...found].sort((a, b) => rank(a) - rank(b) || b.Created - a.Created)[0];
    if (best !== undefined) companions[name] = best.Id;
  }
  return companions;
}

function companionNames({ spec }: ServiceView): ReadonlySet<string> {
  const names = new Set<string>();
  for (const key of ['network_mode', 'ipc', 'pid', 'uts']) {
    const mode = spec[key];
    if (typeof mode === 'string' && mode.startsWith('service:')) names.add(mode.slice(8));
  }
  const volumesFrom = spec['volumes_from'];
  for (const source of Array.isArray(volumesFrom) ? volumesFrom.map(String) : []) {
    if (!source.startsWith('container:')) names.add(source.split(':')[0] ?? source);
  }
  return names;
}

/** A volume that Docker named: 64 hexadecimal digits. */
const anonymousName = /^[0-9a-f]{64}$/;

/**
 * Anonymous volumes of the container that this one replaces, so that `docker compose`'s promise
 * holds: data outside named volumes survives a change of the service. Only of the last one, and only
 * when that has stopped: two running containers never share data they did not ask to share.
 */
function inheritedVolumes(
  last: Docker.ContainerInfo | undefined,
): Readonly<Record<string, string>> {
  const hasStopped = last?.State === 'exited' || last?.State === 'dead';
  const inherited: Record<string, string> = {};
  for (const mount of hasStopped ? last.Mounts : []) {
    if (mount.Type !== 'volume' || mount.Name === undefined) continue;
    if (anonymousName.test(mount.Name)) inherited[mount.Destination] = mount.Name;
  }
  return inherited;
}

/** Creates it under its lasting name, or a passing one while one of ours still has that. */
async function createNamed(
  engine: EngineCalls,
  body: ContainerBody,
  order: ContainerOrder,
): Promise<string> {
  try {
    return await engine.createContainer(body);
  } catch (error) {
    if (!isNameTaken(error)) throw error;
    const holder = await engine.inspect(body.name);
    if (holder !== undefined && holder.Config.Labels[label.cluster] !== order.cluster) {
      throw foreignName(body.name, holder, order.machine.name);
    }
    // The holder is on its way out, or has just gone.
    const digits = `${order.service.rollout}${order.service.hash}`.replace(/[^0-9a-zA-Z]/g, '');
    return engine.createContainer({ ...body, name: `${body.name}_${digits.slice(0, 8)}` });
  }
}

function foreignName(
  name: string,
  holder: Docker.ContainerInspectInfo,
  machineName: string,
): TscError {
  const project = holder.Config.Labels[composeLabel.project];
  return new TscError(
    'E_CONTAINER_NAME_TAKEN',
    `a container named "${name}" that is not this cluster's is on machine ${machineName}`,
    {
      hint:
        project === undefined
          ? `remove or rename it there: docker rename ${name} ${name}-old`
          : `it belongs to docker compose project "${project}": take it over with up --adopt, or remove it there`,
    },
  );
}
