import { expect, test } from 'vitest';
import type { MachineId } from '../../../src/model/ids.ts';
import type { ServiceView, View } from '../../../src/model/view.ts';
import { isStillWanted } from '../../../src/plan/still-wanted.ts';
import { aService, aView } from '../container/builders.ts';

const spec = { image: 'db:1' };
const begun = aService(spec, { view: { volumeHome: 'one' as MachineId } });

function now(change: Partial<ServiceView>): View {
  return aView([{ ...begun, ...change }]);
}

test('what has not changed is still wanted', () => {
  expect(isStillWanted(begun, now({}))).toBe(true);
  // A count or an assignment is for the next plan: what is made too much it takes away.
  expect(isStillWanted(begun, now({ replicaCount: 3, slots: { 1: 'two' as MachineId } }))).toBe(
    true,
  );
});

test.each<[string, Partial<ServiceView>]>([
  ['another definition', { hash: 'hash2' }],
  ['another rollout', { rollout: 'rollout2' }],
  ['a service that was stopped', { isStopped: true }],
  ['data that was moved to another machine', { volumeHome: 'two' as MachineId }],
  ['data that has no home any more', { volumeHome: undefined }],
])('nothing is made any more for %s', (_what, change) => {
  expect(isStillWanted(begun, now(change))).toBe(false);
});

test('nothing is made any more for a service, or a project, that was taken down', () => {
  expect(isStillWanted(begun, aView([]))).toBe(false);
  expect(isStillWanted(begun, { ...aView([]), projects: new Map() })).toBe(false);
});
