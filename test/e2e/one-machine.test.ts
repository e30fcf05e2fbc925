/**
 * One machine, real engine: what `docker compose` users expect of up, a second up, a changed file,
 * orphans, a part of the services, and down; and that nothing foreign is touched.
 * Method: container ids before and after tell which containers were replaced.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ensurePackages } from '../lab/packages.ts';
import { Cluster, engines } from './cluster.ts';

describe.each(engines())('one machine on engine $engine', ({ engine }) => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await Cluster.create({ machines: 1, engine });
  });
  afterAll(() => cluster?.destroy());

  const up = (...args: string[]) => cluster.up('m1', 'guestbook', args);

  test('up of the guestbook brings web and redis up and says where the app answers', async () => {
    const result = await up();
    expect(result).toSucceed();
    const containers = await cluster.containers('guestbook');
    expect(containers.map((c) => c.name)).toEqual([
      'guestbook-redis-1',
      'guestbook-web-1',
      'guestbook-web-2',
      'guestbook-web-3',
    ]);
    expect(result.stderr + result.stdout).toContain('guestbook.example.com');
    const page = await cluster.http('m1', 'guestbook.example.com', '/');
    expect(page.status).toBe(200);
    expect(JSON.parse(page.body)).toMatchObject({ greeting: 'Hello', visits: 1 });
  });

  test('a second up without a change touches no container', async () => {
    const before = await cluster.containers('guestbook');
    expect(await up()).toSucceed();
    expect(await cluster.containers('guestbook')).toEqual(before);
  });

  test('a changed environment replaces the containers of that service only', async () => {
    const before = await cluster.containers('guestbook');
    const result = await cluster.up('m1', 'guestbook', [], { GREETING: 'Salut' });
    expect(result).toSucceed();
    // The names of the old ones are taken over when these are gone, a moment after all is ready.
    await expect
      .poll(async () => (await cluster.containers('guestbook')).map((c) => c.name), {
        timeout: 10_000,
      })
      .toEqual(before.map((c) => c.name));
    const after = await cluster.containers('guestbook');
    const ids = (list: typeof after, service: string) =>
      list.filter((c) => c.service === service).map((c) => c.id);
    expect(ids(after, 'redis')).toEqual(ids(before, 'redis'));
    expect(ids(after, 'web')).toHaveLength(3);
    for (const id of ids(after, 'web')) expect(ids(before, 'web')).not.toContain(id);
    const page = await cluster.http('m1', 'guestbook.example.com', '/');
    expect(JSON.parse(page.body)).toMatchObject({ greeting: 'Salut', visits: 2 });
  });

  test('up of one service changes it and what it depends on only', async () => {
    cluster.writeFile('m1', 'part/compose.yaml', partFile('1'));
    expect(await cluster.tsc('m1', ['up'], { cwd: 'part' })).toSucceed();
    const before = await cluster.containers('part');
    cluster.writeFile('m1', 'part/compose.yaml', partFile('2'));
    expect(await cluster.tsc('m1', ['up', 'web'], { cwd: 'part' })).toSucceed();
    const after = await cluster.containers('part');
    const id = (list: typeof after, service: string) => list.find((c) => c.service === service)?.id;
    expect(id(after, 'web')).not.toBe(id(before, 'web'));
    expect(id(after, 'cache')).not.toBe(id(before, 'cache'));
    expect(id(after, 'other')).toBe(id(before, 'other'));
  });

  test('a service no longer in the file is kept and reported, and removed with --remove-orphans', async () => {
    cluster.writeFile('m1', 'part/compose.yaml', partFile('2', { withOther: false }));
    const kept = await cluster.tsc('m1', ['up'], { cwd: 'part' });
    expect(kept).toSucceed();
    expect(kept.stderr).toContain('other');
    expect(kept.stderr).toContain('--remove-orphans');
    expect((await cluster.containers('part')).map((c) => c.service)).toContain('other');
    expect(await cluster.tsc('m1', ['up', '--remove-orphans'], { cwd: 'part' })).toSucceed();
    await expect
      .poll(async () => (await cluster.containers('part')).map((c) => c.service), {
        timeout: 15_000,
      })
      .toEqual(['cache', 'web']);
  });

  test('scale changes the number of replicas and nothing else', async () => {
    const before = await cluster.containers('part');
    expect(await cluster.tsc('m1', ['scale', 'web=3'], { cwd: 'part' })).toSucceed();
    const after = await cluster.containers('part');
    expect(after.map((c) => c.name)).toEqual([
      'part-cache-1',
      'part-web-1',
      'part-web-2',
      'part-web-3',
    ]);
    for (const container of before) expect(after.map((c) => c.id)).toContain(container.id);
  });

  test('containers of plain docker compose stay as they are, and stop an up of the same name', async () => {
    const compose = join((await ensurePackages('compose')).bin, 'docker-compose');
    const file = 'services: { app: { image: busybox, command: sleep 1000, init: true } }\n';
    cluster.writeFile('m1', 'plain/compose.yaml', file);
    const dir = cluster.folder('m1', 'plain');
    await cluster.lab.machine('m1').execOk([compose, '-p', 'plain', 'up', '-d'], { cwd: dir });
    const before = await cluster.plainContainers('m1', 'plain');
    expect(before).toHaveLength(1);
    const refused = await cluster.tsc('m1', ['up'], { cwd: 'plain' });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('plain-app-1');
    const down = await cluster.tsc('m1', ['down', '-v'], { cwd: 'plain' });
    expect(down.code).toBe(0);
    expect(await cluster.plainContainers('m1', 'plain')).toEqual(before);
  });

  test('a dry run shows the steps and changes nothing', async () => {
    const before = await cluster.containers('guestbook');
    const result = await cluster.up('m1', 'guestbook', ['--dry-run'], { GREETING: 'Hola' });
    expect(result).toSucceed();
    expect(result.stdout + result.stderr).toContain('m1');
    expect(result.stdout + result.stderr).toContain('web');
    expect(await cluster.containers('guestbook')).toEqual(before);
  });

  test('Ctrl-C ends the watching with 130 and says that it goes on, and it does', async () => {
    cluster.writeFile(
      'm1',
      'slow/compose.yaml',
      `
services:
  app:
    image: busybox
    command: sleep 1000
    init: true
    healthcheck: { test: "test -e /ready || { sleep 4; touch /ready; }", interval: 3s, timeout: 10s }
`,
    );
    const result = await cluster.tsc('m1', ['up'], { cwd: 'slow', interruptAfterMs: 1_500 });
    expect(result.code, result.stderr).toBe(130);
    expect(result.stderr).toMatch(/go(es)? on/u);
    await expect
      .poll(async () => (await cluster.containers('slow')).map((c) => c.state), { timeout: 15_000 })
      .toEqual(['running']);
    expect(await cluster.tsc('m1', ['up'], { cwd: 'slow' })).toSucceed();
    expect(await cluster.tsc('m1', ['down'], { cwd: 'slow' })).toSucceed();
  });

  test('the agent restarts what ends, by the restart policy, and nothing else', async () => {
    cluster.writeFile(
      'm1',
      'restarts/compose.yaml',
      `
services:
  always: { image: busybox, command: sleep 1000, init: true, restart: always }
  never: { image: busybox, command: sleep 1000, init: true }
  once: { image: busybox, command: "true" }
`,
    );
    expect(await cluster.tsc('m1', ['up'], { cwd: 'restarts' })).toSucceed();
    const before = await cluster.containers('restarts');
    expect(before.map((c) => c.state)).toEqual(['running', 'running', 'exited']);
    for (const one of before.slice(0, 2)) await cluster.docker('m1').getContainer(one.id).kill();
    await expect
      .poll(async () => (await cluster.containers('restarts')).map((c) => c.state), {
        timeout: 10_000,
      })
      .toEqual(['running', 'exited', 'exited']);
    const after = await cluster.containers('restarts');
    expect(after.map((c) => c.id)).toEqual(before.map((c) => c.id));
    expect(after[0]?.startedAt).not.toBe(before[0]?.startedAt);
    expect(await cluster.tsc('m1', ['down'], { cwd: 'restarts' })).toSucceed();
  });

  test('down leaves no container, down -v no volume; foreign containers are untouched', async () => {
    const foreign = await cluster.foreignContainer('m1', 'stranger', {
      'com.docker.compose.project': 'elsewhere',
      'com.docker.compose.service': 'stranger',
    });
    const other = await cluster.containers('part');
    expect(await cluster.tsc('m1', ['down'], { cwd: 'guestbook' })).toSucceed();
    expect(await cluster.containers('guestbook')).toEqual([]);
    expect(await cluster.volumes('m1')).toContain('guestbook_entries');
    expect(await up()).toSucceed();
    const page = await cluster.http('m1', 'guestbook.example.com', '/');
    expect(JSON.parse(page.body).visits).toBe(3);
    expect(await cluster.tsc('m1', ['down', '-v'], { cwd: 'guestbook' })).toSucceed();
    expect(await cluster.containers('guestbook')).toEqual([]);
    expect(await cluster.volumes('m1')).not.toContain('guestbook_entries');
    expect(await cluster.containers('part')).toEqual(other);
    expect((await cluster.docker('m1').getContainer(foreign).inspect()).State.Running).toBe(true);
  });
});

/** A file of three services whose first two change with the version. */
function partFile(version: string, { withOther = true } = {}): string {
  return `
services:
  web:
    image: busybox
    command: sleep 1000
    init: true
    environment: { VERSION: "${version}" }
    depends_on: [cache]
  cache:
    image: busybox
    command: sleep 1000
    init: true
    environment: { VERSION: "${version}" }
${withOther ? '  other:\n    image: busybox\n    command: sleep 1000\n    init: true\n' : ''}`;
}
