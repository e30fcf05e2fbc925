/**
 * A real terminal on a lab machine: tmux, of the lab's packages, with a window of a chosen size in
 * which the command runs. The server belongs to the machine, so nothing of it outlives the lab.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Machine } from '../lab/machine.ts';
import { ensurePackages } from '../lab/packages.ts';

const window = 'main';
const pollMs = 30;

/** @returns why there is no terminal here; undefined when there is one */
export async function terminalUnavailable(): Promise<string | undefined> {
  try {
    await ensurePackages('terminal', { log: (line) => process.stderr.write(`${line}\n`) });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

let openedCount = 0;

export class Terminal {
  readonly #machine: Machine;
  readonly #tmux: string;
  /** One of its own: a server that is told to end may still take the next window, and end with it. */
  readonly #socket = `/run/terminal-${++openedCount}.sock`;

  private constructor(machine: Machine, tmux: string) {
    this.#machine = machine;
    this.#tmux = tmux;
  }

  /** A shell in a window of this size. */
  static async open(machine: Machine, columns: number, rows: number): Promise<Terminal> {
    const { bin } = await ensurePackages('terminal');
    const terminal = new Terminal(machine, join(bin, 'tmux'));
    const size = ['-x', `${columns}`, '-y', `${rows}`];
    const shell = ['env', 'PS1=$ ', 'sh', '-i'];
    await terminal.#call(['new-session', '-d', '-s', window, ...size, ...shell]);
    await terminal.#call(['set-option', '-g', 'status', 'off']);
    // Without a line for tmux itself the window has a line more.
    await terminal.resize(columns, rows);
    return terminal;
  }

  /** Types text, then presses keys by their tmux names ("Enter", "C-c", "Down"). */
  async type(text: string, ...keys: readonly string[]): Promise<void> {
    if (text !== '') await this.#call(['send-keys', '-t', window, '-l', text]);
    if (keys.length > 0) await this.#call(['send-keys', '-t', window, ...keys]);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#call(['resize-window', '-t', window, '-x', `${columns}`, '-y', `${rows}`]);
  }

  /** The lines of the window as they are seen. */
  async screen(): Promise<readonly string[]> {
    const text = await this.#call(['capture-pane', '-p', '-t', window]);
    return text.split('\n').map((line) => line.trimEnd());
  }

  /** Waits until the window shows something. @returns its lines then */
  async until(part: RegExp, timeoutMs = 10_000): Promise<readonly string[]> {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const lines = await this.screen();
      if (part.test(lines.join('\n'))) return lines;
      if (performance.now() > endMs) {
        throw new Error(`the terminal never showed ${part}, but:\n${lines.join('\n')}`);
      }
      await sleep(pollMs);
    }
  }

  /** What the terminal itself says: whether the other screen is on, whether the cursor is shown. */
  async modes(): Promise<string> {
    const format = 'alternate=#{alternate_on} cursor=#{cursor_flag}';
    return this.#call(['display-message', '-p', '-t', window, format]);
  }

  /** Sends a signal to the program that runs in the shell of the window. */
  async signal(name: string): Promise<void> {
    const shell = await this.#call(['display-message', '-p', '-t', window, '#{pane_pid}']);
    const program = await this.#machine.execOk(['pgrep', '-P', shell]);
    await this.#machine.execOk(['kill', '-s', name, ...program.split('\n')]);
  }

  async close(): Promise<void> {
    await this.#call(['kill-server']);
  }

  #call(args: readonly string[]): Promise<string> {
    return this.#machine.execOk([this.#tmux, '-u', '-f', '/dev/null', '-S', this.#socket, ...args]);
  }
}
