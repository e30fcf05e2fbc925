import { createServer, type Server } from 'node:http';
import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Applied, type RecordVersion } from '../../../agent/applied.ts';
import { Barrier, readBarrier } from '../../../agent/barrier.ts';
import { createLog } from '../../../agent/log.ts';
import type { MachineId } from '../../../src/model/ids.ts';
import type { Entry } from '../../../src/model/record.ts';
import type { MachineView, View } from '../../../src/model/view.ts';
import { aMachine, aView } from '../container/builders.ts';

/** Records that a test sets, and a driver that it lets go on. */
class Scene {
  readonly records = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();
  isDriverDone = Promise.resolve(true);
  readonly applied = new Applied({
    replica: {
      get: (key) => this.records.get(key),
      subscribe: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    },
    drivers: [{ whenApplied: () => this.isDriverDone }],
  });

  set(key: string, hlc: number): void {
    this.records.set(key, { key, origin: aMachine().id, hlc, value: {} });
    for (const listener of this.#listeners) listener();
  }

  evaluate(): void {
    this.applied.building();
    this.applied.given();
  }
}

/** 10 s: nothing here takes that long, and a busy machine still gives an answer. */
const longMs = 10_000;
const record: RecordVersion = { key: 'c/a/1', hlc: 5 };

test('a record counts once it is here, in a view, and with the drivers', async () => {
  const scene = new Scene();
  let isOver = false;
  let letDriverGo: (isApplied: boolean) => void = () => undefined;
  scene.isDriverDone = new Promise((resolve) => {
    letDriverGo = resolve;
  });
  const answer = scene.applied.wait([record], longMs).then((isApplied) => {
    isOver = true;
    return isApplied;
  });
  scene.evaluate();
  scene.set(record.key, 4);
  scene.evaluate();
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  // A view that was begun before the record came does not have it.
  scene.applied.building();
  scene.set(record.key, 6);
  scene.applied.given();
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  scene.evaluate();
  await new Promise(setImmediate);
  expect(isOver).toBe(false);
  letDriverGo(true);
  expect(await answer).toBe(true);
  // What is in force already needs no evaluation.
  expect(await scene.applied.wait([record], longMs)).toBe(true);
});

test('a driver that fails or hangs, and a record that never comes, is a no', async () => {
  const scene = new Scene();
  expect(await scene.applied.wait([record], 20)).toBe(false);
  scene.set(record.key, 5);
  expect(await scene.applied.wait([record], 20)).toBe(false);
  scene.evaluate();
  scene.isDriverDone = Promise.resolve(false);
  expect(await scene.applied.wait([record], longMs)).toBe(false);
  scene.isDriverDone = new Promise(() => undefined);
  expect(await scene.applied.wait([record], 20)).toBe(false);
});

test('an agent that stops lets nobody wait for a view', async () => {
  const scene = new Scene();
  const answer = scene.applied.wait([record], longMs);
  scene.applied.stop();
  expect(await answer).toBe(false);
});

const other = (letter: string): MachineView =>
  aMachine({ id: letter.repeat(16) as MachineId, name: letter });

let servers: Server[];
let log: string;
let nowMs: number;
beforeEach(() => {
  servers = [];
  log = '';
  nowMs = 1_000_000;
});
afterEach(() => {
  for (const server of servers) server.closeAllConnections();
});

interface Peer {
  readonly machine: MachineView;
  /** Answers, or hangs up when it is undefined. */
  readonly answer: ((records: readonly RecordVersion[]) => unknown) | undefined;
}

function aBarrier(peers: readonly Peer[]): { readonly barrier: Barrier; readonly asked: string[] } {
  const asked: string[] = [];
  const view: View = {
    ...aView([]),
    machines: new Map([aMachine(), ...peers.map((peer) => peer.machine)].map((m) => [m.id, m])),
  };
  const connectRpc = async (id: MachineId): Promise<Duplex> => {
    const peer = peers.find(({ machine }) => machine.id === id);
    asked.push(peer?.machine.name ?? '');
    const { answer } = peer ?? {};
    if (answer === undefined) throw new Error('nobody there');
    const [mine, theirs] = duplexPair();
    const server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      request.on('end', () => {
        const found = answer(readBarrier(JSON.parse(text)));
        response.statusCode = found === undefined ? 404 : 200;
        response.end(JSON.stringify(found ?? {}));
      });
    });
    servers.push(server);
    server.emit('connection', theirs);
    return mine;
  };
  const barrier = new Barrier({
    view: () => view,
    connectRpc,
    applied: async () => {
      asked.push('self');
      return true;
    },
    now: () => nowMs,
    log: createLog((line) => {
      log += line;
    }),
  });
  return { barrier, asked };
}

test('every machine in reach is asked once for what comes together', async () => {
  const seen: (readonly RecordVersion[])[] = [];
  const answer = (records: readonly RecordVersion[]): unknown => {
    seen.push(records);
    return { isApplied: true };
  };
  const { barrier, asked } = aBarrier([
    { machine: other('b'), answer },
    { machine: other('c'), answer },
    { machine: { ...other('d'), liveness: 'unreachable' }, answer },
  ]);
  const second = { key: 'c/a/2', hlc: 9 };
  await Promise.all([barrier.pass(record), barrier.pass(second)]);
  expect(asked.sort()).toEqual(['b', 'c', 'self']);
  expect(seen).toEqual([
    [record, second],
    [record, second],
  ]);
  expect(log).toBe('');
});

test('a machine that cannot answer is named, and left out for a while', async () => {
  const { barrier, asked } = aBarrier([
    { machine: other('b'), answer: undefined },
    // As an agent of an earlier version: it does not know the question.
    { machine: other('c'), answer: () => undefined },
    { machine: other('d'), answer: () => ({ isApplied: false }) },
  ]);
  await barrier.pass(record);
  for (const name of ['b', 'c', 'd']) expect(log).toContain(`machine=${name}`);
  asked.length = 0;
  log = '';
  await barrier.pass(record);
  expect(asked.sort()).toEqual(['d', 'self']);
  expect(log).not.toMatch(/machine=[bc]/u);
  asked.length = 0;
  nowMs += 60_000;
  await barrier.pass(record);
  expect(asked.sort()).toEqual(['b', 'c', 'd', 'self']);
});

test('whoever only waits is told who does not answer, also of those left out', async () => {
  const { barrier, asked } = aBarrier([
    { machine: other('b'), answer: () => ({ isApplied: true }) },
    { machine: other('c'), answer: undefined },
    { machine: other('d'), answer: () => ({ isApplied: false }) },
  ]);
  for (const toBeAsked of [
    ['b', 'c', 'd', 'self'],
    ['b', 'd', 'self'],
  ]) {
    asked.length = 0;
    const missing = await barrier.everywhere([record]);
    expect(missing.map(({ machine }) => machine)).toEqual(['c', 'd']);
    expect(asked.sort()).toEqual(toBeAsked);
  }
  expect(log).toBe('');
});

test('a question that is none is refused', () => {
  for (const body of [null, {}, { records: 1 }, { records: [{ key: 1, hlc: 1 }] }]) {
    expect(() => readBarrier(body)).toThrow(expect.objectContaining({ code: 'E_REQUEST_INVALID' }));
  }
});
