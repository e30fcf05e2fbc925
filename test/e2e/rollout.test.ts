/**
 * How a change ends, on real engines: services that fail in different ways in one `up`, each taken
 * back or paused as specified while the others go their own way; going back by hand; what changes
 * without a new container; jobs. Zero failed requests in an update that works: three-machines.test.
 */
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Machine } from '../lab/machine.ts';
import { Cluster, type ContainerFacts, engines } from './cluster.ts';

const engine = engines()[0]?.engine;

/** Four services that run, or that break each in its own way. */
function app(isBroken: boolean): string {
  const run = (service: string, broken: string): string =>
    JSON.stringify(['sh', '-c', isBroken ? broken : `echo ${service} works; exec sleep 100000`]);
  const version = isBroken ? '2' : '1';
  return `
services:
  nostart:
    image: busybox
    command: ${isBroken ? '["/no/such/program"]' : run('nostart', '')}
    init: true
    deploy: { replicas: 3 }
  crash:
    image: busybox
    command: ${run('crash', 'echo "cannot read settings"; exit 3')}
    restart: always
    init: true
    deploy: { replicas: 3 }
  sick:
    image: busybox
    command: ${run('sick', 'echo "sick as a dog"; exec sleep 100000')}
    init: true
    healthcheck: { test: ["CMD", "${isBroken ? 'false' : 'true'}"], interval: 1s, timeout: 2s, retries: 1 }
    stop_grace_period: 1s
    deploy: { replicas: 3 }
  data:
    image: busybox
    command: ${run('data', 'echo "wrong version of the data"; exit 4')}
    restart: "no"
    init: true
    volumes: ["store:/data"]
  fine:
    image: busybox
    command: ["sh", "-c", "echo version ${version}; exec httpd -f -p 80"]
    init: true
    deploy: { replicas: 3 }
volumes: { store: {} }
`;
}

/** On the third machine, which has no replica, the published port leads to all of them by its firewall. */
const published = `
services:
  web:
    image: busybox
    command: httpd -f -p 80
    init: true
    ports: ["8097:80"]
    x-machines: [m1, m2]
    deploy: { replicas: 2 }
`;

/** From now on an nft that starts on the machine waits while its /run/hold-nft is there. */
async function makeHoldable(machine: Machine): Promise<void> {
  const path = await machine.execOk(['sh', '-c', 'command -v nft']);
  const original = await machine.readFile(path);
  const held = 'while [ -e /run/hold-nft ]; do sleep 0.1; done';
  const text = original.replace('here=${0%/*}/..', `here=${dirname(path)}/..\n${held}`);
  await machine.writeFile('/srv/nft', text);
  await machine.execOk(['chmod', '755', '/srv/nft']);
  await machine.execOk(['mount', '--bind', '/srv/nft', path]);
}

/** Its firewall does not change until the file is removed; an nft that runs already is ended. */
async function holdFirewall(machine: Machine): Promise<void> {
  await machine.writeFile('/run/hold-nft', '');
  const end = 'for f in /proc/[0-9]*; do [ "$(cat $f/comm)" = nft ] && kill -9 ${f#/proc/}; done';
  await machine.exec(['sh', '-c', end]);
}

describe.runIf(engine !== undefined)(`rollouts on engine ${engine}`, () => {
  let cluster: Cluster;
  let before: readonly ContainerFacts[];

  beforeAll(async () => {
    cluster = await Cluster.create({
      machines: 3,
      engine: engine ?? '28.5',
      images: ['busybox:latest'],
    });
    cluster.writeFile('m1', 'app/compose.yaml', app(false));
    expect(await cluster.tsc('m1', ['up'], { cwd: 'app' })).toSucceed();
    before = await cluster.containers('app');
  });
  afterAll(() => cluster?.destroy());

  const tsc = (...args: string[]) => cluster.tsc('m1', args, { cwd: 'app' });
  const idsOf = (all: readonly ContainerFacts[], service: string): readonly string[] =>
    all.filter((c) => c.service === service && c.state === 'running').map((c) => c.id);

  const verdictOf = async (service: string): Promise<string | undefined> => {
    const [project] = (await cluster.snapshot('m2')).projects.filter(({ name }) => name === 'app');
    return project?.services.find(({ name }) => name === service)?.verdict?.result;
  };

  test('an image that nobody has is refused before anything changes', async () => {
    cluster.writeFile('m1', 'bad/compose.yaml', app(false).replace('busybox', 'localhost:1/no:1'));
    const result = await cluster.tsc('m1', ['-p', 'app', 'up'], { cwd: 'bad' });
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('localhost:1/no:1');
    expect(await cluster.containers('app')).toEqual(before);
  });

  test('what works is judged good after five seconds', async () => {
    for (const service of ['crash', 'data', 'fine', 'nostart', 'sick']) {
      await expect.poll(() => verdictOf(service), { timeout: 30_000 }).toBe('good');
    }
  });

  test('diff shows what the file changes, by service and key', async () => {
    cluster.writeFile('m1', 'app/compose.yaml', app(true));
    const { stdout } = await tsc('diff');
    expect(stdout).toContain('services.nostart.command\n');
    expect(stdout).toContain('+ /no/such/program');
    expect(stdout).not.toContain('services.data.volumes');
  });

  test('each service ends as specified, all at the same time, and the user sees why', async () => {
    const result = await tsc('up');
    expect(result.code).toBe(1);
    for (const text of ['cannot read settings', 'sick as a dog', 'wrong version of the data']) {
      expect(result.stderr).toContain(`| ${text}`);
    }
    expect(result.stderr).toMatch(
      /nostart: 3 of 3 ready: exited \(127\); rolled back to revision/u,
    );
    expect(result.stderr).toContain('/no/such/program failed: No such file');
    expect(result.stderr).toMatch(/crash: 3 of 3 ready: .*; rolled back to revision/u);
    expect(result.stderr).toMatch(/sick: 3 of 3 ready: is unhealthy.*; rolled back to revision/u);
    expect(result.stderr).toMatch(/data: 0 of 1 ready: .*exited \(4\)/u);
    await expect.poll(() => verdictOf('data'), { timeout: 30_000 }).toBe('paused');
    // The replicas of the earlier definition have never left; what broke may be on its way out.
    for (const service of ['nostart', 'crash', 'sick']) {
      const running = async () => idsOf(await cluster.containers('app'), service);
      await expect.poll(running, { timeout: 30_000 }).toEqual(idsOf(before, service));
    }
    const after = await cluster.containers('app');
    expect(idsOf(after, 'data')).toEqual([]);
    expect(idsOf(after, 'fine')).toHaveLength(3);
    expect(idsOf(after, 'fine')).not.toEqual(idsOf(before, 'fine'));
  });

  test('logs reaches what was replaced and what broke; ps says what was taken back', async () => {
    const logs = await tsc('logs', 'fine', 'crash', '--no-color');
    expect(logs.stdout).toMatch(/fine-1-old +\| version 1/u);
    expect(logs.stdout).toMatch(/fine-1 +\| version 2/u);
    expect(logs.stdout).toMatch(/crash-\d-old +\| cannot read settings/u);
    const { stderr } = await tsc('ps');
    expect(stderr).toMatch(/crash: .*rolled back to revision/u);
  });

  test('history has both changes, and rollback brings the earlier one back', async () => {
    const { stdout } = await tsc('history');
    const [, second, first] = stdout.split('\n');
    expect(second).toMatch(/^\w+ \*.* m1 .*rolled back: crash: .*sick: is unhealthy/u);
    expect(first).toMatch(/ good$/u);
    const back = await cluster.tsc('m3', ['rollback', 'app']);
    expect(back).toSucceed();
    const after = await cluster.containers('app');
    for (const service of ['crash', 'data', 'fine', 'nostart', 'sick']) {
      // Even where another container had its place: it was kept, and is started again.
      expect([...idsOf(after, service)].sort()).toEqual([...idsOf(before, service)].sort());
    }
    expect(after.map(({ name }) => name)).toEqual(before.map(({ name }) => name));
    const now = await tsc('history', '--format', 'json');
    expect(JSON.parse(now.stdout.split('\n')[0] ?? '')).toMatchObject({
      Act: 'rollback',
      Machine: 'm3',
      Revision: first?.split(' ')[0],
    });
  });

  test('ports, service labels and counts change without a new container', async () => {
    cluster.writeFile(
      'm1',
      'app/compose.yaml',
      app(false).replace(
        /command: \["sh", "-c", "echo version.*\n.*\n.*replicas: 3 \}/u,
        (text) =>
          text.replace('replicas: 3', 'replicas: 4, labels: { tier: front }') +
          '\n    ports: ["8099:80"]',
      ),
    );
    expect(await tsc('up')).toSucceed();
    const after = await cluster.containers('app');
    expect(idsOf(after, 'fine')).toHaveLength(4);
    expect(idsOf(after, 'fine')).toEqual(expect.arrayContaining([...idsOf(before, 'fine')]));
  });

  test('a job runs once a slot, two at a time, and is waited for on any machine', async () => {
    cluster.writeFile(
      'm2',
      'jobs/compose.yaml',
      `
services:
  convert:
    image: busybox
    command: ["sh", "-c", "echo from $$(date +%s); sleep 1; echo until $$(date +%s)"]
    deploy: { mode: replicated-job, replicas: 4, x-max-concurrent: 2 }
  web:
    image: busybox
    command: ["sleep", "100000"]
    init: true
    depends_on: { convert: { condition: service_completed_successfully } }
`,
    );
    expect(await cluster.tsc('m2', ['up'], { cwd: 'jobs' })).toSucceed();
    const all = await cluster.containers('jobs');
    const runs = all.filter((c) => c.service === 'convert');
    expect(runs.map(({ state }) => state)).toEqual(Array.from({ length: 4 }, () => 'exited'));
    const spans = await Promise.all(
      runs.map(async ({ machine, id }) => {
        const log = await cluster.docker(machine).getContainer(id).inspect();
        return [Date.parse(log.State.StartedAt), Date.parse(log.State.FinishedAt)] as const;
      }),
    );
    for (const [startMs] of spans) {
      const atOnce = spans.filter(([from, to]) => from <= startMs && startMs < to);
      expect(atOnce.length).toBeLessThanOrEqual(2);
    }
    const web = all.find((c) => c.service === 'web');
    const webMs = Date.parse(web?.startedAt ?? '');
    expect(webMs).toBeGreaterThanOrEqual(Math.max(...spans.map(([, to]) => to)));
    // Whoever cleans up does not run it again.
    const [first] = runs;
    await cluster
      .docker(first?.machine ?? '')
      .getContainer(first?.id ?? '')
      .remove();
    expect(await cluster.tsc('m2', ['scale', 'web=2'], { cwd: 'jobs' })).toSucceed();
    const left = (await cluster.containers('jobs')).filter((c) => c.service === 'convert');
    expect(left.map(({ id }) => id)).toEqual(runs.slice(1).map(({ id }) => id));
  });

  test('a replica that leaves runs until the slowest machine has taken it out of its traffic', async () => {
    cluster.writeFile('m1', 'leaving/compose.yaml', published);
    expect(await cluster.tsc('m1', ['up'], { cwd: 'leaving' })).toSucceed();
    const slow = cluster.lab.machine('m3');
    await makeHoldable(slow);
    // Well below the ten seconds for which a machine is waited for; a busy machine tries again.
    for (let attempt = 1; ; attempt++) {
      const before = await cluster.containers('leaving');
      await holdFirewall(slow);
      const heldMs = Date.now();
      const scaled = cluster.tsc('m1', ['scale', 'web=1'], { cwd: 'leaving' });
      await sleep(Math.max(0, heldMs + 3_000 - Date.now()));
      const meanwhile = await cluster.containers('leaving');
      const tookMs = Date.now() - heldMs;
      await slow.execOk(['rm', '/run/hold-nft']);
      expect(await scaled).toSucceed();
      if (tookMs > 7_000 && attempt < 3) {
        expect(await cluster.tsc('m1', ['scale', 'web=2'], { cwd: 'leaving' })).toSucceed();
        continue;
      }
      expect(idsOf(meanwhile, 'web')).toEqual(idsOf(before, 'web'));
      break;
    }
    await expect
      .poll(async () => idsOf(await cluster.containers('leaving'), 'web').length, {
        timeout: 60_000,
      })
      .toBe(1);
  });

  test('down leaves nothing behind, what was kept for its log included', async () => {
    for (const project of ['app', 'jobs', 'leaving']) {
      expect(await cluster.tsc('m1', ['-p', project, 'down'])).toSucceed();
      expect(await cluster.allContainers(project)).toEqual([]);
    }
  });
});
