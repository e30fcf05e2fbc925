import { readdirSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { MachineAcceptor } from '../../agent/accept-machines.ts';
import { shakeHands } from '../../agent/hello.ts';
import { createIdentity, createVerify } from '../../agent/identity.ts';
import { signRecord } from '../../src/gossip/admission.ts';
import { encodeFrame } from '../../src/gossip/frame.ts';
import { encodeJson } from '../../src/gossip/node.ts';
import { assert } from '../../src/lib/assert.ts';
import { hlcFromMs } from '../../src/lib/hlc.ts';
import type { ClusterId } from '../../src/model/ids.ts';
import { facts, type TestAgent, TestCluster, until } from './agent-mesh-cluster.ts';
import { aLog } from './agent-network/silent-log.ts';

let cluster = new TestCluster();
afterEach(async () => {
  await cluster.end();
  cluster = new TestCluster();
});

function isMeshed(agents: readonly TestAgent[]): boolean {
  return agents.every(
    ({ replica }) =>
      replica.liveness().size === agents.length &&
      [...replica.liveness().values()].every((state) => state === 'reachable') &&
      replica.guards().length === 0,
  );
}

test('three machines become one cluster and see each other', async () => {
  const agents = await cluster.of(3);
  await until('all reachable everywhere', () => isMeshed(agents));
  const subnets = new Set(
    [...(agents[2]?.replica.entries('m/') ?? [])].map(
      ({ value }) => (value as { admission: { subnet: string } }).admission.subnet,
    ),
  );
  expect(subnets.size).toBe(3);
});

test('a write is seen by all and confirmed by the disks of the others', async () => {
  const agents = await cluster.of(3);
  const [a, b, c] = agents;
  await until('all reachable', () => isMeshed(agents));
  const { hlc } = (await a?.replica.write('app/shop', { services: {} })) ?? { hlc: 0 };
  expect(await a?.replica.replicated('app/shop', hlc, 2, 5000)).toBe(2);
  expect(b?.replica.get('app/shop')?.value).toEqual({ services: {} });
  expect(c?.replica.get('app/shop')?.hlc).toBe(hlc);
  const next = await b?.replica.write('app/shop', { services: { web: 1 } });
  expect(next?.hlc).toBeGreaterThan(hlc);
  await until('a has the newer', () => a?.replica.get('app/shop')?.hlc === next?.hlc);
});

test('replicated counts only the machines that answer in time', async () => {
  const [a] = await cluster.of(1);
  const { hlc } = (await a?.replica.write('app/x', 1)) ?? { hlc: 0 };
  expect(await a?.replica.replicated('app/x', hlc, 2, 50)).toBe(0);
  expect(await a?.replica.replicated('app/x', hlc, 0, 50)).toBe(0);
});

test('a killed agent is headless for the others within a second, and back after a restart', async () => {
  const cluster3 = cluster;
  const dirs = [await cluster.newDir(), await cluster.newDir(), await cluster.newDir()];
  const agents: TestAgent[] = [];
  for (const dir of dirs) agents.push(await cluster3.agent(dir));
  const [a, b, c] = agents as [TestAgent, TestAgent, TestAgent];
  await a.replica.found({ ...facts('a'), range: '10.210.0.0/16' });
  await b.replica.join(a.replica.admit(b.identity), facts('b'));
  await c.replica.join(a.replica.admit(c.identity), facts('c'));
  await until('all reachable', () => isMeshed(agents));
  const killedMs = Date.now();
  await c.kill();
  const stateOfC = (agent: TestAgent): string | undefined =>
    agent.replica.liveness().get(c.identity.machine);
  await until('c headless', () => [a, b].every((agent) => stateOfC(agent) === 'headless'));
  expect(Date.now() - killedMs).toBeLessThan(1500);
  await a.replica.write('app/meanwhile', { yes: true });
  const again = await cluster.agent(dirs[2] ?? '');
  await until('c back', () => isMeshed([a, b, again]));
  await until('c repaired', () => again.replica.get('app/meanwhile') !== undefined);
});

test('a planned restart is headless at once and everywhere', async () => {
  const agents = await cluster.of(3);
  const [a, b, c] = agents as [TestAgent, TestAgent, TestAgent];
  await until('all reachable', () => isMeshed(agents));
  const states: (string | undefined)[] = [];
  b.replica.subscribe(() => states.push(b.replica.liveness().get(c.identity.machine)));
  await c.replica.stop({ reason: 'restart', expectBackMs: 30_000 });
  await until('c headless', () => a.replica.liveness().get(c.identity.machine) === 'headless');
  await until('c headless', () => b.replica.liveness().get(c.identity.machine) === 'headless');
  expect(states).not.toContain('unreachable');
});

test('a stranger is refused, whatever it shows', async () => {
  const [a] = await cluster.of(1);
  if (a === undefined) throw new Error('no agent');
  const stranger = await createIdentity();
  const result = await hello(a, stranger, a.replica.cluster);
  expect(result).toEqual({ isUp: false, code: 'unknown' });
  const otherCluster = await hello(a, stranger, 'aaaaaaaaaaaaaaaabbbbbbbb');
  expect(otherCluster).toEqual({ isUp: false, code: 'cluster' });
});

test('somebody who shows a member without its key is refused', async () => {
  const agents = await cluster.of(2);
  const [a, b] = agents as [TestAgent, TestAgent];
  await until('meshed', () => isMeshed(agents));
  const thief = await createIdentity();
  const disguised = { ...b.identity, sign: (bytes: Uint8Array) => thief.sign(bytes) };
  expect(await hello(a, disguised, a.replica.cluster)).toEqual({ isUp: false, code: 'proof' });
});

test('a removed machine is refused and its records are gone', async () => {
  const agents = await cluster.of(3);
  const [a, b, c] = agents as [TestAgent, TestAgent, TestAgent];
  await until('meshed', () => isMeshed(agents));
  await c.replica.write('app/by-c', { keep: 1 });
  c.replica.observe(`c/${c.identity.machine}/123`, { name: 'x' });
  await until('seen', () => a.replica.get(`c/${c.identity.machine}/123`) !== undefined);
  await a.replica.remove(c.identity.machine);
  await until('b knows', () => b.replica.isRemoved(c.identity.machine));
  expect(b.replica.get(`c/${c.identity.machine}/123`)).toBeUndefined();
  expect(b.replica.get('app/by-c')).toMatchObject({ origin: a.identity.machine });
  expect(await hello(a, c.identity, a.replica.cluster)).toEqual({ isUp: false, code: 'removed' });
  await until('links gone', () => !a.replica.linkedMachines().includes(c.identity.machine));
});

test('a removal is on the disks of the others, with what its machine wrote, when it is answered', async () => {
  const agents = await cluster.of(4);
  const [a, b, c, d] = agents as [TestAgent, TestAgent, TestAgent, TestAgent];
  await until('meshed', () => isMeshed(agents));
  await c.replica.write('app/shop', { services: {} });
  await b.replica.write('op/shop/web', { scale: 3 });
  await until('seen', () => a.replica.get('op/shop/web') !== undefined);
  const acceptor = new MachineAcceptor({
    replica: a.replica,
    viewContext: () => ({
      self: a.identity.machine,
      cluster: a.replica.cluster ?? ('' as ClusterId),
      nowMs: Date.now(),
      liveness: a.replica.liveness(),
      guards: a.replica.guards(),
    }),
    log: aLog().log,
  });
  const answer = await acceptor.removeMachine('m3', { force: false });
  expect(answer).toMatchObject({ name: 'm3', storedOnCount: 3, notes: [] });
  for (const { replica } of [b, d]) {
    expect(replica.isRemoved(c.identity.machine)).toBe(true);
    const pointer = replica.get('app/shop');
    expect(pointer?.origin).toBe(a.identity.machine);
    // The order holds that was given after the change.
    expect(replica.get('op/shop/web')?.hlc).toBeGreaterThan(pointer?.hlc ?? Infinity);
  }
  await until('it has heard of it', () => c.replica.isRemoved(c.identity.machine));
  expect(() => c.replica.refuseRemoved()).toThrow('this machine was removed from cluster');
  expect(() => c.replica.admit(d.identity)).toThrow('this machine was removed from cluster');
  await expect(c.replica.takeOver(a.identity.machine)).rejects.toMatchObject({
    code: 'E_CLUSTER_REMOVED',
  });
  c.replica.leave();
  expect(a.replica.linkedMachines()).not.toContain(c.identity.machine);
  await expect(a.client.connectRpc(c.identity.machine)).rejects.toMatchObject({
    code: 'E_MACHINE_UNREACHABLE',
  });
  await expect(acceptor.removeMachine('m3', { force: true })).rejects.toMatchObject({
    code: 'E_MACHINE_UNKNOWN',
  });
});

test('a forged record from a member is refused and the link is closed', async () => {
  const agents = await cluster.of(2);
  const [a, b] = agents as [TestAgent, TestAgent];
  await until('meshed', () => isMeshed(agents));
  // Else its own redial takes the place of the link that this test holds in its name.
  await b.kill();
  const socket = await open(a);
  const up = await greet(socket, a, b.identity, a.replica.cluster);
  expect(up.isUp).toBe(true);
  const { cluster: joined } = a.replica;
  assert(joined !== undefined, 'an agent that has joined belongs to a cluster');
  const forged = {
    ...signRecord(joined, b.identity, {
      key: 'app/forged',
      hlc: hlcFromMs(Date.now()),
      schema: 1,
      body: encodeJson({}),
    }),
    origin: a.identity.machine,
  };
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.send(encodeFrame({ type: 'records', records: [forged] }));
  await closed;
  expect(a.replica.get('app/forged')).toBeUndefined();
  expect(a.reports.join()).toContain('forged');
});

test('http goes over an RPC connection', async () => {
  const agents = await cluster.of(2);
  const [a, b] = agents as [TestAgent, TestAgent];
  const peers: string[] = [];
  const http = createServer((_request, response) => response.end('hello from the api'));
  cluster.onRpc = (duplex, peer) => {
    peers.push(peer);
    http.emit('connection', duplex);
  };
  await until('meshed', () => isMeshed(agents));
  const text = await new Promise<string>((resolve, reject) => {
    const agent = a.client.rpcAgent(b.identity.machine);
    request({ agent, path: '/v1/info' }, (response) => {
      response.setEncoding('utf8').on('data', resolve);
    })
      .on('error', reject)
      .end();
  });
  expect(text).toBe('hello from the api');
  expect(peers).toEqual([a.identity.machine]);
  await b.kill();
  await expect(a.client.connectRpc(b.identity.machine)).rejects.toMatchObject({
    code: 'E_MACHINE_UNREACHABLE',
  });
});

test('a call ends when its machine has fallen silent', async () => {
  const agents = await cluster.of(2);
  const [a, b] = agents as [TestAgent, TestAgent];
  cluster.onRpc = () => undefined;
  await until('meshed', () => isMeshed(agents));
  const stream = await a.client.connectRpc(b.identity.machine);
  const ended = new Promise<Error>((resolve) => stream.once('error', resolve));
  a.client.endStreams(b.identity.machine);
  expect((await ended).message).toContain('silent');
  a.client.endStreams(b.identity.machine);
});

test('a join request goes to the callback, and its error comes back', async () => {
  const [a] = await cluster.of(1);
  if (a === undefined) throw new Error('no agent');
  cluster.onJoin = (body) => Promise.resolve({ echo: body });
  const url = `http://127.0.0.1:${cluster.portOf(a.identity.machine)}`;
  const good = await fetch(`${url}/join`, { method: 'POST', body: '{"token":"t"}' });
  expect(await good.json()).toEqual({ echo: { token: 't' } });
  const bad = await fetch(`${url}/join`, { method: 'POST', body: 'no json' });
  expect(bad.status).toBe(400);
  expect(await bad.json()).toMatchObject({ code: 'E_JOIN_REQUEST' });
  expect((await fetch(`${url}/v1/info`)).status).toBe(404);
});

test('outside of a cluster writes are refused and observations are nothing', async () => {
  const agent = await cluster.agent(await cluster.newDir());
  await expect(agent.replica.write('app/x', {})).rejects.toMatchObject({ code: 'E_NO_CLUSTER' });
  expect(() => agent.replica.admit(agent.identity)).toThrow();
  agent.replica.observe(`c/${agent.identity.machine}/1`, {});
  expect([...agent.replica.entries('')]).toEqual([]);
  expect([...agent.replica.liveness()]).toEqual([]);
});

test('a machine is in one cluster only, and joins only with its own answer', async () => {
  const [a, b] = (await cluster.of(2)) as [TestAgent, TestAgent];
  const options = { ...facts('x'), range: '10.0.0.0/16' };
  await expect(b.replica.found(options)).rejects.toMatchObject({ code: 'E_CLUSTER_EXISTS' });
  const c = await cluster.agent(await cluster.newDir());
  const answer = a.replica.admit(b.identity);
  await expect(c.replica.join(answer, facts('c'))).rejects.toMatchObject({ code: 'E_JOIN_ANSWER' });
  const alone = await cluster.agent(await cluster.newDir());
  const rootless = { ...a.replica.admit(alone.identity), roots: [] };
  await expect(alone.replica.join(rootless, facts('x'))).rejects.toMatchObject({
    code: 'E_JOIN_ANSWER',
  });
});

test('facts are written only when they changed', async () => {
  const [a] = (await cluster.of(1)) as [TestAgent];
  const key = `m/${a.identity.machine}`;
  const before = a.replica.get(key)?.hlc;
  await a.replica.updateFacts(facts('m1'));
  expect(a.replica.get(key)?.hlc).toBe(before);
  await a.replica.updateFacts({ ...facts('m1'), cpuCount: 64 });
  expect(a.replica.get(key)?.value).toMatchObject({ cpuCount: 64 });
});

test('an agent remembers everything after a restart', async () => {
  const dir = await cluster.newDir();
  const first = await cluster.agent(dir);
  await first.replica.found({ ...facts('a'), range: '10.210.0.0/16' });
  const { hlc } = await first.replica.write('app/shop', { a: 1 });
  first.replica.observe(`c/${first.identity.machine}/1`, { name: 'x' });
  await first.kill();
  const again = await cluster.agent(dir);
  expect(again.identity.machine).toBe(first.identity.machine);
  expect(again.replica.cluster).toBe(first.replica.cluster);
  expect(again.replica.get('app/shop')).toMatchObject({ hlc, value: { a: 1 } });
  expect(again.replica.get(`c/${first.identity.machine}/1`)?.value).toEqual({ name: 'x' });
});

test('a damaged record file is moved aside, and peers bring back what it held', async () => {
  const dirs = [await cluster.newDir(), await cluster.newDir()] as const;
  const a = await cluster.agent(dirs[0]);
  const b = await cluster.agent(dirs[1]);
  await a.replica.found({ ...facts('a'), range: '10.210.0.0/16' });
  await b.replica.join(a.replica.admit(b.identity), facts('b'));
  await until('meshed', () => isMeshed([a, b]));
  const { hlc } = await b.replica.write('app/shop', { a: 1 });
  expect(await b.replica.replicated('app/shop', hlc, 1, 5000)).toBe(1);
  await b.kill();
  for (const suffix of ['', '-wal']) {
    writeFileSync(join(dirs[1], `records.db${suffix}`), Buffer.alloc(20_000, 7));
  }
  const again = await cluster.agent(dirs[1]);
  expect(again.reports.join()).toContain('damaged');
  expect(readdirSync(dirs[1]).some((name) => name.includes('damaged-'))).toBe(true);
  expect(again.replica.cluster).toBe(a.replica.cluster);
  await until('repaired', () => again.replica.get('app/shop')?.hlc === hlc);
});

/** Runs a handshake as somebody. */
async function hello(
  agent: TestAgent,
  as: TestAgent['identity'],
  clusterId: string | undefined,
): Promise<unknown> {
  const socket = await open(agent);
  const result = await greet(socket, agent, as, clusterId);
  socket.terminate();
  return result;
}

async function open(agent: TestAgent): Promise<WebSocket> {
  const port = cluster.portOf(agent.identity.machine);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/gossip`);
  socket.on('error', () => {});
  await new Promise((resolve) => socket.once('open', resolve));
  return socket;
}

function greet(
  socket: WebSocket,
  agent: TestAgent,
  as: TestAgent['identity'],
  clusterId: string | undefined,
): Promise<{ readonly isUp: boolean }> {
  const members = {
    // A test may name any cluster.
    cluster: clusterId as TestAgent['replica']['cluster'],
    isMember: () => true,
    isRemoved: () => false,
    offer: () => {},
    ownRecord: () => undefined,
  };
  return new Promise((resolve) => {
    const options = { path: '/gossip', expected: agent.identity.machine, timeoutMs: 2000 } as const;
    shakeHands(socket, { signer: as, verify: createVerify(), members }, options, resolve);
  });
}

test('links, round trips and traffic are seen from outside', async () => {
  const agents = await cluster.of(3);
  const [a] = agents as [TestAgent];
  await until('meshed', () => isMeshed(agents));
  const status = () => a.replica.gossipStatus();
  await until('round trips', () => status().links.every((link) => link.roundTripMs !== null));
  await until('equal', () => status().links.every((link) => link.isEqual));
  expect(status()).toMatchObject({ wantedLinkCount: 2, isDiskFine: true, self: a.replica.self });
  expect(status().recordCount).toBeGreaterThanOrEqual(6);
  for (const link of status().links) {
    expect(link.roundTripMs).toBeGreaterThan(0);
    // A heartbeat at least: a link may be younger than all news.
    expect(link.sentBytes).toBeGreaterThan(15);
    expect(link.receivedBytes).toBeGreaterThan(15);
  }
  const before = status();
  await agents[1]?.kill();
  await until('one link less', () => status().links.length === 1);
  expect(status().lostLinkCount).toBe(before.lostLinkCount + 1);
  expect(status().sentBytes).toBeGreaterThanOrEqual(before.sentBytes);
});
