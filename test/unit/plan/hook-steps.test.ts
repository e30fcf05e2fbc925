import { expect, test } from 'vitest';
import type { MachineId } from '../../../src/model/ids.ts';
import type { HookRecord } from '../../../src/model/record.ts';
import { type HookFacts, nextHookStep } from '../../../src/plan/hook-steps.ts';

const self = 'self' as MachineId;

const facts: HookFacts = {
  run: 'r1',
  self,
  nowMs: 1000,
  timeoutMs: 5000,
  record: undefined,
  container: undefined,
};

const started: HookRecord = {
  run: 'r1',
  machine: self,
  state: 'started',
  containerId: 'c1',
  startedMs: 1000,
  endedMs: 0,
  exitCode: null,
  why: '',
  lastLines: [],
};

const never = { id: 'c1', state: 'never started', exitCode: 0 } as const;
const running = { id: 'c1', state: 'running', exitCode: 0 } as const;

test('a container is made, then the record is written, then the container is started', () => {
  expect(nextHookStep(facts)).toEqual({ type: 'create' });
  expect(nextHookStep({ ...facts, container: never })).toEqual({ type: 'write', record: started });
  expect(nextHookStep({ ...facts, container: never, record: started })).toEqual({
    type: 'start',
    containerId: 'c1',
  });
});

test('the record of an earlier run, or of another machine, counts as none', () => {
  const records = [
    { ...started, run: 'r0' },
    { ...started, machine: 'other' as MachineId },
  ];
  for (const record of records) {
    expect(nextHookStep({ ...facts, record })).toEqual({ type: 'create' });
    expect(nextHookStep({ ...facts, record, container: running }).type).toBe('write');
  }
});

test('one that runs is waited for until its time is over', () => {
  const waiting = { ...facts, record: started, container: running };
  expect(nextHookStep({ ...waiting, nowMs: 5999 })).toEqual({ type: 'wait', containerId: 'c1' });
  expect(nextHookStep({ ...waiting, nowMs: 6000 })).toMatchObject({
    type: 'stop',
    record: { state: 'failed', why: 'it did not end within 5 s', exitCode: null, endedMs: 6000 },
  });
});

test.each([
  [0, 'done', ''],
  [3, 'failed', 'it exited with code 3'],
])('one that ended with code %i is %s', (exitCode, state, why) => {
  const container = { id: 'c1', state: 'ended', exitCode } as const;
  expect(nextHookStep({ ...facts, record: started, container })).toMatchObject({
    type: 'end',
    record: { state, why, exitCode, endedMs: 1000 },
  });
});

test('one that was started and has gone has failed, and is not made again', () => {
  expect(nextHookStep({ ...facts, record: started })).toMatchObject({
    type: 'end',
    record: { state: 'failed', exitCode: null },
  });
});

test('what has ended is over, whatever is left of it', () => {
  const record: HookRecord = { ...started, state: 'done', endedMs: 900, exitCode: 0 };
  expect(nextHookStep({ ...facts, record, container: never })).toEqual({ type: 'end', record });
});
