import { describe, expect, test } from 'vitest';
import { answersAt, wayIn } from '../../../src/cli/answers-at.ts';
import { pickContainer, withValues } from '../../../src/cli/commands/exec.ts';
import { logTime } from '../../../src/cli/commands/logs.ts';
import { projectRows } from '../../../src/cli/commands/ls.ts';
import { machineObjects, machineRows } from '../../../src/cli/commands/machine.ts';
import { dryRunLines } from '../../../src/cli/dry-run.ts';
import { failureLines } from '../../../src/cli/failures.ts';
import { humanDuration } from '../../../src/cli/human-time.ts';
import { FrameReader, LineReader, logPrefix } from '../../../src/cli/log-frames.ts';
import { linkObjects, linkRows } from '../../../src/cli/machine-links.ts';
import {
  type PsFilter,
  psContainers,
  psObject,
  psRow,
  publisherOf,
} from '../../../src/cli/ps-rows.ts';
import { formatRolloutLine, rolloutLines } from '../../../src/cli/rollout-lines.ts';
import { requireServices, withDependencies } from '../../../src/cli/selection.ts';
import { formatTable } from '../../../src/cli/table.ts';
import { parseCount, parseFormat, parseScale } from '../../../src/cli/values.ts';
import type { Project } from '../../../src/model/project.ts';
import { parseXPort } from '../../../src/render/x-ports.ts';
import { aGossipStatus, aMachine, aSnapshot, m1, m2 } from '../api/fakes.ts';
import { aContainer, aProject, aService } from './builders.ts';

const second = 1000;

describe('tables', () => {
  test('are as wide as their widest cell and end without blanks', () => {
    expect(
      formatTable(
        ['NAME', 'STATE'],
        [
          ['a-long-name', 'up'],
          ['b', ''],
        ],
      ),
    ).toEqual(['NAME          STATE', 'a-long-name   up', 'b']);
  });
});

describe('durations', () => {
  test.each([
    [-5, 'Less than a second'],
    [999, 'Less than a second'],
    [1 * second, '1 second'],
    [59 * second, '59 seconds'],
    [60 * second, 'About a minute'],
    [119 * second, 'About a minute'],
    [120 * second, '2 minutes'],
    [59 * 60 * second, '59 minutes'],
    [60 * 60 * second, 'About an hour'],
    [90 * 60 * second, '2 hours'],
    [47 * 3600 * second, '47 hours'],
    [48 * 3600 * second, '2 days'],
    [14 * 86_400 * second, '2 weeks'],
    [60 * 86_400 * second, '2 months'],
    [730 * 86_400 * second, '2 years'],
  ])('of %d ms are said as docker says them: %s', (ms, text) => {
    expect(humanDuration(ms)).toBe(text);
  });
});

describe('ps', () => {
  const snapshot = aSnapshot({
    nowMs: 100 * second,
    machines: [aMachine(m1, 'm1'), { ...aMachine(m2, 'm2'), liveness: 'headless' }],
    projects: [
      aProject('shop', [aService('web', { ports: ['127.0.0.1:8080:80/tcp', '9000/udp'] })]),
    ],
    containers: [
      aContainer('shop-web-1', { health: 'healthy', startedMs: 90 * second }),
      aContainer('shop-web-2', { machine: m2, startedMs: 40 * second }),
      aContainer('shop-job-1', { state: 'exited', exitCode: 3, finishedMs: 97 * second }),
      aContainer('other-web-1', { project: 'other' }),
    ],
  });
  const filter: PsFilter = { project: 'shop', services: [], all: false, states: [] };

  test('lists what runs, of this project, on all machines', () => {
    expect(psContainers(snapshot, filter).map((c) => c.name)).toEqual(['shop-web-1', 'shop-web-2']);
  });

  test('lists all with -a, and states and services by name', () => {
    const names = (change: Partial<PsFilter>) =>
      psContainers(snapshot, { ...filter, ...change }).map((c) => c.name);
    expect(names({ all: true })).toHaveLength(3);
    expect(names({ states: ['exited'] })).toEqual(['shop-job-1']);
    expect(names({ all: true, services: ['job'] })).toEqual(['shop-job-1']);
  });

  test('writes rows in the words of docker, with the machine', () => {
    const rows = psContainers(snapshot, { ...filter, all: true }).map((c) => psRow(c, snapshot));
    const ports = '127.0.0.1:8080->80/tcp, 9000/udp';
    expect(rows).toEqual([
      [
        'shop-web-1',
        'busybox',
        'web',
        'About a minute ago',
        'Up 10 seconds (healthy)',
        ports,
        'm1',
      ],
      [
        'shop-web-2',
        'busybox',
        'web',
        'About a minute ago',
        'Up About a minute (machine headless)',
        ports,
        'm2',
      ],
      ['shop-job-1', 'busybox', 'job', 'About a minute ago', 'Exited (3) 3 seconds ago', '', 'm1'],
    ]);
  });

  test('says draining, paused and unhealthy', () => {
    const status = (change: Parameters<typeof aContainer>[1]) =>
      psRow(aContainer('shop-web-1', { startedMs: 90 * second, ...change }), snapshot)[4];
    expect(status({ draining: true })).toBe('Up 10 seconds (draining)');
    expect(status({ state: 'paused' })).toBe('Up 10 seconds (Paused)');
    expect(status({ health: 'starting' })).toBe('Up 10 seconds (health: starting)');
    expect(status({ state: 'created' })).toBe('Created');
    expect(status({ state: 'restarting', exitCode: 1, finishedMs: 98 * second })).toBe(
      'Restarting (1) 2 seconds ago',
    );
  });

  test('has the keys of docker compose as JSON', () => {
    const [first] = psContainers(snapshot, filter);
    expect(first && psObject(first, snapshot)).toMatchObject({
      ID: 'id-shop-web-1',
      Name: 'shop-web-1',
      Service: 'web',
      Project: 'shop',
      State: 'running',
      Health: 'healthy',
      ExitCode: 0,
      Machine: 'm1',
      Publishers: [
        { URL: '127.0.0.1', TargetPort: 80, PublishedPort: 8080, Protocol: 'tcp' },
        { URL: '', TargetPort: 9000, PublishedPort: 0, Protocol: 'udp' },
      ],
    });
  });

  test('reads ports with and without an address', () => {
    expect(publisherOf('80/tcp')).toEqual({
      URL: '',
      TargetPort: 80,
      PublishedPort: 0,
      Protocol: 'tcp',
    });
    expect(publisherOf('8080:80/tcp')).toMatchObject({ URL: '0.0.0.0', PublishedPort: 8080 });
    expect(publisherOf('[::1]:8080:80/tcp')).toMatchObject({ URL: '::1', PublishedPort: 8080 });
    expect(publisherOf('8080-8090:80/tcp')).toBeUndefined();
  });
});

describe('ls', () => {
  test('counts containers by state, and hides what is down', () => {
    const snapshot = aSnapshot({
      projects: [
        aProject('gone', [], { isRemoved: true }),
        aProject('new', []),
        aProject('shop', []),
      ],
      containers: [
        aContainer('gone-web-1', { project: 'gone' }),
        aContainer('shop-web-1'),
        aContainer('shop-web-2'),
        aContainer('shop-job-1', { state: 'exited' }),
      ],
    });
    expect(projectRows(snapshot, false).map((r) => [r.Name, r.Status])).toEqual([
      ['new', 'starting'],
      ['shop', 'exited(1), running(2)'],
    ]);
    expect(projectRows(snapshot, true).map((r) => r.Name)).toEqual(['gone', 'new', 'shop']);
  });
});

describe('machine ls', () => {
  test('marks the machine that answered and says what is wrong with one', () => {
    const snapshot = aSnapshot({
      machines: [
        aMachine(m1, 'm1'),
        { ...aMachine(m2, 'm2'), liveness: 'lost', isAble: false, isDrained: true },
      ],
      containers: [aContainer('shop-web-1'), aContainer('shop-job-1', { state: 'exited' })],
    });
    const rows = machineRows(snapshot);
    expect(rows[0]?.slice(0, 3)).toEqual(['m1 *', 'reachable', '1']);
    expect(rows[1]?.slice(0, 3)).toEqual(['m2', 'lost, not able, drained', '0']);
    expect(rows[0]).toContain('2.0GiB');
    expect(machineObjects(snapshot)[0]).toMatchObject({ isSelf: true, containerCount: 1 });
  });
});

describe('rollout lines', () => {
  const line = (lines: ReturnType<typeof rolloutLines>) =>
    lines.map(({ name, machine, text }) => `${name} ${machine} ${text}`);

  test('say what a container became, and only that', () => {
    const steps = [
      [],
      [aContainer('shop-web-1', { state: 'created', ready: false })],
      [aContainer('shop-web-1', { ready: false, health: 'starting' })],
      [aContainer('shop-web-1', { ready: false, health: 'starting' })],
      [aContainer('shop-web-1', { ready: true, health: 'healthy' })],
      [aContainer('shop-web-1', { ready: false, draining: true, health: 'healthy' })],
      [aContainer('shop-web-1', { ready: false, state: 'exited', exitCode: 137, draining: true })],
      [],
    ].map((containers) => aSnapshot({ containers }));
    const seen = steps
      .slice(1)
      .map((after, index) => line(rolloutLines(steps[index], after, 'shop')));
    expect(seen).toEqual([
      ['web-1 m1 created'],
      ['web-1 m1 started'],
      [],
      ['web-1 m1 healthy'],
      ['web-1 m1 draining'],
      ['web-1 m1 stopped'],
      ['web-1 m1 removed'],
    ]);
  });

  test('tell a broken container from a finished one', () => {
    const after = aSnapshot({
      containers: [
        aContainer('shop-web-1', { state: 'exited', exitCode: 1, ready: false }),
        aContainer('shop-web-2', { state: 'exited', exitCode: 0, ready: false }),
        aContainer('shop-web-3', { health: 'unhealthy', ready: false }),
        aContainer('shop-web-4', { restarts: 2, ready: false }),
        aContainer('shop-web-5', { machine: m2 }),
      ],
    });
    expect(line(rolloutLines(aSnapshot(), after, 'shop'))).toEqual([
      'web-1 m1 exited (1)',
      'web-2 m1 exited (0)',
      'web-3 m1 unhealthy',
      'web-4 m1 restarted (2)',
      'web-5 m2 ready',
    ]);
  });

  test('leave other projects out and say once what is waited for', () => {
    const waiting = [{ project: 'shop', service: 'web', slot: '1', why: 'redis is not healthy' }];
    const before = aSnapshot();
    const after = aSnapshot({
      waiting,
      containers: [aContainer('other-web-1', { project: 'other' })],
    });
    expect(line(rolloutLines(before, after, 'shop'))).toEqual([
      'web-1 m1 waits: redis is not healthy',
    ]);
    expect(rolloutLines(after, after, 'shop')).toEqual([]);
  });

  test('stand under each other', () => {
    expect(
      formatRolloutLine({ name: 'web-2', machine: 'm3', text: 'started', tone: 'plain' }),
    ).toMatch(/^web-2 {17}m3 {12}started$/);
  });
});

describe('failures', () => {
  test('show service, machine, why, exit code and the last ten lines', () => {
    const failure = {
      machine: m2,
      project: 'shop',
      service: 'web',
      rollout: 'r1',
      slot: '2',
      why: 'exited',
      exitCode: 1,
      lastLines: Array.from({ length: 12 }, (_, index) => `line ${index}`),
      atMs: 1,
    };
    const lines = failureLines(
      [failure, { ...failure, exitCode: null, lastLines: [] }],
      aSnapshot(),
    );
    expect(lines[0]).toBe('web-2 on m2: exited (exit code 1)');
    expect(lines.slice(1, 11)).toEqual(
      Array.from({ length: 10 }, (_, index) => `    | line ${index + 2}`),
    );
    expect(lines[11]).toBe('web-2 on m2: exited');
  });
});

describe('dry run', () => {
  test('lists steps in order, with names instead of ids and what stays ready', () => {
    const snapshot = aSnapshot({ containers: [aContainer('shop-web-1')] });
    const replica = { service: 'web', wanted: 2 };
    const steps = [
      {
        machine: m2,
        action: {
          name: 'run',
          subject: 's',
          reason: 'missing',
          arguments: { project: 'shop', service: 'web', slot: '2', hash: 'h', rollout: 'r' },
        },
        replica: { ...replica, slot: '2', leastReady: 2 },
      },
      {
        machine: m1,
        action: {
          name: 'stop',
          subject: 's',
          reason: 'out of date',
          arguments: { containerId: 'id-shop-web-1', graceMs: 1 },
        },
        replica: { ...replica, slot: '1', leastReady: 1 },
      },
      {
        machine: m2,
        action: {
          name: 'removeVolume',
          subject: 's',
          reason: 'down -v',
          arguments: { project: 'shop', volume: 'data' },
        },
      },
    ] as const;
    expect(dryRunLines(steps, snapshot, 'shop')).toEqual([
      'STEP   MACHINE   DOES                           READY',
      '1      m2        create web-2: missing          2 of 2',
      '2      m1        stop shop-web-1: out of date   1 of 2',
      '3      m2        remove volume data: down -v',
      'web: never fewer than 1 of 2 ready.',
    ]);
    expect(dryRunLines([], snapshot, 'shop')).toEqual(['Nothing to do.']);
  });
});

describe('where the app answers', () => {
  const project: Project = {
    name: 'shop',
    services: {
      web: {
        'x-ports': ['shop.example.com:8000/http', 'shop.example.com:8000', '8080:80@host'],
        ports: [
          { target: 80, published: '8080', protocol: 'tcp' },
          { target: 81 },
          { target: 53, published: '53', protocol: 'udp', mode: 'host', host_ip: '127.0.0.1' },
        ],
      },
      api: { 'x-ports': 'api.example.com:1/https' },
    },
  };

  test('names URLs and ports of the services that were changed', () => {
    const machines = [aMachine(m1, 'm1'), { ...aMachine(m2, 'm2'), hasIngress: false }];
    expect(answersAt(project, ['web'], aSnapshot({ machines }))).toEqual([
      'web  http://shop.example.com  through m1',
      'web  https://shop.example.com  through m1',
      'web  *:8080 -> 80/tcp  on the replica’s machine',
      'web  *:8080 -> 80/tcp  on m1, m2',
      'web  127.0.0.1:53 -> 53/udp  on the replica’s machine',
    ]);
    expect(answersAt(project, ['api', 'gone'], aSnapshot({ machines: [] }))).toEqual([
      'api  https://api.example.com  through no machine (none is reachable and open for it)',
    ]);
  });

  test.each([
    ['shop.example.com:80/http', 'http://shop.example.com'],
    ['Shop.example.com:8080:80/http', 'http://shop.example.com:8080'],
    ['shop.example.com:8000', 'https://shop.example.com'],
    ['*.example.com:8443:80/https', 'https://*.example.com:8443'],
    ['80/http', '*:80 -> 80/http'],
    ['8080:80', '*:8080 -> 80/http'],
    ['5432/tcp', '*:5432 -> 5432/tcp'],
    ['127.0.0.1:53:5353/udp@host', '127.0.0.1:53 -> 5353/udp'],
    ['[::1]:8080:80@host', '[::1]:8080 -> 80/tcp'],
  ])('x-ports %s is answered at %s', (entry, expected) => {
    expect(wayIn(parseXPort(entry))).toBe(expected);
  });

  test('says through or on which machines each entry of x-ports answers', () => {
    const machines = [
      { ...aMachine(m1, 'm1'), publishes: false },
      { ...aMachine(m2, 'm2'), hasIngress: false },
    ];
    const web = { 'x-ports': ['80/http', '5432/tcp', '53:53/udp@host', 'nonsense:'] };
    expect(
      answersAt({ name: 'shop', services: { web } }, ['web'], aSnapshot({ machines })),
    ).toEqual([
      'web  *:80 -> 80/http  through m1',
      'web  *:5432 -> 5432/tcp  on m2',
      'web  *:53 -> 53/udp  on the replica’s machine',
    ]);
  });
});

describe('logs', () => {
  function frame(stream: 1 | 2, text: string): Buffer {
    const body = Buffer.from(text);
    const head = Buffer.alloc(8);
    head[0] = stream;
    head.writeUInt32BE(body.length, 4);
    return Buffer.concat([head, body]);
  }

  test('are taken apart wherever the chunks end', () => {
    const bytes = Buffer.concat([frame(1, 'out\n'), frame(2, 'err\n'), frame(1, '')]);
    for (let size = 1; size <= bytes.length; size += 1) {
      const reader = new FrameReader();
      let text = '';
      for (let at = 0; at < bytes.length; at += size) {
        for (const part of reader.push(bytes.subarray(at, at + size))) {
          text += `${part.stream}:${Buffer.from(part.bytes).toString()}`;
        }
      }
      expect(text).toBe('stdout:out\nstderr:err\nstdout:');
    }
  });

  test('are cut into lines without breaking a character', () => {
    const reader = new LineReader();
    const bytes = Buffer.from('grün\r\nzwei\nrest');
    const lines = [...bytes].flatMap((byte) => reader.push(Uint8Array.of(byte)));
    expect(lines).toEqual(['grün', 'zwei']);
    expect(reader.end()).toEqual(['rest']);
    expect(reader.end()).toEqual([]);
  });

  test('cannot fill the memory with one line', () => {
    const reader = new LineReader();
    const chunk = Buffer.alloc(600_000, 'x');
    expect(reader.push(chunk)).toEqual([]);
    expect(reader.push(chunk)[0]?.length).toBe(1_200_000);
    expect(reader.end()).toEqual([]);
  });

  test('carry prefixes of one width', () => {
    expect(logPrefix('web-1', 7)).toBe('web-1    | ');
    expect(logPrefix('redis-1', 7)).toBe('redis-1  | ');
  });

  test('take times as stamps and as durations that count back', () => {
    expect(logTime(undefined, 0)).toBe('');
    expect(logTime('1700000000', 0)).toBe('1700000000');
    expect(logTime('1h30m', 10_000_000_000)).toBe(`${10_000_000 - 5400}`);
    expect(logTime('2020-01-01T00:00:00Z', 0)).toBe('1577836800');
    expect(() => logTime('soon', 0)).toThrow(/"soon"/);
  });
});

describe('exec', () => {
  const snapshot = aSnapshot({
    containers: [
      aContainer('shop-web-1', { slot: '1', state: 'exited' }),
      aContainer('shop-web-2', { slot: '2', draining: true }),
      aContainer('shop-web-2b', { slot: '2', machine: m2 }),
      aContainer('shop-web-3', { slot: '3' }),
      aContainer('shop-all-m1', { service: 'all', slot: m1 }),
      aContainer('shop-all-m2', { service: 'all', slot: m2, machine: m2 }),
    ],
  });
  const pick = (service: string, more: { index?: string; machine?: string } = {}) =>
    pickContainer(snapshot, { project: 'shop', service, ...more }).name;

  test('picks the first replica that serves, or the one that is named', () => {
    expect(pick('web')).toBe('shop-web-2b');
    expect(pick('web', { index: '3' })).toBe('shop-web-3');
    expect(pick('web', { index: '2' })).toBe('shop-web-2b');
    expect(pick('web', { machine: 'm1' })).toBe('shop-web-3');
  });

  test('counts replicas of a global service, and takes them by machine', () => {
    expect(pick('all', { index: '2' })).toBe('shop-all-m2');
    expect(pick('all', { machine: 'm2' })).toBe('shop-all-m2');
  });

  test('says what is not running', () => {
    expect(() => pick('web', { index: '1' })).toThrow('service "web" #1 is not running');
    expect(() => pick('all', { machine: 'm9' })).toThrow('on m9 is not running');
    expect(() => pick('nope')).toThrow('service "nope" is not running in project "shop"');
  });

  test('takes values of variables from the environment', () => {
    expect(withValues(['A=1', 'B', 'C'], { B: '2' })).toEqual(['A=1', 'B=2']);
  });
});

describe('services of up', () => {
  const project: Project = {
    name: 'shop',
    services: {
      web: { depends_on: { api: { condition: 'service_started' } } },
      api: { depends_on: { db: { condition: 'service_healthy' } } },
      db: {},
      side: { network_mode: 'service:web', volumes_from: ['files:ro', 'container:x'] },
      files: {},
    },
  };

  test('come with all they need, in the order of the file', () => {
    expect(withDependencies(project, ['web'])).toEqual(['web', 'api', 'db']);
    expect(withDependencies(project, ['side'])).toEqual(['web', 'api', 'db', 'side', 'files']);
    expect(withDependencies(project, [])).toEqual([]);
  });

  test('must exist', () => {
    expect(() => withDependencies(project, ['wep'])).toThrow('no such service: wep');
    expect(() => requireServices(project, ['db', 'x'])).toThrow('no such service: x');
  });
});

describe('values of flags', () => {
  test('of scale are pairs', () => {
    expect(parseScale(['web=3', 'db=0'])).toEqual({ web: 3, db: 0 });
    expect(() => parseScale(['web'])).toThrow('SERVICE=COUNT');
    expect(() => parseScale(['web=-1'])).toThrow('SERVICE=COUNT');
  });

  test('of numbers and formats are checked', () => {
    expect(parseCount('--x', '5')).toBe(5);
    expect(() => parseCount('--x', 'five')).toThrow('--x needs a whole number, not "five"');
    expect(() => parseCount('--x', '0', 1)).toThrow('--x');
    expect(parseFormat(undefined)).toBe('table');
    expect(parseFormat('json')).toBe('json');
    expect(() => parseFormat('xml')).toThrow('"xml"');
  });
});

test('machine ls --links: a line a link, and one for a machine that does not answer', () => {
  const snapshot = aSnapshot();
  const lines = linkObjects(snapshot, [
    { machine: m1, status: aGossipStatus() },
    { machine: m2, problem: 'unreachable' },
  ]);
  expect(linkRows(lines)).toEqual([
    ['m1', 'm2', '1.3ms', '1m30s', 'equal', '0B', '1.2kB', '2.3MB'],
    ['m2', '(unreachable)', '', '', '', '', '', ''],
  ]);
  const none = linkObjects(snapshot, [{ machine: m1, status: aGossipStatus({ links: [] }) }]);
  expect(none).toMatchObject([{ problem: 'no link', wantedLinkCount: 1 }]);
});
