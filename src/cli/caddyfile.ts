/**
 * `x-caddy` that names a file: the file is read here, where it is, and travels in the project. Its
 * meaning is the accepting agent's business.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { LoadResult } from '../compose/index.ts';
import { TscError } from '../lib/errors.ts';
import type { Project, Service } from '../model/project.ts';
import { caddyfileOf, caddyfilePathOf } from '../render/x-caddy.ts';

/**
 * @returns the project with the content of each Caddyfile in the place of its path
 * @throws TscError E_COMPOSE_X_CADDY with its place
 */
export async function readCaddyfiles(
  { project, workingDir, positions }: Pick<LoadResult, 'project' | 'workingDir' | 'positions'>,
  names: readonly string[],
): Promise<Project> {
  const services: Record<string, Service> = { ...project.services };
  for (const [name, spec] of Object.entries(project.services)) {
    if (names.length > 0 && !names.includes(name)) continue;
    try {
      const path = caddyfilePathOf(name, spec);
      if (path !== undefined) {
        services[name] = {
          ...spec,
          'x-caddy': { config: await readCaddyfile(name, resolve(workingDir, path)) },
        };
      } else caddyfileOf(name, spec);
    } catch (error) {
      const where = positions.find(['services', name, 'x-caddy']);
      if (!(error instanceof TscError) || where === undefined) throw error;
      throw new TscError(error.code, error.message, { where });
    }
  }
  return { ...project, services };
}

async function readCaddyfile(name: string, path: string): Promise<string> {
  try {
    // The last line's end tells a file of one line from a path.
    return `${await readFile(path, 'utf8')}\n`;
  } catch (cause) {
    throw new TscError('E_COMPOSE_X_CADDY', `services.${name}.x-caddy: ${path} cannot be read`, {
      cause,
    });
  }
}
