/**
 * Runs `x-pre_deploy` of a service once: a container of the service's new image, with its data and
 * networks, whose exit code decides about the rollout. The order of the steps is what keeps it from
 * running twice: the container is made, the record `started` is durable, then it is started. After a
 * crash in between, a container that never ran is started, one that runs is waited for, one that has
 * ended is read; and one that has gone has failed, because nobody can say what it did.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type Docker from 'dockerode';
import type { ClusterId } from '../src/model/ids.ts';
import { composeLabel, label } from '../src/model/names.ts';
import { type HookRecord, recordKey } from '../src/model/record.ts';
import type { Replica } from '../src/model/replica.ts';
import type { MachineView, ServiceView } from '../src/model/view.ts';
import { hookSpec, preDeployOf } from '../src/view/pre-deploy.ts';
import {
  type ContainerOrder,
  type ContainerStartComponents,
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

export interface HookComponents extends ContainerStartComponents {
  readonly replica: Pick<Replica, 'self' | 'get' | 'write'>;
  readonly refresh: (containerId: string) => Promise<void>;
  /** False once another run has taken its place, or the agent stops. */
  readonly isCurrent: () => boolean;
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
  const { engine, replica, now } = components;
  const { service, run } = order;
  const key = recordKey.hook(service.project, service.name);
  const before = replica.get(key)?.value as HookRecord | null | undefined;
  const started = before?.run === run && before.machine === replica.self ? before : undefined;
  let found = await findContainer(components, order);
  if (found === undefined && started !== undefined) {
    return write(components, key, ended(started, now(), { why: lostText }));
  }
  if (found === undefined) {
    const name = `${service.project}-${service.name}-${hookSlot}-${run.slice(0, 8)}`;
    const body = await containerBody(components, containerOrder(order), {
      name,
      inheritedVolumes: {},
    });
    const id = await engine.createContainer({
      ...body,
      Labels: { ...body.Labels, [label.hook]: run, [composeLabel.oneOff]: 'True' },
    });
    found = await engine.inspect(id);
    if (found === undefined) return undefined;
  }
  const record: HookRecord = started ?? {
    run,
    machine: replica.self,
    state: 'started',
    containerId: found.Id,
    startedMs: now(),
    endedMs: 0,
    exitCode: null,
    why: '',
    lastLines: [],
  };
  if (started === undefined) await replica.write(key, record);
  if (never.test(found.State.StartedAt)) await engine.start(found.Id);
  await components.refresh(found.Id);
  const end = await untilEnd(components, order, record);
  if (end === undefined) return undefined;
  const lastLines = await engine.logs(record.containerId, lastLineCount);
  const result = await write(components, key, ended(record, now(), { ...end, lastLines }));
  // One that failed stays for its logs until the next run, or the end of the project.
  if (result.state === 'done') await engine.remove(record.containerId);
  await components.refresh(record.containerId);
  return result;
}

const lostText = 'it was started and its container has gone: nobody can say how it ended';

interface End {
  readonly why?: string;
  readonly exitCode?: number;
  readonly lastLines?: readonly string[];
}

function ended(record: HookRecord, endedMs: number, end: End): HookRecord {
  const { exitCode, lastLines = [] } = end;
  const why = end.why ?? (exitCode === 0 ? '' : `it exited with code ${exitCode ?? 'unknown'}`);
  return {
    ...record,
    state: why === '' ? 'done' : 'failed',
    endedMs,
    exitCode: exitCode ?? null,
    why,
    lastLines,
  };
}

/** A run that was replaced meanwhile says nothing any more. */
async function write(
  { replica, isCurrent }: HookComponents,
  key: string,
  record: HookRecord,
): Promise<HookRecord> {
  if (isCurrent()) await replica.write(key, record);
  return record;
}

/** Waits for the container's end, its time-out, or the end of the interest in it. */
async function untilEnd(
  { engine, isCurrent, now }: HookComponents,
  { service }: HookOrder,
  { containerId, startedMs }: HookRecord,
): Promise<End | undefined> {
  const timeoutMs = preDeployOf(service.name, service.spec)?.timeoutMs ?? 0;
  for (;;) {
    if (!isCurrent()) return undefined;
    const found = await engine.inspect(containerId);
    if (found === undefined) return { why: lostText };
    if (!found.State.Running && !never.test(found.State.StartedAt)) {
      return { exitCode: found.State.ExitCode };
    }
    if (now() >= startedMs + timeoutMs) {
      await engine.stop(containerId, 0);
      return { why: `it did not end within ${timeoutMs / 1000} s` };
    }
    await sleep(pollMs);
  }
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
