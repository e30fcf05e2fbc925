/** The engine's client against a server that answers as Docker does, on a socket of its own. */
import { mkdtempSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { proxyDocker, proxyDockerUpgrade } from '../../../agent/docker-proxy.ts';
import { Engine } from '../../../agent/engine.ts';
import type { PullProgress } from '../../../agent/engine-image.ts';
import { createLog } from '../../../agent/log.ts';
import { cluster } from '../container/builders.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
  /** Left open after the body: a stream. */
  readonly isOpen?: boolean;
}

let dir: string;
let server: http.Server;
let engine: Engine;
let asked: string[];
let bodies: string[];
let log: string;
/** By "GET /path", or by path alone; what is not there is 404. */
let answers: Map<string, Answer | (() => Answer)>;

const json = (value: unknown, status = 200): Answer => ({ status, body: JSON.stringify(value) });
const refusal = (status: number, message: string): Answer => json({ message }, status);

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tsc-compose-engine-'));
  asked = [];
  bodies = [];
  log = '';
  answers = new Map<string, Answer | (() => Answer)>([
    ['/version', json({ Version: '28.5.2', ApiVersion: '1.51', Os: 'linux', Arch: 'amd64' })],
    ['/_ping', { status: 200, body: 'OK' }],
  ]);
  server = http.createServer((request, response) => {
    const [path = ''] = (request.url ?? '').split('?');
    asked.push(`${request.method} ${request.url}`);
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      bodies.push(body);
      const given = answers.get(`${request.method} ${path}`) ?? answers.get(path);
      const answer = typeof given === 'function' ? given() : given;
      const { status, body: text, isOpen } = answer ?? refusal(404, 'no such thing');
      response.writeHead(status, { 'content-type': 'application/json' });
      response.write(text);
      if (isOpen !== true) response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(join(dir, 'docker.sock'), resolve));
  engine = new Engine({
    socketPath: join(dir, 'docker.sock'),
    machineName: 'm1',
    log: createLog((line) => {
      log += line;
    }, 'debug'),
  });
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(dir, { recursive: true, force: true });
});

describe('errors', () => {
  const id = 'c'.repeat(64);
  test.each([
    [500, 'driver failed: Bind for 0.0.0.0:8080 failed: port is already allocated', 'E_PORT_TAKEN'],
    [500, 'listen tcp4 0.0.0.0:8080: bind: address already in use', 'E_PORT_TAKEN'],
    [
      500,
      'failed to bind host port for 0.0.0.0:8080:10.210.1.2:80/tcp: address already in use',
      'E_PORT_TAKEN',
    ],
    [404, 'No such container: x', 'E_ENGINE_NOT_FOUND'],
    [404, 'No such image: nginx:1', 'E_IMAGE_NOT_FOUND'],
    [409, 'the container is paused', 'E_ENGINE_CONFLICT'],
    [500, 'exec: "/no/such": not found', 'E_ENGINE_REFUSED'],
  ])('%i "%s" is %s', async (status, message, code) => {
    answers.set(`/containers/${id}/start`, refusal(status, message));
    const error: unknown = await engine.start(id).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    const text = error instanceof Error ? error.message : '';
    expect(text).toContain(code === 'E_PORT_TAKEN' ? 'port 8080 is taken' : message);
    expect(text).toContain('start cccccccccccc');
  });

  test('a socket without an engine is unreachable', async () => {
    const dead = new Engine({
      socketPath: join(dir, 'none.sock'),
      machineName: 'm1',
      log: createLog(() => undefined),
    });
    await expect(dead.version()).rejects.toMatchObject({ code: 'E_ENGINE_UNREACHABLE' });
  });

  test('an engine that hangs is given up in time', async () => {
    server.removeAllListeners('request');
    await expect(engine.ping(30)).rejects.toMatchObject({ code: 'E_ENGINE_TIMEOUT' });
  });

  test('what is already so is no error', async () => {
    answers.set(`/containers/${id}/start`, { status: 304, body: '' });
    answers.set(`/containers/${id}/stop`, { status: 304, body: '' });
    await engine.start(id);
    await engine.stop(id, 1_500);
    await engine.remove(id);
    await engine.removeVolume('gone');
    expect(await engine.inspect(id)).toBeUndefined();
    expect(asked).toContain(`POST /containers/${id}/stop?t=2`);
    expect(asked).toContain(`DELETE /containers/${id}?v=true&force=true`);
  });
});

test('a container is created with its name in the address and the rest in the body', async () => {
  answers.set('POST /containers/create', json({ Id: 'new' }, 201));
  const id = await engine.createContainer({
    name: 'shop-web-1',
    platform: 'linux/arm64',
    Image: 'nginx:1',
    Labels: { a: 'b' },
    HostConfig: {
      NetworkMode: 'tsc-compose',
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: '', Config: {} },
    },
  });
  expect(id).toBe('new');
  expect(asked).toEqual(['POST /containers/create?name=shop-web-1&platform=linux%2Farm64']);
  expect(JSON.parse(bodies[0] ?? '')).toEqual({
    Image: 'nginx:1',
    Labels: { a: 'b' },
    HostConfig: {
      NetworkMode: 'tsc-compose',
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: '', Config: {} },
    },
  });
});

describe('the network', () => {
  const spec = {
    name: 'tsc-compose',
    bridge: 'tsc-br',
    subnet: '10.210.1.0/24',
    gateway: '10.210.1.1',
    mtu: 1420,
    trustedInterface: 'tsc-wg',
    labels: {},
  };
  const common = {
    'com.docker.network.bridge.name': 'tsc-br',
    'com.docker.network.bridge.enable_ip_masquerade': 'false',
    'com.docker.network.driver.mtu': '1420',
  };
  const existing = (options: object, containers: object = {}) =>
    json({
      Id: 'n1',
      Driver: 'bridge',
      Options: options,
      IPAM: { Config: [{ Subnet: spec.subnet, Gateway: spec.gateway }] },
      Containers: containers,
    });

  test.each([
    ['1.41', {}],
    ['1.47', {}],
    ['1.48', { 'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected' }],
    ['1.50', { 'com.docker.network.bridge.gateway_mode_ipv4': 'nat-unprotected' }],
  ])('an engine with API %s gets the options it needs and knows', async (ApiVersion, extra) => {
    answers.set('/version', json({ Version: 'x', ApiVersion, Os: 'linux', Arch: 'amd64' }));
    answers.set('POST /networks/create', json({ Id: 'n' }, 201));
    expect(await engine.ensureNetwork(spec)).toEqual({ type: 'created' });
    expect(JSON.parse(bodies.at(-1) ?? '')).toMatchObject({
      Name: 'tsc-compose',
      Driver: 'bridge',
      Options: { ...common, ...extra },
      IPAM: { Config: [{ Subnet: '10.210.1.0/24', Gateway: '10.210.1.1' }] },
    });
    answers.set('/networks/tsc-compose', existing({ ...common, ...extra }));
    expect(await engine.ensureNetwork(spec)).toEqual({ type: 'unchanged' });
  });

  test('one that lets the mesh in as earlier versions did it stays, where the engine knows that', async () => {
    const trusted = 'com.docker.network.bridge.trusted_host_interfaces';
    answers.set('/networks/tsc-compose', existing({ ...common, [trusted]: 'tsc-wg' }));
    expect(await engine.ensureNetwork(spec)).toEqual({ type: 'unchanged' });

    answers.set('/networks/tsc-compose', existing({ ...common, [trusted]: 'wg0' }, { c: {} }));
    expect(await engine.ensureNetwork(spec)).toMatchObject({ type: 'in-use' });
  });

  test('one with other options is made anew, unless containers are on it', async () => {
    // Made by an older engine: the option that 28.0 needs is not there.
    answers.set('/networks/tsc-compose', existing(common, { c: { Name: 'shop-web-1' } }));
    const differences = [
      'com.docker.network.bridge.gateway_mode_ipv4 is unset, not nat-unprotected',
    ];
    expect(await engine.ensureNetwork(spec)).toEqual({
      type: 'in-use',
      differences,
      containers: ['shop-web-1'],
    });
    expect(asked.filter((line) => line.startsWith('DELETE'))).toEqual([]);

    answers.set('/networks/tsc-compose', existing(common));
    answers.set('DELETE /networks/n1', { status: 204, body: '' });
    answers.set('POST /networks/create', json({ Id: 'n2' }, 201));
    expect(await engine.ensureNetwork(spec)).toEqual({ type: 'recreated', differences });
  });
});

describe('images', () => {
  const wanted = {
    reference: 'nginx:1',
    policy: undefined,
    platform: undefined,
    resolvedId: undefined,
  };
  const lines = (...objects: object[]): Answer => ({
    status: 200,
    body: objects.map((line) => JSON.stringify(line)).join('\r\n'),
  });

  test('what is here is not pulled', async () => {
    answers.set('/images/nginx:1/json', json({ Id: 'sha256:a' }));
    expect(await engine.ensureImage(wanted)).toEqual({ id: 'sha256:a', createFrom: 'nginx:1' });
    expect(asked).toEqual(['GET /images/nginx:1/json']);
  });

  test('the image that was accepted is used even when its tag has moved on', async () => {
    answers.set('/images/sha256:old/json', json({ Id: 'sha256:old' }));
    answers.set('/images/nginx:1/json', json({ Id: 'sha256:new' }));
    const found = await engine.ensureImage({ ...wanted, resolvedId: 'sha256:old' });
    expect(found).toEqual({ id: 'sha256:old', createFrom: 'sha256:old' });
    answers.set('/images/nginx:1/json', json({ Id: 'sha256:old' }));
    const named = await engine.ensureImage({ ...wanted, resolvedId: 'sha256:old' });
    expect(named).toEqual({ id: 'sha256:old', createFrom: 'nginx:1' });
  });

  test('what is missing is pulled with progress', async () => {
    let isHere = false;
    answers.set('/images/nginx:1/json', () =>
      isHere ? json({ Id: 'sha256:a' }) : refusal(404, 'No such image'),
    );
    answers.set('POST /images/create', () => {
      isHere = true;
      return lines(
        { status: 'Pulling from library/nginx', id: '1' },
        { status: 'Downloading', id: 'l1', progressDetail: { current: 5, total: 10 } },
        { status: 'Already exists', id: 'l2' },
        { status: 'Pull complete', id: 'l1' },
        { status: 'Digest: sha256:x' },
      );
    });
    const progress: PullProgress[] = [];
    const image = await engine.ensureImage({
      ...wanted,
      platform: 'linux/amd64',
      auth: { username: 'me', password: 'secret', serveraddress: 'r' },
      onProgress: (one) => progress.push(one),
    });
    expect(image.id).toBe('sha256:a');
    expect(progress).toEqual([
      { layerCount: 1, doneLayerCount: 0, bytes: 5, totalBytes: 10 },
      { layerCount: 2, doneLayerCount: 1, bytes: 5, totalBytes: 10 },
      { layerCount: 2, doneLayerCount: 2, bytes: 10, totalBytes: 10 },
    ]);
    const pull = asked.find((line) => line.startsWith('POST')) ?? '';
    expect(pull).toBe('POST /images/create?fromImage=nginx%3A1&platform=linux%2Famd64');
    expect(log).not.toContain('secret');
  });

  test('a reference without a tag pulls one image, not the whole repository', async () => {
    answers.set('POST /images/create', lines({ error: 'denied' }));
    const reference = 'registry.example:5000/app';
    await expect(engine.ensureImage({ ...wanted, reference })).rejects.toMatchObject({
      code: 'E_IMAGE_NOT_FOUND',
      message: `image "${reference}" is not on machine m1: pull ${reference}: denied`,
      hint: 'push it with tsc-compose push',
    });
    expect(asked.at(-1)).toContain('fromImage=registry.example%3A5000%2Fapp%3Alatest');
  });

  test('a policy of always falls back to what is here when the registry is away', async () => {
    answers.set('/images/nginx:1/json', json({ Id: 'sha256:a' }));
    answers.set('POST /images/create', refusal(500, 'no route to registry'));
    const image = await engine.ensureImage({ ...wanted, policy: 'always' });
    expect(image.id).toBe('sha256:a');
    expect(log).toContain('no route to registry');
  });

  test('a policy of never asks no registry', async () => {
    await expect(engine.ensureImage({ ...wanted, policy: 'never' })).rejects.toMatchObject({
      code: 'E_IMAGE_NOT_FOUND',
    });
    expect(asked.some((line) => line.startsWith('POST'))).toBe(false);
  });
});

describe('events', () => {
  const event = (action: string, id: string) =>
    `${JSON.stringify({ Type: 'container', Action: action, Actor: { ID: id, Attributes: { a: 'b' } } })}\n`;

  test('are told one by one, and after a break the listener learns that it was blind', async () => {
    let count = 0;
    answers.set('/events', () => {
      count += 1;
      // The first stream ends at once; the second stays open and begins in the middle of a line.
      return count === 1
        ? { status: 200, body: event('start', 'one') + '{"Type":"network","Action":"connect"}\n' }
        : { status: 200, body: event('die', 'two'), isOpen: true };
    });
    const told: string[] = [];
    const stop = engine.watch(cluster, {
      onEvent: ({ action, containerId, labels }) =>
        told.push(`${action} ${containerId} ${labels['a']}`),
      onUp: () => told.push('up'),
      onDown: () => told.push('down'),
    });
    await vi.waitFor(() => expect(told).toEqual(['up', 'start one b', 'down', 'up', 'die two b']));
    stop();
    const query = decodeURIComponent(asked.find((line) => line.includes('/events')) ?? '');
    expect(query).toContain('{"type":["container"],"label":["tsc-compose.cluster=clusterone"]}');
  });

  test('an engine that is away from the beginning is said once', async () => {
    const dead = new Engine({
      socketPath: join(dir, 'none.sock'),
      machineName: 'm1',
      log: createLog(() => undefined),
    });
    const told: string[] = [];
    const stop = dead.watch(cluster, {
      onEvent: () => told.push('event'),
      onUp: () => told.push('up'),
      onDown: () => told.push('down'),
    });
    await new Promise((resolve) => setTimeout(resolve, 350));
    stop();
    expect(told).toEqual(['down']);
  });
});

describe('the proxy', () => {
  let proxy: http.Server;
  let docker: Docker;

  beforeEach(async () => {
    const target = join(dir, 'docker.sock');
    proxy = http.createServer((request, response) =>
      proxyDocker(request, response, target, request.url ?? '/'),
    );
    proxy.on('upgrade', (request, socket, head) =>
      proxyDockerUpgrade(request, socket, head, { socketPath: target, path: request.url ?? '/' }),
    );
    await new Promise<void>((resolve) => proxy.listen(join(dir, 'proxy.sock'), resolve));
    docker = new Docker({ socketPath: join(dir, 'proxy.sock') });
  });

  afterEach(async () => {
    proxy.closeAllConnections();
    await new Promise((resolve) => proxy.close(resolve));
  });

  test('passes answers and refusals on as they are', async () => {
    expect((await docker.version()).ApiVersion).toBe('1.51');
    await expect(docker.getContainer('x').inspect()).rejects.toMatchObject({
      statusCode: 404,
      json: { message: 'no such thing' },
    });
  });

  test('an upgraded call is a stream in both directions', async () => {
    server.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
      socket.on('data', (chunk: Buffer) => socket.write(chunk.toString().toUpperCase()));
      socket.on('end', () => socket.end('bye'));
    });
    const exec = docker.getExec('e1');
    const stream = await exec.start({ hijack: true, stdin: true });
    const heard: string[] = [];
    stream.on('data', (chunk: Buffer) => heard.push(chunk.toString()));
    stream.write('ping');
    await vi.waitFor(() => expect(heard.join('')).toContain('PING'));
    stream.end();
    await vi.waitFor(() => expect(heard.join('')).toContain('bye'));
  });

  test('an engine that is away is an error that clients can show', async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await expect(docker.version()).rejects.toMatchObject({
      statusCode: 502,
      json: { code: 'E_ENGINE_UNREACHABLE' },
    });
    const upgrade = docker.getExec('e1').start({ hijack: true, stdin: true });
    await expect(upgrade).rejects.toMatchObject({ statusCode: 502 });
    // The hook closes it once more.
    await new Promise<void>((resolve) => server.listen(join(dir, 'again.sock'), resolve));
  });
});
