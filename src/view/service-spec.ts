/**
 * Facts that follow from a service's definition alone: mode, replica count, restart policy, what
 * ties it to a machine. Every part that needs one of them asks here, so that agent, planner and
 * command line never read the same key in two ways.
 */
import { durationMs } from '../lib/duration.ts';
import type { Slot } from '../model/ids.ts';
import { containerName } from '../model/names.ts';
import type { Mount, Project, Service, Volume } from '../model/project.ts';

/** The engine's own grace period when the file names none. */
export const defaultGraceMs = 10_000;
/** How long a container without health check and ports must run before it counts as ready. */
export const defaultMonitorMs = 1_000;

/** Jobs are placed like services of the same shape; what differs is that they may complete. */
export function modeOf(spec: Service): 'replicated' | 'global' {
  return spec.deploy?.mode === 'global' || spec.deploy?.mode === 'global-job'
    ? 'global'
    : 'replicated';
}

export function isJob(spec: Service): boolean {
  return spec.deploy?.mode === 'replicated-job' || spec.deploy?.mode === 'global-job';
}

/**
 * Whether running it twice may do harm: a job, or what another service waits for to complete (a
 * migration). Once begun it stays with its machine, as nobody else can know how far it came.
 */
export function isRunOnce(service: {
  readonly name: string;
  readonly spec: Service;
  readonly definition: Project;
}): boolean {
  return (
    isJob(service.spec) ||
    Object.values(service.definition.services).some(
      ({ depends_on: needs }) =>
        needs?.[service.name]?.condition === 'service_completed_successfully',
    )
  );
}

/** `scale` wins over `deploy.replicas`, as in `docker compose`. */
export function replicaCountOf(spec: Service): number {
  return spec.scale ?? spec.deploy?.replicas ?? 1;
}

export type RestartCondition = 'unset' | 'no' | 'on-failure' | 'always' | 'unless-stopped';

export interface RestartPolicy {
  readonly condition: RestartCondition;
  /** Undefined: without end. */
  readonly maxAttempts: number | undefined;
  /** Shortest pause before a restart. */
  readonly delayMs: number;
  /** How long a container must have run for its earlier restarts to be forgotten. */
  readonly windowMs: number | undefined;
}

/** `deploy.restart_policy` overrides `restart`, as in `docker compose`. */
export function restartPolicyOf(spec: Service): RestartPolicy {
  const policy = spec.deploy?.restart_policy;
  if (policy !== undefined && policy !== null) {
    return {
      condition: conditionOf(policy.condition ?? 'any', isJob(spec)),
      maxAttempts: policy.max_attempts ?? undefined,
      delayMs: optionalDurationMs(policy.delay) ?? 0,
      windowMs: optionalDurationMs(policy.window),
    };
  }
  const [condition = '', attempts] = (spec.restart ?? '').split(':', 2);
  const maxAttempts = attempts === undefined ? Number.NaN : Number(attempts);
  return {
    condition:
      condition === ''
        ? isJob(spec)
          ? 'on-failure'
          : 'unset'
        : conditionOf(condition, isJob(spec)),
    maxAttempts: Number.isSafeInteger(maxAttempts) && maxAttempts > 0 ? maxAttempts : undefined,
    delayMs: 0,
    windowMs: undefined,
  };
}

/** A job is never started again after it succeeded. */
function conditionOf(text: string, isForJob: boolean): RestartCondition {
  switch (text) {
    case 'none':
    case 'no':
    case 'false':
      return 'no';
    case 'on-failure':
      return 'on-failure';
    case 'unless-stopped':
      return isForJob ? 'on-failure' : 'unless-stopped';
    default:
      return isForJob ? 'on-failure' : 'always';
  }
}

/** Whether an exit with code 0 means "done" rather than "broken". */
export function mayComplete(spec: Service): boolean {
  const { condition } = restartPolicyOf(spec);
  return condition === 'unset' || condition === 'no' || condition === 'on-failure';
}

export function graceMsOf(spec: Service): number {
  return optionalDurationMs(spec.stop_grace_period) ?? defaultGraceMs;
}

export function monitorMsOf(spec: Service): number {
  return optionalDurationMs(spec.deploy?.update_config?.monitor) ?? defaultMonitorMs;
}

/** The loader has checked every duration; what is still unreadable counts as absent. */
export function optionalDurationMs(text: string | undefined | null): number | undefined {
  return typeof text === 'string' ? durationMs(text) : undefined;
}

export function hasHealthcheck(spec: Service): boolean {
  const test = spec.healthcheck?.test;
  if (spec.healthcheck === undefined || spec.healthcheck.disable === true) return false;
  return test !== undefined && test.length > 0 && test[0] !== 'NONE';
}

/** The name a container keeps; a global service's ends in its machine's name. */
export function lastingName(
  service: { readonly project: string; readonly name: string; readonly spec: Service },
  slot: Slot,
  machineName: string,
): string {
  const own = service.spec.container_name;
  if (own !== undefined && own !== '') return own;
  const isGlobal = modeOf(service.spec) === 'global';
  return containerName(service.project, service.name, isGlobal ? machineName : slot);
}

/** The service whose replica this one must stand beside: it shares a namespace or its volumes. */
export function companionOf(spec: Service): string | undefined {
  for (const key of ['network_mode', 'ipc', 'pid'] as const) {
    const value = spec[key];
    if (typeof value === 'string' && value.startsWith('service:')) return value.slice(8);
  }
  const from = spec['volumes_from'];
  if (!Array.isArray(from)) return undefined;
  const first: unknown = from.find(
    (entry) => typeof entry === 'string' && !entry.startsWith('container:'),
  );
  return typeof first === 'string' ? first.split(':', 1)[0] : undefined;
}

/** Engine names of the named volumes that hold data on one machine, in the order of the mounts. */
export function localVolumesOf(definition: Project, spec: Service): readonly string[] {
  const names = new Set<string>();
  for (const mount of spec.volumes ?? []) {
    if (!isNamedVolume(mount)) continue;
    const volume = definition.volumes?.[mount.source];
    if (isLocalVolume(volume)) names.add(engineVolumeName(definition, mount.source));
  }
  return [...names];
}

export function isNamedVolume(mount: Mount): mount is Mount & { readonly source: string } {
  return mount.type === 'volume' && mount.source !== undefined && mount.source !== '';
}

export function engineVolumeName(definition: Project, key: string): string {
  return definition.volumes?.[key]?.name ?? `${definition.name}_${key}`;
}

/** File systems that every machine mounts from elsewhere, or that hold no data at all. */
const sharedTypes: readonly string[] = ['nfs', 'nfs4', 'cifs', 'smb3', 'tmpfs'];

/** Whether a volume's data lies on one machine. Other drivers are taken to be shared storage. */
export function isLocalVolume(volume: Volume | undefined | null): boolean {
  if (volume === undefined || volume === null) return true;
  if (volume.driver !== undefined && volume.driver !== '' && volume.driver !== 'local') {
    return false;
  }
  return !sharedTypes.includes(volume.driver_opts?.['type'] ?? '');
}
