/**
 * A pre-deploy hook, step by step, on the machine that the pointer names. The order is what keeps it
 * from running twice: the container is made, the record `started` is durable, then it is started.
 * After a crash in between, a container that never ran is started, one that runs is waited for, one
 * that has ended is read; and one that has gone has failed, because nobody can say what it did.
 * Nothing is remembered between two steps but the record and the container. Pure.
 */
import type { MachineId } from '../model/ids.ts';
import type { HookRecord } from '../model/record.ts';

export interface HookFacts {
  readonly run: string;
  readonly self: MachineId;
  readonly nowMs: number;
  /** How long it may run. */
  readonly timeoutMs: number;
  /** The service's `hook/` record as it is now, of whatever run. */
  readonly record: HookRecord | undefined;
  /** The container of this run, if there is one. */
  readonly container:
    | {
        readonly id: string;
        readonly state: 'never started' | 'running' | 'ended';
        readonly exitCode: number;
      }
    | undefined;
}

export type HookStep =
  /** Make the container, and do not start it. */
  | { readonly type: 'create' }
  /** Write the record, durably, before anything else. */
  | { readonly type: 'write'; readonly record: HookRecord }
  | { readonly type: 'start'; readonly containerId: string }
  /** Look again later. */
  | { readonly type: 'wait'; readonly containerId: string }
  /** Its time is over: stop it, and write how it ended. */
  | { readonly type: 'stop'; readonly record: HookRecord }
  /** It has ended, as the record says once the last lines of its log are added. */
  | { readonly type: 'end'; readonly record: HookRecord };

const lostText = 'it was started and its container has gone: nobody can say how it ended';

/** What comes next; `end` is the last step. */
export function nextHookStep(facts: HookFacts): HookStep {
  const { run, self, nowMs, timeoutMs, container } = facts;
  const isThis = facts.record?.run === run && facts.record.machine === self;
  const record = isThis ? facts.record : undefined;
  if (record !== undefined && record.state !== 'started') return { type: 'end', record };
  if (container === undefined) {
    if (record === undefined) return { type: 'create' };
    return { type: 'end', record: ended(record, nowMs, { why: lostText }) };
  }
  if (record === undefined) {
    return {
      type: 'write',
      record: started({ run, machine: self, containerId: container.id, nowMs }),
    };
  }
  if (container.state === 'never started') return { type: 'start', containerId: container.id };
  if (container.state === 'ended') {
    return { type: 'end', record: ended(record, nowMs, { exitCode: container.exitCode }) };
  }
  if (nowMs < record.startedMs + timeoutMs) return { type: 'wait', containerId: container.id };
  const why = `it did not end within ${timeoutMs / 1000} s`;
  return { type: 'stop', record: ended(record, nowMs, { why }) };
}

function started(of: {
  readonly run: string;
  readonly machine: MachineId;
  readonly containerId: string;
  readonly nowMs: number;
}): HookRecord {
  const { run, machine, containerId, nowMs } = of;
  return {
    run,
    machine,
    state: 'started',
    containerId,
    startedMs: nowMs,
    endedMs: 0,
    exitCode: null,
    why: '',
    lastLines: [],
  };
}

interface End {
  readonly why?: string;
  readonly exitCode?: number;
}

function ended(record: HookRecord, endedMs: number, { why: given, exitCode }: End): HookRecord {
  const why = given ?? (exitCode === 0 ? '' : `it exited with code ${exitCode ?? 'unknown'}`);
  return {
    ...record,
    state: why === '' ? 'done' : 'failed',
    endedMs,
    exitCode: exitCode ?? null,
    why,
  };
}
