/**
 * What a change would come to, step by step, if every container came up at once and every job ended
 * well: for dry runs. It plays the plans of all machines against each other, in a copy of the view;
 * nothing is carried out. What still waits in the end waits for something that is not foreseeable:
 * a machine that is away, a dependency that does not exist.
 */
import type { Action, Plan } from '../model/action.ts';
import type { PlannedReplica, PlannedStep } from '../model/api.ts';
import type { HookRecord } from '../model/record.ts';
import type { ContainerView, ProjectView, ServiceView, View } from '../model/view.ts';
import { containersOfService, isInTraffic } from '../view/endpoints.ts';
import { compareSlots, compareText } from '../view/order.ts';
import { hasHealthcheck, lastingName } from '../view/service-spec.ts';
import { type Owners, serviceKey } from '../view/snapshot.ts';
import { ownersOf } from './owner.ts';

/** 600 plans: about a second of work on a large cluster; an `up` of some services takes fifty. */
const maxPlanCount = 600;

export interface Foresight {
  readonly steps: readonly PlannedStep[];
  /** Sentences about slots that would still wait. */
  readonly waiting: readonly string[];
  /** False when there is more to come than was played. */
  readonly isComplete: boolean;
}

/**
 * @param view with the change already in it
 * @param decide `plan`, with what this agent knows beside the records
 */
export function foresee(view: View, project: string, decide: (view: View) => Plan): Foresight {
  const steps: PlannedStep[] = [];
  const machines = [...view.machines.values()].filter(({ liveness }) => liveness === 'reachable');
  let now: View = { ...view, guards: [] };
  const owners = ownersOf(now);
  let waiting: readonly string[] = [];
  for (let planCount = 0; planCount < maxPlanCount; planCount += machines.length) {
    const before = steps.length;
    let noted = false;
    const waits: string[] = [];
    let wakeAtMs = Number.POSITIVE_INFINITY;
    for (const { id, name } of machines) {
      const planned = decide({ ...now, self: id });
      wakeAtMs = Math.min(wakeAtMs, planned.wakeAtMs ?? wakeAtMs);
      for (const action of planned.actions) {
        if (!isOfProject(now, project, action)) continue;
        // What is only written down is no step of a machine.
        if (isNote(action)) noted = true;
        else {
          const replica = replicaDuring({ ...now, self: id }, action, owners);
          steps.push({ machine: id, action, ...(replica === undefined ? {} : { replica }) });
        }
        now = after({ ...now, self: id }, action);
      }
      for (const { service, slot, why, project: of } of planned.waiting) {
        if (of === project) waits.push(`${service}-${slot} on ${name} waits: ${why}`);
      }
    }
    waiting = waits;
    if (steps.length > before || noted) continue;
    if (machines.length === 0 || wakeAtMs === Number.POSITIVE_INFINITY || wakeAtMs <= now.nowMs) {
      return { steps, waiting, isComplete: true };
    }
    now = { ...now, nowMs: wakeAtMs };
  }
  return { steps, waiting, isComplete: false };
}

function isOfProject(view: View, project: string, { arguments: given }: Action): boolean {
  if ('slots' in given) return true;
  // What would be balanced later is no part of the change.
  if ('operation' in given) return false;
  if ('project' in given) return given.project === project;
  return view.containers.some((c) => c.id === given.containerId && c.project === project);
}

function isNote({ name }: Action): boolean {
  return name === 'writeVerdict' || name === 'recordDone' || name === 'claim';
}

/**
 * How many replicas of the service are ready while the action is under way: those before it, but
 * for the one that it takes out of traffic.
 */
function replicaDuring(view: View, action: Action, owners: Owners): PlannedReplica | undefined {
  const { arguments: given } = action;
  const id = 'containerId' in given ? given.containerId : null;
  const target = view.containers.find((c) => c.machine === view.self && c.id === id);
  const of = 'slot' in given ? given : target;
  if (of === undefined || action.name === 'rename') return undefined;
  const { project, service, slot } = of;
  const ready = containersOfService(view, project, service).filter(
    (container) => container.ready && !container.draining && isInTraffic(view, container.machine),
  );
  const isOut = action.name !== 'start' && target !== undefined && ready.includes(target);
  const wanted = owners.get(serviceKey(project, service))?.size ?? 0;
  return { service, slot, leastReady: ready.length - (isOut ? 1 : 0), wanted };
}

/** The view after the action has gone well. */
function after(view: View, action: Action): View {
  const running = {
    state: 'running',
    draining: false,
    ready: true,
    startedMs: view.nowMs,
  } as const;
  switch (action.name) {
    case 'run':
      return withRun(view, action);
    case 'runHook':
      return withHook(view, action);
    case 'start':
    case 'restart':
      return withContainer(view, action.arguments.containerId, running);
    case 'drain':
      return withContainer(view, action.arguments.containerId, { draining: true, ready: false });
    case 'stop':
      return withContainer(view, action.arguments.containerId, {
        state: 'exited',
        ready: false,
        finishedMs: view.nowMs,
      });
    case 'rename':
      return withContainer(view, action.arguments.containerId, { name: action.arguments.name });
    case 'kill':
      // Whether a signal ends a container is the container's secret: SIGKILL does.
      return withContainer(view, action.arguments.containerId, {
        signalMs: action.arguments.atMs,
        ...(action.arguments.signal === 'SIGKILL'
          ? { state: 'exited', exitCode: 137, ready: false, finishedMs: view.nowMs }
          : {}),
      });
    case 'remove': {
      const { containerId } = action.arguments;
      const containers = view.containers.filter(
        (c) => c.id !== containerId || c.machine !== view.self,
      );
      return { ...view, containers };
    }
    case 'writeVerdict':
      return withService(view, action.arguments, { verdict: action.arguments.verdict });
    case 'recordDone': {
      const { project, service, slot, atMs } = action.arguments;
      const known = view.projects.get(project)?.services.get(service)?.done ?? [];
      return withService(view, action.arguments, { done: new Map([...known, [slot, atMs]]) });
    }
    case 'claim': {
      const { self } = view;
      const others = (view.claims ?? []).filter(({ machine }) => machine !== self);
      const own = action.arguments.slots.map((claim) => ({ ...claim, machine: self }));
      return { ...view, claims: [...others, ...own] };
    }
    case 'moveSlots':
    case 'removeVolume':
    case 'reportFailure':
      return view;
  }
}

function withService(
  view: View,
  { project: of, service: name }: { readonly project: string; readonly service: string },
  change: Partial<ServiceView>,
): View {
  const project = view.projects.get(of);
  const service = project?.services.get(name);
  if (project === undefined || service === undefined) return view;
  const services = new Map(project.services).set(name, { ...service, ...change });
  return { ...view, projects: new Map(view.projects).set(of, { ...project, services }) };
}

function withContainer(view: View, id: string, change: Partial<ContainerView>): View {
  const containers = view.containers.map((container) =>
    container.id === id && container.machine === view.self
      ? { ...container, ...change }
      : container,
  );
  return { ...view, containers };
}

function withHook(
  view: View,
  { arguments: given }: Extract<Action, { readonly name: 'runHook' }>,
): View {
  const project = view.projects.get(given.project);
  const service = project?.services.get(given.service);
  if (project === undefined || service?.hook === undefined) return view;
  const state: HookRecord = {
    run: given.run,
    machine: view.self,
    state: 'done',
    containerId: '',
    startedMs: view.nowMs,
    endedMs: view.nowMs,
    exitCode: 0,
    why: '',
    lastLines: [],
  };
  const services = new Map(project.services);
  services.set(service.name, { ...service, hook: { ...service.hook, state } });
  const projects = new Map(view.projects);
  projects.set(project.name, { ...project, services });
  return { ...view, projects };
}

function withRun(view: View, action: Extract<Action, { readonly name: 'run' }>): View {
  const { project: projectName, service: name, slot, hash, rollout } = action.arguments;
  const project = view.projects.get(projectName);
  const service = project?.services.get(name);
  const machine = view.machines.get(view.self);
  if (project === undefined || service === undefined || machine === undefined) return view;
  const isDone = isAwaitedToComplete(project, service);
  const lasting = lastingName(service, slot, machine.name);
  const isTaken = view.containers.some((c) => c.machine === view.self && c.name === lasting);
  const container: ContainerView = {
    id: `${projectName}/${name}/${slot}/${hash}`,
    machine: view.self,
    name: isTaken ? `${lasting}_new` : lasting,
    project: projectName,
    service: name,
    slot,
    hash,
    rollout,
    image: service.spec.image ?? '',
    state: isDone ? 'exited' : 'running',
    health: hasHealthcheck(service.spec) ? 'healthy' : 'none',
    ready: !isDone,
    draining: false,
    ip: '',
    createdMs: view.nowMs,
    startedMs: view.nowMs,
    finishedMs: isDone ? view.nowMs : 0,
    exitCode: 0,
    restarts: 0,
    aliases: [],
    networks: {},
  };
  const failures = view.failures.filter(
    (failure) =>
      failure.machine !== view.self || failure.project !== projectName || failure.service !== name,
  );
  const containers = [...view.containers, container].sort(compareContainers);
  return { ...view, containers, failures };
}

/** Whether another service needs this one's end, so that ending is what it is for. */
function isAwaitedToComplete(project: ProjectView, service: ServiceView): boolean {
  return [...project.services.values()].some(
    ({ spec }) => spec.depends_on?.[service.name]?.condition === 'service_completed_successfully',
  );
}

/** The order that every view has. */
function compareContainers(left: ContainerView, right: ContainerView): number {
  return (
    compareText(left.project, right.project) ||
    compareText(left.service, right.service) ||
    compareSlots(left.slot, right.slot) ||
    compareText(left.machine, right.machine) ||
    compareText(left.id, right.id)
  );
}
