/** The pure parts of the demo: what it counts, and what it draws. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { plain } from '../../demo/paint.ts';
import { countCut } from '../../demo/parts/cut-counts.ts';
import { answerLines, machineLines, versionsOf } from '../../demo/picture.ts';
import { type Outcome, reasonsOf, Traffic } from '../../demo/traffic.ts';

const answered = { version: 'v1', replica: 'aaaaaaaaaaaa' };
const outcome = (change: Partial<Outcome>): Outcome => ({
  entrance: 'm1',
  refusedBy: [],
  startedMs: 0,
  endedMs: 0,
  answer: answered,
  why: '',
  ...change,
});
const failed = (change: Partial<Outcome>): Outcome =>
  outcome({ answer: undefined, why: 'no answer in 2 s', ...change });

test('requests of a power cut are sorted by who could have answered them', () => {
  const outcomes = [
    outcome({ endedMs: 900 }),
    outcome({ startedMs: 1_100, endedMs: 1_110 }),
    outcome({ startedMs: 1_100, endedMs: 1_400, refusedBy: ['m2'] }),
    failed({ startedMs: 990, endedMs: 3_000, entrance: 'm2' }),
    failed({ startedMs: 1_500, endedMs: 3_500, entrance: 'm3' }),
    failed({ startedMs: 1_600, endedMs: 3_600, entrance: 'm3', refusedBy: ['m2'] }),
  ];
  expect(countCut(outcomes, 'm2', 1_000)).toEqual({
    total: 5,
    rerouted: 1,
    lostInside: 1,
    failedElsewhere: outcomes.slice(4),
    lastFailureMs: 600,
  });
});

test('reasons of failures are told once for each machine', () => {
  expect(reasonsOf([outcome({})])).toBe('');
  expect(reasonsOf([failed({}), failed({}), failed({ entrance: 'm2', why: 'status 502' })])).toBe(
    '; 2 by m1: no answer in 2 s; 1 by m2: status 502',
  );
});

test('machines are columns, and one without power says so', () => {
  const container = { machine: 'm1', service: 'web', slot: '3', state: 'running' };
  const lines = machineLines({
    machines: [
      {
        name: 'm1',
        address: '10.0.0.1',
        isUp: true,
        containers: [{ ...container, id: 'aaaaaaaaaaaabb' }],
      },
      { name: 'm2', address: '10.0.0.2', isUp: false, containers: [] },
    ],
    versions: versionsOf([outcome({})]),
    paint: plain,
  });
  expect(lines.slice(0, 3)).toEqual([
    'm1  10.0.0.1              m2  power is off',
    '  web-3    up       v1',
    '',
  ]);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
});

test('answers are numbers of replicas, failures are counted', () => {
  const lines = answerLines({
    outcomes: [outcome({}), failed({}), outcome({ entrance: 'm2' })],
    entrances: ['m1', 'm2'],
    slotOf: () => '4',
    paint: plain,
  });
  expect(lines).toEqual(['', '  through m1   4X', '  through m2   4', '  requests: 3   failed: 1']);
});

function listen(status: number, body: string, address = '127.0.0.1'): Promise<Server> {
  const server = createServer((_request, response) => response.writeHead(status).end(body));
  return new Promise((resolve) => server.listen(0, address, () => resolve(server)));
}

test('traffic goes on to the next machine where one refuses, and counts a bad status', async () => {
  const good = await listen(200, 'v1 from abc\n');
  const bad = await listen(502, 'no replica\n');
  const refused = await listen(200, '');
  const portOf = (server: Server) => (server.address() as AddressInfo).port;
  const entrance = (name: string, server: Server) => ({
    name,
    address: '127.0.0.1',
    port: portOf(server),
  });
  const entrances = [entrance('off', refused), entrance('good', good), entrance('bad', bad)];
  await new Promise((resolve) => refused.close(resolve));
  const traffic = new Traffic({ entrances, host: 'demo.example.com' });
  traffic.start();
  await expect.poll(() => traffic.outcomes.length, { timeout: 5_000 }).toBeGreaterThanOrEqual(6);
  await traffic.stop();
  const seen = traffic.outcomes.map(({ entrance: by, refusedBy, answer, why }) => ({
    by,
    refusedBy,
    replica: answer?.replica,
    why,
  }));
  expect(seen).toContainEqual({ by: 'good', refusedBy: ['off'], replica: 'abc', why: '' });
  expect(seen).toContainEqual({ by: 'good', refusedBy: [], replica: 'abc', why: '' });
  expect(seen).toContainEqual({ by: 'bad', refusedBy: [], replica: undefined, why: 'status 502' });
  good.close();
  bad.close();
});
