/**
 * The commands that act on services, on three machines: what they ask for holds on every machine,
 * also on one that was cut off meanwhile. What runs is read from the engines.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster, engines } from './cluster.ts';

const compose = `
name: acts
services:
  db:
    image: busybox:latest
    command: sh -c 'trap "echo reloaded" HUP; trap "exit 3" TERM; while :; do sleep 0.1; done'
    restart: always
    x-machines: [m1]
  web:
    image: busybox:latest
    command: sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done'
    depends_on:
      db: { condition: service_started, restart: true }
    deploy: { replicas: 3 }
`;

// What is shown holds for any engine: one is enough.
describe.each(engines().slice(0, 1))('commands on engine $engine', ({ engine }) => {
  let cluster: Cluster;
  const tsc = (...args: string[]) => cluster.tsc('m2', ['-p', 'acts', ...args]);

  beforeAll(async () => {
    cluster = await Cluster.create({ machines: 3, engine, images: ['busybox:latest'] });
    cluster.writeFile('m1', 'acts/compose.yaml', compose);
    expect(await cluster.tsc('m1', ['up'], { cwd: 'acts' })).toSucceed();
  });
  afterAll(() => cluster?.destroy());

  const all = ['m1 db-1', 'm1 web', 'm2 web', 'm3 web'];
  /** Running containers, without the slots of web. */
  const running = async (): Promise<readonly string[]> =>
    (await cluster.running('acts')).map((one) => one.replace(/web-\d/, 'web')).sort();
  const starts = async (): Promise<ReadonlyMap<string, string>> =>
    new Map((await cluster.containers('acts')).map((c) => [c.name, c.startedAt]));
  /** Of a machine that was late for a moment, the command has said so and not waited for it. */
  const settled = <T>(look: () => Promise<T>, wanted: T): Promise<void> =>
    expect.poll(look, { timeout: 30_000, interval: 200 }).toEqual(wanted);

  test('why says where each replica is, why there, and who may have one more', async () => {
    const { stdout } = await tsc('why', 'web');
    expect(stdout).toMatch(/^web of project acts: replicated, 3 wanted\n {2}up .*on m1, /);
    const rows = /^\d +m\d +has it already +ready +run, .* ago: the slot is empty$/gm;
    expect(stdout.match(rows)).toHaveLength(3);
    expect(stdout).toMatch(/Machines for replica 4, best first:\nMACHINE +REPLICAS/);
    const db = await tsc('why', 'acts-db-1');
    expect(db.stdout).toMatch(/m2 may not: .*x-machines/);
  });

  test('plan shows the steps and the replicas that stay ready, and changes nothing', async () => {
    const before = await cluster.containers('acts');
    const args = ['plan', '--no-deps', '--force-recreate', 'web'];
    const { code, stdout } = await cluster.tsc('m1', args, { cwd: 'acts' });
    expect(code).toBe(0);
    expect(stdout.match(/^\d+ +m\d +create web-\d: .* 3 of 3$/gm)).toHaveLength(3);
    expect(stdout).toContain('web: never fewer than 3 of 3 ready.');
    expect(await cluster.containers('acts')).toEqual(before);
  });

  test('restart starts a service and its dependents anew, and keeps the containers', async () => {
    const before = await cluster.containers('acts');
    const first = await starts();
    expect(await tsc('restart', '-t', '5', 'db')).toSucceed();
    const startedAgain = async (since: ReadonlyMap<string, string>) =>
      [...(await starts())].filter(([name, at]) => since.get(name) !== at).map(([name]) => name);
    const names = before.map(({ name }) => name);
    await settled(() => startedAgain(first), names);
    const after = await cluster.containers('acts');
    expect(after.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
    const second = await starts();
    expect(await tsc('restart', '--index', '2', 'web')).toSucceed();
    await settled(() => startedAgain(second), ['acts-web-2']);
  });

  test('kill sends a signal that ends nothing, and SIGKILL ends for good', async () => {
    expect(await tsc('kill', '-s', 'HUP', 'db')).toSucceed();
    const endMs = Date.now() + 15_000;
    while (!(await tsc('logs', 'db')).stdout.includes('reloaded')) {
      if (Date.now() > endMs) throw new Error('the signal has not arrived');
    }
    await settled(running, all);
    expect(await tsc('kill', 'db')).toSucceed();
    await settled(running, all.slice(1));
    expect(await tsc('start', 'db')).toSucceed();
    await settled(running, all);
  });

  test('wait SERVICE prints the exit code and returns it', async () => {
    const waiting = tsc('wait', 'db');
    await sleep(1_000);
    expect(await tsc('stop', 'db')).toSucceed();
    const result = await waiting;
    expect([result.code, result.stdout.trim()]).toEqual([
      3,
      'container "acts-db-1" exited with status code 3',
    ]);
    expect(await tsc('start')).toSucceed();
    expect(await tsc('wait', '--timeout', '20')).toSucceed();
  });

  test('stop holds on a machine that was cut off, and rm removes there as well', async () => {
    await cluster.lab.partition(['m3'], ['m1', 'm2']);
    const endMs = Date.now() + 20_000;
    const isSeen = async () => (await cluster.machines()).some((m) => m.liveness !== 'reachable');
    while (!(await isSeen()) && Date.now() < endMs) await sleep(200);
    const stopped = await tsc('stop');
    expect(stopped).toSucceed();
    expect(stopped.stderr).toMatch(/m3 is (unreachable|lost): what it runs follows/);
    await settled(running, ['m3 web']);
    expect((await tsc('ps', '-a')).stdout).toMatch(/acts-db-1 .* Exited \(3\)/);
    await cluster.lab.heal();
    await settled(running, []);
    await cluster.untilReachable(3);
    expect(await tsc('rm', '--force', 'web')).toSucceed();
    const names = async () => (await cluster.containers('acts')).map(({ name }) => name);
    await settled(names, ['acts-db-1']);
    const nothing = await tsc('start', 'web');
    expect(nothing.code).toBe(1);
    expect(nothing.stderr).toContain('service "web" has no container to start');
    expect(await cluster.tsc('m1', ['up'], { cwd: 'acts' })).toSucceed();
    await settled(running, all);
  });
});
