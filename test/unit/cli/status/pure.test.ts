import { describe, expect, test } from 'vitest';
import { statusTables } from '../../../../src/cli/commands/status.ts';
import { type Column, fitColumns, fitRow, truncate } from '../../../../src/cli/status/columns.ts';
import { frameOf, type Line } from '../../../../src/cli/status/frame.ts';
import { type KeyPress, keysOf } from '../../../../src/cli/status/keys.ts';
import { firstRow, shareLines, wrapped } from '../../../../src/cli/status/layout.ts';
import { LogBuffer } from '../../../../src/cli/status/log-buffer.ts';
import { statusObject } from '../../../../src/cli/status/objects.ts';
import { panesOf, plainText, shortDuration } from '../../../../src/cli/status/panes.ts';
import {
  afterKey,
  firstState,
  type Key,
  type KeyContext,
  type ScreenState,
  selectedIndex,
} from '../../../../src/cli/status/state.ts';
import type { Snapshot } from '../../../../src/model/snapshot.ts';
import { m1, m2 } from '../../api/fakes.ts';
import { aContainer, aProject, aService } from '../builders.ts';
import { aScene } from './builders.ts';

describe('columns', () => {
  const columns: Column[] = [
    { head: 'NAME', minWidth: 6, cut: 'middle', sacrifice: 0 },
    { head: 'STATE', minWidth: 5, cut: 'end', sacrifice: 0 },
    { head: 'IMAGE', minWidth: 5, cut: 'end', sacrifice: 2 },
    { head: 'URL', minWidth: 8, cut: 'end', sacrifice: 1 },
  ];
  const row = ['guestbook-web-1', 'ready', 'redis:7.4-alpine', 'http://x.example'];
  const fitted = (width: number) =>
    fitRow(columns, fitColumns(columns, [row], width), row)
      .join('')
      .trimEnd();

  test.each([
    [80, 'guestbook-web-1  ready  redis:7.4-alpine  http://x.example'],
    [56, 'guestbook-web-1  ready  redis:7.4-alp…  http://x.example'],
    [47, 'guestbook-web-1  ready  redi…  http://x.example'],
    [46, 'guestbook-web-1  ready  redi…  http://x.examp…'],
    [38, 'guestbo…-web-1  ready  redi…  http://…'],
    [30, 'gue…-1  ready  redi…  http://…'],
    [29, 'guestb…web-1  ready  http://…'],
    [22, 'guestbook-web-1  ready'],
    [16, 'gues…eb-1  ready'],
    [9, 'gue…-1  …'],
    [3, 'g…1'],
  ])('in a width of %d', (width, expected) => {
    expect(fitted(width)).toBe(expected);
    expect(fitted(width).length).toBeLessThanOrEqual(width);
  });

  test('are as wide as their heads at least', () => {
    expect(fitColumns(columns, [], 80).widths).toEqual([4, 5, 5, 3]);
  });

  test('cut texts where they tell least', () => {
    expect(truncate('abcdefgh', 5)).toBe('abcd…');
    expect(truncate('abcdefgh', 5, 'middle')).toBe('ab…gh');
    expect(truncate('abcdefgh', 8)).toBe('abcdefgh');
    expect(truncate('abcdefgh', 1)).toBe('…');
    expect(truncate('abcdefgh', 0)).toBe('');
  });
});

describe('lines are shared out', () => {
  const share = (height: number, wanted: number[], active = 1, noteCount = 0) =>
    shareLines(height, wanted, { active, noteLineCount: noteCount });

  test('as each list needs, when there are enough', () => {
    expect(share(22, [3, 2, 4])).toEqual({ panes: [3, 2, 4], notes: 0 });
    expect(share(22, [0, 0, 0])).toEqual({ panes: [1, 1, 1], notes: 0 });
  });

  test('first to the list that is active, then to those that lack most', () => {
    expect(share(22, [3, 50, 50])).toEqual({ panes: [3, 8, 5], notes: 0 });
    expect(share(22, [3, 50, 50], 2)).toEqual({ panes: [3, 5, 8], notes: 0 });
    expect(share(22, [3, 6, 50], 1)).toEqual({ panes: [3, 6, 7], notes: 0 });
  });

  test('and sentences are wrapped between words', () => {
    expect(wrapped('one two three four', 9)).toEqual(['one two', '  three', '  four']);
    expect(wrapped('short', 9)).toEqual(['short']);
    expect(wrapped('abcdefghijklmnop', 8)).toEqual(['abcdefgh', '  ijklmn', '  op']);
    expect(wrapped('', 8)).toEqual(['']);
    expect(wrapped('abc', 1)).toEqual(['a']);
  });

  test('with a fifth for notes', () => {
    expect(share(22, [3, 50, 50], 0, 9)).toEqual({ panes: [3, 4, 4], notes: 4 });
    expect(share(50, [3, 50, 50], 0, 99).notes).toBe(10);
  });

  test.each([12, 13, 22, 38, 60])('and never more than the %d there are', (height) => {
    for (const wanted of [
      [1, 1, 1],
      [3, 100, 5],
      [64, 64, 64],
    ]) {
      const { panes, notes } = share(height, wanted, 2, 2);
      const used = panes.reduce((sum, rows) => sum + rows, 0) + 6 + notes + 1;
      expect(used).toBeLessThanOrEqual(Math.max(height, 12));
    }
  });

  test('and the selected row is among those that are seen', () => {
    expect(firstRow(10, 4, 0)).toBe(0);
    expect(firstRow(10, 4, 5)).toBe(3);
    expect(firstRow(10, 4, 9)).toBe(6);
    expect(firstRow(3, 4, 2)).toBe(0);
  });
});

describe('keys', () => {
  const none: KeyPress = {
    upArrow: false,
    downArrow: false,
    pageUp: false,
    pageDown: false,
    home: false,
    end: false,
    return: false,
    escape: false,
    tab: false,
    shift: false,
    ctrl: false,
  };

  test.each<[string, Partial<KeyPress>, readonly string[]]>([
    ['j', {}, ['down']],
    ['jjk', {}, ['down', 'down', 'up']],
    ['G', { shift: true }, ['end']],
    ['x', {}, []],
    ['', { downArrow: true }, ['down']],
    ['\t', { tab: true }, ['nextPane']],
    ['', { tab: true, shift: true }, ['previousPane']],
    ['\r', { return: true }, ['open']],
    ['2\r', {}, ['pane2', 'open']],
    ['', { escape: true }, ['back']],
    ['c', { ctrl: true }, ['interrupt']],
    ['f', { ctrl: true }, ['pageDown']],
    ['q', { ctrl: true }, []],
  ])('%j with %j', (input, press, expected) => {
    expect(keysOf(input, { ...none, ...press })).toEqual(expected);
  });
});

describe('the state after keys', () => {
  const panes = panesOf(statusObject(aScene()), 0);
  const context: KeyContext = { panes, pageHeight: 2, log: { first: 0, end: 0 } };
  const after = (keys: readonly Key[], change: Partial<KeyContext> = {}) =>
    keys.reduce<ScreenState>(
      (state, key) => afterKey(state, key, { ...context, ...change }),
      firstState,
    );
  const selected = ({ pane, selections }: ScreenState) =>
    selectedIndex(panes[pane]?.rows ?? [], selections[pane]);

  test('goes from list to list', () => {
    expect(after(['nextPane']).pane).toBe(2);
    expect(after(['nextPane', 'nextPane']).pane).toBe(0);
    expect(after(['pane1', 'previousPane']).pane).toBe(2);
    expect(after(['pane3']).pane).toBe(2);
  });

  test('moves inside the list and stays there', () => {
    expect(selected(after(['pane3', 'down', 'down', 'up']))).toBe(1);
    expect(selected(after(['pane3', 'up']))).toBe(0);
    expect(selected(after(['pane3', 'end', 'down']))).toBe(3);
    expect(selected(after(['pane3', 'pageDown', 'down']))).toBe(3);
    expect(selected(after(['pane3', 'end', 'pageUp']))).toBe(1);
    expect(selected(after(['pane3', 'end', 'home']))).toBe(0);
    expect(selected(after(['pane3', 'end', 'pane1', 'down', 'pane3']))).toBe(3);
  });

  test('keeps the selection on its row, and near it when the row goes', () => {
    const state = after(['pane3', 'down', 'down']);
    const rows = panes[2]?.rows ?? [];
    const selection = state.selections[2];
    expect(selectedIndex(rows.slice(1), selection)).toBe(1);
    expect(selectedIndex(rows.slice(0, 2), selection)).toBe(1);
    expect(selectedIndex([], selection)).toBe(-1);
  });

  test('opens logs of services and replicas, and leaves them again', () => {
    const open = after(['pane3', 'down', 'open']);
    expect(open.log).toEqual({ service: { project: 'guestbook', service: 'web' }, top: undefined });
    expect(afterKey(open, 'back', context).log).toBeUndefined();
    expect(afterKey(open, 'quit', context)).toMatchObject({ log: undefined, isLeaving: false });
    expect(after(['pane1', 'open'])).toMatchObject({
      log: undefined,
      hint: expect.stringContaining('choose'),
    });
    expect(after(['pane1', 'open', 'up']).hint).toBe('');
  });

  test('scrolls in the logs, and follows again from the end', () => {
    const log = { first: 100, end: 120 };
    const at = (...keys: readonly Key[]) =>
      after(['open', ...keys], { log, pageHeight: 5 }).log?.top;
    expect(at()).toBeUndefined();
    expect(at('up')).toBe(114);
    expect(at('pageUp', 'up')).toBe(109);
    expect(at('home')).toBe(100);
    expect(at('home', 'up')).toBe(100);
    expect(at('home', 'pageDown', 'down')).toBe(106);
    expect(at('up', 'down')).toBeUndefined();
    expect(at('up', 'end')).toBeUndefined();
    expect(at('up', 'pane1')).toBe(114);
  });

  test('opens help, which every way out closes', () => {
    expect(after(['help']).isHelpOpen).toBe(true);
    for (const key of ['help', 'back', 'quit', 'open'] as const) {
      expect(after(['help', key])).toMatchObject({ isHelpOpen: false, isLeaving: false });
    }
    expect(after(['help', 'down']).isHelpOpen).toBe(true);
    expect(after(['quit']).isLeaving).toBe(true);
  });
});

describe('the lines of a log', () => {
  test('are numbered, and a position outlives new ones', () => {
    const buffer = new LogBuffer();
    for (let index = 0; index < 10; index += 1) buffer.push({ name: 'web-1', text: `${index}` });
    const texts = (top: number | undefined) => buffer.window(top, 3).map(({ text }) => text);
    expect(texts(undefined)).toEqual(['7', '8', '9']);
    expect(texts(2)).toEqual(['2', '3', '4']);
    buffer.push({ name: 'web-1', text: '10' });
    expect(texts(2)).toEqual(['2', '3', '4']);
    expect(texts(99)).toEqual(['8', '9', '10']);
  });

  test('are forgotten at the far end, and never longer than a screen can show', () => {
    const buffer = new LogBuffer();
    for (let index = 0; index <= 10_000; index += 1) buffer.push({ name: 'a', text: `${index}` });
    expect([buffer.first, buffer.end]).toEqual([5_001, 10_001]);
    expect(buffer.window(0, 1)[0]?.text).toBe('5001');
    buffer.push({ name: 'a', text: 'x'.repeat(100_000) });
    expect(buffer.window(undefined, 1)[0]?.text).toHaveLength(2_000);
  });

  test.each([
    ['\u001b[31mred\u001b[0m', 'red'],
    ['\u001b]0;title\u0007text', 'text'],
    ['a\tb', 'a    b'],
    ['one\rtwo\u0000', 'one two '],
    ['\u001b(Bplain', 'plain'],
  ])('%j is shown as %j', (text, expected) => {
    expect(plainText(text)).toBe(expected);
  });

  test.each([
    [-5, '0s'],
    [59_999, '59s'],
    [60_000, '1m'],
    [3_600_000, '1h'],
    [47 * 3_600_000, '47h'],
    [48 * 3_600_000, '2d'],
  ])('%d ms are %s', (durationMs, expected) => {
    expect(shortDuration(durationMs)).toBe(expected);
  });
});

describe('what is shown', () => {
  test('of services: what is ready, what is going on, and where they answer', () => {
    expect(statusObject(aScene()).services).toEqual([
      {
        project: 'guestbook',
        name: 'redis',
        image: 'redis:7',
        ready: 1,
        wanted: 1,
        state: 'ready',
        why: '',
        isOrphan: false,
        answersAt: [],
      },
      expect.objectContaining({
        name: 'web',
        ready: 1,
        wanted: 3,
        state: 'progressing',
        answersAt: ['http://guestbook.example.com', '*:8080->80/tcp'],
      }),
    ]);
  });

  const services = (snapshot: Partial<Snapshot>) =>
    statusObject(aScene({ waiting: [], ...snapshot })).services.map(
      ({ name, state, why }) => `${name} ${state}: ${why}`,
    );

  test('of services that are stopped, incomplete, or on their way out', () => {
    const stopped = aService('job', { isStopped: true, wantedCount: 0 });
    const projects = [aProject('shop', [stopped])];
    const containers = [aContainer('shop-old-1')];
    expect(services({ projects, containers })).toEqual([
      'job stopped: ',
      'old progressing: is being removed',
    ]);
    expect(services({ projects: [aProject('shop', [stopped], { isComplete: false })] })).toEqual([
      'job progressing: its definition has not arrived completely',
    ]);
    const removed = [aProject('shop', [], { isRemoved: true })];
    expect(services({ projects: removed, containers })).toEqual([
      'old progressing: is being removed',
    ]);
    expect(services({ projects: removed, containers: [] })).toEqual([]);
  });

  test.each([
    [{}, 'ready', 'current'],
    [{ health: 'starting', ready: false }, 'starting', 'current'],
    [{ ready: false }, 'not ready', 'current'],
    [{ draining: true }, 'draining', 'current'],
    [{ state: 'exited', exitCode: 1 }, '', 'current'],
    [{ hash: 'other' }, 'ready', 'old'],
    [{ slot: '2' }, 'ready', 'surplus'],
    [{ service: 'gone' }, 'ready', 'removed'],
  ] as const)('of a replica with %j: health "%s", version %s', (change, health, version) => {
    const snapshot = aScene({
      projects: [aProject('shop', [aService('web')])],
      containers: [aContainer('shop-web-1', change)],
    });
    expect(statusObject(snapshot).replicas[0]).toMatchObject({ health, version });
  });

  test('of a global service: a replica on a machine that it has left is surplus', () => {
    const snapshot = aScene({
      projects: [aProject('shop', [aService('all', { mode: 'global', owners: { [m1]: m1 } })])],
      containers: [aContainer(`shop-all-${m1}`), aContainer(`shop-all-${m2}`, { machine: m2 })],
    });
    expect(statusObject(snapshot).replicas.map(({ version }) => version)).toEqual([
      'current',
      'surplus',
    ]);
  });

  test('as notes: conflicts, guards, failures, what is pending and what waits', () => {
    const lost = {
      id: 'x',
      author: { machine: m1, user: 'ann' },
      atMs: 0,
      isDown: true,
      workingDir: '',
      winner: { machine: m2 },
      volumes: {},
    };
    const failure = {
      machine: m2,
      project: 'shop',
      service: 'web',
      rollout: 'r1',
      slot: '1',
      why: 'exited',
      exitCode: 3,
      lastLines: [],
      atMs: 1,
    };
    const snapshot: Snapshot = aScene({
      guards: ['isolated', 'strange'],
      projects: [
        aProject('shop', [aService('web'), aService('db'), aService('slow')], {
          conflicts: [lost],
        }),
      ],
      containers: [],
      failures: [
        { ...failure, service: 'db', why: 'exited (3)' },
        failure,
        { ...failure, rollout: 'earlier', why: 'long ago' },
      ],
      waiting: [
        { project: 'shop', service: 'db', slot: '1', why: 'no machine can run it' },
        {
          project: 'else',
          service: '',
          slot: '',
          why: 'its definition has not arrived completely',
        },
      ],
    });
    expect(statusObject(snapshot).notes).toEqual([
      'the down of project shop by ann on m1 at 1970-01-01 00:00:00 UTC was replaced by a change ' +
        'on m2 that did not know of it. To apply it again: tsc-compose -p shop down',
      'this machine sees no other one: it moves no replica',
      'this agent is held back: strange',
      'shop/db-1 failed on m2: exited (3)',
      'shop/web-1 failed on m2: exited (exit code 3)',
      'shop/slow: 0 of 1 ready: is being started',
      'shop/db-1: no machine can run it',
      'else: its definition has not arrived completely',
    ]);
  });

  test('as tables, once', () => {
    expect(statusTables(aScene()).slice(0, 9)).toEqual(
      [
        'MACHINE   STATE       CONTAINERS   SUBNET          ENGINE   PLATFORM      ENDPOINTS',
        'm1 *      reachable   2            10.210.1.0/24   28.5.2   linux/amd64   192.0.2.1:51820',
        'm2        reachable   1            10.210.2.0/24   28.5.2   linux/amd64   192.0.2.1:51820',
        'm3        lost        1            10.210.3.0/24   28.5.2   linux/amd64   192.0.2.1:51820',
        '',
        'SERVICE           READY   STATE         IMAGE                                        ANSWERS AT',
        'guestbook/redis   1/1     ready         redis:7',
        'guestbook/web     1/3     progressing   registry.example.com/team/guestbook:2025-11  http://guestbook.example.com, *:8080->80/tcp',
        '',
      ].map((line) =>
        line.replace('2025-11  http', '2025-11   http').replace('IMAGE      ', 'IMAGE       '),
      ),
    );
    expect(statusTables(aScene({ projects: [], containers: [] }))).toContain('no containers');
    expect(statusTables(aScene()).at(-1)).toBe('note: guestbook/web-3: waits for machine m3');
  });
});

describe('the frame', () => {
  const textOf = ({ pieces }: Line) => pieces.map(({ text }) => text).join('');
  const frame = (snapshot: Snapshot, columns: number, rows: number, state = firstState) => {
    const status = statusObject(snapshot);
    const panes = panesOf(status, snapshot.nowMs);
    const log = new LogBuffer();
    return frameOf({ status, panes, state, log, isConnected: true }, { columns, rows });
  };
  const many = aScene({
    containers: Array.from({ length: 200 }, (_, index) =>
      aContainer(`guestbook-web-${index + 1}`, { ip: '10.210.1.9' }),
    ),
    waiting: Array.from({ length: 30 }, (_, index) => ({
      project: 'guestbook',
      service: 'web',
      slot: `${index}`,
      why: 'waits\nfor something that takes a very long sentence to be said '.repeat(3),
    })),
  });

  test.each([
    [80, 24],
    [120, 40],
    [40, 14],
    [300, 100],
    [10, 5],
    [79, 23],
  ])('has exactly the size of a window of %dx%d', (columns, rows) => {
    for (const snapshot of [
      aScene(),
      many,
      aScene({ machines: [], projects: [], containers: [] }),
    ]) {
      for (const state of [
        firstState,
        { ...firstState, pane: 2, selections: [firstRowOf, firstRowOf, { key: '', index: 150 }] },
        { ...firstState, isHelpOpen: true },
        { ...firstState, log: { service: { project: 'p', service: 's' }, top: undefined } },
      ]) {
        const lines = frame(snapshot, columns, rows, state);
        expect(lines).toHaveLength(rows);
        for (const line of lines) expect(textOf(line).length).toBeLessThanOrEqual(columns);
      }
    }
  });

  test('shows the part of a long list that the selection is in', () => {
    const state = {
      ...firstState,
      pane: 2,
      selections: [firstRowOf, firstRowOf, { key: '', index: 150 }],
    };
    const lines = frame(many, 80, 24, state);
    expect(lines.map(textOf).join('\n')).toMatch(/▶ Replicas \(14\d-15\d of 200\)/);
    expect(
      textOf(lines.find(({ isSelected }) => isSelected) ?? { pieces: [], isSelected: false }),
    ).toMatch(/^› guestbook-web-151 /);
  });
});

const firstRowOf = { key: '', index: 0 };
