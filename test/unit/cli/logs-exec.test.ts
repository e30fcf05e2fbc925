/** `logs` and `exec` against a stand-in for an engine that speaks Docker's streams. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ContainerView } from '../../../src/model/view.ts';
import { aSnapshot, fakeAgent } from '../api/fakes.ts';
import { aContainer, aProject, aService } from './builders.ts';
import { type StandIn, standIn } from './engine-stand-in.ts';
import { type Harness, harness } from './harness.ts';

let engine: StandIn;
let house: Harness;

beforeEach(async () => {
  engine = standIn();
  house = await harness(fakeAgent({ localDocker: engine.docker }));
  show([aContainer('shop-web-1'), aContainer('shop-redis-1')]);
});
afterEach(() => house.stop());

function show(containers: readonly ContainerView[]): void {
  const services = ['web', 'redis', 'tty', 'gone'].map((name) => aService(name));
  house.agent.snapshot = aSnapshot({ projects: [aProject('shop', services)], containers });
  house.agent.change();
}

describe('logs', () => {
  test('of all containers carry prefixes, each on its own stream', async () => {
    const { code, stdout, stderr } = await house.tsc('-p', 'shop', 'logs');
    expect(code).toBe(0);
    expect(stdout.split('\n').sort()).toEqual([
      '',
      'redis-1  | hello from id-shop-redis-1',
      'web-1    | hello from id-shop-web-1',
    ]);
    expect(stderr).toContain('web-1    | a complaint\n');
  });

  test('of one service, with flags', async () => {
    const words = '-p shop logs --no-log-prefix -t --tail 5 --since 100 web'.split(' ');
    const result = await house.tsc(...words);
    expect(result.stdout).toBe('hello from id-shop-web-1\n');
    expect(Object.fromEntries(engine.logQueries[0] ?? [])).toMatchObject({
      follow: '0',
      tail: '5',
      timestamps: '1',
      since: '100',
      stdout: '1',
      stderr: '1',
    });
  });

  test('of a container with a terminal are plain bytes', async () => {
    show([aContainer('shop-tty-1')]);
    const { stdout } = await house.tsc('-p', 'shop', 'logs');
    expect(stdout).toBe('tty-1  | plain\ntty-1  | bytes\n');
  });

  test('of a container that went away do not hide the others', async () => {
    show([aContainer('shop-gone-1'), aContainer('shop-web-1')]);
    const { code, stdout, stderr } = await house.tsc('-p', 'shop', 'logs');
    expect(code).toBe(0);
    expect(stdout).toContain('hello from id-shop-web-1');
    expect(stderr).toContain('gone-1: No such container: gone');
  });

  test('of an unknown service are an error', async () => {
    expect(await house.tsc('-p', 'shop', 'logs', 'nope')).toMatchObject({ code: 1 });
  });

  test('that are followed take in new replicas and restarts, until Ctrl-C', async () => {
    show([aContainer('shop-web-1')]);
    const running = house.tsc('-p', 'shop', 'logs', '-f', '--tail', '1');
    await expect.poll(() => engine.open.size).toBe(1);
    show([aContainer('shop-web-1'), aContainer('shop-web-2')]);
    await expect.poll(() => engine.open.size).toBe(2);
    engine.open.get('id-shop-web-1')?.end();
    await new Promise((resolve) => setTimeout(resolve, 100));
    show([aContainer('shop-web-1', { startedMs: 2_500 }), aContainer('shop-web-2')]);
    await expect.poll(() => engine.logQueries.length).toBe(3);
    expect(Object.fromEntries(engine.logQueries[2] ?? [])).toMatchObject({
      since: '2.5',
      tail: 'all',
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    process.emit('SIGINT');
    const { code, stdout } = await running;
    expect(code).toBe(130);
    expect(stdout.split('\n').filter((line) => line.startsWith('web-1'))).toHaveLength(2);
    expect(stdout).toContain('web-2  | hello from id-shop-web-2');
  });
});

describe('exec', () => {
  test('passes input, both outputs and the exit code through', async () => {
    engine.exitCode = 7;
    const words = '-p shop exec -T -u me -w /tmp -e FROM_HERE -e A=b web cat -n --all'.split(' ');
    const options = { input: 'some input', env: { FROM_HERE: '1' } };
    const result = await house.tscWith(options, ...words);
    expect(result).toEqual({ code: 7, stdout: 'got some input', stderr: 'to stderr\n' });
    expect(engine.execBodies[0]).toMatchObject({
      Cmd: ['cat', '-n', '--all'],
      Env: ['FROM_HERE=1', 'A=b'],
      User: 'me',
      WorkingDir: '/tmp',
      AttachStdin: true,
      Tty: false,
    });
  });

  test('in a service that does not run is an error', async () => {
    expect(await house.tsc('-p', 'shop', 'exec', 'nope', 'true')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('service "nope" is not running in project "shop"'),
    });
  });

  test('in a container that went away shows the engine’s words', async () => {
    show([aContainer('shop-gone-1')]);
    engine.docker.request = (_request, response) => {
      response.writeHead(409, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ message: 'container is not running' }));
    };
    expect(await house.tsc('-p', 'shop', 'exec', 'gone', 'true')).toMatchObject({
      code: 1,
      stderr: 'container is not running\n',
    });
  });
});
