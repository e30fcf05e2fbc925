/**
 * Data on two machines with real engines: bind mounts from a member and from a computer that is
 * none, homes of volumes and their moves, hooks. What is read comes from inside containers and from
 * the engines.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunResult } from '../lab/run.ts';
import { Cluster, engines } from './cluster.ts';

/** One engine is enough: what differs between engines is tested with one machine. */
const engine = '28.5';
const isWanted = engines().some((one) => one.engine === engine);

/** Passes connections on to the agent's socket, as `ssh -L` does. */
const forwarder = `
  require('node:net').createServer((near) => {
    const far = require('node:net').connect('/run/tsc-compose/agent.sock');
    near.pipe(far).pipe(near);
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
  }).listen(process.argv[1]);`;

describe.runIf(isWanted)('data on two machines', () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await Cluster.create({
      machines: 2,
      engine,
      images: ['busybox:latest'],
    });
  });
  afterAll(() => cluster?.destroy());

  /** What a running container of a service prints. */
  async function read(project: string, service: string, argv: readonly string[]): Promise<string> {
    const found = (await cluster.containers(project)).find(
      (c) => c.service === service && c.state === 'running',
    );
    const result = await cluster.execIn(found, argv);
    expect(result).toSucceed();
    return result.stdout.trim();
  }

  async function placeOf(project: string, service: string): Promise<string | undefined> {
    const all = await cluster.containers(project);
    return all.find((c) => c.service === service && c.state === 'running')?.machine;
  }

  describe('bind mounts', () => {
    test('of a member are live, and keep the service on it', async () => {
      cluster.writeFile(
        'm2',
        'live/compose.yaml',
        `
services:
  web:
    image: busybox
    command: sleep 100000
    init: true
    volumes: ["./conf:/conf"]
`,
      );
      cluster.writeFile('m2', 'live/conf/x', 'one');
      const up = await cluster.tsc('m2', ['up'], { cwd: 'live' });
      expect(up).toSucceed();
      expect(up.stderr).toContain('service web stays on m2: it mounts');
      expect(await placeOf('live', 'web')).toBe('m2');
      expect(await read('live', 'web', ['cat', '/conf/x'])).toBe('one');
      cluster.writeFile('m2', 'live/conf/x', 'two');
      expect(await read('live', 'web', ['cat', '/conf/x'])).toBe('two');
    });

    test('of an absolute path keep the service where the path is', async () => {
      await cluster.lab.machine('m2').writeFile('/srv/media/film', 'film of m2');
      cluster.writeFile(
        'm1',
        'media/compose.yaml',
        `
services:
  web:
    image: busybox
    command: sleep 100000
    init: true
    deploy: { replicas: 2 }
    volumes: ["/srv/media:/media:ro", "/var/run/docker.sock:/docker.sock"]
`,
      );
      const up = await cluster.tsc('m1', ['up'], { cwd: 'media' });
      expect(up).toSucceed();
      expect(up.stderr).toContain('service web stays on m2: only that machine has /srv/media');
      expect(up.stderr).toContain('the Docker socket shows each replica its own machine only');
      expect(await cluster.running('media')).toEqual(['m2 web-1', 'm2 web-2']);
      expect(await read('media', 'web', ['cat', '/media/film'])).toBe('film of m2');
      cluster.writeFile(
        'm1',
        'nowhere/compose.yaml',
        'services: { web: { image: busybox, volumes: ["/srv/none:/none"] } }\n',
      );
      const refused = await cluster.tsc('m1', ['up'], { cwd: 'nowhere' });
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('/srv/none, which is on no machine that may run it');
    });

    test('of a computer outside the cluster travel as copies', async () => {
      const socket = join(cluster.lab.machine('m1').dir, 'forwarded.sock');
      await cluster.lab
        .machine('m1')
        .spawn([process.execPath, '-e', forwarder, socket], { name: 'forwarder' });
      const compose = (mode: string): string => `
services:
  web:
    image: busybox
    command: sleep 100000
    init: true
    deploy: { replicas: 2 }
    volumes: ["./conf:/conf${mode}", "./motd:/etc/motd:ro"]
  other:
    image: busybox
    command: sleep 100000
    init: true
    volumes: ["./motd:/etc/motd:ro"]
`;
      const up = (): Promise<RunResult> =>
        cluster.tsc('m2', ['--socket', socket, 'up'], { cwd: 'away' });
      cluster.writeFile('m2', 'away/conf/app.conf', 'port 80');
      cluster.writeFile('m2', 'away/motd', 'hello');
      cluster.writeFile('m2', 'away/compose.yaml', compose(''));
      const refused = await up();
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('may be written, and is not on a machine of the cluster');
      cluster.writeFile('m2', 'away/compose.yaml', compose(':ro'));
      expect(await up()).toSucceed();
      expect(await cluster.running('away')).toContain('m1 web-1');
      expect((await cluster.running('away')).filter((c) => c.includes(' web-'))).toHaveLength(2);
      expect(await read('away', 'web', ['cat', '/conf/app.conf'])).toBe('port 80');
      expect(await read('away', 'other', ['cat', '/etc/motd'])).toBe('hello');
      const before = await cluster.containers('away');
      cluster.writeFile('m2', 'away/conf/app.conf', 'port 81');
      expect(await up()).toSucceed();
      const after = await cluster.containers('away');
      const idOf = (list: typeof after, service: string): string | undefined =>
        list.find((c) => c.service === service && c.state === 'running')?.id;
      expect(idOf(after, 'other')).toBe(idOf(before, 'other'));
      expect(idOf(after, 'web')).not.toBe(idOf(before, 'web'));
      for (const web of after.filter((c) => c.service === 'web' && c.state === 'running')) {
        const { stdout } = await cluster.execIn(web, ['cat', '/conf/app.conf']);
        expect(stdout).toBe('port 81');
      }
    });
  });
});
