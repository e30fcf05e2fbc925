import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openScreen, type Screen } from '../../../../src/cli/status/screen.tsx';
import { StatusSource } from '../../../../src/cli/status/source.ts';
import { connect } from '../../../../src/client/connect.ts';
import type { Snapshot } from '../../../../src/model/snapshot.ts';
import { fakeAgent } from '../../api/fakes.ts';
import { aContainer } from '../builders.ts';
import { frame, type StandIn, standIn } from '../engine-stand-in.ts';
import { type Harness, harness } from '../harness.ts';
import { aScene } from './builders.ts';
import { FakeTerminal } from './fake-terminal.ts';

let house: Harness;
let engine: StandIn;
let screen: Screen | undefined;
let stop: AbortController;

beforeEach(async () => {
  engine = standIn();
  house = await harness(fakeAgent({ localDocker: engine.docker }));
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await screen?.close();
  screen = undefined;
  await house.stop();
});

async function open(columns: number, rows: number, snapshot: Snapshot = aScene()) {
  const terminal = new FakeTerminal(columns, rows);
  const left: boolean[] = [];
  house.agent.snapshot = snapshot;
  const client = connect({ socketPath: `${house.folder}/agent.sock` });
  const source = new StatusSource(client, snapshot, () => 0);
  screen = openScreen(source, terminal, {
    hasColour: true,
    onLeave: (isInterrupted) => left.push(isInterrupted),
  });
  void source.follow(stop.signal);
  const shows = (part: string | RegExp) =>
    expect.poll(() => terminal.screen().join('\n'), patience).toMatch(part);
  await shows('q quit');
  return { terminal, left, shows };
}

/** 15 s: drawing takes some ms; a machine under load may need long for anything. */
const patience = { timeout: 15_000 };

const overview80 = `
tsc-compose  2 of 3 machines reachable · 1 of 2 services ready · 4 containers
─ Machines (3) ─────────────────────────────────────────────────────────────────
  MACHINE  STATE      CONTAINERS  SUBNET         ENGINE  PLATFORM
  m1 *     reachable  2           10.210.1.0/24  28.5.2  linux/amd64
  m2       reachable  1           10.210.2.0/24  28.5.2  linux/amd64
  m3       lost       1           10.210.3.0/24  28.5.2  linux/amd64
▶ Services (2) ─────────────────────────────────────────────────────────────────
  SERVICE          READY  STATE        IMAGE       ANSWERS AT
› guestbook/redis  1/1    ready        redis:7
  guestbook/web    1/3    progressing  regis…5-11  http://guestbook.example.com…
─ Replicas (4) ─────────────────────────────────────────────────────────────────
  REPLICA            STATE  HEALTH     VERSION      ADDRESS     MACHINE
  guestbook-redis-1  up 5m  healthy    3f2a91c      10.210.1.2  m1
  guestbook-web-1    up 5m  ready      3f2a91c      10.210.1.3  m1
  guestbook-web-2    up 5m  not ready  0ld0000 old  10.210.2.2  m2
  guestbook-web-3    up 5m  lost       3f2a91c      10.210.3.2  m3





─ Notes (1) ────────────────────────────────────────────────────────────────────
guestbook/web-3: waits for machine m3
q quit  ? help  Tab next list  j/k move  Enter logs`;

describe('the screen', () => {
  test('shows machines, services, replicas and notes at 80x24', async () => {
    const { terminal } = await open(80, 24);
    expect(`\n${terminal.screen().join('\n')}`).toBe(overview80);
  });

  test('flows anew when the window changes', async () => {
    const { terminal, shows } = await open(80, 24);
    terminal.resize(120, 40);
    await shows(/192\.0\.2\.1:51820/);
    const wide = terminal.screen();
    expect(wide).toHaveLength(40);
    expect(wide.at(-1)).toContain('q quit');
    expect(wide.join('\n')).toContain('http://guestbook.example.com, *:8080->80/tcp');
    terminal.resize(80, 24);
    await expect.poll(() => `\n${terminal.screen().join('\n')}`, patience).toBe(overview80);
  });

  test('says what it needs when the window is too small', async () => {
    const { terminal, shows } = await open(80, 24);
    terminal.resize(39, 24);
    await shows(/^at least 40x14 is needed\n+$/);
  });

  test('follows what happens', async () => {
    const { shows } = await open(80, 24);
    const scene = aScene();
    house.agent.snapshot = {
      ...scene,
      containers: [
        ...scene.containers.slice(0, 3),
        aContainer('guestbook-web-3', { state: 'exited', exitCode: 137, ready: false }),
      ],
    };
    house.agent.change();
    await shows(/guestbook-web-3 +exited \(137\)/);
  });

  test('says when the agent is away and when it is back', async () => {
    const { terminal, shows } = await open(80, 24);
    // Only what has been connected can be away.
    house.agent.snapshot = aScene({ waiting: [] });
    house.agent.change();
    await shows('1 of 3 ready');
    await house.stop();
    await shows('the agent is away');
    house = await harness(house.agent, house.folder);
    await expect.poll(() => terminal.screen()[0], patience).not.toContain('away');
  });

  test('goes through the lists and their rows by keys', async () => {
    const { terminal, shows } = await open(80, 24);
    const marked = () => terminal.screen().find((line) => line.startsWith('▶'));
    expect(marked()).toContain('Services');
    terminal.press('\t');
    await shows(/▶ Replicas/);
    terminal.press('\u001b[Z\u001b[Z');
    await shows(/▶ Machines/);
    terminal.press('3');
    await shows(/▶ Replicas/);
    terminal.press('jj\u001b[A?');
    await shows(/Keys\n.*next list/);
    terminal.press('q');
    await shows(/▶ Replicas/);
    expect(terminal.selected()).toBe('guestbook-web-1');
  });

  test('is left by q and by Ctrl-C, and gives the terminal back as it was', async () => {
    const { terminal, left } = await open(80, 24);
    terminal.press('q');
    await expect.poll(() => left, patience).toEqual([false]);
    await screen?.close();
    expect(terminal.rawModes).toEqual([true, false]);
    expect(terminal.written.startsWith('\u001b[?1049h')).toBe(true);
    expect(terminal.written.lastIndexOf('\u001b[?1049l')).toBeGreaterThan(
      terminal.written.lastIndexOf('\u001b[?1049h'),
    );
    expect(terminal.written.endsWith('\u001b[?25h')).toBe(true);
    const other = await open(80, 24);
    other.terminal.press('\u0003');
    await expect.poll(() => other.left, patience).toEqual([true]);
  });

  test('opens the logs of the service and comes back', async () => {
    const { terminal, shows } = await open(80, 24);
    terminal.press('1\r');
    await shows('choose a service or a replica');
    terminal.press('2j\r');
    await shows('logs of guestbook/web');
    await shows(/web-1 │ hello from id-guestbook-web-1\n/);
    await shows(/web-1 │ a complaint\n/);
    await shows(/following/);
    const written = engine.open.get('id-guestbook-web-1');
    written?.write(frame(1, `red \u001b[31mtext\u001b[0m\u0007\n`));
    await shows(/web-1 │ red text ?\n/);
    // Its machine does not answer, which is said and hides nothing.
    await shows(/web-2 │ cannot be read: /);
    for (let line = 1; line <= 40; line += 1) written?.write(frame(1, `line ${line}\n`));
    await shows(/line 40\n/);
    terminal.press('\u001b[5~');
    await shows(/line 18\n(.*\n)*Esc back  j\/k scroll  G end$/);
    written?.write(frame(1, 'news\n'));
    await pause(150);
    expect(terminal.screen().join('\n')).not.toContain('news');
    terminal.press('G');
    await shows(/news\n(.*\n)*.*following/);
    terminal.press('\u001b');
    await shows(/▶ Services/);
  });
});

describe('without a terminal', () => {
  test('status prints tables once, or one JSON object', async () => {
    house.agent.snapshot = aScene();
    const table = await house.tsc('status');
    expect(table).toMatchObject({ code: 0, stderr: '' });
    expect(table.stdout).toMatch(/^MACHINE .*\nm1 \* /);
    expect(table.stdout).toMatch(/\nguestbook\/web +1\/3 +progressing /);
    expect(table.stdout).toMatch(/\nnote: guestbook\/web-3: waits for machine m3\n$/);
    const json = await house.tsc('status', '--format', 'json');
    expect(JSON.parse(json.stdout)).toMatchObject({
      machines: [{ name: 'm1' }, { name: 'm2' }, { name: 'm3', state: 'lost' }],
      services: [
        { name: 'redis', state: 'ready' },
        { name: 'web', wanted: 3 },
      ],
    });
    expect(await house.tsc('status', '--format', 'xml')).toMatchObject({ code: 2 });
    house.agent.hasCluster = false;
    expect(await house.tsc('status')).toMatchObject({ code: 1, stdout: '' });
  });
});
