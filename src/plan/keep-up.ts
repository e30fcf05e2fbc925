/**
 * Keeps a container of the current definition running: the agent's part of what engines do with a
 * restart policy, plus what they do not: restarting what is unhealthy, and saying that a rollout
 * has failed here. Own restarts are not held back by guards, but for one: what a power cut ended is
 * started again only when this machine knows that no other has taken the slot meanwhile.
 */
import type { ContainerView, ServiceView, View } from '../model/view.ts';
import { containersOfSlot } from '../view/endpoints.ts';
import { companionOf, graceMsOf, lastingName, restartPolicyOf } from '../view/service-spec.ts';
import { isAlive } from './leave.ts';
import { operationGraceMs, restartAtMsOf, startAtMsOf } from './operations.ts';
import { reportFailure, reportTrouble } from './report-failure.ts';
import { decideRestart, restartDelayMs } from './restart.ts';
import { type Steps, subject } from './steps.ts';

export interface KeepInput {
  readonly view: View;
  readonly service: ServiceView;
  readonly steps: Steps;
  /** Whether an explicit restart may take this container down now. */
  readonly isRestartTurn: boolean;
  /** What an explicit start still waits for. */
  readonly startWait: () => string | undefined;
}

/** Decides the next step for the one container that a slot keeps. */
export function keepUp(input: KeepInput, container: ContainerView): void {
  const { steps } = input;
  // Its state is the work's, not its own: a restart lets it end first.
  if (steps.isBusy(subject.container(container.id))) return;
  giveLastingName(input, container);
  switch (container.state) {
    case 'created':
      steps.add('start', subject.container(container.id), 'was created and never started', {
        containerId: container.id,
        restarts: 0,
      });
      return;
    case 'running':
      keepRunning(input, container);
      return;
    case 'exited':
      startAgain(input, container);
      return;
    case 'dead':
      steps.add('remove', subject.container(container.id), 'the engine gave it up', {
        containerId: container.id,
        graceMs: graceMsOf(input.service.spec),
      });
      return;
    case 'paused':
    case 'restarting':
    case 'removing':
      // Paused by hand, or the engine is at work on it.
      return;
  }
}

function giveLastingName({ view, service, steps }: KeepInput, container: ContainerView): void {
  const machine = view.machines.get(view.self);
  const name = lastingName(service, container.slot, machine?.name ?? view.self);
  if (container.name === name) return;
  const isTaken = view.containers.some(
    (other) => other.machine === view.self && other.id !== container.id && other.name === name,
  );
  if (isTaken) return;
  steps.add('rename', subject.container(container.id), 'its predecessor has gone', {
    containerId: container.id,
    name,
  });
}

function keepRunning(input: KeepInput, container: ContainerView): void {
  const { service, steps } = input;
  const restartAtMs = restartAtMsOf(service, container.slot);
  const restart = (reason: string, restarts: number): void => {
    steps.add('restart', subject.container(container.id), reason, {
      containerId: container.id,
      graceMs: operationGraceMs(service),
      restarts,
    });
  };
  if (container.draining) {
    // It still runs: starting it again only takes it back into traffic.
    steps.add('start', subject.container(container.id), 'is needed again', {
      containerId: container.id,
      restarts: container.restarts,
    });
  } else if (container.startedMs < restartAtMs) {
    if (!steps.isPast(restartAtMs)) return;
    if (input.isRestartTurn) restart('a restart was asked for', 0);
    else steps.wait(container, 'waits for its turn to restart');
  } else if (hasLostNamespace(input, container)) {
    restart('the container whose namespace it shares was started anew', 0);
  } else if (container.health === 'unhealthy' && restartPolicyOf(service.spec).condition !== 'no') {
    const restarts = container.restarts + 1;
    if (steps.isPast(container.startedMs + restartDelayMs(container.restarts))) {
      restart('is unhealthy', restarts);
    }
  }
  reportTrouble(input, container);
}

function startAgain(input: KeepInput, container: ContainerView): void {
  const { service, steps } = input;
  const on = subject.container(container.id);
  const startAtMs = startAtMsOf(service, container.slot);
  if (container.startedMs < startAtMs) {
    if (!steps.isPast(startAtMs)) return;
    const wait = input.startWait();
    if (wait !== undefined) {
      steps.wait(container, wait);
      return;
    }
    steps.add('start', on, 'a start was asked for', { containerId: container.id, restarts: 0 });
    return;
  }
  if (container.draining) {
    // It was taken out when another definition came, and that one is no longer in force.
    steps.add('start', on, 'is needed again', { containerId: container.id, restarts: 0 });
    return;
  }
  const policy = restartPolicyOf(service.spec);
  const decision = decideRestart(policy, container, steps.local.bootedAtMs);
  switch (decision.type) {
    case 'done':
      return;
    case 'failed':
      reportFailure(input, container, decision.why);
      return;
    case 'start': {
      reportTrouble(input, container);
      const { why: reason, restarts, isAfterBoot } = decision;
      if (isAfterBoot && input.view.guards.includes('booting')) {
        steps.wait(
          container,
          `${reason}; waits to hear from the others whether it is still wanted`,
        );
        return;
      }
      if (!steps.isPast(decision.atMs)) steps.wait(container, `${reason}, is started again`);
      else steps.add('start', on, reason, { containerId: container.id, restarts });
      return;
    }
  }
}

/** A container that joined another's network namespace keeps the old one when that is restarted. */
function hasLostNamespace({ view, service }: KeepInput, container: ContainerView): boolean {
  const target = companionContainer(view, service, container.slot);
  return target !== undefined && target.startedMs > container.startedMs;
}

/** The running container on this machine that a slot stands beside. */
export function companionContainer(
  view: View,
  service: ServiceView,
  slot: string,
): ContainerView | undefined {
  const name = companionOf(service.spec);
  if (name === undefined) return undefined;
  // While it is being replaced, the one that goes counts until it leaves.
  const find = (wanted: string): ContainerView | undefined =>
    containersOfSlot(view, service.project, name, wanted)
      .filter((other) => other.machine === view.self && isAlive(other) && !other.draining)
      .sort((left, right) => left.createdMs - right.createdMs)[0];
  return find(slot) ?? find('1');
}
