/** The definition of a project that is in force, put together from the revisions of its services. */
import type { DefinitionAnswer } from '../model/api.ts';
import type { Service } from '../model/project.ts';
import type { ProjectView } from '../model/view.ts';
import { shortHash } from './canonical.ts';

/**
 * Orphans are left out: no file names them.
 * @returns the project as it runs, with contents as hashes
 */
export function definitionOf(project: ProjectView): DefinitionAnswer {
  const own = [...project.services.values()].filter(({ isOrphan }) => !isOrphan);
  const services: Record<string, Service> = {};
  const scale: Record<string, number> = {};
  const contentHashes: Record<string, string> = {};
  let resources: DefinitionAnswer['project'] = { name: project.name, services };
  for (const { name, spec, definition, revision, operation } of own) {
    services[name] = spec;
    if (operation?.scale !== undefined) scale[name] = operation.scale;
    for (const [key, content] of Object.entries(revision.contents)) {
      contentHashes[key] = shortHash(content);
    }
    resources = { ...definition, ...resources };
    for (const kind of ['networks', 'volumes', 'secrets', 'configs'] as const) {
      const both = { ...definition[kind], ...resources[kind] };
      if (Object.keys(both).length > 0) resources = { ...resources, [kind]: both };
    }
  }
  return {
    project: resources,
    revision: project.pointer?.revision ?? own[0]?.revisionHash ?? '',
    scale,
    contentHashes,
  };
}
