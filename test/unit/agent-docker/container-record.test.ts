import type Docker from 'dockerode';
import { expect, test } from 'vitest';
import { containerRecord, isRecorded } from '../../../agent/container-record.ts';
import { label } from '../../../src/model/names.ts';
import { cluster } from '../container/builders.ts';

const labels: Record<string, string> = {
  [label.cluster]: cluster,
  [label.project]: 'shop',
  [label.service]: 'web',
  [label.slot]: '1',
  [label.hash]: 'h',
  [label.rollout]: 'r',
};

function found(changes: {
  readonly labels?: Record<string, string>;
  readonly status?: string;
  readonly health?: string;
  readonly startedAt?: string;
}): Docker.ContainerInspectInfo {
  const info: object = {
    Name: '/shop-web-1',
    Created: '2026-11-21T10:00:00.5Z',
    State: {
      Status: changes.status ?? 'running',
      ExitCode: 137,
      StartedAt: changes.startedAt ?? '2026-11-21T10:00:01.123456789Z',
      FinishedAt: '0001-01-01T00:00:00Z',
      ...(changes.health === undefined ? {} : { Health: { Status: changes.health } }),
    },
    Config: { Image: 'nginx:1', Labels: changes.labels ?? labels },
    NetworkSettings: { Networks: { 'tsc-compose': { IPAddress: '10.210.1.9' } } },
  };
  // Only the fields that a record is made from.
  return info as Docker.ContainerInspectInfo;
}

const ready = { passesReadiness: true, isDraining: false, restarts: 2 };

test('times are milliseconds, and "never" is 0', () => {
  expect(containerRecord(found({}), cluster, ready)).toMatchObject({
    createdMs: Date.parse('2026-11-21T10:00:00.500Z'),
    startedMs: Date.parse('2026-11-21T10:00:01.123Z'),
    finishedMs: 0,
    exitCode: 137,
    restarts: 2,
    ready: true,
    ip: '10.210.1.9',
  });
});

test.each([
  ['running', 'running', '10.210.1.9', true],
  ['paused', 'paused', '10.210.1.9', false],
  ['exited', 'exited', '', false],
  ['created', 'created', '', false],
  ['something new', 'dead', '', false],
])('a container that is %s is recorded as %s', (status, state, ip, isReady) => {
  const record = containerRecord(found({ status }), cluster, ready);
  expect(record).toMatchObject({ state, ip, ready: isReady });
});

test.each([
  ['healthy', 'healthy'],
  ['none', 'none'],
  [undefined, 'none'],
  ['something new', 'none'],
])('health %s is recorded as %s', (health, expected) => {
  const given = health === undefined ? {} : { health };
  expect(containerRecord(found(given), cluster, ready)?.health).toBe(expected);
});

test('draining is never ready', () => {
  const record = containerRecord(found({}), cluster, { ...ready, isDraining: true });
  expect(record).toMatchObject({ draining: true, ready: false });
});

test('names are read from the label, and a broken label is no names', () => {
  const namesOf = (text: string) => {
    const record = containerRecord(
      found({ labels: { ...labels, [label.names]: text } }),
      cluster,
      ready,
    );
    return [record?.aliases, record?.networks];
  };
  expect(namesOf('{"aliases":["a",1],"networks":{"n":["b"],"m":null}}')).toEqual([
    ['a'],
    { n: ['b'], m: [] },
  ]);
  for (const broken of ['{', 'null', '[]', '1', '{"aliases":"a","networks":"n"}']) {
    expect(namesOf(broken)).toEqual([[], {}]);
  }
});

test('only complete labels of this cluster make a record', () => {
  expect(isRecorded(labels, cluster)).toBe(true);
  for (const name of Object.keys(labels)) {
    expect(isRecorded({ ...labels, [name]: '' }, cluster)).toBe(false);
  }
  expect(isRecorded({ ...labels, [label.system]: 'caddy' }, cluster)).toBe(false);
  expect(isRecorded(undefined, cluster)).toBe(false);
  expect(containerRecord(found({ labels: {} }), cluster, ready)).toBeUndefined();
});
