/**
 * A project as it is handed to the cluster: keys that are reached by other means (support-table.ts
 * calls them translated) become those means here, so that no agent has to know them. Pure; what a
 * file says is never changed for `config`.
 */
import type { Project, Service } from '../model/project.ts';
import { imageName } from './output.ts';

/** Refreshed "once a day", "once a week" or "every 3h": only the engine of one machine can tell. */
const isScheduled = (policy: string): boolean =>
  policy === 'daily' || policy === 'weekly' || policy.startsWith('every_');

/** @returns the project without `build`, with the name of the image that it makes */
export function carriedOut(project: Project): Project {
  const services = Object.entries(project.services).map(([name, service]): [string, Service] => [
    name,
    carriedOutService(service, name, project.name),
  ]);
  return { ...project, services: Object.fromEntries(services) };
}

function carriedOutService(service: Service, name: string, project: string): Service {
  const { build, develop: _watched, pull_policy: policy, ...rest } = service;
  if (build === undefined) return { ...rest, ...pullPolicy(policy) };
  const image = imageName(service, name, project);
  // No registry has what only a build makes: asking one would take long and answer "denied".
  const isOnlyBuilt = service.image === undefined || policy === 'build';
  return { ...rest, image, ...pullPolicy(isOnlyBuilt ? 'build' : policy) };
}

function pullPolicy(policy: string | undefined): Pick<Service, 'pull_policy'> {
  if (policy === undefined) return {};
  return { pull_policy: isScheduled(policy) ? 'always' : policy };
}
