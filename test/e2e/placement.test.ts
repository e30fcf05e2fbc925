/**
 * Where replicas run, and how they move: labels, constraints, preferences, reservations and groups
 * on three machines with different labels; drain, activate and rebalance. Where things run comes
 * from the engines.
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
});
