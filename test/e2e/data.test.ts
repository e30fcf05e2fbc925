/**
 * Data on two machines with real engines: bind mounts from a member and from a computer that is
 * none, homes of volumes and their moves, hooks. What is read comes from inside containers and from
 * the engines.
 */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RunResult } from '../lab/run.ts';
import { Cluster, engines } from './cluster.ts';
import { until } from './traffic.ts';

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
      images: ['busybox:latest', 'caddy:2'],
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

  describe('hooks', () => {
    const compose = (version: number, hook: string): string => `
services:
  db:
    image: busybox
    command: ["nc", "-ll", "-p", "5432", "-e", "cat"]
    init: true
    expose: ["5432"]
    x-machines: [m1]
  web:
    image: busybox
    command: ["sh", "-c", "sleep 100000 & wait"]
    init: true
    environment: { VERSION: "${version}", WHO: web }
    x-machines: [m2]
    volumes: ["state:/state"]
    depends_on: { db: { condition: service_healthy } }
    post_start:
      - command: ["sh", "-c", "echo $$VERSION started by $$(id -u) >> /state/log"]
        user: "7"
    pre_stop:
      - command: ["sh", "-c", "echo $$VERSION stops $$NOTE >> /state/log"]
        environment: { NOTE: soon }
    x-pre_deploy:
      command: ["sh", "-c", "${hook}"]
      environment: { WHO: hook }
volumes: { state: {} }
`;
    const migrate =
      'mkdir -p /state; chmod 777 /state; touch /state/log; chmod 666 /state/log; ' +
      'echo $$VERSION migrated by $$WHO with $$(echo pong | nc -w 2 db 5432) >> /state/log';

    const up = (...args: readonly string[]): Promise<RunResult> =>
      cluster.tsc('m1', ['up', ...args], { cwd: 'hooks' });
    const log = async (): Promise<readonly string[]> =>
      (await read('hooks', 'web', ['cat', '/state/log'])).split('\n');

    test('run before the rollout, after the start and before the stop', async () => {
      cluster.writeFile('m1', 'hooks/compose.yaml', compose(1, migrate));
      expect(await up()).toSucceed();
      expect(await log()).toEqual(['1 migrated by hook with pong', '1 started by 7']);
      cluster.writeFile('m1', 'hooks/compose.yaml', compose(2, migrate));
      expect(await up()).toSucceed();
      expect(await log()).toEqual([
        '1 migrated by hook with pong',
        '1 started by 7',
        '2 migrated by hook with pong',
        '1 stops soon',
        '2 started by 7',
      ]);
      // The same file again runs nothing, and once the rollout is judged no container of a hook is left.
      expect(await up()).toSucceed();
      expect(await log()).toHaveLength(5);
      await until('the containers of the hooks are gone', 60_000, async () => {
        const names = (await cluster.containers('hooks')).map((c) => c.name);
        return !names.some((name) => name.includes('pre_deploy'));
      });
    });

    test('a hook that fails stops the deploy, and replaces nothing', async () => {
      const before = await cluster.containers('hooks');
      const broken = 'echo tables are locked >&2; echo tried >> /state/log; exit 3';
      cluster.writeFile('m1', 'hooks/compose.yaml', compose(3, broken));
      const failed = await up();
      expect(failed.code).toBe(1);
      expect(failed.stderr).toContain('the pre-deploy hook failed: it exited with code 3');
      expect(failed.stderr).toContain('| tables are locked');
      const web = (list: typeof before) =>
        list.filter((c) => c.service === 'web' && c.state === 'running').map((c) => c.id);
      expect(web(await cluster.containers('hooks'))).toEqual(web(before));
      // Not by itself, nor by the same file: only when the user says so.
      const again = await up();
      expect(again.code).toBe(1);
      expect(again.stderr).toContain('has failed with this definition');
      expect((await log()).filter((line) => line === 'tried')).toHaveLength(1);
      expect((await up('--retry-hook')).code).toBe(1);
      expect((await log()).filter((line) => line === 'tried')).toHaveLength(2);
      expect(web(await cluster.containers('hooks'))).toEqual(web(before));
      cluster.writeFile('m1', 'hooks/compose.yaml', compose(4, migrate));
      expect(await up()).toSucceed();
      expect((await log()).slice(-3)).toEqual([
        '4 migrated by hook with pong',
        '2 stops soon',
        '4 started by 7',
      ]);
    });

    test('a failing post_start fails the start', async () => {
      const text = compose(5, migrate).replace('echo $$VERSION started', 'exit 9; echo');
      cluster.writeFile('m1', 'hooks/compose.yaml', text);
      const failed = await up();
      expect(failed.code).toBe(1);
      expect(failed.stderr).toContain('exited with code 9');
      expect(await cluster.tsc('m1', ['down', '-v'], { cwd: 'hooks' })).toSucceed();
    });
  });

  describe('volumes', () => {
    const compose = `
services:
  db:
    image: busybox
    command: ["sh", "-c", "sleep 100000 & wait"]
    init: true
    deploy: { replicas: 2 }
    volumes: ["data:/data"]
  backup:
    image: busybox
    command: ["sh", "-c", "sleep 100000 & wait"]
    init: true
    volumes: ["data:/source:ro", "dumps:/dumps"]
  scratch:
    image: busybox
    command: sleep 100000
    init: true
    volumes: ["fast:/fast"]
volumes:
  data: {}
  dumps: {}
  fast: { driver_opts: { type: tmpfs, device: tmpfs } }
`;
    /** Everything that a copy must have in common with the data. */
    const listing =
      'cd /data && find . | sort | xargs stat -c "%n %F %a %u:%g %s" | grep -v " directory .*" ; ' +
      'cd /data && find . -type f | sort | xargs sha256sum; readlink link';

    test('have one home, which the plan names and volume mv changes with the data', async () => {
      cluster.writeFile('m1', 'vols/compose.yaml', compose);
      const up = await cluster.tsc('m1', ['up'], { cwd: 'vols' });
      expect(up).toSucceed();
      const home = /volume vols_data is kept on (m\d)/.exec(up.stderr)?.[1] ?? '';
      expect(up.stderr).toContain(`volume vols_dumps is kept on ${home}`);
      expect(up.stderr).not.toContain('vols_fast is kept');
      const other = home === 'm1' ? 'm2' : 'm1';
      expect((await cluster.running('vols')).filter((c) => !c.includes('scratch'))).toEqual([
        `${home} backup-1`,
        `${home} db-1`,
        `${home} db-2`,
      ]);
      const write =
        'cd /data && mkdir -p "a b/deep" && echo one > "a b/deep/file" && echo run > tool && ' +
        'chmod 750 tool && chown 70:71 tool && ln -s tool link && ln tool hard && ' +
        'dd if=/dev/urandom of=big bs=1024 count=20000 2>/dev/null && chmod 700 .';
      await read('vols', 'db', ['sh', '-c', write]);
      const before = await read('vols', 'db', ['sh', '-c', listing]);
      expect(before).toContain('70:71');
      const list = await cluster.tsc('m2', ['volume', 'ls', '--format', 'json']);
      expect(list).toSucceed();
      const homes = (JSON.parse(list.stdout) as { name: string; machine: string; state: string }[])
        .filter((row) => row.state === 'home')
        .map((row) => `${row.name} ${row.machine}`);
      expect(homes).toContain(`vols_data ${home}`);

      const moved = await cluster.tsc('m2', ['volume', 'mv', 'vols_data', other]);
      expect(moved).toSucceed();
      expect(moved.stderr).toContain('2 volumes from');
      expect(moved.stderr).not.toContain('note:');
      const again = await cluster.tsc('m1', ['up'], { cwd: 'vols' });
      expect(again).toSucceed();
      expect((await cluster.running('vols')).filter((c) => !c.includes('scratch'))).toEqual([
        `${other} backup-1`,
        `${other} db-1`,
        `${other} db-2`,
      ]);
      expect(await read('vols', 'db', ['sh', '-c', listing])).toBe(before);
      expect(await cluster.volumes(home)).not.toContain('vols_data');
    });

    test('a move that cannot be is refused, and one that breaks off leaves all as it was', async () => {
      const place = (await placeOf('vols', 'db')) ?? '';
      const other = place === 'm1' ? 'm2' : 'm1';
      // Somebody's own volume of that name on the other machine.
      await cluster.docker(other).createVolume({ Name: 'vols_dumps' });
      const refused = await cluster.tsc('m1', ['volume', 'mv', 'vols_data', other]);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain(`${other} has a volume vols_dumps of its own already`);
      await cluster.docker(other).getVolume('vols_dumps').remove();
      const size = await read('vols', 'db', ['sh', '-c', 'wc -c < /data/big']);
      await cluster.tsc('m1', ['volume', 'mv', 'vols_data', other], { interruptAfterMs: 1_500 });
      const up = await cluster.tsc('m1', ['up'], { cwd: 'vols' });
      expect(up).toSucceed();
      expect(await read('vols', 'db', ['sh', '-c', 'wc -c < /data/big'])).toBe(size);
      expect((await cluster.running('vols')).filter((c) => c.includes(' db-'))).toHaveLength(2);
    });
  });

  describe('x-caddy', () => {
    const compose = (caddyfile: string): string => `
services:
  web:
    image: busybox
    command: ["sh", "-c", "mkdir -p /www && hostname > /www/index.html && httpd -f -p 8000 -h /www"]
    init: true
    expose: ["8000"]
    deploy: { replicas: 2 }
    x-caddy: |
      http://own.example.com {
        header X-Service {{.Name}}
        ${caddyfile}
      }
`;

    test('of a service is served by every machine, and a wrong one changes nothing', async () => {
      cluster.writeFile('m1', 'caddy/compose.yaml', compose('reverse_proxy {{upstreams 8000}}'));
      expect(await cluster.tsc('m1', ['up'], { cwd: 'caddy' })).toSucceed();
      const bodies = new Set<string>();
      await until('both replicas answer through both machines', 30_000, async () => {
        for (const machine of ['m1', 'm2']) {
          const answer = await cluster.http(machine, 'own.example.com', '/').catch(() => undefined);
          if (answer?.status !== 200) return false;
          bodies.add(answer.body);
        }
        return bodies.size === 2;
      });
      cluster.writeFile('m1', 'caddy/compose.yaml', compose('reverse_prox {{upstreams 8000}}'));
      const refused = await cluster.tsc('m1', ['up'], { cwd: 'caddy' });
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('unrecognized directive: reverse_prox');
      expect((await cluster.http('m2', 'own.example.com', '/')).status).toBe(200);
    });
  });
});
