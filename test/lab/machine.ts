/**
 * One machine: its own network, mounts, processes, host name and IPC, and a Docker engine. Its
 * first process is process 1 of a pid namespace: with it everything in the machine ends at once,
 * which makes `crash` a true power cut (except that the page cache survives).
 *
 * Private and on its own disk, so kept over a power cut: /etc, /root, /srv, /opt, /home, /var/lib
 * (layers over this machine's), with /var/lib/docker and /var/lib/tsc-compose as plain folders.
 * Private and lost: /run, with the temporary folder. Everything else is this machine's own file
 * system, seen as it is.
 */
import { spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';
import { TscError } from '../../src/lib/errors.ts';
import { containerGroup, createGroup, readUsage, type Usage } from './cgroups.ts';
import { bootScript, layeredDirs, spawnScript } from './machine-scripts.ts';
import { type Engine, toolPath } from './packages.ts';
import { cacheDir, compileCache, projectDir } from './paths.ts';
import {
  childrenOf,
  isRunning,
  type ProcessIdentity,
  processIdentity,
  signalProcess,
} from './processes.ts';
import { type RunOptions, type RunResult, run } from './run.ts';
import { labMark, type MachineState, machineDir, netnsName, readLab, updateLab } from './state.ts';
import { plug, type UnderlayTools, underlayAddress, underlayTools, unplug } from './underlay.ts';

/** A program that runs in a machine until it ends, is killed, or the machine goes off. */
export interface MachineProcess {
  /** Its pid as seen inside the machine. */
  readonly pid: number;
  /** File with what it prints, readable from outside. */
  readonly logFile: string;
}

export interface SpawnInMachineOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Names the log file; the program's name when not given. */
  readonly name?: string;
  /** Control group whose use `usage` tells; `system`, with the engine, when not given. */
  readonly group?: string;
}

/** The group of the engine and of all programs that ask for no other. */
const systemGroup = 'system';

/** 30 s: a cold start takes 1 s on a quiet machine; several labs may share two cores. */
const engineTimeoutMs = 30_000;

/** 10 s: making namespaces and a dozen mounts takes 30 ms. */
const bootTimeoutMs = 10_000;

const pollMs = 10;

export class Machine {
  readonly name: string;
  readonly lab: string;
  /** Its address on the underlay. */
  readonly address: string;
  /** Folder with sockets, logs and disk, outside. */
  readonly dir: string;
  readonly #engine: Engine;
  readonly #tools: UnderlayTools;

  constructor(lab: string, state: MachineState, options: { subnet: string; engine: Engine }) {
    this.name = state.name;
    this.lab = lab;
    this.address = underlayAddress(options.subnet, state.index);
    this.dir = machineDir(lab, state.name);
    this.#engine = options.engine;
    this.#tools = underlayTools(options.engine.toolsets.at(-1)?.bin ?? '');
  }

  /** The engine's socket, outside the machine. */
  get socketPath(): string {
    return join(this.dir, 'docker.sock');
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** Whether the power is on. */
  get isUp(): boolean {
    return this.#init() !== undefined;
  }

  /** A client of this machine's engine. */
  docker(): Docker {
    return new Docker({ socketPath: this.socketPath });
  }

  /** Runs a program in the machine to its end. Paths are absolute or found in the machine's PATH. */
  async exec(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const { env, cwd, ...rest } = options;
    return run(this.enterCommand(argv, cwd), { ...rest, env: { ...this.env, ...env } });
  }

  /** The command line, for use outside, that runs a program in the machine. Give it `env` too. */
  enterCommand(argv: readonly string[], cwd = '/'): readonly string[] {
    const init = this.#init();
    if (init === undefined) throw new TscError('E_LAB_MACHINE', `${this.name} is off`);
    return [
      'nsenter',
      '-t',
      `${init.pid}`,
      '-m',
      '-u',
      '-i',
      '-n',
      '-p',
      `--wd=${cwd}`,
      '--',
      ...argv,
    ];
  }

  /** The same, for a program that must succeed. @returns what it printed, without the last newline */
  async execOk(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.exec(argv, options);
    if (result.code !== 0) {
      const said = `${result.stdout}${result.stderr}`.trim().slice(-2000);
      throw new TscError('E_LAB_RUN', `${this.name}: ${argv.join(' ')}: ${result.code}\n${said}`);
    }
    return result.stdout.replace(/\n$/u, '');
  }

  /** Starts a program that belongs to the machine: it outlives the test, not the machine. */
  async spawn(
    argv: readonly string[],
    options: SpawnInMachineOptions = {},
  ): Promise<MachineProcess> {
    const name = options.name ?? (argv[0] ?? 'program').replace(/.*\//u, '');
    const logFile = join(this.dir, 'logs', `${name}.log`);
    mkdirSync(dirname(logFile), { recursive: true });
    const groups = createGroup(this.lab, this.name, options.group ?? systemGroup).join(' ');
    const started = await this.execOk(
      ['sh', '-c', spawnScript, 'sh', logFile, groups, ...argv],
      options.env === undefined ? {} : { env: options.env },
    );
    return { pid: Number(started), logFile };
  }

  /** Sends a signal to a process of the machine, by its pid inside; false when it had ended. */
  async signal(pid: number, signal: NodeJS.Signals = 'SIGTERM'): Promise<boolean> {
    const word = signal.replace(/^SIG/u, '');
    return (await this.exec(['sh', '-c', `kill -s ${word} ${pid}`])).code === 0;
  }

  /** Whether a process of the machine runs, by its pid inside. */
  async isRunning(pid: number): Promise<boolean> {
    const stat = await this.exec(['cat', `/proc/${pid}/stat`]);
    return stat.code === 0 && !/\) [ZX] /u.test(stat.stdout);
  }

  /** Memory and processor time of the machine's own programs, by group; containers not counted. */
  usage(group: string = systemGroup): Usage {
    return readUsage(this.lab, this.name, group);
  }

  /** Switches the machine on with the disk it had, and starts its engine. */
  async boot(options: { readonly withEngine?: boolean } = {}): Promise<void> {
    if (this.isUp) throw new TscError('E_LAB_MACHINE', `${this.name} is on already`);
    const state = readLab(this.lab);
    const machine = state?.machines.find(({ name }) => name === this.name);
    if (state === undefined || machine === undefined) {
      throw new TscError('E_LAB_MACHINE', `${this.name} is not part of lab "${this.lab}"`);
    }
    await plug(state, machine, this.#tools);
    this.#writeDisk(machine);
    const init = await this.#startInit();
    this.#record(init);
    if (options.withEngine !== false) await this.startEngine();
  }

  /** Cuts the power: the wire goes dead first, then all processes, then the network's state. */
  async crash(): Promise<void> {
    await unplug(this.lab, this.name, this.#tools.ip);
    const init = this.#init();
    if (init !== undefined) {
      signalProcess(init, 'SIGKILL');
      await until(bootTimeoutMs, `${this.name} did not end`, () => !isRunning(init));
    }
    this.#record(null);
    await run([this.#tools.ip, 'netns', 'del', netnsName(this.lab, this.name)]);
    rmSync(this.socketPath, { force: true });
  }

  /**
   * Puts a folder of the machine on a disk of its own of 48 MiB, that survives power cuts: the
   * records of a small cluster take two. The machine is switched off and on; the disk is empty.
   */
  async addSmallDisk(dir: string): Promise<void> {
    await this.crash();
    // In memory, but outside: the machine's mounts end with its power.
    const options = ['-o', 'size=48m,mode=755'];
    const mount = ['mount', '-t', 'tmpfs', ...options, 'tmpfs', this.diskPath(dir)];
    const { code, stderr } = await run(mount);
    if (code !== 0) throw new TscError('E_LAB_RUN', `${this.name}: ${mount.join(' ')}: ${stderr}`);
    await this.boot();
  }

  /** Starts the engine and waits until it answers. */
  async startEngine(): Promise<void> {
    // A socket of the engine before would make the first look an answer from nobody.
    rmSync(this.socketPath, { force: true });
    const { logFile } = await this.spawn(
      [
        'dockerd',
        '--config-file',
        '/etc/docker/daemon.json',
        '--data-root',
        '/var/lib/docker',
        '--exec-root',
        '/run/docker',
        '--pidfile',
        '/run/docker.pid',
        '--exec-opt',
        'native.cgroupdriver=cgroupfs',
        '--host',
        'unix:///run/docker.sock',
        '--host',
        `unix://${this.socketPath}`,
        '--cgroup-parent',
        containerGroup(this.lab, this.name),
      ],
      { name: 'dockerd' },
    );
    const docker = this.docker();
    await until(
      engineTimeoutMs,
      () =>
        `${this.name}: the engine does not answer\n${readFileSync(logFile, 'utf8').slice(-2000)}`,
      () =>
        existsSync(this.socketPath) &&
        docker.ping().then(
          () => true,
          () => false,
        ),
    );
  }

  /** Stops the engine; its containers stop with it unless it runs with live-restore. */
  async stopEngine(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const pid = Number(await this.execOk(['cat', '/run/docker.pid']));
    await this.signal(pid, signal);
    await until(engineTimeoutMs, `${this.name}: the engine did not stop`, async () => {
      return !(await this.isRunning(pid));
    });
  }

  /** Reads a file of the machine; while it is off, of its disk. */
  async readFile(path: string): Promise<string> {
    if (this.isUp) return this.execOk(['cat', '--', path]);
    return readFileSync(this.diskPath(path), 'utf8');
  }

  /** Writes a file of the machine with the folders above it; while it is off, on its disk. */
  async writeFile(path: string, content: string | Uint8Array): Promise<void> {
    if (this.isUp) {
      const script = 'mkdir -p "${1%/*}/" && cat > "$1"';
      await this.execOk(['sh', '-c', script, 'sh', path], { input: content });
      return;
    }
    const target = this.diskPath(path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, content);
  }

  /** Where the machine's own copy of a path lies outside. @throws for a path not on its disk */
  diskPath(path: string): string {
    const plain = plainDirs.find((dir) => path === dir || path.startsWith(`${dir}/`));
    if (plain !== undefined) return join(this.dir, 'disk', path);
    const layered = layeredDirs.find((dir) => path === dir || path.startsWith(`${dir}/`));
    if (layered !== undefined) return join(this.dir, 'disk', 'upper', path);
    throw new TscError('E_LAB_MACHINE', `${path} is not on the disk of ${this.name}`);
  }

  /** What every program in the machine gets as environment. */
  get env(): Readonly<Record<string, string>> {
    return {
      PATH: [
        ...this.#engine.bins,
        join(projectDir, 'test/lab/bin'),
        '/usr/sbin',
        '/usr/bin',
        '/sbin',
        '/bin',
        dirname(process.execPath),
      ].join(':'),
      HOME: '/root',
      // /tmp is this machine's own: what a program leaves there in a power cut would stay.
      TMPDIR: '/run/tmp',
      LANG: 'C.UTF-8',
      // The agent keeps compiled code, and its /tmp is this machine's.
      NODE_COMPILE_CACHE: compileCache(),
      [labMark]: this.lab,
    };
  }

  #init(): ProcessIdentity | undefined {
    const machine = readLab(this.lab)?.machines.find(({ name }) => name === this.name);
    return machine?.init && isRunning(machine.init) ? machine.init : undefined;
  }

  #record(init: ProcessIdentity | null): void {
    updateLab(this.lab, (state) => ({
      ...state,
      machines: state.machines.map((one) => (one.name === this.name ? { ...one, init } : one)),
    }));
  }

  #writeDisk(machine: MachineState): void {
    for (const dir of plainDirs) mkdirSync(join(this.dir, 'disk', dir), { recursive: true });
    const files = {
      // No name server: a registry look-up then fails at once instead of after twenty seconds.
      '/etc/resolv.conf': 'nameserver 127.0.0.1\n',
      '/etc/hostname': `${this.name}\n`,
      '/etc/hosts': `127.0.0.1 localhost\n127.0.1.1 ${this.name}\n::1 localhost\n`,
      '/etc/docker/daemon.json': JSON.stringify(machine.daemonConfig),
    };
    for (const [path, content] of Object.entries(files)) {
      const target = this.diskPath(path);
      mkdirSync(dirname(target), { recursive: true });
      if (!existsSync(target)) writeFileSync(target, content);
    }
  }

  async #startInit(): Promise<ProcessIdentity> {
    const ready = join(this.dir, 'ready');
    const log = join(this.dir, 'init.log');
    rmSync(ready, { force: true });
    const output = openSync(log, 'w');
    const tools = this.#engine.toolsets.at(-1);
    if (tools === undefined) throw new TscError('E_LAB_PACKAGES', 'an engine without tools');
    const child = spawn(
      'nsenter',
      [
        `--net=/run/netns/${netnsName(this.lab, this.name)}`,
        'unshare',
        '-m',
        '-u',
        '-i',
        '-p',
        '-f',
        '--kill-child',
        '--mount-proc',
        '--propagation',
        'private',
        'sh',
        '-c',
        bootScript,
        'sh',
        this.name,
        this.dir,
        createGroup(this.lab, this.name, systemGroup).join(' '),
        toolPath(tools, 'busybox'),
        toolPath(tools, 'docker-init'),
        layeredDirs.filter((dir) => existsSync(dir) && !isNeededInside(dir)).join(' '),
      ],
      { cwd: '/', detached: true, stdio: ['ignore', output, output], env: this.env },
    );
    closeSync(output);
    child.unref();
    const { pid } = child;
    if (pid === undefined) throw new TscError('E_LAB_MACHINE', `${this.name}: cannot start`);
    await until(
      bootTimeoutMs,
      () => `${this.name} does not boot: ${readFileSync(log, 'utf8').trim()}`,
      () => existsSync(ready),
    );
    const init = processIdentity(childrenOf(pid)[0] ?? 0);
    if (init === undefined) {
      throw new TscError('E_LAB_MACHINE', `${this.name} ended: ${readFileSync(log, 'utf8')}`);
    }
    return init;
  }
}

/** Folders that are the machine's own and not layers: databases and layers of images. */
const plainDirs = ['/var/lib/docker', '/var/lib/tsc-compose'];

/** A layer over a folder that holds the project or the lab would hide later changes in it. */
function isNeededInside(dir: string): boolean {
  const needed = [projectDir, cacheDir(), tmpdir(), process.execPath, process.cwd()];
  return needed.some((path) => `${path}/`.startsWith(`${dir}/`));
}

async function until(
  timeoutMs: number,
  problem: string | (() => string),
  isDone: () => boolean | Promise<boolean>,
): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await isDone())) {
    if (Date.now() > end) {
      const text = typeof problem === 'string' ? problem : problem();
      throw new TscError('E_LAB_TIMEOUT', `${text} (waited ${timeoutMs} ms)`);
    }
    await sleep(pollMs);
  }
}
