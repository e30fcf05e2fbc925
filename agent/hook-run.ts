/**
 * Runs `x-pre_deploy` of a service once: a container of the service's new image, with its data and
 * networks, whose exit code decides about the rollout. It carries out what src/plan/hook-steps.ts
 * says, in whose order lies that a hook never runs twice.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import type { ClusterId } from '../src/model/ids.ts';
import { composeLabel, label } from '../src/model/names.ts';
import { type HookRecord, recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { MachineView, ServiceView } from '../src/model/view.ts';
import { type HookFacts, nextHookStep } from '../src/plan/hook-steps.ts';
import { hookSpec, preDeployOf } from '../src/view/pre-deploy.ts';
import {
  type ContainerMaking,
  type ContainerOrder,
  containerBody,
  keyOf,
} from './container-start.ts';
import type { ContainerKey } from './files.ts';

/** The slot in the labels of a hook's container: no replica has it. */
const hookSlot = 'pre_deploy';
/** 200 ms: how often a hook that runs is looked at; most take seconds. */
const pollMs = 200;
/** 20: what the end of a failed migration says. */
const lastLineCount = 20;
/** The engine's "never started". */
const never = /^0001-/;

export interface HookComponents extends ContainerMaking {
  readonly replica: Pick<Replica, 'self' | 'get' | 'write'>;
  readonly refresh: (containerId: string) => Promise<void>;
  readonly now: () => number;
}

export interface HookOrder {
  readonly cluster: ClusterId;
  readonly machine: MachineView;
  readonly service: ServiceView;
  readonly run: string;
}

/** What keeps the files of the hook's container from being garbage. */
export function hookKeyOf(order: HookOrder): ContainerKey {
  return keyOf(containerOrder(order));
}

/**
 * Runs the hook, or waits for the one that was started.
 * @returns how it ended; undefined when it goes on without this agent's watching
 */
export async function runHookOnce(
  components: HookComponents,
  order: HookOrder,
): Promise<HookRecord | undefined> {
  const { engine, replica, refresh, isCurrent, now } = components;
  const { service, run } = order;
  const key = recordKey.hook(service.project, service.name);
  const timeoutMs = preDeployOf(service.name, service.spec)?.timeoutMs ?? 0;
  let found = await findContainer(components, order);
  for (;;) {
    // Written by this agent, or an earlier run of it, in this shape.
    const record = (replica.get(key)?.value ?? undefined) as HookRecord | undefined;
    const container = found && stateOf(found);
    const step = nextHookStep({
      run,
      self: replica.self,
      nowMs: now(),
      timeoutMs,
      record,
      container,
    });
    switch (step.type) {
      case 'create':
        found = await create(components, order);
        if (found === undefined) return undefined;
        break;
      case 'write':
        await replica.write(key, step.record);
        break;
      case 'start':
        await engine.start(step.containerId);
        await refresh(step.containerId);
        found = await engine.inspect(step.containerId);
        break;
      case 'wait':
        if (!isCurrent()) return undefined;
        await sleep(pollMs);
        found = await engine.inspect(step.containerId);
        break;
      case 'stop':
        await engine.stop(step.record.containerId, 0);
        return end(components, key, step.record);
      case 'end':
        return end(components, key, step.record);
    }
  }
}

/** Makes its container, which is started only when the record is safe. */
async function create(
  components: HookComponents,
  order: HookOrder,
): Promise<Docker.ContainerInspectInfo | undefined> {
  const { service, run } = order;
  const name = `${service.project}-${service.name}-${hookSlot}-${run.slice(0, 8)}`;
  const body = await containerBody(components, containerOrder(order), {
    name,
    inheritedVolumes: {},
  });
  if (body === undefined) return undefined;
  const id = await components.engine.createContainer({
    ...body,
    Labels: { ...body.Labels, [label.hook]: run, [composeLabel.oneOff]: 'True' },
  });
  return components.engine.inspect(id);
}

function stateOf({ Id, State }: Docker.ContainerInspectInfo): HookFacts['container'] {
  const hasEnded = !State.Running;
  const state = hasEnded ? (never.test(State.StartedAt) ? 'never started' : 'ended') : 'running';
  return { id: Id, state, exitCode: State.ExitCode };
}

/** Writes how it ended; a run that was replaced meanwhile says nothing any more. */
async function end(
  { engine, replica, isCurrent }: HookComponents,
  key: string,
  record: HookRecord,
): Promise<HookRecord | undefined> {
  if (!isCurrent()) return undefined;
  const { containerId } = record;
  const isLeft = (await engine.inspect(containerId)) !== undefined;
  const lastLines = isLeft ? await engine.logs(containerId, lastLineCount) : [];
  const result = { ...record, lastLines };
  await replica.write(key, result);
  // It stays until the rollout is over (src/plan/pre-deploy.ts): a record may be overruled, and then
  // the container is what shows that it has run.
  return result;
}

async function findContainer(
  { engine }: HookComponents,
  { cluster, service, run }: HookOrder,
): Promise<Docker.ContainerInspectInfo | undefined> {
  const found = await engine.listByLabels([
    `${label.cluster}=${cluster}`,
    `${label.project}=${service.project}`,
    `${label.service}=${service.name}`,
    `${label.hook}=${run}`,
  ]);
  return found[0] && engine.inspect(found[0].Id);
}

/** The service as its hook runs it. */
function containerOrder({ cluster, machine, service }: HookOrder): ContainerOrder {
  const hook = preDeployOf(service.name, service.spec);
  const spec = hook === undefined ? service.spec : hookSpec(service.spec, hook);
  return { cluster, machine, slot: hookSlot, service: { ...service, spec } };
}
