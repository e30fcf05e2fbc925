/**
 * Whether what a `run` was planned for is still to be made. Between the plan and the making lie an
 * image that is pulled for minutes, or an engine that hangs; meanwhile the project may have been
 * taken down with its volumes, stopped, or given its data to another machine. A container that is
 * made then writes into a volume that is being copied, or leaves an empty one where nobody looks.
 *
 * It compares with what the action began with, and says nothing about what would be right: whatever
 * has changed is for the next plan, which would otherwise order the same again and again.
 */
import type { ServiceView, View } from '../model/view.ts';

/**
 * Asked right before something is made for a service.
 * @param begun the service when the action began
 * @returns false when it is gone, stopped, of another definition or rollout, or its data elsewhere
 */
export function isStillWanted(begun: ServiceView, view: View): boolean {
  const now = view.projects.get(begun.project)?.services.get(begun.name);
  return (
    now !== undefined &&
    now.hash === begun.hash &&
    now.rollout === begun.rollout &&
    now.isStopped === begun.isStopped &&
    now.volumeHome === begun.volumeHome
  );
}
