/**
 * Which services an `up SERVICE…` changes: the named ones and everything they need. Pure. Needs
 * are `depends_on` and the keys that borrow from another service.
 */
import { TscError } from '../lib/errors.ts';
import type { Project, Service } from '../model/project.ts';

/**
 * @returns the services with all they depend on, in the project's order; empty stays empty (all)
 * @throws TscError E_SERVICE_UNKNOWN
 */
export function withDependencies(project: Project, services: readonly string[]): readonly string[] {
  const wanted = new Set<string>();
  const queue = [...services];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (wanted.has(name)) continue;
    const service = project.services[name];
    if (service === undefined) throw unknownService(project, name);
    wanted.add(name);
    queue.push(...needs(service).filter((need) => project.services[need] !== undefined));
  }
  return Object.keys(project.services).filter((name) => wanted.has(name));
}

/** @throws TscError E_SERVICE_UNKNOWN when the project has no such service */
export function requireServices(project: Project, services: readonly string[]): void {
  for (const name of services) {
    if (project.services[name] === undefined) throw unknownService(project, name);
  }
}

function needs(service: Service): readonly string[] {
  const borrowed = [service.network_mode, service.ipc, service.pid]
    .filter((mode) => typeof mode === 'string')
    .filter((mode) => mode.startsWith('service:'))
    .map((mode) => mode.slice('service:'.length));
  const volumesFrom = Array.isArray(service.volumes_from) ? service.volumes_from : [];
  const lenders = volumesFrom
    .filter((entry) => typeof entry === 'string')
    .filter((entry) => !entry.startsWith('container:'))
    .map((entry) => entry.split(':', 1)[0] ?? '');
  return [...Object.keys(service.depends_on ?? {}), ...borrowed, ...lenders];
}

function unknownService(project: Project, name: string): TscError {
  const names = Object.keys(project.services).join(', ');
  return new TscError('E_SERVICE_UNKNOWN', `no such service: ${name}`, {
    hint: names === '' ? 'the project has no services' : `the project has: ${names}`,
  });
}
