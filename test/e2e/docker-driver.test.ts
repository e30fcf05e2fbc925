/**
 * The Docker driver on real engines: engine, observer and executor together, with records kept in
 * memory in place of gossip. One old and one new engine, because their networks differ.
 */
import { readdirSync, rmSync, statSync } from 'node:fs';
import * as http from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { proxyDocker, proxyDockerUpgrade } from '../../agent/docker-proxy.ts';
import { Engine } from '../../agent/engine.ts';
import { Executor } from '../../agent/executor.ts';
import { ContainerFiles } from '../../agent/files.ts';
import { createLog } from '../../agent/log.ts';
import { Observer } from '../../agent/observer.ts';
import type { Action } from '../../src/model/action.ts';
import { bridgeDevice, engineNetwork, label, wgDevice } from '../../src/model/names.ts';
import type { Service } from '../../src/model/project.ts';
import type { ContainerRecord, FailureRecord } from '../../src/model/record.ts';
import type { ServiceView } from '../../src/model/view.ts';
import { renderResolvConf } from '../../src/render/resolv-conf.ts';
import { loadImages } from '../lab/images.ts';
import { Lab, labUnavailable } from '../lab/lab.ts';
import type { Machine } from '../lab/machine.ts';
import { MemoryReplica } from '../unit/agent-docker/memory-replica.ts';
import { aMachine, aService, aView, cluster } from '../unit/container/builders.ts';
import { testFolder } from './test-folder.ts';

const reason = await labUnavailable('28.5');
if (reason !== undefined) process.stderr.write(`Docker driver tests skipped: ${reason}\n`);

const base: Service = {
  image: 'busybox:latest',
  command: ['sh', '-c', 'trap "exit 7" TERM; sleep 1000 & wait'],
  stop_grace_period: '2s',
  networks: { default: { aliases: ['www'] } },
};

/** One agent's worth of driver over the engine of a lab machine. */
class Driver {
  readonly replica = new MemoryReplica(aMachine().id);
  readonly dataDir = testFolder('tsc-compose-driver-');
  readonly lines: string[] = [];
  readonly engine: Engine;
  observer: Observer;
  executor: Executor;
  services: ServiceView[] = [];
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
    const log = createLog((line) => this.lines.push(line), 'debug');
    this.engine = new Engine({ socketPath: machine.socketPath, machineName: 'm1', log });
    ({ observer: this.observer, executor: this.executor } = this.make());
  }

  /** As an agent that has been started anew: nothing is remembered but the records. */
  make(): { observer: Observer; executor: Executor } {
    const { engine, replica } = this;
    const log = createLog((line) => this.lines.push(line), 'debug');
    const view = () => aView(this.services);
    const observer = new Observer(
      {
        engine,
        replica,
        view,
        // The lab's addresses are inside the machine, so is the probe.
        probe: async (ip, ports) => {
          const answers = await Promise.all(
            ports.map((port) =>
              this.#machine.exec(['nc', '-w', '1', ip, `${port}`], { input: '' }),
            ),
          );
          return answers.every(({ code }) => code === 0);
        },
        hasEngineEnded: () => false,
        onChange: () => undefined,
        now: Date.now,
        log,
      },
      { cluster },
    );
    const executor = new Executor(
      {
        engine,
        observer,
        replica,
        view,
        files: new ContainerFiles(this.dataDir),
        copies: { path: async (hash) => `${this.dataDir}/copies/${hash}` },
        network: () => ({
          name: engineNetwork,
          bridge: bridgeDevice,
          subnet: '10.210.1.0/24',
          gateway: '10.210.1.1',
          mtu: 1420,
          trustedInterface: wgDevice,
          labels: { [label.cluster]: cluster },
        }),
        resolvConf: (service) => renderResolvConf(aMachine(), service.spec, []),
        barrier: async () => undefined,
        now: Date.now,
        log,
      },
      { cluster },
    );
    return { observer, executor };
  }

  async do(action: Pick<Action, 'name' | 'arguments'>, subject = 'subject'): Promise<void> {
    const whole = { ...action, subject, reason: 'the test asks for it' } as Action;
    const done = new Promise<void>((resolve) => {
      const off = this.executor.onDone(() => {
        if (this.executor.inFlight().has(subject)) return;
        off();
        resolve();
      });
    });
    this.executor.execute([whole]);
    await done;
  }

  async run(service: ServiceView, slot = '1'): Promise<void> {
    this.services = [...this.services.filter(({ name }) => name !== service.name), service];
    const { project, name, hash, rollout } = service;
    await this.do({ name: 'run', arguments: { project, service: name, slot, hash, rollout } });
  }

  records(): readonly (ContainerRecord & { readonly id: string })[] {
    const prefix = `c/${this.replica.self}/`;
    return [...this.replica.entries(prefix)]
      .filter((entry) => entry.value !== null)
      .map((entry) => ({
        id: entry.key.slice(prefix.length),
        ...(entry.value as ContainerRecord),
      }));
  }

  record(name: string): (ContainerRecord & { readonly id: string }) | undefined {
    return this.records().find((record) => record.name === name);
  }

  failure(service: string): FailureRecord | null | undefined {
    const entry = this.replica.get(`fail/${this.replica.self}/shop/${service}`);
    return entry?.value as FailureRecord | null | undefined;
  }
}

async function until(what: string, holds: () => unknown, timeoutMs = 15_000): Promise<void> {
  const endMs = Date.now() + timeoutMs;
  while (!holds()) {
    if (Date.now() > endMs) throw new Error(`it did not happen in time: ${what}`);
    await sleep(20);
  }
}

for (const engineName of ['28.5', '20.10'] as const) {
  describe.skipIf(reason !== undefined)(`the Docker driver on engine ${engineName}`, () => {
    let lab: Lab;
    let machine: Machine;
    let driver: Driver;

    beforeAll(async () => {
      lab = await Lab.create({ machines: 1, engine: engineName });
      machine = lab.machine('m1');
      await loadImages(lab.machines, ['busybox']);
      driver = new Driver(machine);
      driver.observer.start();
      await until('the first look', () => driver.observer.isSynced());
    });

    afterAll(async () => {
      driver?.observer.stop();
      await driver?.executor.stop();
      if (driver !== undefined) rmSync(driver.dataDir, { recursive: true, force: true });
      await lab?.destroy();
    });

    test('a replica is created with its own resolv.conf and recorded as ready', async () => {
      const service = aService({ ...base, hostname: 'front', expose: ['8000'] });
      await driver.run({ ...service, spec: { ...service.spec, expose: [] } });
      const record = driver.record('shop-web-1');
      expect(record).toMatchObject({
        project: 'shop',
        service: 'web',
        slot: '1',
        hash: 'hash1',
        rollout: 'rollout1',
        state: 'running',
        health: 'none',
        draining: false,
        restarts: 0,
        aliases: ['front'],
        networks: { default: ['www'] },
      });
      expect(record?.ip).toMatch(/^10\.210\.1\.\d+$/);
      const shown = await machine.execOk([
        'docker',
        'exec',
        'shop-web-1',
        'cat',
        '/etc/resolv.conf',
      ]);
      expect(shown).toContain('nameserver 10.210.1.1\n');
      expect(shown).not.toContain('127.0.0.11');
      await until('ready after the monitor time', () => driver.record('shop-web-1')?.ready);
    });

    test('running the same replica again makes no second container', async () => {
      // What was done last, and when, is new; the container is not.
      const records = () => driver.records().map((record) => ({ ...record, cause: undefined }));
      const before = records();
      await driver.run(aService({ ...base, hostname: 'front' }));
      expect(records()).toEqual(before);
    });

    test('a draining container is not ready, and an agent started anew still knows', async () => {
      const { id } = driver.record('shop-web-1') ?? { id: '' };
      await driver.do({ name: 'drain', arguments: { containerId: id } });
      expect(driver.record('shop-web-1')).toMatchObject({ draining: true, ready: false });

      driver.observer.stop();
      await driver.executor.stop();
      Object.assign(driver, driver.make());
      driver.observer.start();
      await until('a look at everything', () => driver.observer.isSynced());
      expect(driver.record('shop-web-1')).toMatchObject({ draining: true, ready: false });
    });

    test('a successor gets a passing name, and the lasting one after its predecessor', async () => {
      const old = driver.record('shop-web-1')?.id ?? '';
      await driver.run({ ...aService(base), hash: 'hash2', rollout: 'rollout2' });
      const passing = driver.records().find((record) => record.hash === 'hash2');
      expect(passing?.name).toBe('shop-web-1_rollout2');
      await driver.do({ name: 'remove', arguments: { containerId: old, graceMs: 2_000 } });
      await driver.do({
        name: 'rename',
        arguments: { containerId: passing?.id ?? '', name: 'shop-web-1' },
      });
      expect(driver.records().map(({ name, hash }) => [name, hash])).toEqual([
        ['shop-web-1', 'hash2'],
      ]);
      expect(driver.replica.get(`c/${driver.replica.self}/${old}`)?.value).toBeNull();
      expect(readdirSync(join(driver.dataDir, 'containers'))).toHaveLength(1);
    });

    test('what others do to a container is in its record at once', async () => {
      await machine.execOk(['docker', 'stop', '-t', '2', 'shop-web-1']);
      await until('exited', () => driver.record('shop-web-1')?.state === 'exited');
      expect(driver.record('shop-web-1')).toMatchObject({ exitCode: 7, ip: '', ready: false });
      const { id = '' } = driver.record('shop-web-1') ?? {};
      await driver.do({ name: 'start', arguments: { containerId: id, restarts: 3 } });
      expect(driver.record('shop-web-1')).toMatchObject({ state: 'running', restarts: 3 });
      await driver.do({
        name: 'restart',
        arguments: { containerId: id, graceMs: 1_000, restarts: 4 },
      });
      expect(driver.record('shop-web-1')).toMatchObject({ state: 'running', restarts: 4 });
      await driver.do({ name: 'stop', arguments: { containerId: id, graceMs: 1_000 } });
      expect(driver.record('shop-web-1')).toMatchObject({ state: 'exited', exitCode: 7 });
      await machine.execOk(['docker', 'rm', '-v', 'shop-web-1']);
      await until('a tombstone', () => driver.records().length === 0);
    });

    test('health decides readiness where there is a health check', async () => {
      const healthcheck = { test: ['CMD', 'test', '-e', '/tmp/ok'], interval: '200ms', retries: 2 };
      await driver.run(aService({ ...base, healthcheck }, { name: 'checked' }));
      expect(driver.record('shop-checked-1')).toMatchObject({ health: 'starting', ready: false });
      await machine.execOk(['docker', 'exec', 'shop-checked-1', 'touch', '/tmp/ok']);
      await until('ready', () => driver.record('shop-checked-1')?.ready);
      await machine.execOk(['docker', 'exec', 'shop-checked-1', 'rm', '/tmp/ok']);
      await until('unhealthy', () => driver.record('shop-checked-1')?.health === 'unhealthy');
      expect(driver.record('shop-checked-1')?.ready).toBe(false);
    });

    test('declared ports decide readiness where there is no health check', async () => {
      const command = ['sh', '-c', 'sleep 2; exec httpd -f -p 8000'];
      await driver.run(aService({ ...base, command, expose: ['8000'] }, { name: 'ported' }));
      expect(driver.record('shop-ported-1')?.ready).toBe(false);
      await until('ready', () => driver.record('shop-ported-1')?.ready);
      const { startedMs = 0 } = driver.record('shop-ported-1') ?? {};
      expect(Date.now() - startedMs).toBeLessThan(10_000);
    });

    test('secrets and configs are files with the right owner and mode', async () => {
      const spec: Service = {
        ...base,
        read_only: true,
        secrets: [{ source: 'password', mode: '0400', uid: '5' }],
        configs: [{ source: 'motd' }],
      };
      const service = aService(spec, {
        name: 'files',
        definition: { configs: { motd: { content: 'hello\n' } } },
        contents: { 'secret/password': Buffer.from('pa$$word').toString('base64') },
      });
      await driver.run(service);
      const inside = (...command: string[]) =>
        machine.execOk(['docker', 'exec', 'shop-files-1', ...command]);
      expect(await inside('cat', '/run/secrets/password')).toBe('pa$$word');
      expect((await inside('stat', '-c', '%a %u', '/run/secrets/password')).trim()).toBe('400 5');
      expect(await inside('cat', '/motd')).toBe('hello');
      expect((await inside('stat', '-c', '%a %u', '/motd')).trim()).toBe('444 0');
      expect(statSync(join(driver.dataDir, 'containers')).mode & 0o077).toBe(0);
    });

    test('volumes are made once, and anonymous ones go over to the successor', async () => {
      const spec: Service = {
        ...base,
        volumes: [
          { type: 'volume', source: 'data', target: '/data' },
          { type: 'volume', target: '/scratch' },
        ],
      };
      const service = aService(spec, {
        name: 'db',
        definition: { volumes: { data: { name: 'shop_data' } } },
      });
      await driver.run(service);
      await machine.execOk(['docker', 'exec', 'shop-db-1', 'sh', '-c', 'echo 1 > /scratch/x']);
      const old = driver.record('shop-db-1')?.id ?? '';
      await driver.do({ name: 'stop', arguments: { containerId: old, graceMs: 1_000 } });
      await driver.run({ ...service, hash: 'hash2', rollout: 'rollout2' });
      await driver.do({ name: 'remove', arguments: { containerId: old, graceMs: 1_000 } });
      const next = driver.records().find(({ service: name }) => name === 'db');
      const shown = await machine.execOk(['docker', 'exec', next?.name ?? '', 'cat', '/scratch/x']);
      expect(shown).toBe('1');
      const volumes = async () => (await machine.execOk(['docker', 'volume', 'ls', '-q'])).trim();
      expect((await volumes()).split('\n')).toHaveLength(2);
      await driver.do({
        name: 'removeVolume',
        arguments: { project: 'shop', volume: 'shop_data' },
      });
      expect(await volumes()).toContain('shop_data');
      await driver.do({
        name: 'remove',
        arguments: { containerId: next?.id ?? '', graceMs: 1_000 },
      });
      await driver.do({
        name: 'removeVolume',
        arguments: { project: 'shop', volume: 'shop_data' },
      });
      // The first attempt failed and rests for a moment.
      await sleep(1_100);
      await driver.do({
        name: 'removeVolume',
        arguments: { project: 'shop', volume: 'shop_data' },
      });
      expect(await volumes()).toBe('');
    });

    test('a replica that cannot start leaves a failure that says why, and no container', async () => {
      await driver.run(aService({ ...base, image: 'nowhere:1' }, { name: 'lost' }));
      expect(driver.failure('lost')?.why).toMatch(
        /^image "nowhere:1" is not on machine m1: .*push it with tsc-compose push\)$/s,
      );
      await driver.run(aService({ ...base, command: ['/no/such/program'] }, { name: 'wrong' }));
      expect(driver.failure('wrong')).toMatchObject({ rollout: 'rollout1', slot: '1' });
      expect(driver.failure('wrong')?.why).toContain('/no/such/program');
      await until('removed', () => driver.record('shop-wrong-1') === undefined);
    });

    test('a taken host port is named, and the failure goes when the port is free', async () => {
      const ports = [{ mode: 'host', target: 80, published: '8091', protocol: 'tcp' }];
      await driver.run(aService({ ...base, ports }, { name: 'one' }));
      await driver.run(aService({ ...base, ports }, { name: 'two' }));
      expect(driver.failure('two')?.why).toContain('port 8091 is taken on this machine');
      const one = driver.record('shop-one-1')?.id ?? '';
      await driver.do({ name: 'remove', arguments: { containerId: one, graceMs: 1_000 } });
      await sleep(1_100);
      await driver.run(aService({ ...base, ports }, { name: 'two' }));
      expect(driver.record('shop-two-1')?.state).toBe('running');
      expect(driver.failure('two')).toBeNull();
    });

    test('a foreign container keeps its name and is never recorded', async () => {
      await machine.execOk([
        'docker',
        'run',
        '-d',
        '--name',
        'shop-guest-1',
        'busybox',
        'sleep',
        '999',
      ]);
      await driver.run(aService(base, { name: 'guest' }));
      expect(driver.failure('guest')?.why).toContain('shop-guest-1');
      expect(driver.records().map(({ name }) => name)).not.toContain('shop-guest-1');
    });

    test('the last lines of a broken container are in its failure', async () => {
      const command = ['sh', '-c', 'echo one; echo two >&2; exit 3'];
      await driver.run(aService({ ...base, command }, { name: 'broken' }));
      await until('exited', () => driver.record('shop-broken-1')?.state === 'exited');
      await driver.do({
        name: 'reportFailure',
        arguments: {
          project: 'shop',
          service: 'broken',
          slot: '1',
          rollout: 'rollout1',
          containerId: driver.record('shop-broken-1')?.id ?? '',
          why: 'exited with code 3',
          exitCode: 3,
        },
      });
      const failure = driver.failure('broken');
      expect(failure).toMatchObject({ why: 'exited with code 3', exitCode: 3, slot: '1' });
      expect([...(failure?.lastLines ?? [])].sort()).toEqual(['one', 'two']);
    });

    test('hooks run inside the container', async () => {
      const spec: Service = {
        ...base,
        post_start: [
          { command: ['sh', '-c', 'echo $GREETING > /greeting'], environment: { GREETING: 'hi' } },
        ],
      };
      await driver.run(aService(spec, { name: 'hooked' }));
      expect(await machine.execOk(['docker', 'exec', 'shop-hooked-1', 'cat', '/greeting'])).toBe(
        'hi',
      );
      const bad = { ...base, post_start: [{ command: ['sh', '-c', 'echo no; exit 9'] }] };
      await driver.run(aService(bad, { name: 'unhooked' }));
      expect(driver.failure('unhooked')?.why).toContain('exited with code 9: no');
    });

    test('calls and exec go through the proxy to the engine', async () => {
      const server = http.createServer((request, response) => {
        proxyDocker(request, response, machine.socketPath, request.url ?? '/');
      });
      server.on('upgrade', (request, socket, head) => {
        const path = request.url ?? '/';
        proxyDockerUpgrade(request, socket, head, { socketPath: machine.socketPath, path });
      });
      const socketPath = join(driver.dataDir, 'proxy.sock');
      await new Promise<void>((resolve) => server.listen(socketPath, resolve));
      try {
        const docker = new Docker({ socketPath });
        expect((await docker.version()).Os).toBe('linux');
        const container = docker.getContainer('shop-hooked-1');
        const exec = await container.exec({
          Cmd: ['cat'],
          AttachStdin: true,
          AttachStdout: true,
          Tty: true,
        });
        const stream = await exec.start({ hijack: true, stdin: true, Tty: true });
        const heard = new Promise<string>((resolve) => {
          let text = '';
          stream.on('data', (chunk: Buffer) => {
            text += chunk.toString();
            if (text.includes('ping')) resolve(text);
          });
        });
        stream.write('ping\n');
        expect(await heard).toContain('ping');
        stream.destroy();
        await expect(docker.getContainer('nobody').inspect()).rejects.toMatchObject({
          statusCode: 404,
        });
      } finally {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    });

    test('a service with many keys starts, and the container has them', async () => {
      const spec: Service = {
        ...base,
        environment: { A: '1', B: null, C: 'x=$y' },
        hostname: 'front',
        domainname: 'example.org',
        init: true,
        tty: true,
        cap_add: ['NET_ADMIN'],
        cap_drop: ['CHOWN'],
        sysctls: { 'net.core.somaxconn': '1024' },
        ulimits: { nofile: { soft: 2000, hard: 3000 }, nproc: 500 },
        extra_hosts: ['legacy=192.0.2.7', 'six=2001:db8::1'],
        tmpfs: ['/cache:size=1m'],
        volumes: [
          { type: 'tmpfs', target: '/tmpfs', tmpfs: { size: '65536', mode: 0o1777 } },
          {
            type: 'bind',
            source: join(driver.dataDir, 'made:here'),
            target: '/colon',
            bind: { create_host_path: true },
          },
          {
            type: 'bind',
            source: join(driver.dataDir, 'made'),
            target: '/made',
            read_only: true,
            bind: { create_host_path: true },
          },
        ],
        devices: [{ source: '/dev/null', target: '/dev/nothing', permissions: 'rw' }],
        group_add: ['7'],
        security_opt: ['no-new-privileges'],
        shm_size: '1048576',
        mem_limit: '33554432',
        cpus: 0.5,
        pids_limit: 50,
        oom_score_adj: 100,
        stop_signal: 'SIGINT',
        mac_address: '02:42:0a:d2:01:77',
        annotations: { a: 'b' },
        healthcheck: { test: ['CMD', 'true'], interval: '1s', start_interval: '300ms' },
        labels: { team: 'blue' },
      };
      // Only newer engines can make a bind whose path has a colon.
      const volumes = (spec.volumes ?? []).filter(
        ({ target }) => engineName === '28.5' || target !== '/colon',
      );
      await driver.run(aService({ ...spec, volumes }, { name: 'many' }));
      expect(driver.failure('many')).toBeUndefined();
      const found = await driver.engine.inspect('shop-many-1');
      expect(found?.Config).toMatchObject({
        Hostname: 'front',
        Domainname: 'example.org',
        StopSignal: 'SIGINT',
        StopTimeout: 2,
        Tty: true,
      });
      expect(found?.Config.Labels).toMatchObject({
        team: 'blue',
        'com.docker.compose.project': 'shop',
        'com.docker.compose.container-number': '1',
      });
      expect(found?.HostConfig).toMatchObject({
        RestartPolicy: { Name: 'no' },
        LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
        Memory: 33554432,
        NanoCpus: 5e8,
        PidsLimit: 50,
        ShmSize: 1048576,
        Init: true,
      });
      expect(found?.NetworkSettings.Networks[engineNetwork]?.MacAddress).toBe('02:42:0a:d2:01:77');
      const inside = (text: string) =>
        machine.execOk(['docker', 'exec', 'shop-many-1', 'sh', '-c', text]);
      expect(await inside('cat /etc/hosts')).toMatch(/192\.0\.2\.7\s+legacy\n2001:db8::1\s+six/);
      expect(await inside('echo $A-$B-$C')).toBe('1--x=$y');
      expect(await inside('grep open /proc/1/limits')).toMatch(/\s2000\s+3000\s/);
      expect(await inside('cat /proc/sys/net/core/somaxconn')).toBe('1024');
      expect(await inside('stat -c %a /tmpfs; stat -c %F /dev/nothing')).toBe(
        '1777\ncharacter special file',
      );
      expect(await inside('touch /made/x 2>&1 || true')).toContain('Read-only');
      await until('ready', () => driver.record('shop-many-1')?.ready);
      expect(driver.record('shop-many-1')?.aliases).toEqual(['front', 'front.example.org']);
    });

    test('services that share a network namespace are one on the network', async () => {
      await driver.run(aService(base, { name: 'vpn' }));
      const spec: Service = { ...base, network_mode: 'service:vpn', volumes_from: ['vpn'] };
      await driver.run(aService(spec, { name: 'guest2' }));
      expect(driver.failure('guest2')).toBeUndefined();
      const address = (name: string) =>
        machine.execOk(['docker', 'exec', name, 'sh', '-c', 'ip -4 -o addr show eth0']);
      expect(await address('shop-guest2-1')).toBe(await address('shop-vpn-1'));
      expect(driver.record('shop-guest2-1')).toMatchObject({ ip: '', networks: {} });
      const resolv = ['docker', 'exec', 'shop-guest2-1', 'cat', '/etc/resolv.conf'];
      expect(await machine.execOk(resolv)).toContain('nameserver 10.210.1.1');
    });

    test('an engine that hangs is noticed, and waited for', async () => {
      const pid = Number((await machine.execOk(['busybox', 'pidof', 'dockerd'])).split(' ')[0]);
      await machine.signal(pid, 'SIGSTOP');
      try {
        await until('away', () => !driver.observer.isEngineUp(), 20_000);
        expect(driver.observer.isSynced()).toBe(false);
      } finally {
        await machine.signal(pid, 'SIGCONT');
      }
      await until('back', () => driver.observer.isSynced());
    });

    test('an engine that goes away is noticed and takes no record with it', async () => {
      const before = driver.records().map(({ id }) => id);
      expect(before.length).toBeGreaterThan(0);
      await machine.stopEngine();
      await until('away', () => !driver.observer.isEngineUp());
      expect(driver.records().map(({ id }) => id)).toEqual(before);
      await driver.run(aService(base, { name: 'later' }));
      expect(driver.failure('later')).toBeUndefined();
      await machine.startEngine();
      await until('back', () => driver.observer.isSynced());
      expect(driver.records().map(({ id }) => id)).toEqual(before);
    });

    test('the log of the driver shows no stack and no secret', () => {
      const text = driver.lines.join('');
      expect(text).not.toContain('pa$$word');
      expect(text).not.toMatch(/\n\s+at /);
    });
  });
}
