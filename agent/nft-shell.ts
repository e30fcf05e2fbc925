/**
 * One `nft -i` process that takes commands line by line from a pipe, each line a transaction of its
 * own. It prints nothing when a command went well, and what went wrong on its standard error, which
 * nothing buffers: a last line that is no command, and that nobody else could think of, is therefore
 * refused after everything else was said. It never waits beyond its deadline, never keeps the agent
 * alive, and ends when its input does, so also when the agent is killed.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';

/** 256 KiB: an error quotes the line that it is about, and a set's elements are one line. */
const saidLimit = 256 * 1024;

/** Underlines of what a message quotes; those of the mark come when it is not waited for any more. */
const underline = /^[\s^~]*$/u;

export interface NftShellOptions {
  /** Where relative paths of `include` start. */
  readonly directory: string;
  /** The program with arguments; `nft -i` unless given. */
  readonly argv?: readonly string[];
}

interface Question {
  readonly mark: string;
  readonly resolve: (said: string) => void;
  readonly reject: (error: Error) => void;
}

export class NftShell {
  readonly #child: ChildProcessByStdio<Writable, null, Readable>;
  readonly #token = randomBytes(6).toString('hex');
  #count = 0;
  #said = '';
  #question: Question | undefined;
  #isOpen = true;
  #hasAnswered = false;
  #isUnfit = false;

  constructor({ directory, argv = ['nft', '-i'] }: NftShellOptions) {
    const [program = '', ...rest] = argv;
    this.#child = spawn(program, rest, {
      cwd: directory,
      stdio: ['pipe', 'ignore', 'pipe'],
      // Its line editor would keep what it read in the home folder, and take settings from there.
      env: { ...process.env, HOME: '/dev/null', INPUTRC: '/dev/null', TERM: 'dumb' },
    });
    const { stdin, stderr } = this.#child;
    this.#child.unref();
    for (const stream of [stdin, stderr]) if (stream instanceof Socket) stream.unref();
    // A process that has ended breaks the pipe; its end tells the rest.
    stdin.on('error', () => undefined);
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => this.#hear(text));
    this.#child.on('error', (error) => this.#close(error.message));
    this.#child.on('close', (code, signal) => {
      // One that was built without commands from its input says so and ends at once.
      this.#isUnfit = this.#isOpen && code !== null && !this.#hasAnswered;
      const said = this.#said.trim().split('\n').slice(0, 3).join(' | ');
      this.#close(`ended with ${signal ?? code}${said === '' ? '' : `: ${said}`}`);
    });
  }

  /** The process's id; undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** False once it has ended, or was told to. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** True when it ended by itself before it answered anything: this nft takes no commands so. */
  get isUnfit(): boolean {
    return this.#isUnfit;
  }

  /**
   * Gives it commands, one a line, and waits until it is through with them; one call at a time.
   * @returns what it said: nothing when all went well
   * @throws Error when it ends, or takes longer; whether it did something is then not known
   */
  async run(lines: readonly string[], timeoutMs: number): Promise<string> {
    if (!this.#isOpen) throw new Error('has ended');
    this.#count += 1;
    this.#said = '';
    const mark = `tsc-compose-${this.#token}-${this.#count}`;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<string>((resolve, reject) => {
        this.#question = { mark, resolve, reject };
        timer = setTimeout(() => this.kill(`took more than ${timeoutMs} ms`), timeoutMs);
        this.#child.stdin.write([...lines, mark, ''].join('\n'));
      });
    } finally {
      clearTimeout(timer);
      this.#question = undefined;
    }
  }

  /** Lets it finish what it was given, and end. */
  end(): void {
    this.#child.stdin.end();
    this.#close('was told to end');
  }

  /** Ends it at once, whatever it is at. */
  kill(why = 'was ended'): void {
    this.#child.kill('SIGKILL');
    this.#close(why);
  }

  #hear(text: string): void {
    this.#said += text;
    if (this.#said.length > saidLimit) {
      this.kill('said more than can be taken');
      return;
    }
    const question = this.#question;
    const end = question === undefined ? -1 : this.#said.indexOf(`\n${question.mark}`);
    if (end < 0) return;
    this.#hasAnswered = true;
    // The last line is why the mark is no command.
    const lines = this.#said.slice(0, end).split('\n').slice(0, -1);
    question?.resolve(lines.filter((line) => !underline.test(line)).join('\n'));
  }

  #close(why: string): void {
    this.#isOpen = false;
    this.#question?.reject(new Error(why));
  }
}
