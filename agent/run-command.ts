/**
 * Runs a program of the machine (`ip`, `wg`, `nft`, `iptables`) and returns what it printed. Every
 * run has a time limit, no shell is involved, and a failure says the command and its last line.
 */
import { spawn } from 'node:child_process';
import { TscError } from '../src/lib/errors.ts';

/** 10 s: these programs take milliseconds; a kernel lock can hold them for a while. */
export const commandTimeoutMs = 10_000;
/** 4 MiB of output: a full ruleset of a large machine is far below. */
const outputLimitBytes = 4 * 1024 * 1024;

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Written to the program's standard input. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** How drivers run programs; tests hand in their own. */
export type RunCommand = (
  argv: readonly string[],
  options?: CommandOptions,
) => Promise<CommandResult>;

/** True when the program itself is not installed. */
export function isProgramMissing(error: unknown): boolean {
  return error instanceof TscError && error.code === 'E_PROGRAM_MISSING';
}

/**
 * Runs a program to its end; a non-zero exit code is a result, not an error.
 * @throws TscError E_PROGRAM_MISSING, E_COMMAND_TIMEOUT or E_COMMAND_OUTPUT
 */
export const tryCommand: RunCommand = (argv, options = {}) =>
  new Promise((resolve, reject) => {
    const [program = '', ...rest] = argv;
    const child = spawn(program, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let sizeBytes = 0;
    let failure: TscError | undefined;
    const stop = (error: TscError) => {
      failure ??= error;
      child.kill('SIGKILL');
    };
    const timeoutMs = options.timeoutMs ?? commandTimeoutMs;
    const timer = setTimeout(() => {
      stop(new TscError('E_COMMAND_TIMEOUT', `"${program}" did not end within ${timeoutMs} ms`));
    }, timeoutMs);
    const collect = (list: Buffer[]) => (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > outputLimitBytes) {
        stop(new TscError('E_COMMAND_OUTPUT', `"${program}" printed more than can be taken`));
        return;
      }
      list.push(chunk);
    };
    child.stdout.on('data', collect(chunks.stdout));
    child.stderr.on('data', collect(chunks.stderr));
    // A program that ends without reading its input breaks the pipe; its exit code tells the rest.
    child.stdin.on('error', () => undefined);
    child.on('error', (cause: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      const isMissing = cause.code === 'ENOENT';
      reject(
        new TscError(
          isMissing ? 'E_PROGRAM_MISSING' : 'E_COMMAND_FAILED',
          isMissing
            ? `the program "${program}" is not installed`
            : `"${program}" could not be started: ${cause.message}`,
          { cause },
        ),
      );
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      if (failure !== undefined) {
        reject(failure);
        return;
      }
      resolve({
        code: code ?? -1,
        stdout: Buffer.concat(chunks.stdout).toString(),
        stderr: Buffer.concat(chunks.stderr).toString(),
      });
    });
    child.stdin.end(options.input ?? '');
  });

/**
 * Runs a program that must succeed.
 * @returns what it printed
 * @throws TscError E_COMMAND_FAILED with the command and what it said
 */
export async function runCommand(
  run: RunCommand,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const result = await run(argv, options);
  if (result.code === 0) return result.stdout;
  const said = result.stderr.trim() || result.stdout.trim();
  throw new TscError(
    'E_COMMAND_FAILED',
    `"${argv.join(' ')}" ended with ${result.code}: ${said.split('\n').slice(0, 3).join(' | ')}`,
  );
}
