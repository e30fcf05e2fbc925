/**
 * Three machines, real engines, real WireGuard, real gossip, real Caddy: replicas spread, names
 * resolve across machines, every machine answers HTTP, and what must not be reachable is not.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster, engines } from './cluster.ts';

describe.each(engines())('three machines on engine $engine', ({ engine }) => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await Cluster.create({
      machines: 3,
      engine,
    });
  });
  afterAll(() => cluster?.destroy());

  test('replicas spread evenly over the machines', async () => {
    cluster.writeFile(
      'm1',
      'guestbook/compose.override.yaml',
      'services: { web: { deploy: { replicas: 6 } } }\n',
    );
    expect(await cluster.up('m1', 'guestbook')).toSucceed();
    const web = (await cluster.containers('guestbook')).filter((c) => c.service === 'web');
    const perMachine = ['m1', 'm2', 'm3'].map((m) => web.filter((c) => c.machine === m).length);
    expect(perMachine).toEqual([2, 2, 2]);
  });

  test('HTTP to each machine is answered by replicas of all three', async () => {
    expect(await cluster.systemContainers('m1')).toEqual(['tsc-compose-caddy']);
    const replicaOf = new Map<string, string>();
    for (const c of await cluster.containers('guestbook'))
      replicaOf.set(c.id.slice(0, 12), c.machine);
    for (const machine of ['m1', 'm2', 'm3']) {
      const answeredBy = new Set<string>();
      for (let i = 0; i < 60 && answeredBy.size < 3; i++) {
        const page = await cluster.http(machine, 'guestbook.example.com', '/');
        expect(page.status).toBe(200);
        answeredBy.add(replicaOf.get(JSON.parse(page.body).replica) ?? 'nobody');
      }
      expect([...answeredBy].sort()).toEqual(['m1', 'm2', 'm3']);
    }
  });

  test('a container reaches redis on another machine by its service name', async () => {
    const containers = await cluster.containers('guestbook');
    const home = containers.find((c) => c.service === 'redis')?.machine;
    const away = containers.find((c) => c.service === 'web' && c.machine !== home);
    expect(away).toBeDefined();
    const script =
      "require('net').connect(6379,'redis',function(){this.write('PING\\r\\n')}).on('data',d=>{process.stdout.write(d);process.exit(0)})";
    const result = await cluster.execIn(away, ['node', '-e', script]);
    expect(result.stdout.trim()).toBe('+PONG');
  });

  test('ps, logs and exec work from any machine for any container', async () => {
    for (const machine of ['m1', 'm2', 'm3']) {
      const ps = await cluster.tsc(machine, ['-p', 'guestbook', 'ps', '--format', 'json']);
      expect(ps).toSucceed();
      const rows = ps.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { Name: string; State: string });
      expect(rows).toHaveLength(7);
      expect(new Set(rows.map((r) => r.State))).toEqual(new Set(['running']));
      const logs = await cluster.tsc(machine, ['-p', 'guestbook', 'logs', 'redis']);
      expect(logs).toSucceed();
      expect(logs.stdout).toContain('Ready to accept connections');
      for (const index of ['1', '2', '3']) {
        const exec = await cluster.tsc(machine, [
          '-p',
          'guestbook',
          'exec',
          '-T',
          '--index',
          index,
          'web',
          'node',
          '-e',
          'console.log(40+2);process.exit(7)',
        ]);
        expect(exec.stdout.trim()).toBe('42');
        expect(exec.code).toBe(7);
      }
    }
  });

  test('x-machines pins, a global service runs once per machine', async () => {
    cluster.writeFile(
      'm2',
      'pins/compose.yaml',
      `
services:
  pinned:
    image: busybox
    command: sleep 1000
    init: true
    deploy: { replicas: 2 }
    x-machines: [m3]
  everywhere:
    image: busybox
    command: sleep 1000
    init: true
    deploy: { mode: global }
`,
    );
    expect(await cluster.tsc('m2', ['up'], { cwd: 'pins' })).toSucceed();
    const containers = await cluster.containers('pins');
    expect(containers.filter((c) => c.service === 'pinned').map((c) => c.machine)).toEqual([
      'm3',
      'm3',
    ]);
    expect(containers.filter((c) => c.service === 'everywhere').map((c) => c.machine)).toEqual([
      'm1',
      'm2',
      'm3',
    ]);
  });

  test('a built image comes from the engine of up, and a guest shares network and volumes', async () => {
    // What `docker compose build` leaves behind: an image of this name on the machine of up.
    await cluster.lab.machine('m1').execOk(['docker', 'tag', 'node:24', 'shared-app:latest']);
    cluster.writeFile(
      'm1',
      'shared/compose.yaml',
      `
services:
  app:
    build: .
    command: node -e "require('fs').writeFileSync('/data/name','app'); require('http').createServer((q,r)=>r.end('from app')).listen(8000,'127.0.0.1'); process.on('SIGTERM',()=>process.exit())"
    volumes: [/data]
    x-machines: [m2]
  guest:
    image: node:24
    network_mode: service:app
    volumes_from: [app]
    depends_on: [app]
    command: sleep 1000
    init: true
`,
    );
    expect(await cluster.tsc('m1', ['up'], { cwd: 'shared' })).toSucceed();
    const containers = await cluster.containers('shared');
    expect(containers.map((c) => `${c.service} ${c.machine} ${c.state}`).sort()).toEqual([
      'app m2 running',
      'guest m2 running',
    ]);
    const script =
      "fetch('http://127.0.0.1:8000').then(r=>r.text()).then(t=>console.log(t,require('fs').readFileSync('/data/name','utf8')))";
    const guest = containers.find((c) => c.service === 'guest');
    const asked = await cluster.execIn(guest, ['node', '-e', script]);
    expect(asked.stdout.trim(), asked.stderr).toBe('from app app');
    expect(await cluster.tsc('m1', ['-p', 'shared', 'down', '-v'])).toSucceed();
  });

  test('two projects with equal service names each resolve their own', async () => {
    for (const project of ['red', 'blue']) {
      cluster.writeFile(
        'm1',
        `${project}/compose.yaml`,
        `
services:
  server:
    image: node:24
    command: node -e "require('http').createServer((q,r)=>r.end('${project}')).listen(8000); process.on('SIGTERM',()=>process.exit())"
    expose: ["8000"]
    deploy: { replicas: 2 }
  asker:
    image: node:24
    command: sleep 1000
    init: true
    deploy: { replicas: 3 }
`,
      );
    }
    const results = await Promise.all(
      ['red', 'blue'].map((p) => cluster.tsc('m1', ['up'], { cwd: p })),
    );
    for (const result of results) expect(result).toSucceed();
    for (const project of ['red', 'blue']) {
      const askers = (await cluster.containers(project)).filter((c) => c.service === 'asker');
      expect(askers).toHaveLength(3);
      for (const asker of askers) {
        for (const name of ['server', `${project}-server-1`, 'server.internal']) {
          const result = await cluster.execIn(asker, [
            'node',
            '-e',
            `fetch('http://${name}:8000').then(r=>r.text()).then(console.log)`,
          ]);
          expect(result.stdout.trim(), `${name} asked by ${asker.name}: ${result.stderr}`).toBe(
            project,
          );
        }
      }
    }
  });

  test('containers of different projects do not reach each other, not even by address', async () => {
    const red = await cluster.addresses('red', 'server');
    const blue = await cluster.addresses('blue', 'server');
    expect([red.length, blue.length]).toEqual([2, 2]);
    const askers = (await cluster.containers('red')).filter((c) => c.service === 'asker');
    for (const asker of askers) {
      const open = await cluster.openFrom(
        asker,
        [...red, ...blue].map((address) => [address, 8000]),
      );
      expect(open.sort()).toEqual(red.map((address) => `${address}:8000`).sort());
    }
  });

  test('a published port answers on every machine, wherever the replica runs', async () => {
    cluster.writeFile(
      'm1',
      'published/compose.yaml',
      `
services:
  server:
    image: node:24
    command: node -e "require('http').createServer((q,r)=>r.end('published')).listen(8000); process.on('SIGTERM',()=>process.exit())"
    ports: ["8090:8000"]
    x-machines: [m2]
`,
    );
    expect(await cluster.tsc('m1', ['up'], { cwd: 'published' })).toSucceed();
    for (const machine of ['m1', 'm2', 'm3']) {
      const page = await cluster.http(machine, 'whoever', '/', 8090);
      expect(page).toEqual({ status: 200, body: 'published' });
    }
    expect(await cluster.tsc('m1', ['down'], { cwd: 'published' })).toSucceed();
  });

  test('a container reaches neither gossip nor an agent nor an engine of any machine', async () => {
    const [asker] = (await cluster.containers('red')).filter((c) => c.service === 'asker');
    const targets: [string, number][] = [];
    for (const machine of await cluster.machines()) {
      for (const address of [machine.gatewayIp, machine.meshIp, cluster.address(machine.name)]) {
        for (const port of [51821, 2375, 2376, 2019]) targets.push([address, port]);
      }
    }
    expect(await cluster.openFrom(asker, targets)).toEqual([]);
    const socket = await cluster.execIn(asker, [
      'sh',
      '-c',
      'ls /var/run/docker.sock /run/docker.sock /run/tsc-compose 2>/dev/null | wc -l',
    ]);
    expect(socket.stdout.trim()).toBe('0');
  });

  test('a neighbour on the wire reaches no container, even with a route through its machine', async () => {
    const [own] = (await cluster.containers('red')).filter((c) => c.service === 'server');
    const [address = ''] = await cluster.addresses('red', 'server');
    const host = own?.machine ?? '';
    const neighbour = host === 'm1' ? 'm2' : 'm1';
    expect(await cluster.openFromMachine(host, [[address, 8000]])).toEqual([`${address}:8000`]);
    const route = [`${address}/32`, 'via', cluster.address(host)];
    await cluster.exec(neighbour, ['ip', 'route', 'add', ...route]);
    expect(await cluster.openFromMachine(neighbour, [[address, 8000]])).toEqual([]);
    await cluster.exec(neighbour, ['ip', 'route', 'del', ...route]);
  });

  test('gossip refuses a stranger who has no member key', async () => {
    for (const path of ['/gossip', '/rpc'] as const) {
      expect(await cluster.strangerDials('m1', path)).toMatch(/^refused: /u);
    }
  });

  test('kill -9 of an agent: no container restarts, traffic and look-ups go on, nothing is lost', async () => {
    const before = await cluster.containers('guestbook');
    const away = before.find((c) => c.service === 'web' && c.machine === 'm2');
    await cluster.killAgent('m2');
    const lookup = "require('dns').promises.resolve4('redis').then(a=>console.log(a.length))";
    for (let i = 0; i < 5; i++) {
      expect((await cluster.http('m2', 'guestbook.example.com', '/')).status).toBe(200);
      const result = await cluster.execIn(away, ['node', '-e', lookup]);
      expect(result.stdout.trim(), result.stderr).toBe('1');
    }
    await cluster.startAgent('m2');
    await cluster.untilReachable(3);
    expect(await cluster.containers('guestbook')).toEqual(before);
    expect(await cluster.tsc('m2', ['-p', 'guestbook', 'scale', 'web=7'])).toSucceed();
    expect((await cluster.containers('guestbook')).filter((c) => c.service === 'web')).toHaveLength(
      7,
    );
  });

  test('a machine that joins gets the global service, and the others keep theirs', async () => {
    const before = await cluster.containers('pins');
    await cluster.addMachine('m4');
    await expect
      .poll(
        async () =>
          (await cluster.containers('pins'))
            .filter((c) => c.machine === 'm4' && c.state === 'running')
            .map((c) => c.service),
        { timeout: 30_000 },
      )
      .toEqual(['everywhere']);
    const after = await cluster.containers('pins');
    for (const container of before) expect(after.map((c) => c.id)).toContain(container.id);
  });

  test('down from another machine than up removes everything everywhere', async () => {
    expect(await cluster.tsc('m3', ['-p', 'guestbook', 'down', '-v'])).toSucceed();
    expect(await cluster.containers('guestbook')).toEqual([]);
    for (const machine of ['m1', 'm2', 'm3']) {
      expect(await cluster.volumes(machine)).not.toContain('guestbook_entries');
      // Nobody publishes HTTP any more, so Caddy goes as well.
      await expect.poll(() => cluster.systemContainers(machine), { timeout: 10_000 }).toEqual([]);
    }
  });
});
