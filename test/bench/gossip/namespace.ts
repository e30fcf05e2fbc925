/**
 * A network namespace of its own whose loopback is the wire between the processes that are
 * measured: nothing else sends there, so its counters are theirs, and it may lose packets. It lives
 * as long as the process that holds it, and has no name that could be left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensurePackages, toolPath } from '../../lab/packages.ts';
import { runOrThrow } from '../../lab/run.ts';

export class Namespace {
  readonly #holder: ChildProcess;
  readonly #pid: number;
  readonly #nft: string;

  private constructor(holder: ChildProcess, pid: number, nft: string) {
    this.#holder = holder;
    this.#pid = pid;
    this.#nft = nft;
  }

  /** Makes one with its loopback up. Needs root. */
  static async create(): Promise<Namespace> {
    const tools = await ensurePackages('bookworm');
    const ip = toolPath(tools, 'ip');
    // Ends with its input, so with this process however that ends.
    const script = `"${ip}" link set lo up && echo up && exec cat`;
    const holder = spawn('unshare', ['--net', 'sh', '-c', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const { pid, stdout } = holder;
    if (pid === undefined || stdout === null) throw new Error('cannot make a network namespace');
    await new Promise<void>((resolve, reject) => {
      stdout.once('data', () => resolve());
      holder.once('exit', () => reject(new Error('cannot make a network namespace')));
    });
    return new Namespace(holder, pid, toolPath(tools, 'nft'));
  }

  /** A command line that runs a program in here; the program keeps the process id. */
  inside(argv: readonly string[]): readonly [string, ...string[]] {
    return ['nsenter', '-t', String(this.#pid), '-n', ...argv];
  }

  /** Runs a program in here to its end. @throws TscError when it fails */
  async run(argv: readonly string[], input = ''): Promise<string> {
    return (await runOrThrow(this.inside(argv), { input })).stdout;
  }

  /** Gives the loopback further addresses, "fd00::1/128". */
  async addAddresses(addresses: readonly string[]): Promise<void> {
    const tools = await ensurePackages('bookworm');
    const lines = addresses.map((address) => `addr add ${address} dev lo nodad`);
    await this.run([toolPath(tools, 'ip'), '-batch', '-'], `${lines.join('\n')}\n`);
  }

  /** Loses this share of all packets from now on; 0 ends it. */
  async drop(percent: number): Promise<void> {
    const rule = `numgen random mod 1000 < ${Math.round(percent * 10)} drop`;
    const lines = [
      'table inet bench',
      'delete table inet bench',
      'table inet bench {',
      '  chain lossy {',
      '    type filter hook input priority 0; policy accept;',
      ...(percent > 0 ? [`    ${rule}`] : []),
      '  }',
      '}',
    ];
    await this.run([this.#nft, '-f', '-'], `${lines.join('\n')}\n`);
  }

  /** Bytes sent so far over the loopback, with IP headers. */
  sentBytes(): number {
    const line = /^\s*lo:(.*)$/mu.exec(readFileSync(`/proc/${this.#pid}/net/dev`, 'utf8'))?.[1];
    return Number(line?.trim().split(/\s+/u)[8]);
  }

  async destroy(): Promise<void> {
    if (this.#holder.exitCode !== null) return;
    this.#holder.kill('SIGKILL');
    while (this.#holder.signalCode === null) await sleep(10);
  }
}
