/**
 * The lab keeps its promises: real engines, true power cuts, faults that bite and heal, nothing
 * left behind and nothing of this machine changed. Without root or packages it says why it skips.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findDebianMirror } from '../lab/debian-mirror.ts';
import { httpGet } from '../lab/http.ts';
import { buildImage, loadImages } from '../lab/images.ts';
import { Lab, labUnavailable } from '../lab/lab.ts';
import type { Machine } from '../lab/machine.ts';
import { type EngineName, ensurePackages, toolPath } from '../lab/packages.ts';
import { run } from '../lab/run.ts';
import { labDir, labOwner, netnsName, readLab } from '../lab/state.ts';
import { testFolder } from './test-folder.ts';

const log = (line: string) => process.stderr.write(`${line}\n`);
const reason = await labUnavailable('28.5', log);
if (reason !== undefined) log(`lab tests skipped: ${reason}`);

/** Whether one machine gets an answer from another; a single lost frame does not decide. */
async function canReach(from: Machine, to: Machine): Promise<boolean> {
  const ping = ['ping', '-c', '3', '-i', '0.3', '-W', '1', '-A', to.address];
  return (await from.exec(ping)).stdout.includes('bytes from');
}

/** Programs for Node in a machine: one writes the datagrams it hears to a file, one sends. */
const hear = `require('node:dgram').createSocket('udp4')
  .on('message', (text) => require('node:fs').appendFileSync('/run/heard', text)).bind(9999,
  () => require('node:fs').writeFileSync('/run/heard', ''))`;
const tell = `const socket = require('node:dgram').createSocket('udp4');
  socket.send('frame', 9999, process.argv[1], () => socket.close())`;

/**
 * Everything of the root namespace's network that a lab could change and not put back. Links of
 * labs are left out: others may run beside, and `leftovers` tells of our own.
 */
async function hostNetwork(): Promise<readonly string[]> {
  const { bin } = await ensurePackages('bookworm');
  const parts = await Promise.all([
    run([join(bin, 'nft'), 'list', 'ruleset']),
    run([join(bin, 'iptables-save')]),
    run([join(bin, 'ip'), '-o', 'link']),
    run([join(bin, 'ip'), 'route']),
    run(['cat', '/proc/sys/net/ipv4/ip_forward']),
  ]);
  return parts
    .flatMap(({ stdout }) => stdout.split('\n'))
    .map((line) => line.replace(/^#.*$|\[\d+:\d+\]/u, ''))
    .filter((line) => !/\b(?:tl\d+-\d+-\d+|tp\d+-\d+)\b/u.test(line));
}

for (const engine of ['28.5', '20.10'] as const satisfies readonly EngineName[]) {
  describe.skipIf(reason !== undefined)(`machines with Docker ${engine}`, () => {
    let lab: Lab;
    let before: readonly string[];
    let m1: Machine;
    let m2: Machine;
    let m3: Machine;

    beforeAll(async () => {
      before = await hostNetwork();
      lab = await Lab.create({ machines: 3, engine, log });
      [m1, m2, m3] = [lab.machine('m1'), lab.machine('m2'), lab.machine('m3')];
    });
    afterAll(async () => {
      await lab.destroy();
      expect(Lab.leftovers(lab.name)).toEqual([]);
      expect(await hostNetwork()).toEqual(before);
    });

    test('every machine answers with the engine of the package, by its own name', async () => {
      for (const machine of lab.machines) {
        const { Version } = await machine.docker().version();
        expect(Version.split('+')[0]).toBe(machine.engine.version);
        expect(machine.engine.version.startsWith(`${engine}.`)).toBe(true);
        expect(await machine.execOk(['hostname'])).toBe(machine.name);
        expect((await machine.docker().info()).Name).toBe(machine.name);
      }
    });

    test('programs come from the cache and not from this machine', async () => {
      const programs = ['dockerd', 'docker', 'containerd', 'runc', 'containerd-shim-runc-v2'];
      const tools = ['nft', 'iptables', 'ip6tables', 'wg', 'wireguard-go', 'ip', 'conntrack'];
      const cached = m1.engine.bins.map((bin) => `${bin}/`);
      for (const program of [...programs, ...tools, 'docker-init', 'redis-cli', 'busybox']) {
        const found = await m1.execOk(['sh', '-c', `command -v ${program}`]);
        expect(cached.some((bin) => found.startsWith(bin))).toBe(true);
      }
      for (const name of ['/run/docker.pid', '/run/docker/containerd/containerd.pid']) {
        const pid = await m1.execOk(['cat', name]);
        const exe = await m1.execOk(['readlink', `/proc/${pid}/exe`]);
        expect(m1.engine.toolsets.some(({ root }) => exe.startsWith(`${root}/`))).toBe(true);
      }
    });

    test('an image loads on all machines at once and a container runs', async () => {
      await loadImages(lab.machines, ['busybox']);
      for (const machine of lab.machines) {
        const said = await machine.execOk(['docker', 'run', '--rm', 'busybox', 'echo', 'hello']);
        expect(said).toBe('hello');
      }
    });

    test('a published container answers over the underlay', async () => {
      const image = await buildImage({
        name: 'page:v1',
        from: 'busybox',
        files: { '/www/index.html': 'page one\n' },
        config: { Cmd: ['httpd', '-f', '-p', '80', '-h', '/www'] },
      });
      await loadImages(m1, [image]);
      const id = await m1.execOk(['docker', 'run', '-d', '-p', '8080:80', 'page:v1']);
      // The engine has started the program; when it listens is its own affair.
      const ask = async () => {
        const { status, body } = await httpGet({ address: m1.address, port: 8080 });
        return [status, body];
      };
      await expect
        .poll(() => ask().catch(String), { timeout: 20_000 })
        .toEqual([200, 'page one\n']);
      const seen = await m2.execOk(['curl', '-s', `http://${m1.address}:8080/`]).catch(() => '');
      if (existsSync('/usr/bin/curl')) expect(seen).toBe('page one');
      await m1.execOk(['docker', 'rm', '-f', id]);
    });

    test('a power cut ends everything at once and a boot finds the same disk', async () => {
      await loadImages(m2, ['busybox']);
      await m2.execOk([
        'docker',
        'run',
        '-d',
        '--name',
        'kept',
        '--restart',
        'always',
        'busybox',
        'sleep',
        '600',
      ]);
      await m2.writeFile('/var/lib/tsc-compose/note', 'kept');
      await m2.writeFile('/etc/tsc-compose/config', 'kept too');
      await m2.writeFile('/run/note', 'lost');
      await m2.execOk(['ip', 'link', 'add', 'proof9', 'type', 'bridge']);

      await m2.crash();
      expect(m2.isUp).toBe(false);
      expect(await canReach(m1, m2)).toBe(false);
      expect(existsSync(`/run/netns/${netnsName(lab.name, 'm2')}`)).toBe(false);
      expect(await m2.readFile('/var/lib/tsc-compose/note')).toBe('kept');
      await expect(m2.exec(['true'])).rejects.toThrow('m2 is off');

      await m2.boot();
      expect(await canReach(m1, m2)).toBe(true);
      expect(await m2.readFile('/var/lib/tsc-compose/note')).toBe('kept');
      expect(await m2.readFile('/etc/tsc-compose/config')).toBe('kept too');
      expect((await m2.exec(['cat', '/run/note'])).code).toBe(1);
      expect((await m2.exec(['ip', 'link', 'show', 'proof9'])).code).toBe(1);
      expect(await m2.execOk(['docker', 'images', '-q', 'busybox'])).not.toBe('');
      await expect
        .poll(() => m2.execOk(['docker', 'ps', '--format', '{{.Names}}']), { timeout: 15_000 })
        .toBe('kept');
      await m2.execOk(['docker', 'rm', '-f', 'kept']);
    });

    test('what a machine writes stays in the machine', async () => {
      await m1.writeFile('/etc/tsc-lab-proof', 'm1');
      await m1.writeFile('/srv/tsc-lab-proof', 'm1');
      expect(existsSync('/etc/tsc-lab-proof') || existsSync('/srv/tsc-lab-proof')).toBe(false);
      expect((await m3.exec(['cat', '/etc/tsc-lab-proof'])).code).toBe(1);
      expect(await m1.readFile('/etc/tsc-lab-proof')).toBe('m1');
      expect(readFileSync(m1.diskPath('/etc/tsc-lab-proof'), 'utf8')).toBe('m1');
    });

    test('a partition cuts both ways between the groups only, until it is healed', async () => {
      await lab.partition(['m1'], ['m2', 'm3']);
      expect(await canReach(m1, m2)).toBe(false);
      expect(await canReach(m3, m1)).toBe(false);
      expect(await canReach(m2, m3)).toBe(true);
      await lab.heal();
      expect(await canReach(m1, m2)).toBe(true);
      expect(await canReach(m3, m1)).toBe(true);
    });

    test('a one-way cut lets the other direction through', async () => {
      const pairs = [
        [m1, m3],
        [m3, m1],
      ] as const;
      // Fixed neighbour entries: else the open way would need an answer over the closed one.
      for (const [from, to] of pairs) {
        const hardware = await to.execOk(['cat', '/sys/class/net/eth0/address']);
        const entry = [to.address, 'lladdr', hardware, 'dev', 'eth0', 'nud', 'permanent'];
        await from.execOk(['ip', 'neigh', 'replace', ...entry]);
      }
      const ears = await Promise.all(
        [m1, m3].map((machine) => machine.spawn(['node', '-e', hear], { name: 'hear' })),
      );
      await expect.poll(() => m1.exec(['cat', '/run/heard'])).toMatchObject({ code: 0 });
      await expect.poll(() => m3.exec(['cat', '/run/heard'])).toMatchObject({ code: 0 });
      await lab.oneWay('m1', 'm3');
      await m1.execOk(['node', '-e', tell, m3.address]);
      await m3.execOk(['node', '-e', tell, m1.address]);
      await expect.poll(() => m1.readFile('/run/heard')).toBe('frame');
      expect(await m3.readFile('/run/heard')).toBe('');
      await lab.heal();
      await m1.execOk(['node', '-e', tell, m3.address]);
      await expect.poll(() => m3.readFile('/run/heard')).toBe('frame');
      await Promise.all([m1, m3].map((machine, index) => machine.signal(ears[index]?.pid ?? 0)));
      for (const [from, to] of pairs) {
        await from.execOk(['ip', 'neigh', 'del', to.address, 'dev', 'eth0']);
      }
    });

    test('loss takes about the share of frames that was asked for', async () => {
      await lab.loss('m3', 30);
      // The neighbour's address is asked for by broadcast and may get lost several times.
      await expect.poll(() => canReach(m1, m3), { timeout: 20_000 }).toBe(true);
      const ping = await m1.exec(['ping', '-c', '200', '-i', '0.01', '-W', '1', m3.address]);
      const lost = Number(/(?<percent>\d+)% packet loss/u.exec(ping.stdout)?.groups?.['percent']);
      // There and back: 1 - 0.7² = 51 %; four standard deviations of 200 tries are 14 %.
      expect(lost).toBeGreaterThan(36);
      expect(lost).toBeLessThan(66);
      await lab.heal();
      // A neighbour forgotten in the loss is asked for again at the kernel's pace, once a second.
      await expect.poll(() => canReach(m1, m3), { timeout: 20_000 }).toBe(true);
      const after = await m1.exec(['ping', '-c', '50', '-i', '0.01', '-W', '1', m3.address]);
      expect(after.stdout).toContain(' 0% packet loss');
    });

    test('the engine stops and starts without the machine', async () => {
      await m3.stopEngine();
      expect((await m3.exec(['docker', 'version'])).code).not.toBe(0);
      expect(m3.isUp).toBe(true);
      await m3.startEngine();
      expect((await m3.exec(['docker', 'version'])).code).toBe(0);
    });

    test('a program that is spawned lives with the machine', async () => {
      const program = await m1.spawn(['sh', '-c', 'echo started; exec sleep 600'], {
        name: 'proof',
      });
      await expect.poll(() => readFileSync(program.logFile, 'utf8')).toBe('started\n');
      expect(await m1.isRunning(program.pid)).toBe(true);
      await m1.signal(program.pid, 'SIGKILL');
      await expect.poll(() => m1.isRunning(program.pid)).toBe(false);
    });

    test('what a group of programs uses is read apart', async () => {
      // Counted in processor time: on a busy machine 300 ms of wall time may be anything.
      const spin = 'while (process.cpuUsage().user < 4e5); setInterval(() => 0, 1e6)';
      const { pid } = await m1.spawn(['node', '-e', spin], { name: 'spin', group: 'proof' });
      await expect.poll(() => m1.usage('proof').cpuMs, { timeout: 10_000 }).toBeGreaterThan(200);
      expect(m1.usage('proof').memoryBytes).toBeGreaterThan(5_000_000);
      expect(m1.usage().memoryBytes).toBeGreaterThan(10_000_000);
      await m1.signal(pid, 'SIGKILL');
    });

    test('a command that passes its deadline is ended in the machine too', async () => {
      const result = await m1.exec(['sleep', '611'], { timeoutMs: 200 });
      expect(result.code).toBe(124);
      const processes = await m1.execOk(['sh', '-c', 'cat /proc/[0-9]*/cmdline | tr "\\0" " "']);
      expect(processes).not.toContain('sleep 611');
    });

    test('wireguard-go makes a link in a machine', async () => {
      await m1.spawn(['wireguard-go', '-f', 'wg9'], { env: { LOG_LEVEL: 'error' } });
      await expect
        .poll(async () => (await m1.exec(['wg', 'show', 'wg9', 'listen-port'])).code)
        .toBe(0);
      expect((await run(['cat', '/sys/class/net/wg9/mtu'])).code).not.toBe(0);
    });
  });
}

describe.skipIf(reason !== undefined)('the command line', () => {
  const name = process.env.TSC_COMPOSE_TEST_LAB ?? `cli${process.pid}`;
  const cliCommand = [process.execPath, join(import.meta.dirname, '../lab/cli.ts')];
  const cli = (...words: readonly string[]) => run([...cliCommand, ...words]);
  const lab = (...words: readonly string[]) => cli('--lab', name, ...words);

  afterAll(() => {
    Lab.cleanLeftovers(name);
  });

  test('a wrong call ends with code 2 and the usage', async () => {
    const calls = [
      [],
      ['nonsense'],
      ['up'],
      ['up', 'many'],
      ['exec', 'm1'],
      ['--lab'],
      ['loss', 'm1'],
    ];
    for (const words of calls) {
      const result = await cli(...words);
      expect([result.code, result.stdout]).toEqual([2, '']);
      expect(result.stderr).toContain('usage: lab');
    }
  });

  test('a lab that is not there is a failure that says so', async () => {
    const result = await cli('--lab', 'nowhere', 'status');
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('there is no lab "nowhere"');
  });

  test('a lab stays after the command that made it, and others act on it', async () => {
    expect(await lab('up', '2')).toMatchObject({ code: 0 });
    expect(readLab(name)?.owner?.pid).toBe(process.pid);
    expect(Lab.cleanLeftovers()).not.toContain(name);
    expect((await lab('exec', 'm1', 'hostname')).stdout).toBe('m1\n');
    expect((await lab('exec', 'm1', 'sh', '-c', 'exit 7')).code).toBe(7);
    expect((await lab('images', 'busybox')).stdout).toContain('busybox:latest sha256:');
    await lab('partition', 'm1', 'm2');
    await lab('loss', 'm2', '5');
    await lab('crash', 'm2');
    const { stdout } = await lab('status');
    expect(stdout).toMatch(/^m1 \S+ engine 28.5 up containers 0$/mu);
    expect(stdout).toMatch(/^m2 \S+ engine 28.5 off loss 5%$/mu);
    expect(stdout).toContain('cut m1 -> m2\ncut m2 -> m1\n');
    await lab('crash', 'm1');
    expect(Lab.cleanLeftovers()).not.toContain(name);
    expect((await lab('boot', 'm1')).code).toBe(0);
    expect((await lab('boot', 'm2')).code).toBe(0);
    expect((await lab('exec', 'm1', 'ping', '-c', '1', '-W', '1', 'm2')).code).not.toBe(0);
    await lab('heal');
    expect((await lab('leftovers')).stdout).toContain(`dir ${labDir(name)} ${name}`);
    expect((await lab('down')).code).toBe(0);
    expect(Lab.leftovers(name)).toEqual([]);
  });

  test('a lab that is made for a process ends with it, half-made too', async () => {
    const owned = `own${process.pid}`;
    const owner = spawn('sleep', ['600']);
    const up = (pid: number | undefined) =>
      run([...cliCommand, '--lab', owned, 'up', '1'], {
        env: { ...process.env, [labOwner]: `${pid}` },
      });
    const made = up(owner.pid);
    await expect.poll(() => readLab(owned), { interval: 10, timeout: 60_000 }).toBeDefined();
    owner.kill('SIGKILL');
    expect(await made).toMatchObject({ code: 1, stdout: '' });
    expect(Lab.leftovers(owned)).toEqual([]);
    const tooLate = await up(owner.pid);
    expect(tooLate.stderr).toContain(
      `${labOwner}=${owner.pid} is not the pid of a running process`,
    );
  });
});

describe.skipIf(reason !== undefined)('the package cache', () => {
  const modulePath = join(import.meta.dirname, '../lab/lab.ts');
  const packagesPath = join(import.meta.dirname, '../lab/packages.ts');
  let dir: string;
  let env: Readonly<Record<string, string>>;

  beforeAll(() => {
    dir = testFolder('tsc-compose-cache-');
    env = { PATH: process.env['PATH'] ?? '', TSC_COMPOSE_CACHE: dir };
  });
  afterAll(() => {
    rmSync(dir, { recursive: true });
  });

  const ensure = `
    import { ensurePackages } from ${JSON.stringify(packagesPath)};
    await ensurePackages('base', { log: (line) => console.log(line) });`;
  const node = (script: string) => [process.execPath, '--input-type=module', '-e', script];

  test('without a network the reason is told', async () => {
    const script = `
      import { labUnavailable } from ${JSON.stringify(modulePath)};
      console.log(await labUnavailable());`;
    const nowhere = 'http://127.0.0.1:1';
    const offline = { ...env, http_proxy: nowhere, https_proxy: nowhere };
    const { stdout } = await run(node(script), { env: offline });
    expect(stdout).toContain('cannot read the package list of Debian bookworm');
  });

  test('an interrupted run is repaired by the next one, and a third asks nobody', async () => {
    const [program = '', ...rest] = node(ensure);
    const first = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(first, 'exit');
    for await (const chunk of first.stdout) {
      if (String(chunk).includes('downloading')) break;
    }
    first.kill('SIGKILL');
    await ended;
    const entries = () => {
      const names = readdirSync(join(dir, 'packages')).filter((entry) => entry.startsWith('base-'));
      return names.map((entry) => entry.replace(/^[^.]*/u, '')).sort();
    };
    expect(entries()).toEqual(['.lock', '.part']);

    const second = await run(node(ensure), { env });
    expect(second).toMatchObject({ code: 0 });
    expect(second.stdout).toContain('packages: base is ready');
    expect(entries()).toEqual(['']);
    expect(await run(node(ensure), { env })).toMatchObject({ code: 0, stdout: '' });
  });

  test('the mirror is read from both kinds of apt sources, and only Debian’s own archive', async () => {
    const apt = join(dir, 'apt');
    mkdirSync(join(apt, 'sources.list.d'), { recursive: true });
    const vendor = 'deb https://vendor.example/apt stable main\n';
    writeFileSync(join(apt, 'sources.list.d', 'vendor.list'), vendor);
    await expect(findDebianMirror(apt)).rejects.toThrow('the lab needs Debian');

    const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
    const line = 'deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\n';
    writeFileSync(join(apt, 'sources.list'), `# comment\n${line}`);
    expect(await findDebianMirror(apt)).toEqual({
      uri: 'http://mirror.example/debian',
      keyring: '/k.gpg',
    });

    const stanza = 'Types: deb\n# was elsewhere\nURIs: http://other.example/debian/\nSuites: x\n';
    writeFileSync(join(apt, 'sources.list.d', 'debian.sources'), stanza);
    expect(await findDebianMirror(apt)).toEqual({ uri: 'http://other.example/debian/', keyring });
  });
});

describe.skipIf(reason !== undefined)('labs beside each other', () => {
  test('two labs neither see nor disturb each other', async () => {
    const before = await hostNetwork();
    const labs = await Promise.all([
      Lab.create({ machines: 2, withEngine: false }),
      Lab.create({ machines: 2, withEngine: false }),
    ]);
    const [a, b] = labs;
    if (a === undefined || b === undefined) throw new Error('two labs were asked for');
    try {
      expect(a.subnet).not.toBe(b.subnet);
      expect(await canReach(a.machine('m1'), b.machine('m1'))).toBe(false);
      await a.partition(['m1'], ['m2']);
      expect(await canReach(a.machine('m1'), a.machine('m2'))).toBe(false);
      expect(await canReach(b.machine('m1'), b.machine('m2'))).toBe(true);
      await a.destroy();
      expect(Lab.leftovers(a.name)).toEqual([]);
      expect(await canReach(b.machine('m1'), b.machine('m2'))).toBe(true);
    } finally {
      await Promise.all(labs.map((lab) => lab.destroy()));
    }
    expect(labs.flatMap((lab) => Lab.leftovers(lab.name))).toEqual([]);
    expect(await hostNetwork()).toEqual(before);
  });

  test('a name in use is refused and the lab that has it stays', async () => {
    const lab = await Lab.create({ machines: 1, withEngine: false });
    try {
      await expect(Lab.create({ machines: 1, name: lab.name })).rejects.toThrow('in use');
      expect(lab.machine('m1').isUp).toBe(true);
    } finally {
      await lab.destroy();
    }
  });

  test('a machine with another engine joins a running lab', async () => {
    const lab = await Lab.create({ machines: 1, withEngine: false });
    try {
      const machine = await lab.addMachine({ engine: '20.10' });
      expect((await machine.docker().version()).ApiVersion).toBe('1.41');
      expect(await canReach(machine, lab.machine('m1'))).toBe(true);
    } finally {
      await lab.destroy();
    }
  });
});

describe.skipIf(reason !== undefined)('a process that ends', () => {
  /** Makes a lab in another process, which then waits. */
  async function startOther(then: string) {
    const script = `
      import { Lab } from ${JSON.stringify(join(import.meta.dirname, '../lab/lab.ts'))};
      const lab = await Lab.create({ machines: 1, withEngine: false });
      console.log(lab.name);
      ${then}`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    let name = '';
    for await (const chunk of child.stdout) {
      name += String(chunk);
      if (name.endsWith('\n')) break;
    }
    return { child, ended, name: name.trim() };
  }

  test('takes its lab along when a signal ends it', async () => {
    const { child, ended, name } = await startOther('setInterval(() => {}, 1000);');
    expect(existsSync(labDir(name))).toBe(true);
    child.kill('SIGINT');
    expect(await ended).toEqual([null, 'SIGINT']);
    expect(Lab.leftovers(name)).toEqual([]);
  });

  test('takes its lab along when an exception ends it', async () => {
    const { ended, name } = await startOther('process.exit(3);');
    expect(await ended).toEqual([3, null]);
    expect(Lab.leftovers(name)).toEqual([]);
  });

  test('leaves a lab behind when it is killed, and the next run removes it', async () => {
    const { child, ended, name } = await startOther('setInterval(() => {}, 1000);');
    const own = await Lab.create({ machines: 0, withEngine: false });
    try {
      expect(Lab.cleanLeftovers()).not.toContain(name);
      child.kill('SIGKILL');
      await ended;
      const kinds = new Set(Lab.leftovers(name).map(({ kind }) => kind));
      expect([...kinds].sort()).toEqual(['cgroup', 'dir', 'link', 'mount', 'netns', 'process']);
      expect(Lab.cleanLeftovers()).toContain(name);
      expect(Lab.leftovers(name)).toEqual([]);
      expect(Lab.leftovers(own.name)).not.toEqual([]);
    } finally {
      await own.destroy();
    }
  });
});

describe.skipIf(reason !== undefined)('stand-ins for well-known images', () => {
  let lab: Lab;
  let machine: Machine;

  beforeAll(async () => {
    lab = await Lab.create({ machines: 1 });
    machine = lab.machine('m1');
    await loadImages(machine, ['busybox', 'redis:7', 'caddy:2', 'node:24']);
  });
  afterAll(() => lab.destroy());

  test('redis serves clients from other containers', async () => {
    await machine.execOk(['docker', 'run', '-d', '--name', 'redis', 'redis:7']);
    const ip = await machine.execOk([
      'docker',
      'inspect',
      '-f',
      '{{.NetworkSettings.IPAddress}}',
      'redis',
    ]);
    const ping = ['docker', 'run', '--rm', 'redis:7', 'redis-cli', '-h', ip, 'ping'];
    await expect.poll(() => machine.execOk(ping), { timeout: 10_000 }).toBe('PONG');
    const version = ['docker', 'run', '--rm', 'redis:7', 'redis-server', '--version'];
    expect(await machine.execOk(version)).toContain('v=7.');
  });

  test('caddy serves its welcome page', async () => {
    await machine.execOk(['docker', 'run', '-d', '--name', 'caddy', '-p', '80:80', 'caddy:2']);
    const ask = () =>
      httpGet({ address: machine.address }).then(
        ({ status }) => status,
        () => 0,
      );
    await expect.poll(ask, { timeout: 10_000 }).toBe(200);
  });

  test('node is the project’s own and runs under an init', async () => {
    const run1 = ['docker', 'run', '--rm', '--init', 'node:24', 'node', '-p', 'process.version'];
    expect(await machine.execOk(run1)).toMatch(/^v24\./u);
  });

  test('busybox has a wget with a deadline and a resolver that answers from /etc/hosts', async () => {
    const shell = 'wget -T 2 -qO- http://127.0.0.1:1/ || echo refused; getent hosts proof';
    const run1 = [
      'docker',
      'run',
      '--rm',
      '--add-host',
      'proof:10.9.8.7',
      'busybox',
      'sh',
      '-c',
      shell,
    ];
    expect((await machine.execOk(run1)).replaceAll(/\s+/gu, ' ')).toBe('refused 10.9.8.7 proof');
  });

  test('the same spec gives the same image, and only a changed layer differs', async () => {
    const make = (text: string) =>
      buildImage({ name: 'app:v', from: 'busybox', files: [{ '/a': 'same' }, { '/b': text }] });
    const [one, again, two] = await Promise.all([make('1'), make('1'), make('2')]);
    expect(again.id).toBe(one.id);
    expect(two.id).not.toBe(one.id);
    const diffs = two.layers.map(({ diffId }, index) => diffId === one.layers[index]?.diffId);
    expect(diffs).toEqual([true, true, false]);
    await loadImages(machine, [one]);
    expect((await machine.docker().getImage('app:v').inspect()).Id).toBe(one.id);
    await loadImages(machine, [two]);
    expect((await machine.docker().getImage('app:v').inspect()).Id).toBe(two.id);
  });

  test('a tool that is asked for by path runs outside the machines too', async () => {
    const nft = toolPath(await ensurePackages('bookworm'), 'nft');
    expect((await run([nft, '--version'], { env: { PATH: '/usr/bin:/bin' } })).stdout).toContain(
      'nftables',
    );
  });
});
