import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { volumeRows } from '../../../src/cli/volume-rows.ts';
import { label } from '../../../src/model/names.ts';
import { aSnapshot, m1, m2 } from '../api/fakes.ts';
import { aProject, aService } from './builders.ts';
import { type Harness, harness } from './harness.ts';

let house: Harness;
beforeEach(async () => {
  house = await harness();
});
afterEach(() => house.stop());

describe('volume ls', () => {
  const snapshot = aSnapshot({
    projects: [
      aProject(
        'shop',
        [aService('db', { volumes: ['shop_data'] }), aService('web', { volumes: ['shop_nfs'] })],
        {
          volumes: { shop_data: m1, shop_new: m2 },
        },
      ),
      aProject('old', [], { isRemoved: true, volumes: { old_data: m1 } }),
    ],
  });
  const own = { [label.cluster]: snapshot.cluster, [label.project]: 'shop' };
  const volume = (name: string, machine: typeof m1, driver = 'local', labels: object = own) => ({
    name,
    machine,
    driver,
    labels: labels as Readonly<Record<string, string>>,
  });

  test('tells homes, copies that nothing uses, shared volumes and those that are not made yet', () => {
    const rows = volumeRows(snapshot, [
      volume('shop_data', m1),
      volume('shop_data', m2),
      volume('shop_nfs', m2, 'nfs'),
      volume('old_data', m1),
      volume('somebody_else', m1, 'local', {}),
    ]);
    expect(
      rows.map(({ name, machine, services, state }) => [name, machine, services, state]),
    ).toEqual([
      ['old_data', 'm1', [], 'kept: the project is down'],
      ['shop_data', 'm1', ['db'], 'home'],
      ['shop_data', 'm2', [], 'kept: nothing uses it'],
      ['shop_new', 'm2', [], 'not made yet'],
      ['shop_nfs', 'm2', ['web'], 'used on this machine'],
    ]);
  });

  test('says which data is away', () => {
    const [first, ...others] = snapshot.machines;
    if (first === undefined) throw new Error('a snapshot has machines');
    const away = { ...snapshot, machines: [{ ...first, liveness: 'lost' as const }, ...others] };
    const row = volumeRows(away, []).find(({ name }) => name === 'shop_data');
    expect(row?.state).toBe('away: the machine is lost');
  });
});

describe('volume mv and abandon', () => {
  test('mv asks the agent and says what went where', async () => {
    const result = await house.tsc('volume', 'mv', 'shop_data', 'm2');
    expect(result).toMatchObject({ code: 0 });
    expect(result.stderr).toContain('1 volume from m1 to m2, with db: shop_data.');
    expect(result.stderr).toContain('2 MB copied and compared.');
    expect(house.agent.calls).toContainEqual(['move', 'shop_data', { machine: 'm2' }]);
  });

  test('abandon wants to be meant', async () => {
    expect(await house.tsc('volume', 'abandon', 'shop_data')).toMatchObject({ code: 1 });
    expect(house.agent.calls).toEqual([]);
    expect(await house.tsc('volume', 'abandon', 'shop_data', '--yes')).toMatchObject({ code: 0 });
    expect(house.agent.calls).toContainEqual(['abandon', 'shop_data', {}]);
  });
});
