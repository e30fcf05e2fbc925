import { describe, expect, test } from 'vitest';
import { differences, type Running, violationsAt } from '../../chaos/checks.ts';
import { type Attempt, isPossible } from '../../chaos/workload.ts';

const web = (machine: string, slot: string, version = '1'): Running => ({
  machine,
  id: `${machine}-${slot}`,
  service: 'web',
  slot,
  version,
});
const other = (service: string, machine: string): Running => ({
  ...web(machine, '1'),
  service,
});

describe('what may never be', () => {
  const moment = { components: [['m1', 'm2'], ['m3']], partCount: 1, wantedCount: 2 };

  test('is two of what has data, on whichever side', () => {
    const running = [other('data', 'm1'), other('data', 'm3')];
    expect(violationsAt({ ...moment, running })).toEqual(['data runs 2 times: m1, m3']);
    expect(violationsAt({ ...moment, running: running.slice(1) })).toEqual([]);
  });

  test('is more replicas on one side than wanted and in the making, for each part there was', () => {
    const running = ['1', '2', '3', '4', '5'].map((slot) => web('m1', slot));
    expect(violationsAt({ ...moment, running })).toHaveLength(1);
    expect(violationsAt({ ...moment, running: running.slice(1) })).toEqual([]);
    expect(violationsAt({ ...moment, running, partCount: 2 })).toEqual([]);
    expect(violationsAt({ ...moment, running, components: [['m2'], ['m3']] })).toEqual([]);
  });
});

describe('the state of rest', () => {
  const machines = ['m1', 'm2'];
  const versions = new Map([['1', 2]]);
  const whole = [
    web('m1', '1'),
    web('m2', '2'),
    other('data', 'm1'),
    other('asker', 'm1'),
    other('asker', 'm2'),
  ];

  test('has no differences when all is there once', () => {
    expect(differences(whole, { machines, versions })).toEqual([]);
  });

  test.each<[string, readonly Running[]]>([
    ['a slot is missing', whole.slice(1)],
    ['a slot runs twice', [...whole, web('m2', '1')]],
    ['two versions run', [...whole.slice(1), web('m1', '1', '2')]],
    ['a replaced version runs', whole.map((one) => ({ ...one, version: '0' }))],
    ['the data is not there', whole.filter(({ service }) => service !== 'data')],
    ['a machine lacks its own', whole.slice(0, -1)],
  ])('has some when %s', (_, running) => {
    expect(differences(running, { machines, versions })).not.toEqual([]);
  });
});

test('a change may be in force until an acknowledged one that began after it', () => {
  const attempt = (version: number, startedMs: number, isAcknowledged = true): Attempt => ({
    version,
    replicas: 1,
    machine: 'm1',
    startedMs,
    endedMs: startedMs + 10,
    isAcknowledged,
    said: '',
    side: undefined,
  });
  const all = [attempt(1, 0), attempt(2, 5), attempt(3, 20), attempt(4, 40, false)];
  expect(all.filter((one) => isPossible(one, all)).map(({ version }) => version)).toEqual([3, 4]);
});
