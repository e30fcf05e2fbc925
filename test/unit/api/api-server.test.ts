import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ApiServer } from '../../../agent/api.ts';
import { statusOf } from '../../../agent/api-routes.ts';
import { connect } from '../../../src/client/connect.ts';
import { requestJson } from '../../../src/client/request.ts';
import { TscError } from '../../../src/lib/errors.ts';
import type { UpRequest } from '../../../src/model/api.ts';
import type { Snapshot } from '../../../src/model/snapshot.ts';
import { aSnapshot, engineNamed, fakeAgent, m2, wire } from './fakes.ts';

let folder: string;
let socketPath: string;
const running: ApiServer[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsc-api-'));
  socketPath = join(folder, 'run', 'agent.sock');
});
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
  rmSync(folder, { recursive: true });
});

async function serve(agent = fakeAgent(), path = socketPath): Promise<ApiServer> {
  const server = new ApiServer(agent.components, { socketPath: path });
  await server.start();
  running.push(server);
  return server;
}

const anUp: UpRequest = {
  project: { name: 'shop', services: { web: { image: 'busybox' } } },
  services: ['web'],
  disabledServices: [],
  scale: {},
  removeOrphans: false,
  isDryRun: false,
  forceRecreate: false,
  contents: {},
  workingDir: '/somewhere',
  composeFiles: ['compose.yaml'],
};

describe('the socket', () => {
  test('is open to owner and group only', async () => {
    await serve();
    expect(statSync(socketPath).mode & 0o777).toBe(0o660);
  });

  test('of a dead agent is replaced', async () => {
    const first = await serve();
    // A crash leaves the file: a bound socket whose listener has gone.
    await running.pop()?.stop();
    expect(first).toBeDefined();
    await leaveSocket(socketPath);
    await serve();
    expect((await connect({ socketPath }).info()).machineName).toBe('m1');
  });

  test('of a living agent is not taken', async () => {
    await serve();
    await expect(serve()).rejects.toMatchObject({ code: 'E_AGENT_RUNNING' });
    expect((await connect({ socketPath }).info()).machineName).toBe('m1');
  });

  test('that is a plain file is not deleted', async () => {
    const path = join(folder, 'precious');
    writeFileSync(path, 'x');
    await expect(serve(fakeAgent(), path)).rejects.toMatchObject({ code: 'E_AGENT_SOCKET' });
    expect(statSync(path).size).toBe(1);
  });

  test('that is not there is an error with a hint', async () => {
    const error = await connect({ socketPath })
      .info()
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'E_AGENT_UNREACHABLE' });
    expect(String((error as { hint: string }).hint)).toContain('start the agent');
  });
});

describe('requests', () => {
  test('reach the part that decides, and its answer comes back', async () => {
    const agent = fakeAgent();
    await serve(agent);
    const client = connect({ socketPath });
    expect((await client.up('shop', anUp)).pointerHlc).toBe(7);
    expect((await client.down('shop', { volumes: true })).hlc).toBe(8);
    expect((await client.scale('shop', { scale: { web: 3 } })).hlc).toBe(9);
    expect((await client.token()).token).toBe('word');
    await client.init({ endpoints: [] });
    await client.join({ token: 'word', endpoints: ['a:1'] });
    expect((await client.removeMachine('m 2', { force: true })).name).toBe('m 2');
    expect(agent.calls).toEqual([
      ['up', 'shop', ['web']],
      ['down', 'shop', { volumes: true }],
      ['scale', 'shop', { scale: { web: 3 } }],
      ['init', { endpoints: [] }],
      ['join', { token: 'word', endpoints: ['a:1'] }],
      ['remove', 'm 2', { force: true }],
    ]);
  });

  test('of the wrong shape are refused with the field’s name, and decide nothing', async () => {
    const agent = fakeAgent();
    await serve(agent);
    const post = (path: string, body: unknown) =>
      requestJson({ socketPath, method: 'POST', path, body }).catch((e: unknown) => e);
    const up = '/v1/projects/shop/up';
    expect(await post(up, { ...anUp, scale: { web: -1 } })).toMatchObject({
      code: 'E_REQUEST_INVALID',
      message: expect.stringContaining('scale.web'),
    });
    expect(await post(up, { ...anUp, services: 'web' })).toMatchObject({
      message: expect.stringContaining('"services"'),
    });
    expect(await post(up, { ...anUp, contents: { a: 1 } })).toMatchObject({
      message: expect.stringContaining('contents.a'),
    });
    expect(await post('/v1/projects/other/up', anUp)).toMatchObject({
      message: expect.stringContaining('"other"'),
    });
    expect(await post('/v1/projects/Sh%20op/down', { volumes: true })).toMatchObject({
      code: 'E_REQUEST_INVALID',
    });
    expect(await post('/v1/machines/m2/remove', { force: 'yes' })).toMatchObject({
      message: expect.stringContaining('"force"'),
    });
    expect(await post('/v1/projects/shop/scale', { scale: {} })).toMatchObject({
      code: 'E_REQUEST_INVALID',
    });
    expect(await post(up, [])).toMatchObject({ code: 'E_REQUEST_INVALID' });
    expect(agent.calls).toEqual([]);
  });

  test('that are no JSON, too large, or for nothing are refused', async () => {
    await serve();
    expect(await raw('POST', '/v1/cluster/init', '{')).toEqual([400, 'E_REQUEST_SYNTAX']);
    const large = `"${'x'.repeat(17 * 1024 * 1024)}"`;
    expect(await raw('POST', '/v1/cluster/init', large)).toEqual([400, 'E_REQUEST_TOO_LARGE']);
    expect(await raw('GET', '/v1/nothing')).toEqual([404, 'E_ROUTE_NOT_FOUND']);
    expect(await raw('POST', '/v1/info', '{}')).toEqual([404, 'E_ROUTE_NOT_FOUND']);
    expect(await raw('GET', '/v1/machines/%ff/docker/x')).toEqual([400, 'E_REQUEST_INVALID']);
  });

  test('that meet a fault of ours show no stack and are reported', async () => {
    const fault = new Error('secret detail');
    const agent = fakeAgent({
      info: () => {
        throw fault;
      },
    });
    await serve(agent);
    const error = await connect({ socketPath })
      .info()
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'E_INTERNAL' });
    expect(String((error as Error).message)).not.toContain('secret');
    expect(agent.faults).toEqual([fault]);
  });

  test('of a machine without a cluster say how to get one', async () => {
    const agent = fakeAgent();
    agent.hasCluster = false;
    await serve(agent);
    const client = connect({ socketPath });
    expect((await client.info()).machineName).toBe('m1');
    await expect(client.snapshot()).rejects.toMatchObject({ code: 'E_CLUSTER_NONE' });
    await expect(client.up('shop', anUp)).rejects.toMatchObject({
      code: 'E_CLUSTER_NONE',
      hint: expect.stringContaining('machine init'),
    });
    await expect(client.watch(() => undefined, new AbortController().signal)).rejects.toMatchObject(
      { code: 'E_CLUSTER_NONE' },
    );
  });

  test('have the status that their error’s code stands for', () => {
    expect(statusOf('E_INTERNAL')).toBe(500);
    expect(statusOf('E_IMAGE_NOT_FOUND')).toBe(404);
    expect(statusOf('E_MACHINE_UNREACHABLE')).toBe(502);
    expect(statusOf('E_TOKEN_EXPIRED')).toBe(400);
    expect(statusOf('E_FOREIGN_CONTAINERS')).toBe(409);
  });
});

describe('watching', () => {
  test('sends the present snapshot at once and many changes as one', async () => {
    const agent = fakeAgent();
    await serve(agent);
    const seen: Snapshot[] = [];
    const stop = new AbortController();
    const watching = connect({ socketPath }).watch((s) => seen.push(s), stop.signal);
    await expect.poll(() => seen.length).toBe(1);
    for (let nowMs = 1; nowMs <= 20; nowMs += 1) {
      agent.snapshot = aSnapshot({ nowMs });
      agent.change();
    }
    await expect.poll(() => seen.length).toBe(2);
    expect(seen[1]?.nowMs).toBe(20);
    stop.abort();
    await watching;
    expect(seen).toHaveLength(2);
  });

  test('goes on with the agent’s next life', async () => {
    const agent = fakeAgent();
    await serve(agent);
    const seen: number[] = [];
    const connections: boolean[] = [];
    const stop = new AbortController();
    const watching = connect({ socketPath }).watch((s) => seen.push(s.nowMs), stop.signal, {
      onConnection: (isConnected) => connections.push(isConnected),
    });
    await expect.poll(() => seen.length).toBe(1);
    await running.pop()?.stop();
    await expect.poll(() => connections).toEqual([false]);
    agent.snapshot = aSnapshot({ nowMs: 42 });
    await serve(agent);
    await expect.poll(() => seen.at(-1)).toBe(42);
    expect(connections).toEqual([false, true]);
    stop.abort();
    await watching;
  });

  test('ends with the reason when the machine is in no cluster any more', async () => {
    const isOut = { value: false };
    const agent = fakeAgent();
    const snapshot = () => {
      if (isOut.value) throw new TscError('E_CLUSTER_REMOVED', 'was removed');
      return agent.snapshot;
    };
    const faults: unknown[] = [];
    const reportFault = (error: unknown): void => void faults.push(error);
    await serve({
      ...agent,
      components: { ...agent.components, snapshot, evaluated: snapshot, reportFault },
    });
    const watching = connect({ socketPath }).watch(() => {
      if (isOut.value) return;
      isOut.value = true;
      agent.change();
    }, AbortSignal.timeout(20_000));
    await expect(watching).rejects.toMatchObject({ code: 'E_CLUSTER_REMOVED' });
    expect(faults.length).toBeGreaterThan(0);
  });

  test('gives up when the agent stays away', async () => {
    await serve();
    let seenCount = 0;
    const watching = connect({ socketPath }).watch(
      () => {
        seenCount += 1;
      },
      new AbortController().signal,
      { reconnectWindowMs: 100 },
    );
    const outcome = watching.catch((error: unknown) => error);
    await expect.poll(() => seenCount).toBe(1);
    await running.pop()?.stop();
    expect(await outcome).toMatchObject({ code: 'E_AGENT_UNREACHABLE' });
  });
});

describe('Docker calls', () => {
  async function twoMachines() {
    const far = fakeAgent({ localDocker: engineNamed('two') });
    far.snapshot = aSnapshot({ self: m2 });
    const farServer = await serve(far, join(folder, 'far.sock'));
    const near = fakeAgent({ connectRpc: wire((stream) => farServer.servePeer(stream)) });
    await serve(near);
    return { near, far, farServer };
  }

  test('go to the engine of the machine that is named, by id or name', async () => {
    await twoMachines();
    const client = connect({ socketPath });
    for (const [machine, engine] of [
      ['m1', 'one'],
      ['m2', 'two'],
      [m2, 'two'],
    ] as const) {
      const docker = await client.docker(machine);
      expect(await docker.getContainer('abc').inspect()).toMatchObject({
        engine,
        url: '/containers/abc/json',
      });
    }
  });

  test('carry bodies both ways', async () => {
    await twoMachines();
    const docker = await connect({ socketPath }).docker('m2');
    const body = Buffer.alloc(3_000_000, 'v');
    const answer: unknown = await docker.getContainer('c').putArchive(body, { path: '/' });
    const { engine, body: echoed } = answer as { engine: string; body: string };
    expect(engine).toBe('two');
    expect(echoed.length).toBe(body.length);
  });

  test('keep the engine’s own errors', async () => {
    await twoMachines();
    const path = '/v1/machines/m2/docker/missing';
    const answer = await rawText('GET', path);
    expect(answer).toEqual([404, JSON.stringify({ message: 'No such container: x' })]);
  });

  test('with an upgraded stream go through in both directions', async () => {
    await twoMachines();
    for (const [machine, engine] of [
      ['m1', 'one'],
      ['m2', 'two'],
    ] as const) {
      const docker = await connect({ socketPath }).docker(machine);
      const stream = await docker.getExec('e1').start({ hijack: true, stdin: true });
      let seen = '';
      stream.on('data', (chunk: Buffer) => {
        seen += chunk.toString();
      });
      stream.write('hello');
      await expect.poll(() => seen).toContain('hello');
      expect(seen).toContain(`${engine} /exec/e1/start`);
      const isEnded = new Promise((resolve) => stream.once('end', resolve));
      stream.end('bye');
      await isEnded;
      expect(seen).toContain('bye');
    }
  });

  test('to a machine that does not answer, or is not known, say so', async () => {
    await serve();
    expect(await raw('GET', '/v1/machines/m2/docker/info')).toEqual([502, 'E_MACHINE_UNREACHABLE']);
    expect(await raw('GET', '/v1/machines/m9/docker/info')).toEqual([404, 'E_MACHINE_UNKNOWN']);
    const docker = await connect({ socketPath }).docker('m2');
    await expect(docker.getExec('e').start({ hijack: true, stdin: true })).rejects.toMatchObject({
      statusCode: 502,
    });
  });

  test('that the client gives up are given up on the other machine as well', async () => {
    let isGivenUp = false;
    const engine = engineNamed('two');
    const far = fakeAgent({
      localDocker: {
        ...engine,
        request: (_request, response) => {
          response.once('close', () => {
            isGivenUp = true;
          });
          response.write('first line of a followed log');
        },
      },
    });
    far.snapshot = aSnapshot({ self: m2 });
    const farServer = await serve(far, join(folder, 'far.sock'));
    await serve(fakeAgent({ connectRpc: wire((stream) => farServer.servePeer(stream)) }));
    const request = http.get({ socketPath, path: '/v1/machines/m2/docker/logs', agent: false });
    await new Promise((resolve) => request.once('response', (r) => r.once('data', resolve)));
    expect(isGivenUp).toBe(false);
    request.destroy();
    await expect.poll(() => isGivenUp).toBe(true);
  });
});

describe('images', () => {
  test('go to the part of the named machine that takes them in', async () => {
    const far = fakeAgent({
      localImages: async (request, response, path) => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk as Buffer);
        response.end(JSON.stringify({ path, sizeBytes: Buffer.concat(chunks).length }));
      },
    });
    far.snapshot = aSnapshot({ self: m2 });
    const farServer = await serve(far, join(folder, 'far.sock'));
    await serve(fakeAgent({ connectRpc: wire((stream) => farServer.servePeer(stream)) }));
    const body = 'x'.repeat(500_000);
    expect(await rawText('POST', '/v1/machines/m2/images/load?a=1', body)).toEqual([
      200,
      JSON.stringify({ path: '/load?a=1', sizeBytes: body.length }),
    ]);
    expect(await raw('POST', '/v1/machines/m1/images/load', '')).toEqual([
      404,
      'E_ROUTE_NOT_FOUND',
    ]);
  });
});

describe('other machines', () => {
  async function asPeer(method: string, path: string): Promise<[number, string]> {
    const far = fakeAgent({ localDocker: engineNamed('two') });
    far.snapshot = aSnapshot({ self: m2 });
    const server = await serve(far, join(folder, 'far.sock'));
    const stream = await wire((s) => server.servePeer(s))();
    const answer = await exchange({ createConnection: () => stream, method, path });
    expect(far.calls).toEqual([]);
    return answer;
  }

  test('may ask for info, snapshot and this machine’s engine', async () => {
    expect((await asPeer('GET', '/v1/info'))[0]).toBe(200);
  });

  test('may use this machine’s engine but not go on to a third', async () => {
    expect((await asPeer('GET', `/v1/machines/${m2}/docker/info`))[0]).toBe(200);
  });

  test.each([
    ['POST', '/v1/cluster/token'],
    ['POST', '/v1/projects/shop/down'],
    ['GET', '/v1/machines/m1/docker/info'],
    ['GET', '/v1/machines/m9/docker/info'],
  ])('may not %s %s', async (method, path) => {
    const [status, text] = await asPeer(method, path);
    expect(status).toBe(403);
    expect(JSON.parse(text)).toMatchObject({ code: 'E_REQUEST_FORBIDDEN' });
  });
});

async function raw(method: string, path: string, body?: string): Promise<[number, string]> {
  const [status, text] = await rawText(method, path, body);
  return [status, (JSON.parse(text) as { code: string }).code];
}

function rawText(method: string, path: string, body?: string): Promise<[number, string]> {
  return exchange({ socketPath, method, path, agent: false }, body);
}

function exchange(options: http.RequestOptions, body?: string): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const request = http.request(options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve([response.statusCode ?? 0, text]));
    });
    request.on('error', reject);
    request.end(body);
  });
}

/** Leaves a socket file without a listener, as a killed process does. */
async function leaveSocket(path: string): Promise<void> {
  const { spawnSync } = await import('node:child_process');
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  await new Promise<void>((resolve, reject) => {
    net.connect(path).once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve();
      else reject(error);
    });
  });
}

describe('seen from outside', () => {
  test('metrics are text for Prometheus, on the own socket only', async () => {
    const server = await serve();
    const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
      http.get({ socketPath, path: '/metrics' }, resolve).on('error', reject);
    });
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await text(answer)).toContain('links 1');
    expect(server).toBeDefined();
  });

  test('links of this machine are told', async () => {
    await serve();
    const status = await connect({ socketPath }).links('m1');
    expect(status).toMatchObject({ recordCount: 12, links: [{ peer: m2, roundTripMs: 1.25 }] });
  });
});
