/**
 * Claims: before a machine fills a slot that nobody gave it, it says so in a record of its own and
 * waits for what the others say. Two machines whose views differ for a moment would otherwise both
 * create the replica. Of two claims the one of the higher rendezvous rank is the better: no clock
 * decides. A claim only delays; who owns a slot is decided in owner.ts, and a claim that is not
 * renewed by the next plan is gone.
 */
import type { Slot } from '../model/ids.ts';
import type { SlotClaim } from '../model/record.ts';
import type { ServiceView, View } from '../model/view.ts';
import { serviceKey } from '../view/snapshot.ts';
import { claimWaitMs } from './limits.ts';
import { compareRank } from './rank.ts';
import { type Steps, subject } from './steps.ts';

/** Gathers the claims of one plan, and turns them into one step when they have changed. */
export class Claims {
  readonly #view: View;
  readonly #steps: Steps;
  readonly #own: readonly SlotClaim[];
  readonly #wanted: SlotClaim[] = [];

  constructor(view: View, steps: Steps) {
    this.#view = view;
    this.#steps = steps;
    this.#own = (view.claims ?? [])
      .filter(({ machine }) => machine === view.self)
      .map(({ project, service, slot, atMs }) => ({ project, service, slot, atMs }));
  }

  /**
   * Claims a slot that this machine is about to fill.
   * @returns why it has to wait; undefined when it may go on
   */
  waitFor(service: ServiceView, slot: Slot): string | undefined {
    if (!this.#needsClaim(service, slot)) return undefined;
    const isThis = isClaimOf(service, slot);
    const own = this.#own.find(isThis) ?? {
      project: service.project,
      service: service.name,
      slot,
      atMs: this.#view.nowMs,
    };
    this.#wanted.push(own);
    const better = this.#betterClaim(service, slot);
    if (better !== undefined) return `${better} is about to run it`;
    // Compared by this machine's own clock on both sides.
    if (!this.#steps.isPast(own.atMs + claimWaitMs)) return 'waits for claims of other machines';
    return undefined;
  }

  /** Ends the gathering. A slot that is being filled right now keeps its claim. */
  finish(): void {
    const { inFlight } = this.#steps.local;
    const kept = this.#own.filter((claim) => {
      const isBusy = inFlight.has(subject.slot(claim.project, claim.service, claim.slot));
      return isBusy && !this.#wanted.some((other) => isSame(other, claim));
    });
    const slots = [...this.#wanted, ...kept];
    const isUnchanged =
      slots.length === this.#own.length &&
      slots.every((claim) => this.#own.some((own) => isSame(own, claim)));
    if (isUnchanged) return;
    this.#steps.add('claim', 'claims', 'slots that nobody was given', { slots });
  }

  /** What a change has given to this machine is nobody else's; alone there is nobody to ask. */
  #needsClaim(service: ServiceView, slot: Slot): boolean {
    const { self, machines } = this.#view;
    if (service.mode === 'global' || service.slots[slot] === self) return false;
    if ((service.volumeHome ?? service.pinned) === self) return false;
    return [...machines.values()].some(
      ({ id, liveness }) => id !== self && liveness === 'reachable',
    );
  }

  #betterClaim(service: ServiceView, slot: Slot): string | undefined {
    const { self, machines, claims = [] } = this.#view;
    const isThis = isClaimOf(service, slot);
    const subjectText = `${serviceKey(service.project, service.name)}/${slot}`;
    for (const claim of claims) {
      if (claim.machine === self || !isThis(claim)) continue;
      const machine = machines.get(claim.machine);
      if (machine?.liveness !== 'reachable' || !machine.isAble) continue;
      if (compareRank(subjectText, claim.machine, self) < 0) return machine.name;
    }
    return undefined;
  }
}

function isClaimOf(service: ServiceView, slot: Slot): (claim: SlotClaim) => boolean {
  return (claim) =>
    claim.slot === slot && claim.service === service.name && claim.project === service.project;
}

function isSame(left: SlotClaim, right: SlotClaim): boolean {
  return (
    left.slot === right.slot &&
    left.service === right.service &&
    left.project === right.project &&
    left.atMs === right.atMs
  );
}
