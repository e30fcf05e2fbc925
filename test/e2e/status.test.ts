/**
 * `status` in a real terminal on a lab machine: what it shows at two sizes, its keys, that a death
 * is seen within a second, and that the terminal is given back as it was.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Cluster, cliMain, engines } from './cluster.ts';
import { Terminal, terminalUnavailable } from './terminal.ts';

const engine = engines().find((one) => one.engine === '28.5');
const reason =
  engine === undefined ? 'no engine 28.5 for the test of the screen' : await terminalUnavailable();
if (reason !== undefined) process.stderr.write(`skipped: status in a terminal: ${reason}\n`);

const composeFile = `
services:
  web:
    image: busybox
    init: true
    restart: always
    command: ["sh", "-c", "i=0; while true; do i=$$((i+1)); echo \\"tick $$i\\"; sleep 1; done"]
    deploy: { replicas: 2 }
    x-ports: ["screen.example.com:80/http"]
    healthcheck: { test: ["CMD", "true"], interval: 1s }
  once:
    image: busybox
    command: ["echo", "done"]
    restart: "no"
`;

describe.skipIf(reason !== undefined)('status', () => {
  let cluster: Cluster;
  let terminal: Terminal;

  beforeAll(async () => {
    cluster = await Cluster.create({
      machines: 1,
      engine: '28.5',
      images: ['busybox:latest', 'caddy:2'],
    });
    cluster.writeFile('m1', 'shop/compose.yaml', composeFile);
    expect(await cluster.tsc('m1', ['up'], { cwd: 'shop' })).toSucceed();
  });
  afterAll(() => cluster?.destroy());

  beforeEach(async () => {
    terminal = await Terminal.open(cluster.lab.machine('m1'), 80, 24);
    await terminal.until(/\$/);
  });
  afterEach(() => terminal?.close());

  const start = async () => {
    await terminal.type(`${process.execPath} ${cliMain} status; echo "left with $?"`, 'Enter');
    return terminal.until(/q quit/);
  };
  /** What differs from run to run. */
  const steady = (lines: readonly string[]) =>
    lines.map((line) =>
      line
        .replace(/up \d+[smh] */, 'up TIME ')
        .replace(/\b[0-9a-f]{7}\b/, 'VERSION')
        .replace(/10\.210\.\d+\.\d+(\/24)? */, 'ADDRESS ')
        .replace(/ +$/, ''),
    );

  test('shows the cluster at 80x24 and at 120x40', async () => {
    await start();
    const small = steady(await terminal.until(/2\/2 +ready/));
    expect(small).toHaveLength(24);
    expect(small.slice(0, 4)).toEqual([
      'tsc-compose  1 of 1 machines reachable · 2 of 2 services ready · 3 containers',
      `─ Machines (1) ${'─'.repeat(65)}`,
      expect.stringMatching(/^  MACHINE  STATE      CONTAINERS  SUBNET         ENGINE +PLATFORM$/),
      expect.stringMatching(/^  m1 \*     reachable  2           ADDRESS 28\.5\.\S+ +linux\//),
    ]);
    expect(small.slice(4, 8)).toEqual([
      `▶ Services (2) ${'─'.repeat(65)}`,
      '  SERVICE    READY  STATE  IMAGE    ANSWERS AT',
      '› shop/once  1/1    ready  busybox',
      '  shop/web   2/2    ready  busybox  http://screen.example.com',
    ]);
    expect(small[8]).toBe(`─ Replicas (3) ${'─'.repeat(65)}`);
    expect(small.slice(10, 13)).toEqual([
      expect.stringMatching(/^  shop-once-1  exited \(0\) +VERSION +m1$/),
      expect.stringMatching(/^  shop-web-1   up TIME +healthy +VERSION +ADDRESS m1$/),
      expect.stringMatching(/^  shop-web-2   up TIME +healthy +VERSION +ADDRESS m1$/),
    ]);
    expect(small[23]).toBe('q quit  ? help  Tab next list  j/k move  Enter logs');

    await terminal.resize(120, 40);
    const large = await terminal.until(/ENDPOINTS/);
    expect(large).toHaveLength(40);
    expect(large[1]).toBe(`─ Machines (1) ${'─'.repeat(105)}`);
    expect(large[39]).toContain('q quit');
    await terminal.resize(80, 24);
    await expect.poll(async () => steady(await terminal.screen())).toEqual(small);
  });

  test('obeys its keys and opens the logs of a service', async () => {
    await start();
    await terminal.type('', 'Tab');
    await terminal.until(/▶ Replicas/);
    await terminal.type('jj');
    await terminal.until(/› shop-web-2/);
    await terminal.type('', 'Up');
    await terminal.until(/› shop-web-1/);
    await terminal.type('', 'BTab');
    await terminal.until(/▶ Services/);
    await terminal.type('?');
    await terminal.until(/Keys\n.*next list/);
    await terminal.type('', 'Escape');
    await terminal.until(/▶ Services/);
    await terminal.type('2G', 'Enter');
    await terminal.until(/logs of shop\/web\n(.*\n)*web-1 │ tick \d+/);
    const last = Math.max(...ticks(await terminal.screen()));
    await terminal.until(new RegExp(`tick ${last + 2}\\b`));
    await terminal.type('', 'PageUp');
    await terminal.type('q');
    await terminal.until(/▶ Services/);
    await terminal.type('1l');
    await terminal.until(/choose a service or a replica/);
  });

  test('shows the death of a container within a second', async () => {
    await start();
    await terminal.until(/2\/2 +ready/);
    const web = (await cluster.containers('shop')).find(({ name }) => name === 'shop-web-2');
    const before = performance.now();
    await cluster
      .docker('m1')
      .getContainer(web?.id ?? '')
      .kill();
    const diedMs = performance.now();
    await terminal.until(/1\/2 +progressing|shop-web-2 +(exited|restarting)/, 5_000);
    const seenMs = performance.now();
    expect(seenMs - before).toBeLessThan(1_000 + (diedMs - before));
    await terminal.until(/2\/2 +ready/, 30_000);
  });

  test.each([
    ['q', [], 0],
    ['', ['C-c'], 130],
  ] as const)('gives the terminal back after %j %j', async (text, keys, code) => {
    const clean = await terminal.modes();
    expect(clean).toBe('alternate=0 cursor=1');
    await start();
    expect(await terminal.modes()).toBe('alternate=1 cursor=0');
    await terminal.type(text, ...keys);
    const lines = await terminal.until(new RegExp(`left with ${code}`));
    expect(await terminal.modes()).toBe(clean);
    expect(lines.join('\n')).not.toContain('Machines (');
    // Echo and line editing are on again.
    await terminal.type('echo one two', 'Enter');
    await terminal.until(/\$ echo one two\none two\n/);
  });

  test('gives the terminal back when it is ended by a signal', async () => {
    await start();
    await terminal.signal('TERM');
    await terminal.until(/left with 130/);
    expect(await terminal.modes()).toBe('alternate=0 cursor=1');
  });

  test('prints tables once without a terminal, and JSON', async () => {
    const table = await cluster.tsc('m1', ['status']);
    expect(table).toSucceed();
    expect(table.stdout).toMatch(/^MACHINE +STATE .*\nm1 \* +reachable/);
    expect(table.stdout).toMatch(
      /\nshop\/web +2\/2 +ready +busybox +http:\/\/screen\.example\.com\n/,
    );
    const json = await cluster.tsc('m1', ['status', '--format', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      machines: [{ name: 'm1', state: 'reachable' }],
      services: [{ name: 'once' }, { name: 'web', ready: 2, wanted: 2, state: 'ready' }],
      notes: [],
    });
  });
});

function ticks(lines: readonly string[]): readonly number[] {
  return lines.flatMap((line) => {
    const number = /tick (\d+)/.exec(line)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
}
