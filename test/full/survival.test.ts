/**
 * What a cluster of five survives: the machine that took a change goes off, a cut of two minutes
 * with a change on each side, all machines rebooted in turn, an engine that hangs, a full disk.
 * Containers are counted as the engines list them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { label } from '../../src/model/names.ts';
import { Cluster, type ContainerFacts, engines } from '../e2e/cluster.ts';
import { seconds, until } from '../e2e/traffic.ts';

const engine = '28.5';
const isWanted = engines().some((one) => one.engine === engine);
const names = ['m1', 'm2', 'm3', 'm4', 'm5'] as const;
const replicaCount = 7;

/** `once` runs to its end, once for each `up`; `data` and `once` are bound to their volumes' machines. */
function app(version: string, count = replicaCount): string {
  return `
services:
  web:
    image: busybox
    command: sh -c "trap exit TERM; while true; do sleep 1; done"
    environment: { VERSION: "${version}" }
    hostname: web-${version}
    deploy: { replicas: ${count} }
  data:
    image: busybox
    command: sh -c "echo started >> /data/starts; exec sleep 100000"
    init: true
    volumes: ["kept:/data"]
    x-machines: [m1]
  once:
    image: busybox
    command: sh -c "echo ran >> /data/runs"
    volumes: ["once:/data"]
    x-machines: [m2]
volumes: { kept: {}, once: {} }
`;
}

/** One replica for each machine. */
const spread = `
services:
  web:
    image: busybox
    command: sleep 100000
    init: true
    deploy: { replicas: 5 }
`;

function say(text: string): void {
  process.stderr.write(`measured: ${text}\n`);
}

describe.runIf(isWanted)('five machines', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.create({ machines: 5, engine, smallDisk: 'm5' });
    for (const name of names) cluster.writeFile(name, 'app/compose.yaml', app('1'));
    expect(await cluster.tsc('m1', ['up'], { cwd: 'app' })).toSucceed();
    await exact('1');
  });
  afterAll(() => cluster?.destroy());

  /** Waits until exactly the wanted containers run, in this version, none twice. */
  async function exact(version: string, count = replicaCount, timeoutMs = 90_000): Promise<number> {
    let seen = '';
    return until(`exact in version ${version}`, timeoutMs, async () => {
      const running = (await cluster.containers('app')).filter(isRunning);
      seen = running.map(({ machine, name }) => `${machine} ${name}`).join(', ');
      const web = running.filter(({ service }) => service === 'web');
      const slots = new Set(web.map(({ name }) => name));
      if (web.length !== count || slots.size !== count) return false;
      const versions = await Promise.all(web.map((one) => versionOf(one)));
      return versions.every((one) => one === version);
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${seen}`);
    });
  }

  async function versionOf({ machine, id }: ContainerFacts): Promise<string | undefined> {
    const found = await cluster
      .docker(machine)
      .getContainer(id)
      .inspect()
      .catch(() => undefined);
    const entry = found?.Config.Env.find((text) => text.startsWith('VERSION='));
    return entry?.slice('VERSION='.length);
  }

  /** Lines in a file of a volume: how often something was started. */
  async function linesIn(machine: string, volume: string, file: string): Promise<number> {
    const path = `/var/lib/docker/volumes/${volume}/_data/${file}`;
    const text = await cluster.lab.machine(machine).execOk(['cat', path]);
    return text.split('\n').filter(Boolean).length;
  }

  test('a rollout goes on although the machine that took it goes off one second later', async () => {
    cluster.writeFile('m3', 'app/compose.yaml', app('2'));
    expect(await cluster.tsc('m3', ['up', '--no-wait'], { cwd: 'app' })).toSucceed();
    const acceptedMs = Date.now();
    await sleep(1_000);
    await cluster.crash('m3');
    const doneMs = await exact('2');
    say(
      `acceptor off after 1 s: all in the new version elsewhere after ${seconds(acceptedMs, doneMs)} s`,
    );
    await cluster.boot('m3');
    await cluster.untilReachable(5);
    await exact('2');
  });

  test('a cut of two minutes with a change on each side: exact after it, the loser is told', async () => {
    const [small, large] = [
      ['m4', 'm5'],
      ['m1', 'm2', 'm3'],
    ];
    await cluster.lab.partition(small, large);
    await until('m4 sees two machines', 30_000, async () => {
      const { machines } = await cluster.snapshot('m4');
      return machines.filter(({ liveness }) => liveness === 'reachable').length === 2;
    });
    const cutMs = Date.now();
    cluster.writeFile('m4', 'app/compose.yaml', app('3', 4));
    const lost = await cluster.tsc('m4', ['up', '--no-wait'], { cwd: 'app', env: { USER: 'ann' } });
    expect(lost).toSucceed();
    expect(lost.stderr).toContain('You see 2 of 5 machines');
    await sleep(5_000);
    cluster.writeFile('m1', 'app/compose.yaml', app('4'));
    const won = await cluster.tsc('m1', ['up', '--no-wait'], { cwd: 'app', env: { USER: 'bob' } });
    expect(won).toSucceed();
    expect(won.stderr).toContain('You see 3 of 5 machines');
    const onSide = async (side: readonly string[], version: string) => {
      const running = (await cluster.containers('app')).filter(isRunning);
      const web = running.filter((one) => one.service === 'web' && side.includes(one.machine));
      const versions = await Promise.all(web.map((one) => versionOf(one)));
      return versions.every((one) => one === version) ? web.length : -1;
    };
    await until('each side has what was asked of it', 60_000, async () => {
      return (await onSide(small, '3')) === 4 && (await onSide(large, '4')) === replicaCount;
    });
    await sleep(Math.max(0, cutMs + 120_000 - Date.now()));
    expect(await onSide(small, '3')).toBe(4);
    expect(await onSide(large, '4')).toBe(replicaCount);
    await cluster.lab.heal();
    const healMs = Date.now();
    const doneMs = await exact('4');
    say(`cut of two minutes: exact ${seconds(healMs, doneMs)} s after healing`);
    for (const machine of ['m1', 'm4']) {
      const ps = await cluster.tsc(machine, ['-p', 'app', 'ps']);
      expect(ps.stderr).toMatch(/by ann on m4 at .* replaced by a change by bob on m1/u);
    }
    await cluster.untilReachable(5);
  });

  test('all machines rebooted in turn: as many as before, nothing twice', async () => {
    const startsBefore = await linesIn('m1', 'app_kept', 'starts');
    const runsBefore = await linesIn('m2', 'app_once', 'runs');
    for (const name of names) {
      const cutMs = Date.now();
      await cluster.crash(name);
      await cluster.boot(name);
      await cluster.untilReachable(5);
      const doneMs = await exact('4');
      say(`${name} rebooted: exact after ${seconds(cutMs, doneMs)} s`);
    }
    // Surplus copies, if there were any, are away by now; and nothing else goes with them.
    await sleep(10_000);
    const after = (await cluster.containers('app')).filter(isRunning);
    expect(after.filter(({ service }) => service === 'web')).toHaveLength(replicaCount);
    expect(after.filter(({ service }) => service === 'data')).toHaveLength(1);
    expect(await linesIn('m1', 'app_kept', 'starts')).toBe(startsBefore + 1);
    expect(await linesIn('m2', 'app_once', 'runs')).toBe(runsBefore);
  });

  test.each(['an engine that hangs', 'a full disk'] as const)(
    '%s: the machine is not able, its replicas are placed anew, and come to rest after it',
    async (what) => {
      const broken = 'm5';
      // A project of its own: one replica on every machine, wherever the others have gone.
      const project = what === 'a full disk' ? 'full' : 'hung';
      cluster.writeFile('m1', `${project}/compose.yaml`, spread);
      expect(await cluster.tsc('m1', ['up'], { cwd: project })).toSucceed();
      const webOn = (name: string) => replicasOn(project, name);
      expect(await webOn(broken)).toHaveLength(1);
      const set = async (isBroken: boolean): Promise<void> =>
        what === 'a full disk' ? cluster.fillDisk(isBroken) : cluster.hangEngine(broken, isBroken);
      const brokenMs = Date.now();
      await set(true);
      try {
        if (what === 'a full disk') await makeItWrite(cluster);
        const unableMs = await until('m5 is not able', 60_000, async () => {
          const { machines } = await cluster.snapshot('m1');
          return machines.find(({ name }) => name === broken)?.isAble === false;
        });
        const listed = await cluster.tsc('m1', ['machine', 'ls']);
        expect(listed.stdout).toMatch(/m5.*not able/u);
        const replacedMs = await until('its replicas are elsewhere', 60_000, async () => {
          const others = names.filter((name) => name !== broken);
          const running = await Promise.all(others.map(webOn));
          return new Set(running.flat()).size === names.length;
        });
        say(
          `${what}: not able after ${seconds(brokenMs, unableMs)} s, its replica runs ` +
            `elsewhere after ${seconds(brokenMs, replacedMs)} s`,
        );
      } finally {
        await set(false);
      }
      await until('m5 is able again', 60_000, async () => {
        const { machines } = await cluster.snapshot('m1');
        return machines.find(({ name }) => name === broken)?.isAble === true;
      });
      await until('as many as before', 90_000, async () => {
        const running = (await Promise.all(names.map(webOn))).flat();
        return running.length === names.length && new Set(running).size === names.length;
      });
    },
  );

  /** Slots of a project that run on a machine. */
  async function replicasOn(project: string, name: string): Promise<readonly string[]> {
    const filters = JSON.stringify({ label: [`${label.project}=${project}`] });
    const list = await cluster.docker(name).listContainers({ filters });
    return list.map(({ Labels }) => Labels[label.slot] ?? '');
  }
});

/** A disk is known to be full when something is written to it. */
async function makeItWrite(cluster: Cluster): Promise<void> {
  cluster.writeFile(
    'm2',
    'other/compose.yaml',
    'services: { one: { image: busybox, command: sleep 100000, init: true, x-machines: [m2] } }\n',
  );
  expect(await cluster.tsc('m2', ['up', '--no-wait'], { cwd: 'other' })).toSucceed();
}

function isRunning({ state }: ContainerFacts): boolean {
  return state === 'running';
}
