/**
 * The entry of the command: global flags, the choice of the command, errors and exit codes. It
 * knows no command by itself (command-table.ts does) and loads only the one that was asked for.
 * Exit codes: 0 done, 1 failed, 2 wrong usage, 70 a fault of ours, 130 interrupted.
 */
import { Command, CommanderError, Option } from 'commander';
import { connect } from '../client/connect.ts';
import { formatError, TscError } from '../lib/errors.ts';
import type { Cli, GlobalFlags, Handler, Io } from './cli.ts';
import { collect, exitCode, say } from './cli.ts';
import { commandTable } from './command-table.ts';
import { withShownPlace } from './places.ts';
import { StandardStream } from './standard-stream.ts';

/**
 * Runs one command line.
 * @param argv arguments without node and script
 * @returns the exit code
 */
export async function run(
  argv: readonly string[],
  version: string,
  io: Io = processIo(),
): Promise<number> {
  const interrupt = new AbortController();
  const onInterrupt = (): void => interrupt.abort();
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  try {
    return await dispatch(argv, { io, version, signal: interrupt.signal });
  } catch (error) {
    return report(error, io, interrupt.signal);
  } finally {
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onInterrupt);
  }
}

type Session = Pick<Cli, 'io' | 'version' | 'signal'>;

async function dispatch(argv: readonly string[], session: Session): Promise<number> {
  // A program of its own looks for the command's name, and stops there: what follows is the
  // command's (`down -v`, `exec web node -e …`), and no flag must be collected twice.
  const wanted = makeProgram(session)
    .passThroughOptions()
    .parseOptions([...argv]).operands[0];
  const program = makeProgram(session);
  let code: number = exitCode.ok;
  const found = commandTable.filter(
    ({ name, aliases }) => name === wanted || aliases.includes(wanted ?? ''),
  );
  // All of them only where they are listed, or where one is to be suggested.
  for (const { name, aliases, summary, load } of found.length > 0 ? found : commandTable) {
    const command = program.command(name).description(summary);
    for (const alias of aliases) command.alias(alias);
    if (found.length === 0) continue;
    const { define } = await load();
    define(command, (target, handler) => {
      target.action(async () => {
        code = await runHandler(handler, target, program, session);
      });
    });
  }
  await program.parseAsync([...argv], { from: 'user' });
  return code;
}

function runHandler(
  handler: Handler,
  command: Command,
  program: Command,
  session: Session,
): Promise<number> {
  // commander knows its values as `any`; makeProgram and addProjectFlags declare exactly these.
  const before = program.opts<Partial<GlobalFlags> & Pick<GlobalFlags, 'ansi'>>();
  const after = command.opts<Partial<GlobalFlags>>();
  const flags: GlobalFlags = {
    file: [...listOf(before.file), ...listOf(after.file)],
    projectName: after.projectName ?? before.projectName,
    profile: [...listOf(before.profile), ...listOf(after.profile)],
    envFile: [...listOf(before.envFile), ...listOf(after.envFile)],
    projectDirectory: before.projectDirectory,
    socket: before.socket,
    ansi: before.ansi,
  };
  const client = connect({ socketPath: flags.socket, env: session.io.env });
  return handler({ ...session, flags, client }, command.args);
}

function listOf(value: readonly string[] | undefined): readonly string[] {
  return Array.isArray(value) ? value : [];
}

function makeProgram({ io, version }: Session): Command {
  return new Command('tsc-compose')
    .description('Runs a Compose file on several Docker machines as if they were one.')
    .option('-f, --file <path>', 'Compose file; may be repeated', collect)
    .option('-p, --project-name <name>', 'name of the project')
    .option('--profile <name>', 'profile to switch on; may be repeated', collect)
    .option('--env-file <path>', 'file of variables; may be repeated', collect)
    .option('--project-directory <path>', 'folder that relative paths start from')
    .option('--socket <path>', "the agent's socket (or TSC_COMPOSE_SOCKET)")
    .addOption(
      new Option('--ansi <when>', 'colours and cursor movements')
        .choices(['auto', 'never', 'always'])
        .default('auto'),
    )
    .version(`tsc-compose version ${version}`, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .showHelpAfterError('(run it with --help to see its flags)')
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => io.stdout.columns ?? 100,
      getErrHelpWidth: () => io.stderr.columns ?? 100,
    })
    .exitOverride();
}

/** Prints an error the way its kind deserves, and says with which code to exit. */
function report(error: unknown, io: Io, signal: AbortSignal): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage;
  if (signal.aborted) return exitCode.interrupted;
  if (io.env.TSC_DEBUG && error instanceof Error) say(io.stderr, error.stack ?? error.message);
  if (error instanceof TscError) {
    say(io.stderr, formatError(withShownPlace(error, io.cwd)));
    return error.code.startsWith('E_USAGE') ? exitCode.usage : exitCode.failed;
  }
  const message = error instanceof Error ? error.message : String(error);
  say(io.stderr, `tsc-compose: a fault of its own: ${message}`);
  if (!io.env.TSC_DEBUG) say(io.stderr, '  hint: set TSC_DEBUG=1 to see where');
  return exitCode.bug;
}

function processIo(): Io {
  return {
    // Opened only by the commands that read it.
    get stdin() {
      return process.stdin;
    },
    stdout: new StandardStream('stdout'),
    stderr: new StandardStream('stderr'),
    env: process.env,
    cwd: process.cwd(),
    now: () => Date.now(),
  };
}
