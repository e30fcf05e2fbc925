/**
 * What is said of logs when a project comes up for the first time. The engine itself would keep them
 * without end; containers without `logging` get json-file with 3 files of 10 MB (render/container.ts).
 */
import type { Project } from '../model/project.ts';
import type { ProjectView } from '../model/view.ts';

/** @param changed services that the change brings */
export function loggingNotes(
  before: ProjectView | undefined,
  project: Project,
  changed: readonly string[],
): readonly string[] {
  if (before?.pointer !== undefined) return [];
  const names = changed.filter((name) => project.services[name]?.logging === undefined);
  if (names.length === 0) return [];
  return [`without logging: a container keeps the last 30 MB of its log (${names.join(', ')})`];
}
