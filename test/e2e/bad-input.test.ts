/**
 * Bad input and a bad world: every failure is a clear sentence with place and hint, the right exit
 * code, no stack, nothing half-applied and nothing lost. One machine, real engine.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunResult } from '../lab/run.ts';
import { Cluster, engines } from './cluster.ts';

/** What holds for every failure, whatever it is about. */
function expectClearFailure(result: RunResult, code: number, ...words: readonly string[]): void {
  expect(result.code, result.stderr).toBe(code);
  for (const word of words) expect(result.stderr).toContain(word);
  expect(result.stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m);
  expect(result.stdout).toBe('');
}

describe.each(engines().slice(0, 1))('bad input on engine $engine', ({ engine }) => {
  let cluster: Cluster;
  const good = 'services: { web: { image: busybox, command: sleep 1000, init: true } }\n';

  beforeAll(async () => {
    cluster = await Cluster.create({
      machines: 1,
      engine,
      images: ['busybox:latest', 'node:24'],
    });
    cluster.writeFile('m1', 'app/compose.yaml', good);
    expect(await cluster.tsc('m1', ['up'], { cwd: 'app' })).toSucceed();
  });
  afterAll(() => cluster?.destroy());

  /** Runs `up` on a changed file of the running project, and checks that the project stays as it was. */
  async function upOf(text: string, args: readonly string[] = []): Promise<RunResult> {
    const before = await cluster.containers('app');
    cluster.writeFile('m1', 'app/compose.yaml', text);
    const result = await cluster.tsc('m1', ['up', ...args], { cwd: 'app' });
    expect(await cluster.containers('app')).toEqual(before);
    return result;
  }

  test('an unknown key is named with its place and the likely word', async () => {
    const result = await upOf(`services:\n  web:\n    image: busybox\n    comand: sleep 1\n`);
    expectClearFailure(result, 1, 'compose.yaml:4:5', 'comand', 'command');
  });

  test('a wrong type is named with its place', async () => {
    const result = await upOf(`services:\n  web:\n    image: busybox\n    ports: { a: 1 }\n`);
    expectClearFailure(result, 1, 'compose.yaml:4', 'ports');
  });

  test('a key that the cluster does not honour stops up, with the remedy', async () => {
    const result = await upOf(
      `services:\n  web:\n    image: busybox\n    models: [m]\nmodels: {m: {model: ai/x}}\n`,
    );
    expectClearFailure(result, 1, 'compose.yaml:4', 'models');
  });

  test('a service that is built, but was not, stops up with the command to run', async () => {
    const result = await upOf(`services:\n  web:\n    build: .\n`);
    expectClearFailure(result, 1, 'app-web', 'docker compose build web');
  });

  test('a missing file is named', async () => {
    const result = await cluster.tsc('m1', ['-f', 'absent.yaml', 'up'], { cwd: 'app' });
    expectClearFailure(result, 1, 'absent.yaml');
  });

  test('a folder without a Compose file says so', async () => {
    const result = await cluster.tsc('m1', ['up'], { cwd: 'nothing-here' });
    expectClearFailure(result, 1, 'compose.yaml');
  });

  test('an undefined variable with :? shows its message', async () => {
    const result = await upOf(
      'services:\n  web:\n    image: busybox:${TAG:?set TAG to a version}\n',
    );
    expectClearFailure(result, 1, 'TAG', 'set TAG to a version', 'compose.yaml:3');
  });

  test('an agent that does not run is named with the socket and what to do', async () => {
    cluster.writeFile('m1', 'app/compose.yaml', good);
    const result = await cluster.tsc('m1', ['--socket', '/run/absent.sock', 'ps'], { cwd: 'app' });
    expectClearFailure(result, 1, '/run/absent.sock');
  });

  test('an unknown flag is a usage error', async () => {
    expectClearFailure(
      await cluster.tsc('m1', ['up', '--nonsense'], { cwd: 'app' }),
      2,
      '--nonsense',
    );
  });

  test('an image that does not exist stops up before anything changes', async () => {
    const result = await upOf(
      good.replace('busybox', 'no-such-image:1').replace('sleep 1000', 'sleep 999'),
    );
    expectClearFailure(result, 1, 'no-such-image:1', 'web');
  });

  test('x-machines that name no machine stop up', async () => {
    const result = await upOf(good.replace('init: true', 'init: true, x-machines: [m9]'));
    expectClearFailure(result, 1, 'm9');
  });

  test('a host port in use ends up with exit code 1 and the port, and the old container goes on', async () => {
    const blocker = await cluster.lab
      .machine('m1')
      .spawn([process.execPath, '-e', "require('net').createServer().listen(8099,'0.0.0.0')"], {
        name: 'blocker',
      });
    cluster.writeFile(
      'm1',
      'port/compose.yaml',
      'services: { web: { image: busybox, command: sleep 1000, init: true, ports: [{ target: 80, published: "8099", mode: host }] } }\n',
    );
    const result = await cluster.tsc('m1', ['up'], { cwd: 'port' });
    expect(result.code, result.stderr).toBe(1);
    expect(result.stderr).toContain('8099');
    expect(result.stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m);
    await cluster.lab.machine('m1').signal(blocker.pid);
    expect(await cluster.tsc('m1', ['down'], { cwd: 'port' })).toSucceed();
    expect(await cluster.containers('port')).toEqual([]);
  });

  test('a container that ends at once makes up exit 1 with its last lines', async () => {
    cluster.writeFile(
      'm1',
      'broken/compose.yaml',
      'services: { web: { image: busybox, command: sh -c "echo the disk is on fire; exit 3" } }\n',
    );
    const result = await cluster.tsc('m1', ['up'], { cwd: 'broken' });
    expectClearFailure(result, 1, 'the disk is on fire', 'web', '3');
    expect(await cluster.tsc('m1', ['down'], { cwd: 'broken' })).toSucceed();
  });

  test('an engine that stops mid-way: up fails or waits with a sentence, and finishes when it is back', async () => {
    const machine = cluster.lab.machine('m1');
    cluster.writeFile(
      'm1',
      'mid/compose.yaml',
      'services: { web: { image: busybox, command: sleep 1000, init: true, restart: always, deploy: { replicas: 4 } } }\n',
    );
    const running = cluster.tsc('m1', ['up'], { cwd: 'mid' });
    await machine.stopEngine('SIGKILL');
    await machine.startEngine();
    const result = await running;
    expect(result.stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m);
    expect(await cluster.tsc('m1', ['up'], { cwd: 'mid' })).toSucceed();
    const containers = await cluster.containers('mid');
    expect(containers.filter((c) => c.state === 'running')).toHaveLength(4);
    expect(containers).toHaveLength(4);
    expect(await cluster.tsc('m1', ['down'], { cwd: 'mid' })).toSucceed();
  });
});
