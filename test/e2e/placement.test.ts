/**
 * Where replicas run, and how they move: labels, constraints, preferences, reservations and groups
 * on three machines with different labels; drain, activate and rebalance; machines that are removed.
 * Where things run comes from the engines.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster, engines } from './cluster.ts';

/** One engine is enough: placement asks none. */
const engine = '28.5';
const isWanted = engines().some((one) => one.engine === engine);

const sleeps = `
    image: busybox
    command: sleep 100000
    init: true`;

const rules = `
services:
  ssd:${sleeps}
    deploy:
      replicas: 2
      placement: { constraints: [node.labels.disk == ssd, node.role == manager] }
  zones:${sleeps}
    deploy:
      replicas: 4
      placement: { preferences: [{ spread: node.labels.zone }] }
  single:${sleeps}
    deploy: { replicas: 3, placement: { max_replicas_per_node: 1 } }
  licensed:${sleeps}
    deploy:
      resources:
        reservations:
          generic_resources: [{ discrete_resource_spec: { kind: licence, value: 1 } }]
  app:${sleeps}
  sidecar:${sleeps}
    network_mode: service:app
`;

const moving = `
services:
  web:${sleeps}
    deploy: { replicas: 3 }
  app:${sleeps}
    x-machines: { labels: { zone: x } }
  sidecar:${sleeps}
    network_mode: service:app
  db:${sleeps}
    volumes: ["data:/data"]
    x-machines: "m2, !m1"
volumes:
  data:
`;

describe.runIf(isWanted)('placement', () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await Cluster.create({ machines: 3, engine, images: ['busybox:latest'] });
    for (const args of [
      ['label', 'm1', 'zone=x', 'disk=ssd', 'gone=soon'],
      ['label', 'm1', 'gone-'],
      ['label', 'm2', 'zone=x'],
      ['label', 'm3', 'zone=y'],
      ['set', 'm2', '--resource', 'licence=1'],
    ]) {
      expect(await cluster.tsc('m2', ['machine', ...args])).toSucceed();
    }
  });
  afterAll(() => cluster?.destroy());

  /** "m1:2 m3:1", by service. */
  const spread = async (project: string, service: string): Promise<string> => {
    const counts = new Map<string, number>();
    for (const one of await cluster.containers(project)) {
      if (one.service !== service || one.state !== 'running') continue;
      counts.set(one.machine, (counts.get(one.machine) ?? 0) + 1);
    }
    return [...counts]
      .map(([machine, count]) => `${machine}:${count}`)
      .sort()
      .join(' ');
  };

  test('labels are the machine’s, and are seen by all', async () => {
    const { machines } = await cluster.snapshot('m3');
    const labels = machines.map(({ name, labels: own }) => [name, own] as const);
    expect(Object.fromEntries(labels)).toEqual({
      m1: { zone: 'x', disk: 'ssd' },
      m2: { zone: 'x' },
      m3: { zone: 'y' },
    });
    const shown = await cluster.tsc('m3', ['machine', 'label', 'm1']);
    expect(shown.stdout).toBe('disk=ssd\nzone=x\n');
  });

  test('constraints, preferences, limits, reservations and groups hold', async () => {
    cluster.writeFile('m3', 'rules/compose.yaml', rules);
    const up = await cluster.tsc('m3', ['up'], { cwd: 'rules' });
    expect(up).toSucceed();
    expect(up.stderr).toContain('every machine is manager and worker');
    expect(await spread('rules', 'ssd')).toBe('m1:2');
    expect(await spread('rules', 'zones')).toBe('m1:1 m2:1 m3:2');
    expect(await spread('rules', 'single')).toBe('m1:1 m2:1 m3:1');
    expect(await spread('rules', 'licensed')).toBe('m2:1');
    expect(await spread('rules', 'sidecar')).toBe(await spread('rules', 'app'));
  });

  test('what fits nowhere is refused with a reason for every machine, and changes nothing', async () => {
    for (const [file, expected] of [
      [rules.replace('value: 1', 'value: 2'), 'm2 has 1 licence left to reserve, not 2'],
      [rules.replace('disk == ssd', 'disk == tape'), 'm1 does not meet "node.labels.disk == tape"'],
      [rules.replace('node.role == manager', 'node.role == boss'), 'is not understood'],
    ] as const) {
      cluster.writeFile('m3', 'rules/compose.yaml', file);
      const up = await cluster.tsc('m3', ['up'], { cwd: 'rules' });
      expect(up.code).toBe(1);
      expect(up.stderr).toContain(expected);
    }
    expect(await spread('rules', 'licensed')).toBe('m2:1');
    expect(await cluster.tsc('m3', ['-p', 'rules', 'down'])).toSucceed();
  });

  test('a drained machine keeps only what has its data there', async () => {
    cluster.writeFile('m1', 'moving/compose.yaml', moving);
    expect(await cluster.tsc('m1', ['up'], { cwd: 'moving' })).toSucceed();
    expect(await spread('moving', 'web')).toBe('m1:1 m2:1 m3:1');
    const drain = await cluster.tsc('m3', ['machine', 'drain', 'm2']);
    expect(drain).toSucceed();
    expect(drain.stderr).toContain('moving-db-1 stays: held: its volume moving_data is on m2');
    expect(drain.stderr).toContain('m2 is drained.');
    expect(await spread('moving', 'web')).toMatch(/^m1:[12] m3:[12]$/);
    expect(await spread('moving', 'app')).toBe('m1:1');
    expect(await spread('moving', 'sidecar')).toBe('m1:1');
    expect(await spread('moving', 'db')).toBe('m2:1');
    // The database can be changed in place, although its machine takes nothing new.
    cluster.writeFile('m1', 'moving/compose.yaml', moving.replace('"data:/data"]', '"data:/d"]'));
    expect(await cluster.tsc('m1', ['up'], { cwd: 'moving' })).toSucceed();
    expect(await spread('moving', 'db')).toBe('m2:1');
  });

  test('nothing comes back before rebalance, which keeps every replica served', async () => {
    expect(await cluster.tsc('m1', ['machine', 'activate', 'm2'])).toSucceed();
    expect(await spread('moving', 'web')).toMatch(/^m1:[12] m3:[12]$/);
    const plan = await cluster.tsc('m1', ['rebalance', '--dry-run']);
    expect(plan).toSucceed();
    const moves = plan.stdout.trim().split('\n');
    expect(moves.filter((line) => /^moving-web-\d  m[13] -> m2$/.test(line))).toHaveLength(1);
    const seen: number[] = [];
    let isOver = false;
    const watch = (async () => {
      while (!isOver) {
        const { containers } = await cluster.snapshot('m1');
        const ready = containers.filter((one) => one.service === 'web' && one.ready);
        seen.push(new Set(ready.map(({ slot }) => slot)).size);
        await sleep(200);
      }
    })();
    const done = await cluster.tsc('m1', ['rebalance', 'moving']);
    isOver = true;
    await watch;
    expect(done).toSucceed();
    expect(Math.min(...seen)).toBe(3);
    expect(await spread('moving', 'web')).toBe('m1:1 m2:1 m3:1');
    const again = await cluster.tsc('m1', ['rebalance']);
    expect(again.stderr).toContain('nothing to move');
  });

  test('a machine that is gone for good is removed, and changes nothing when it comes back', async () => {
    const settled = <T>(look: () => Promise<T>, wanted: T): Promise<void> =>
      expect.poll(look, { timeout: 60_000, interval: 200 }).toEqual(wanted);
    const members = async (): Promise<readonly string[]> => {
      const found = await cluster.tsc('m2', ['machine', 'ls', '--quiet']);
      // In order of their ids, which are random.
      return found.stdout.trim().split('\n').sort();
    };
    const states = async () => (await cluster.machines()).map(({ liveness }) => liveness).sort();
    const inUse = await cluster.tsc('m1', ['machine', 'rm', 'm3']);
    expect(inUse.code).toBe(1);
    expect(inUse.stderr).toMatch(/m3 is reachable and runs 1 container\n.*machine drain m3/s);
    const itself = await cluster.tsc('m1', ['machine', 'rm', 'm1']);
    expect(itself.stderr).toMatch(/run on m[23]: tsc-compose machine rm m1/);

    await cluster.crash('m3');
    await settled(states, ['lost', 'reachable', 'reachable']);
    const removal = await cluster.tsc('m1', ['machine', 'rm', 'm3']);
    expect(removal).toSucceed();
    expect(removal.stderr).toContain('m3 was removed from the cluster.\nnote: m3 is lost and ran');
    await settled(members, ['m1', 'm2']);
    const three = async (): Promise<boolean> =>
      ['m1:1 m2:2', 'm1:2 m2:1'].includes(await spread('moving', 'web'));
    await settled(three, true);
    const unknown = await cluster.tsc('m2', ['machine', 'rm', 'm3']);
    expect(unknown.stderr).toMatch(/no machine of this cluster is called "m3"\n.*m1, m2/s);

    const shown = async (): Promise<readonly string[]> => {
      const { containers } = await cluster.snapshot('m1');
      return containers.map(({ id, name }) => `${name} ${id}`);
    };
    const web = async () => (await shown()).filter((one) => one.startsWith('moving-web-')).length;
    await settled(web, 3);
    const before = await shown();
    await cluster.boot('m3');
    await settled(async () => (await cluster.snapshot('m3')).machines.length, 3);
    // Long enough for its dials: a member would be in reach by now.
    await sleep(3_000);
    expect(await states()).toEqual(['reachable', 'reachable']);
    expect(await shown()).toEqual(before);
  });

  test('a machine that is there is cut off by force: it says so, and leaves what runs alone', async () => {
    const data = await cluster.tsc('m1', ['machine', 'rm', 'm2']);
    expect(data.stderr).toContain('m2 is reachable and runs');
    const running = async () =>
      (await cluster.running('moving')).filter((one) => one.startsWith('m2'));
    const before = await running();
    expect(before).toContain('m2 db-1');
    const removal = await cluster.tsc('m1', ['machine', 'rm', '--force', 'm2']);
    expect(removal).toSucceed();
    expect(removal.stderr).toContain('volume moving/moving_data stays on m2');
    const isOut = async () => (await cluster.tsc('m2', ['machine', 'ls'])).stderr;
    const polled = () => expect.poll(isOut, { timeout: 30_000, interval: 200 });
    await polled().toMatch(/this machine was removed from cluster .*\n.*docker rm -f/s);
    const all = { timeout: 60_000, interval: 200 };
    await expect.poll(() => spread('moving', 'web'), all).toContain('m1:3');
    const abandon = ['volume', 'abandon', '--yes', 'moving_data'];
    const excluded = await cluster.tsc('m1', abandon);
    expect(excluded.stderr).toContain('no machine can run db');
    expect(await running()).toEqual(before);
    await cluster.killAgent('m2');
    await cluster.startAgent('m2');
    await polled().toContain('this machine was removed from cluster');
    expect(await running()).toEqual(before);
  });
});
