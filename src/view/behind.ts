/**
 * Whether the records here are older than the containers here: the store was lost, or an old copy
 * was put back. Then nothing is rendered from them while peers may still bring what is missing,
 * because an empty answer would take everything out of service.
 */
import type { View } from '../model/view.ts';

/** Only while booting: afterwards what is here is all there is. */
export function isBehind(view: View): boolean {
  if (!view.guards.includes('booting')) return false;
  return view.containers.some((container) => {
    if (container.machine !== view.self) return false;
    const project = view.projects.get(container.project);
    if (project === undefined) return true;
    const changedMs = project.pointer?.createdMs ?? project.tombstone?.createdMs ?? 0;
    const isKnown = project.services.get(container.service)?.hash === container.hash;
    return !isKnown && container.createdMs > changedMs;
  });
}
