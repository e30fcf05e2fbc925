import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { drainOf } from '../../../src/cli/machine-options.ts';
import type { RebalanceAnswer } from '../../../src/model/api.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import { aMachine, aSnapshot, fakeAgent, m1, m2 } from '../api/fakes.ts';
import { aContainer, aProject, aService } from './builders.ts';
import { type Harness, harness } from './harness.ts';

let house: Harness;
let calls: unknown[];
let answer: RebalanceAnswer;
/** What the cluster shows after a change, one after the other. */
let scenes: Snapshot[];

beforeEach(async () => {
  calls = [];
  scenes = [];
  answer = { moves: [], storedOnCount: 1 };
  const play = (): void => {
    for (const [index, scene] of scenes.entries()) {
      setTimeout(() => {
        house.agent.snapshot = scene;
        house.agent.change();
      }, 60 * index);
    }
  };
  house = await harness(
    fakeAgent({
      machines: () => ({
        setOptions: async (machine, request) => {
          calls.push([machine, request]);
          play();
          return { hlc: 1, storedOnCount: 2 };
        },
        removeMachine: async (machine, request) => {
          calls.push([machine, request]);
          return { hlc: 1, storedOnCount: 2, name: 'm2', notes: ['its data stays there'] };
        },
        rebalance: async (request) => {
          calls.push(request);
          play();
          return answer;
        },
      }),
    }),
  );
});
afterEach(() => house.stop());

const drained = { ...aMachine(m1, 'm1'), isDrained: true };

/** web-1 belongs to m2 by now, db-1 stays. */
function scene(...containers: readonly ReturnType<typeof aContainer>[]): Snapshot {
  return aSnapshot({
    machines: [drained, aMachine(m2, 'm2')],
    projects: [
      aProject('shop', [
        aService('web', { owners: { '1': m2 } }),
        aService('db', { owners: { '1': m1 } }),
        aService('lone', { owners: {} }),
        aService('each', { owners: {}, mode: 'global' }),
      ]),
    ],
    containers,
    waiting: [{ project: 'shop', service: 'db', slot: '1', why: 'held: its volume is on m1' }],
  });
}

describe('machine', () => {
  test('label, set, drain and activate say what is to be written, and nothing else', async () => {
    house.agent.snapshot = scene();
    for (const line of [
      'label m1 disk=ssd a=b=c old-',
      'set m1 --weight 2.5 --resource gpu=2 --resource fpga=auto',
      'set m1 --weight auto',
      'drain m1 --no-wait',
      'activate m1',
    ]) {
      expect(await house.tsc('machine', ...line.split(' ')), line).toMatchObject({ code: 0 });
    }
    expect(calls).toEqual([
      ['m1', { labels: { disk: 'ssd', a: 'b=c', old: null } }],
      ['m1', { weight: 2.5, resources: { gpu: 2, fpga: null } }],
      ['m1', { weight: null }],
      ['m1', { drain: true }],
      ['m1', { drain: false }],
    ]);
  });

  test('rm removes a machine, and says what is left', async () => {
    const gentle = await house.tsc('machine', 'rm', 'm2');
    expect(gentle).toEqual({
      code: 0,
      stdout: '',
      stderr: 'm2 was removed from the cluster.\nnote: its data stays there\n',
    });
    expect(await house.tsc('machine', 'rm', m2, '--force')).toMatchObject({ code: 0 });
    expect(calls).toEqual([
      ['m2', { force: false }],
      [m2, { force: true }],
    ]);
  });

  test.each([
    ['label m1 disk', 'neither NAME=VALUE nor NAME-'],
    ['set m1 --weight 0', '--weight needs a number above 0'],
    ['set m1 --weight heavy', '--weight needs a number above 0'],
    ['set m1 --resource gpu', 'is not of the form KIND=COUNT'],
    ['set m1', 'nothing to set'],
    ['label none', 'no machine of this cluster is called "none"'],
  ])('%s is refused', async (line, expected) => {
    const result = await house.tsc('machine', ...line.split(' '));
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain(expected);
    expect(calls).toEqual([]);
  });

  test('drain waits until what can move has moved, and says what stays', async () => {
    const db = aContainer('shop-db-1');
    const moved = aContainer('shop-web-1', { machine: m2, id: 'new' });
    scenes = [scene(aContainer('shop-web-1'), db), scene(aContainer('shop-web-1'), moved, db)];
    house.agent.snapshot = scenes[0] ?? aSnapshot();
    scenes.push(scene(moved, db));
    const result = await house.tsc('machine', 'drain', 'm1');
    expect(result).toMatchObject({ code: 0, stdout: '' });
    expect(result.stderr).toBe(
      'shop-web-1 has left m1\nshop-db-1 stays: held: its volume is on m1\nm1 is drained.\n',
    );
  });

  test('drain gives up after --timeout', async () => {
    house.agent.snapshot = scene(aContainer('shop-web-1'));
    const result = await house.tsc('machine', 'drain', 'm1', '--timeout', '1');
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toContain('1 container still to leave m1; this goes on.');
  });

  test('what nobody else can run stays; replicas of global services leave', () => {
    const snapshot = scene(
      aContainer('shop-lone-1'),
      aContainer(`shop-each-${m1}`),
      aContainer('other-web-1'),
      aContainer('shop-web-1', { state: 'exited' }),
    );
    const { leaving, staying } = drainOf(snapshot, drained);
    expect(leaving.map(({ service }) => service)).toEqual(['each']);
    expect(staying.map(({ container, why }) => [container.service, why])).toEqual([
      ['lone', 'no other machine can run it'],
    ]);
  });
});

describe('rebalance', () => {
  const move = { project: 'shop', service: 'web', slot: '1', from: m1, to: m2 };

  test('says that there is nothing to do', async () => {
    const result = await house.tsc('rebalance', 'shop');
    expect(result).toMatchObject({ code: 0, stdout: '' });
    expect(result.stderr).toContain('nothing to move');
    expect(calls).toEqual([{ projects: ['shop'], isDryRun: false }]);
  });

  test('--dry-run only shows the moves', async () => {
    answer = { moves: [{ ...move, container: 'c1' }], storedOnCount: 0 };
    const result = await house.tsc('-p', 'shop', 'rebalance', '--dry-run');
    expect(result).toEqual({ code: 0, stdout: 'shop-web-1  m1 -> m2\n', stderr: '' });
    expect(calls).toEqual([{ projects: ['shop'], isDryRun: true }]);
  });

  test('waits until the old containers are gone', async () => {
    const old = aContainer('shop-web-1');
    answer = { moves: [{ ...move, container: old.id }], storedOnCount: 2 };
    house.agent.snapshot = aSnapshot({ containers: [old] });
    scenes = [aSnapshot({ containers: [old] }), aSnapshot({ containers: [] })];
    const result = await house.tsc('rebalance');
    expect(result).toMatchObject({ code: 0, stdout: 'shop-web-1  m1 -> m2\n' });
    expect(result.stderr).toBe('shop-web-1 has moved\n');
  });

  test('fails when the new container breaks', async () => {
    const old = aContainer('shop-web-1');
    answer = { moves: [{ ...move, container: old.id }], storedOnCount: 2 };
    const broken = { rollout: 'r1', why: 'no image', exitCode: null, lastLines: [], atMs: 1 };
    const failures = [{ ...broken, machine: m2, project: 'shop', service: 'web', slot: '1' }];
    house.agent.snapshot = aSnapshot({ containers: [old], failures });
    const result = await house.tsc('rebalance');
    expect(result).toMatchObject({ code: 1 });
    expect(result.stderr).toBe('shop-web-1 stays where it is: it broke on m2\n');
  });
});
