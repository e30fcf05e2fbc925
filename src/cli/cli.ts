/**
 * What a command gets: the streams, the global flags, the agent's client, and the signal that
 * Ctrl-C fires. A command returns its exit code; it never calls `process.exit` and never prints a
 * stack. stdout is the answer, stderr is progress.
 */
import type { Command } from 'commander';
import type { AgentClient } from '../client/agent-client.ts';

export const exitCode = { ok: 0, failed: 1, usage: 2, bug: 70, interrupted: 130 } as const;

export interface Output {
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

export interface Io {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly now: () => number;
}

/** Flags that stand before the command, and that some commands also take after their name. */
export interface GlobalFlags {
  readonly file: readonly string[];
  readonly projectName: string | undefined;
  readonly profile: readonly string[];
  readonly envFile: readonly string[];
  readonly projectDirectory: string | undefined;
  readonly socket: string | undefined;
  readonly ansi: 'auto' | 'never' | 'always';
}

export interface Cli {
  readonly io: Io;
  readonly flags: GlobalFlags;
  readonly client: AgentClient;
  /** Fires at the first Ctrl-C. */
  readonly signal: AbortSignal;
  readonly version: string;
}

export type Handler = (cli: Cli, args: readonly string[]) => Promise<number>;

/** One file of src/cli/commands. */
export interface CommandModule {
  /** Adds flags and arguments, and attaches what is to be done. */
  readonly define: (command: Command, attach: (command: Command, handler: Handler) => void) => void;
}

/** Adds the flags that say which project; for commands in which `-f` means nothing else. */
export function addProjectFlags(command: Command): Command {
  return command
    .option('-f, --file <path>', 'Compose file; may be repeated', collect)
    .option('-p, --project-name <name>', 'name of the project')
    .option('--profile <name>', 'profile to switch on; may be repeated', collect)
    .option('--env-file <path>', 'file of variables; may be repeated', collect);
}

/** Gathers the values of a flag that may be repeated. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

export function say(output: Output, line: string): void {
  output.write(`${line}\n`);
}

/** "1 machine", "3 machines". */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}
