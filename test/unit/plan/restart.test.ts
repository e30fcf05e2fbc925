import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Service } from '../../../src/model/project.ts';
import { type ContainerRecord, recordKey } from '../../../src/model/record.ts';
import type { ContainerView } from '../../../src/model/view.ts';
import { decideRestart, restartDelayMs } from '../../../src/plan/restart.ts';
import { restartPolicyOf } from '../../../src/view/service-spec.ts';
import { aProject, machineId, World } from '../../lib/builders.ts';
import { FakeCluster } from '../../lib/fake-cluster.ts';

/** Started and ended after the boot, after a short run. */
const ended = { exitCode: 1, startedMs: 600_000, finishedMs: 600_500, restarts: 0 };

/** The rows of the table in docs/restarts.md, by the head of each column. */
function documentedTable(): readonly Readonly<Record<string, string>>[] {
  const file = join(import.meta.dirname, '../../../docs/restarts.md');
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  const [heads = [], , ...rows] = lines;
  return rows.map((row) =>
    Object.fromEntries(heads.map((head, column) => [head, row[column] ?? ''])),
  );
}

/** The service of a row: "restart: always", or "condition: any" of restart_policy. */
function specOf(policy: string): Service {
  if (policy === '(absent)') return {};
  const [key = '', value = ''] = policy.split(': ', 2);
  return key === 'restart'
    ? { restart: value }
    : { deploy: { restart_policy: { condition: value } } };
}

const exits = (exitCode: number) => ({ state: 'exited', ready: false, exitCode }) as const;

/** What happens to the one container of a service that has been good for a while, by column. */
const events: Readonly<Record<string, readonly ((fake: FakeCluster) => void)[]>> = {
  'exit 0': [(fake) => change(fake, exits(0))],
  'exit 1': [(fake) => change(fake, exits(1))],
  unhealthy: [(fake) => change(fake, { health: 'unhealthy', ready: false })],
  'docker stop': [(fake) => change(fake, exits(143)), (fake) => change(fake, exits(137))],
  // The observer records 255 for what an engine ended (agent/engine-life.ts).
  'engine restart': [(fake) => change(fake, exits(255))],
  'agent restart': [() => undefined],
  reboot: [137, 143, 255].map((code) => (fake: FakeCluster) => {
    fake.bootedAtMs.set('a', fake.world.nowMs);
    change(fake, exits(code));
  }),
  'machine lost': [(fake) => fake.powerOff('a')],
  'machine back': [
    (fake) => {
      fake.powerOff('a');
      fake.settle();
      fake.powerOn('a');
    },
  ],
};

function change(fake: FakeCluster, to: Partial<ContainerRecord>): void {
  const [found] = fake.running('web');
  if (found === undefined) throw new Error('nothing runs');
  const { id, machine, ...record } = found;
  const finishedMs = to.state === 'exited' ? fake.world.nowMs : 0;
  fake.world.write(recordKey.container(machine, id), machine, { ...record, finishedMs, ...to });
}

/** What became of it, in the words of the table. */
function outcome(fake: FakeCluster, before: ContainerView): string {
  fake.settle();
  const found = fake
    .containers()
    .filter(({ machine }) => !fake.off.has(machine.slice('id-'.length)));
  const [one, ...more] = found;
  if (one === undefined || more.length > 0) return `${found.length} containers`;
  if (one.machine !== before.machine) return one.ready ? 'runs elsewhere' : 'broken elsewhere';
  const hasFailed = fake.world.view('a').failures.length > 0 && !one.ready;
  if (hasFailed) return 'failed';
  if (one.state === 'exited') return 'done';
  return one.startedMs > before.startedMs ? 'started again' : 'runs on';
}

describe('the table of docs/restarts.md', () => {
  const table = documentedTable();

  test('has a row for every policy and a column for every event', () => {
    expect(table.map((row) => row['policy'])).toEqual([
      '(absent)',
      'restart: no',
      'restart: on-failure',
      'restart: on-failure:3',
      'restart: always',
      'restart: unless-stopped',
      'condition: none',
      'condition: on-failure',
      'condition: any',
    ]);
    for (const row of table) expect(Object.keys(row)).toEqual(['policy', ...Object.keys(events)]);
  });

  test.each(
    table.flatMap((row) =>
      Object.keys(events).map((event) => [row['policy'] ?? '', event, row[event] ?? ''] as const),
    ),
  )('%s, %s: %s', (policy, event, wanted) => {
    for (const happens of events[event] ?? []) {
      const fake = new FakeCluster(new World('a', 'b', 'c'));
      fake.world.up('a', aProject({ web: { ...specOf(policy), 'x-machines': ['a', 'b'] } }));
      fake.settle();
      const [started] = fake.running('web');
      // On machine a, so that it is the one that goes.
      if (started?.machine !== machineId('a')) {
        const { id, machine, ...record } = started ?? raise();
        fake.world.write(recordKey.container(machine, id), machine, null);
        fake.world.container('a', id, record);
        fake.settle();
      }
      const [before] = fake.running('web');
      // Long after the start: what happens now is no crash loop.
      fake.world.nowMs += 60_000;
      happens(fake);
      expect(outcome(fake, before ?? raise())).toBe(wanted);
    }
  });

  test('what is done stays done when its machine is lost, comes back or reboots', () => {
    for (const restart of ['no', 'on-failure']) {
      const fake = new FakeCluster(new World('a', 'b', 'c'));
      fake.behaviours.set('web', { exitAfterMs: 100, exitCode: 0 });
      fake.world.up('a', aProject({ web: { restart } }));
      fake.settle();
      for (let round = 0; round < 60; round += 1) fake.tick();
      const machine = (fake.containers()[0]?.machine ?? '').slice('id-'.length);
      const { length } = fake.log;
      fake.powerOff(machine);
      fake.settle();
      fake.bootedAtMs.set(machine, fake.world.nowMs);
      fake.powerOn(machine);
      fake.settle();
      expect(fake.log.slice(length)).toEqual([]);
      expect(fake.containers()).toMatchObject([{ state: 'exited', exitCode: 0 }]);
    }
  });
});

function raise(): never {
  throw new Error('nothing runs');
}

describe('the pause before a restart', () => {
  const policy = restartPolicyOf({ restart: 'always' });

  test('doubles from a tenth of a second to a minute', () => {
    expect([0, 1, 2, 3, 9, 10, 1_000].map(restartDelayMs)).toEqual([
      100, 200, 400, 800, 51_200, 60_000, 60_000,
    ]);
  });

  test('counts from the end of the container, and the restart is counted', () => {
    expect(decideRestart(policy, { ...ended, restarts: 2 }, 0)).toEqual({
      type: 'start',
      atMs: 600_900,
      restarts: 3,
      why: 'exited (1)',
      isAfterBoot: false,
    });
  });

  test('begins anew after a run of ten seconds', () => {
    const stable = { ...ended, finishedMs: 610_000, restarts: 7 };
    expect(decideRestart(policy, stable, 0)).toMatchObject({ atMs: 610_100, restarts: 1 });
    const short = { ...ended, finishedMs: 609_999, restarts: 7 };
    expect(decideRestart(policy, short, 0)).toMatchObject({ restarts: 8 });
  });

  test('is at least the delay of the file, and its window says what a stable run is', () => {
    const own = restartPolicyOf({
      deploy: { restart_policy: { condition: 'any', delay: '5s', window: '1m' } },
    });
    const decision = decideRestart(own, { ...ended, finishedMs: 659_999, restarts: 1 }, 0);
    expect(decision).toMatchObject({ atMs: 664_999, restarts: 2 });
  });

  test('an end by the machine is no attempt', () => {
    const decision = decideRestart(policy, { ...ended, exitCode: 255, restarts: 4 }, 0);
    expect(decision).toMatchObject({ type: 'start', atMs: 0, restarts: 0 });
  });
});

test('on-failure:n gives up after n restarts', () => {
  const policy = restartPolicyOf({ restart: 'on-failure:3' });
  expect(decideRestart(policy, { ...ended, restarts: 2 }, 0).type).toBe('start');
  expect(decideRestart(policy, { ...ended, restarts: 3 }, 0)).toEqual({
    type: 'failed',
    why: 'exited (1) after 3 restarts',
  });
});
