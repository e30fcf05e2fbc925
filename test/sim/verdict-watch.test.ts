/**
 * Which second verdict of a rollout the simulation lets pass. Found by a seed: of three machines the
 * one that had judged slept, and the only other one that knew lost its disk; with the third, which had
 * slept before, it was two of three and judged again.
 */
import { expect, test } from 'vitest';
import { encodeJson } from '../../src/gossip/node.ts';
import { recordKey } from '../../src/model/record.ts';
import { SimCluster } from './cluster.ts';
import type { SimMachine } from './machine.ts';
import { projectName } from './projects.ts';
import { bringUp } from './work.ts';

/** Far longer than it takes until all know who is there. */
const settledMs = 60_000;

interface Case {
  readonly machineCount: number;
  /** What befalls the machine that is there each time; the judge is there first, the others later. */
  readonly witness: 'forgets' | 'restarts' | 'loses power' | 'hears nothing';
}

/**
 * Judges a rollout by hand in one part of a cluster and then in the other, and brings all together.
 * @returns the verdict that each machine has in the end
 */
function judgeTwice({ machineCount, witness }: Case): readonly string[] {
  const cluster = new SimCluster(3, { hasAgents: true });
  const { world } = cluster;
  cluster.form(machineCount);
  world.runUntil(8000);
  // No agent finds anything to judge.
  for (const { engine } of cluster.machines) engine.trouble.isHung = true;
  bringUp(cluster);
  world.runUntil(world.nowMs + 5000);
  const [judge, shared, ...later] = cluster.machines;
  const [laterJudge] = later;
  if (judge === undefined || laterJudge === undefined || shared === undefined) {
    throw new Error('too few machines');
  }
  const service = judge.agent?.view()?.projects.get(projectName)?.services.get('one');
  const key = recordKey.verdict(projectName, 'one', service?.rollout ?? '');
  const write = (machine: SimMachine, result: 'good' | 'paused'): void => {
    machine.node?.write(key, encodeJson({ result, atMs: machine.now() }));
  };
  for (const machine of later) machine.powerOff();
  if (witness === 'hears nothing') shared.powerOff();
  world.runUntil(world.nowMs + settledMs);
  // What comes now is not on its disk when the power goes.
  if (witness === 'loses power') shared.disk.flushMs = settledMs;
  write(judge, 'good');
  world.runUntil(world.nowMs + 2000);
  judge.powerOff();
  if (witness === 'loses power') shared.powerOff();
  else shared.killProcess();
  if (witness === 'forgets') shared.disk.lose();
  for (const machine of [shared, ...later]) machine.start();
  world.runUntil(world.nowMs + settledMs);
  write(laterJudge, 'paused');
  world.runUntil(world.nowMs + 2000);
  judge.start();
  world.runUntil(world.nowMs + settledMs);
  return cluster.machines.map(({ node }) => JSON.stringify(node?.map.get(key)?.value));
}

const hasChanged = /has changed from (good to paused|paused to good)/;

test('a second verdict passes when it needs a machine that has lost the first one', () => {
  const verdicts = judgeTwice({ machineCount: 3, witness: 'forgets' });
  expect(verdicts).toEqual(Array(3).fill(expect.stringContaining('paused')));
});

test('it does not pass when that machine has kept its disk', () => {
  expect(() => judgeTwice({ machineCount: 3, witness: 'restarts' })).toThrow(hasChanged);
});

test('it does not pass when a power cut took the first one from that machine', () => {
  expect(() => judgeTwice({ machineCount: 3, witness: 'loses power' })).toThrow(hasChanged);
});

test('it does not pass when no machine has ever known of both', () => {
  expect(() => judgeTwice({ machineCount: 3, witness: 'hears nothing' })).toThrow(hasChanged);
});

test('it does not pass when the others were enough without the machine that forgot', () => {
  expect(() => judgeTwice({ machineCount: 5, witness: 'forgets' })).toThrow(hasChanged);
});
