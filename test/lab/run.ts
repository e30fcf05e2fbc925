/**
 * Starts programs and collects what they say. Every call has a deadline, and a program that passes
 * it is killed with all its children (its process group), also when those live in a machine.
 */
import { spawn, spawnSync } from 'node:child_process';
import { TscError } from '../../src/lib/errors.ts';

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

export interface RunResult {
  /** Exit code; 128 + signal number when a signal ended it; 124 when it passed its deadline. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** 60 s: longer than any single step of the lab; a program that hangs must not hang a test run. */
const defaultTimeoutMs = 60_000;

const timedOutCode = 124;

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGKILL: 9,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** Runs a program to its end. A failure is a value, a missing program is an exception. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program = '', ...rest] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, rest, {
      cwd: options.cwd ?? '/',
      env: options.env ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let isTimedOut = false;
    const timer = setTimeout(() => {
      isTimedOut = true;
      killGroup(child.pid);
    }, options.timeoutMs ?? defaultTimeoutMs);
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', (cause) => {
      clearTimeout(timer);
      reject(new TscError('E_LAB_RUN', `cannot start ${program}: ${cause.message}`, { cause }));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({
        code: isTimedOut ? timedOutCode : (code ?? 128 + (signalNumbers[signal ?? ''] ?? 0)),
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
      });
    });
    // A program may end before it has read its input: that shows in its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** Runs a program that is expected to succeed. @throws TscError with the end of what it said */
export async function runOrThrow(argv: readonly string[], options: RunOptions = {}) {
  return checked(argv, await run(argv, options));
}

/** The same while blocking: for cleaning up in an exit handler, where nothing asynchronous runs. */
export function runSync(argv: readonly string[], options: RunOptions = {}): RunResult {
  const [program = '', ...rest] = argv;
  const result = spawnSync(program, rest, {
    cwd: options.cwd ?? '/',
    env: options.env ?? process.env,
    input: options.input ?? '',
    timeout: options.timeoutMs ?? defaultTimeoutMs,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
  });
  const stderr = result.error === undefined ? result.stderr : result.error.message;
  return { code: result.status ?? timedOutCode, stdout: result.stdout, stderr };
}

function checked(argv: readonly string[], result: RunResult): RunResult {
  if (result.code === 0) return result;
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
  throw new TscError('E_LAB_RUN', `${argv.join(' ')}: exit code ${result.code}\n${said}`);
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (!isNoSuchProcess(error)) throw error;
  }
}

/** True for the error that signals a process which has already ended. */
export function isNoSuchProcess(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ESRCH';
}
