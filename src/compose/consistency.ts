/**
 * Rules that span several keys or resources: references must lead somewhere, two ways to say the
 * same thing must agree, dependencies must not run in a circle. Looks at enabled services only;
 * changes nothing.
 */
import { type ErrorCode, TscError } from '../lib/errors.ts';
import type { Json, Project, Service } from '../model/project.ts';
import type { LoadContext } from './context.ts';
import { throwAll } from './fault.ts';
import { buildSecrets, modelsOf, type ProjectState } from './project.ts';
import type { KeyPath } from './value.ts';

/** Ends the check that calls it. */
type Fail = (message: string, path: KeyPath, code?: ErrorCode) => never;

/**
 * Reports every check that fails, each with its first broken rule.
 * @throws E_COMPOSE_CONSISTENCY or E_COMPOSE_CYCLE
 */
export function checkConsistency(state: ProjectState, context: LoadContext): void {
  const fail: Fail = (message, path, code = 'E_COMPOSE_CONSISTENCY') => {
    throw context.error(code, message, path);
  };
  const { project } = state;
  const faults: TscError[] = [];
  const attempt = (check: () => void): void => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof TscError)) throw error;
      faults.push(error);
    }
  };
  for (const [name, service] of Object.entries(project.services)) {
    const path = ['services', name];
    attempt(() => checkSource(name, service, state, path, fail));
    attempt(() => checkReferences(name, service, project, path, fail));
    attempt(() => checkDependencies(name, service, state, path, fail));
    attempt(() => checkHealth(service, path, fail));
    attempt(() => checkScale(name, service, path, fail));
    attempt(() => checkResources(name, service, path, fail));
    attempt(() => checkWatch(name, service, path, fail));
    attempt(() => checkMounts(name, service, path, fail));
  }
  attempt(() => checkSecrets(project, fail));
  // Of dependencies that lead nowhere, enough has been said.
  if (faults.length === 0) attempt(() => checkCycles(project, fail));
  throwAll(faults);
}

/** Two containers cannot have one name. */
export function checkContainerNames(project: Project, context: LoadContext): void {
  const owners = new Map<string, string>();
  for (const [name, service] of Object.entries(project.services)) {
    const containerName = service.container_name;
    if (containerName === undefined) continue;
    const owner = owners.get(containerName);
    if (owner !== undefined) {
      throw context.error(
        'E_COMPOSE_CONSISTENCY',
        `services.${name}: container name ${JSON.stringify(containerName)} is already in use by service ${owner}`,
        ['services', name, 'container_name'],
      );
    }
    owners.set(containerName, name);
  }
}

function checkSource(
  name: string,
  service: Service,
  state: ProjectState,
  path: KeyPath,
  fail: Fail,
): void {
  const { build, image, provider } = service;
  const who = `service ${JSON.stringify(name)}`;
  if (build === undefined) {
    if (image === undefined && provider === undefined) {
      fail(
        `${who} has neither an image nor a build context specified: invalid compose project`,
        path,
      );
    }
    return;
  }
  if (build.dockerfile !== undefined && build.dockerfile_inline !== undefined) {
    fail(
      `${who} declares mutualy exclusive dockerfile and dockerfile_inline: invalid compose project`,
      [...path, 'build'],
    );
  }
  for (const [context, target] of Object.entries(asObject(build.additional_contexts))) {
    if (typeof target !== 'string' || !target.startsWith('service:')) continue;
    const other = target.slice('service:'.length);
    const place = [...path, 'build', 'additional_contexts', context];
    const found = state.project.services[other];
    if (found === undefined) {
      fail(
        `${who} declares unknown service ${JSON.stringify(other)} as additional contexts ${context}`,
        place,
      );
    } else if (found.build === undefined) {
      fail(
        `${who} declares non-buildable service ${JSON.stringify(other)} as additional contexts ${context}`,
        place,
      );
    }
  }
  const { platforms } = build;
  if (Array.isArray(platforms) && service.platform !== undefined) {
    if (!platforms.includes(service.platform)) {
      fail(
        `service.build.platforms MUST include service.platform ${JSON.stringify(service.platform)}: invalid compose project`,
        [...path, 'build', 'platforms'],
      );
    }
  }
}

function asObject(value: Json | undefined): Readonly<Record<string, Json | undefined>> {
  // Arrays have been told apart; what is left of the objects are mappings.
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, Json | undefined>)
    : {};
}

function checkReferences(
  name: string,
  service: Service,
  project: Project,
  path: KeyPath,
  fail: Fail,
): void {
  const check = (kind: string, key: string, reference: string, known: object | undefined): void => {
    if (known !== undefined && Object.hasOwn(known, reference)) return;
    fail(
      `service ${JSON.stringify(name)} refers to undefined ${kind} ${reference}: invalid compose project`,
      [...path, key],
    );
  };
  const networks = Object.keys(service.networks ?? {});
  if (service.network_mode !== undefined && networks.length > 0) {
    fail(
      `service ${name} declares mutually exclusive \`network_mode\` and \`networks\`: invalid compose project`,
      [...path, 'network_mode'],
    );
  }
  for (const network of networks) check('network', 'networks', network, project.networks);
  for (const volume of service.volumes ?? []) {
    if (volume.type === 'volume' && volume.source !== undefined) {
      check('volume', 'volumes', volume.source, project.volumes);
    }
  }
  for (const secret of buildSecrets(service)) {
    check('build secret', 'build', secret.source, project.secrets);
  }
  for (const config of service.configs ?? []) {
    check('config', 'configs', config.source, project.configs);
  }
  for (const model of Object.keys(modelsOf(service)))
    check('model', 'models', model, project.models);
  for (const secret of service.secrets ?? []) {
    check('secret', 'secrets', secret.source, project.secrets);
  }
}

function checkDependencies(
  name: string,
  service: Service,
  state: ProjectState,
  path: KeyPath,
  fail: Fail,
): void {
  for (const [other, dependency] of Object.entries(service.depends_on ?? {})) {
    if (Object.hasOwn(state.project.services, other)) continue;
    if (Object.hasOwn(state.disabled, other) && dependency.required === false) continue;
    fail(
      `service ${JSON.stringify(name)} depends on undefined service ${JSON.stringify(other)}: invalid compose project`,
      [...path, 'depends_on', other],
    );
  }
  const mode = service.network_mode;
  if (mode?.startsWith('service:')) {
    const other = mode.slice('service:'.length);
    // No name at all means every service in the reference, and so is never undefined.
    if (other !== '' && !Object.hasOwn(state.project.services, other)) {
      fail(`service ${JSON.stringify(other)} not found for network_mode 'service:${other}'`, [
        ...path,
        'network_mode',
      ]);
    }
  }
}

function checkHealth(service: Service, path: KeyPath, fail: Fail): void {
  const [kind] = service.healthcheck?.test ?? [];
  if (kind === undefined || ['CMD', 'CMD-SHELL', 'NONE'].includes(kind)) return;
  fail('healthcheck.test must start either by "CMD", "CMD-SHELL" or "NONE"', [
    ...path,
    'healthcheck',
    'test',
  ]);
}

function checkScale(name: string, service: Service, path: KeyPath, fail: Fail): void {
  const { scale } = service;
  const replicas = service.deploy?.replicas;
  if (scale !== undefined && replicas !== undefined && scale !== replicas) {
    fail(
      `services.${name}: can't set distinct values on 'scale' and 'deploy.replicas': invalid compose project`,
      [...path, 'scale'],
    );
  }
  if (scale !== undefined && scale < 0) {
    fail(`services.${name}.scale: must be greater than or equal to 0`, [...path, 'scale']);
  }
  if (replicas !== undefined && replicas < 0) {
    fail(`services.${name}.deploy.replicas: must be greater than or equal to 0`, [
      ...path,
      'deploy',
      'replicas',
    ]);
  }
  if (service.container_name !== undefined && (scale ?? replicas ?? 1) > 1) {
    const attribute = scale === undefined ? 'deploy.replicas' : 'scale';
    fail(
      `services.${name}: can't set container_name and ${attribute} as container name must be unique: invalid compose project`,
      [...path, 'container_name'],
    );
  }
}

function checkResources(name: string, service: Service, path: KeyPath, fail: Fail): void {
  const limits = service.deploy?.resources?.limits;
  const reservations = service.deploy?.resources?.reservations;
  const check = (key: string, other: string, own: unknown, deployed: unknown): void => {
    if (own === undefined || own === deployed) return;
    fail(
      `services.${name}: can't set distinct values on '${key}' and 'deploy.resources.${other}': invalid compose project`,
      [...path, key],
    );
  };
  if (limits !== undefined) {
    check('cpus', 'limits.cpus', service.cpus, limits.cpus);
    check('mem_limit', 'limits.memory', service.mem_limit, limits.memory);
    check('pids_limit', 'limits.pids', service.pids_limit, limits.pids);
  }
  if (reservations !== undefined) {
    check('mem_reservation', 'reservations.memory', service.mem_reservation, reservations.memory);
  }
}

function checkWatch(name: string, service: Service, path: KeyPath, fail: Fail): void {
  // Decoded by shapes.ts: a mapping if it is there at all.
  const { watch } = (service.develop ?? {}) as { watch?: readonly Record<string, unknown>[] };
  for (const trigger of watch ?? []) {
    const { target, action } = trigger;
    if (target !== undefined || action === 'rebuild' || action === 'restart') continue;
    fail(
      `services.${name}.develop.watch: target is required for non-rebuild actions: invalid compose project`,
      [...path, 'develop', 'watch'],
    );
  }
}

function checkMounts(name: string, service: Service, path: KeyPath, fail: Fail): void {
  const mounts = new Map<string, string>();
  const add = (target: string, key: string, index: number): void => {
    const place = `services.${name}.${key}[${index}]`;
    const other = mounts.get(target);
    if (other !== undefined) {
      fail(`${place}: target ${target} already mounted as ${other}`, [...path, key, index]);
    }
    mounts.set(target, place);
  };
  service.tmpfs?.forEach((entry, index) => {
    add(entry.split(':')[0] ?? '', 'tmpfs', index);
  });
  service.volumes?.forEach((volume, index) => {
    add(volume.target ?? '', 'volumes', index);
  });
}

function checkSecrets(project: Project, fail: Fail): void {
  for (const [name, secret] of Object.entries(project.secrets ?? {})) {
    if (secret.external === true) continue;
    if (secret.file !== undefined || secret.environment !== undefined) continue;
    fail(
      `secret ${JSON.stringify(name)} must declare either \`file\` or \`environment\`: invalid compose project`,
      ['secrets', name],
    );
  }
}

function checkCycles(project: Project, fail: Fail): void {
  const done = new Set<string>();
  /** The services between the first one and the one looked at, in order. */
  const trail = new Set<string>();
  const visit = (name: string): void => {
    if (done.has(name)) return;
    if (trail.has(name)) {
      const names = [...trail];
      const cycle = [...names.slice(names.indexOf(name)), name].join(' -> ');
      fail(
        `dependency cycle detected: ${cycle}`,
        ['services', name, 'depends_on'],
        'E_COMPOSE_CYCLE',
      );
    }
    trail.add(name);
    for (const other of Object.keys(project.services[name]?.depends_on ?? {})) {
      if (Object.hasOwn(project.services, other)) visit(other);
    }
    trail.delete(name);
    done.add(name);
  };
  for (const name of Object.keys(project.services)) visit(name);
}
