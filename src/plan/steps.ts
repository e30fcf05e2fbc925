/**
 * Collects what one evaluation decides. An action whose subject is still being worked on is held
 * back here for everybody; what failed is held back by the executor, which knows its back-off.
 */
import type { Action, ActionArguments, ActionName, Plan, Waiting } from '../model/action.ts';
import type { MachineId, Slot } from '../model/ids.ts';
import type { ContainerView } from '../model/view.ts';
import { drainSettleMs, surplusSettleMs } from './limits.ts';
import type { ServingSince } from './serving-since.ts';

/** What only this machine knows, and no record says. */
export interface LocalState {
  /** Subjects of the actions that are being carried out. */
  readonly inFlight: ReadonlySet<string>;
  /** Container id to the moment it left traffic; unknown counts as long ago. */
  readonly drainingSinceMs: ReadonlyMap<string, number>;
  /** Other machines' copies of what runs here, since they serve; unknown counts as long ago. */
  readonly servingSince: ServingSince;
  /** Engine names of this cluster's volumes on this machine. */
  readonly volumes: ReadonlySet<string>;
  /** When the machine was booted; 0 when not known. */
  readonly bootedAtMs: number;
}

/** Nothing under way, nothing known. */
export const idleLocalState: LocalState = {
  inFlight: new Set(),
  drainingSinceMs: new Map(),
  servingSince: new Map(),
  volumes: new Set(),
  bootedAtMs: 0,
};

export const subject = {
  slot: (project: string, service: string, slot: Slot): string =>
    `slot:${project}/${service}/${slot}`,
  container: (id: string): string => `container:${id}`,
  volume: (name: string): string => `volume:${name}`,
  hook: (project: string, service: string): string => `hook:${project}/${service}`,
  failure: (project: string, service: string): string => `failure:${project}/${service}`,
  verdict: (project: string, service: string): string => `verdict:${project}/${service}`,
  done: (project: string, service: string, slot: Slot): string =>
    `done:${project}/${service}/${slot}`,
} as const;

export class Steps {
  readonly self: MachineId;
  readonly nowMs: number;
  readonly local: LocalState;
  readonly #actions: Action[] = [];
  readonly #waiting: Waiting[] = [];
  #wakeAtMs: number | undefined;

  constructor(self: MachineId, nowMs: number, local: LocalState) {
    this.self = self;
    this.nowMs = nowMs;
    this.local = local;
  }

  add<Name extends ActionName>(
    name: Name,
    on: string,
    reason: string,
    argumentsOfAction: ActionArguments[Name],
  ): void {
    if (this.isBusy(on) || this.#actions.some((action) => action.subject === on)) return;
    // Name and arguments belong together by the signature; the union cannot express it by itself.
    this.#actions.push({ name, subject: on, reason, arguments: argumentsOfAction } as Action);
  }

  isBusy(on: string): boolean {
    return this.local.inFlight.has(on);
  }

  /** Whether the moment has come; if not, the plan is made again then. */
  isPast(atMs: number): boolean {
    if (this.nowMs >= atMs) return true;
    this.#wakeAtMs = Math.min(this.#wakeAtMs ?? atMs, atMs);
    return false;
  }

  wait(place: Pick<Waiting, 'project' | 'service' | 'slot'>, why: string): void {
    this.#waiting.push({
      project: place.project,
      service: place.service,
      slot: place.slot,
      why,
    });
  }

  /** When the container may be taken away: it has left traffic and late connections are over. */
  hasSettled(container: ContainerView): boolean {
    const sinceMs = this.local.drainingSinceMs.get(container.id);
    return sinceMs === undefined || this.isPast(sinceMs + drainSettleMs);
  }

  /** When a copy has served for so long that the one it takes the place of may go. */
  hasServed({ id }: ContainerView): boolean {
    const serving = this.local.servingSince.get(id);
    return serving === undefined || this.isPast(serving.sinceMs + surplusSettleMs);
  }

  plan(): Plan {
    return { actions: this.#actions, wakeAtMs: this.#wakeAtMs, waiting: this.#waiting };
  }
}
