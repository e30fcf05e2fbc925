/**
 * `exec`: runs a command in a running container of a service, wherever it is, and returns that
 * command's exit code. With a terminal on both sides keys and sizes go through.
 */
import type { Duplex } from 'node:stream';
import type Dockerode from 'dockerode';
import { dockerError } from '../../client/docker-error.ts';
import { TscError } from '../../lib/errors.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ContainerView } from '../../model/view.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { collect, exitCode } from '../cli.ts';
import { projectName } from '../load.ts';
import { FrameReader } from '../log-frames.ts';
import { machineName } from '../ps-rows.ts';

interface ExecOptions {
  readonly detach?: boolean;
  /** False with -T. */
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly index?: string;
  readonly machine?: string;
  readonly user?: string;
  readonly workdir?: string;
  readonly privileged?: boolean;
  readonly env?: readonly string[];
}

export const define: CommandModule['define'] = (command, attach) => {
  command
    .argument('<service>', 'the service')
    .argument('<command...>', 'the command and its arguments')
    .option('-d, --detach', 'do not wait for it')
    .option('-T, --no-tty', 'without a terminal, also where there is one')
    .option('-t, --tty', 'with a terminal', true)
    .option('-i, --interactive', 'with standard input', true)
    .option('--no-interactive', 'without standard input')
    .option('--index <slot>', 'the replica; default: the first that runs')
    .option('--machine <name>', 'a replica on this machine')
    .option('-u, --user <user>', 'as this user')
    .option('-w, --workdir <path>', 'in this folder')
    .option('--privileged', 'with all privileges')
    .option('-e, --env <name=value>', 'variable; may be repeated', collect)
    .passThroughOptions();
  attach(command, async (cli, [service = '', ...words]) => {
    const options = command.opts<ExecOptions>();
    const project = await projectName(cli);
    const snapshot = await cli.client.snapshot(cli.signal);
    const container = pickContainer(snapshot, { ...options, project, service });
    return execIn(cli, container, words, options);
  });
};

export interface Pick {
  readonly project: string;
  readonly service: string;
  readonly index?: string;
  readonly machine?: string;
}

/**
 * Chooses the replica: of the wanted slot or machine, else the first that runs.
 * @throws TscError E_SERVICE_NOT_RUNNING
 */
export function pickContainer(snapshot: Snapshot, pick: Pick): ContainerView {
  const running = snapshot.containers.filter(
    (container) =>
      container.project === pick.project &&
      container.service === pick.service &&
      container.state === 'running' &&
      (pick.machine === undefined ||
        container.machine === pick.machine ||
        machineName(snapshot, container.machine) === pick.machine),
  );
  const bySlot = running.filter(({ slot }) => pick.index === undefined || slot === pick.index);
  // A slot of a global service is a machine's id: there an index counts the replicas.
  const byOrder = running[Number(pick.index) - 1];
  const isGlobal = running.some(({ slot, machine }) => slot === machine);
  const chosen =
    // During an update one slot may have two containers: the one that serves comes first.
    bySlot.find(({ ready, draining }) => ready && !draining) ??
    bySlot[0] ??
    (isGlobal ? byOrder : undefined);
  if (chosen !== undefined) return chosen;
  const which = [
    pick.index === undefined ? '' : ` #${pick.index}`,
    pick.machine === undefined ? '' : ` on ${pick.machine}`,
  ].join('');
  throw new TscError(
    'E_SERVICE_NOT_RUNNING',
    `service "${pick.service}"${which} is not running in project "${pick.project}"`,
    { hint: 'see `tsc-compose ps -a`' },
  );
}

async function execIn(
  cli: Cli,
  { machine, id }: ContainerView,
  words: readonly string[],
  options: ExecOptions,
): Promise<number> {
  const { stdin, stdout } = cli.io;
  const isTty = options.tty && stdin.isTTY === true && stdout.isTTY === true;
  const hasInput = options.interactive && !options.detach;
  try {
    const docker = await cli.client.docker(machine);
    const exec = await docker.getContainer(id).exec({
      AttachStdin: hasInput,
      AttachStdout: true,
      AttachStderr: true,
      Tty: isTty,
      Cmd: [...words],
      Env: withValues(options.env ?? [], cli.io.env),
      ...(options.user === undefined ? {} : { User: options.user }),
      ...(options.workdir === undefined ? {} : { WorkingDir: options.workdir }),
      ...(options.privileged ? { Privileged: true } : {}),
    });
    if (options.detach) {
      await exec.start({ Detach: true });
      return exitCode.ok;
    }
    const stream = await exec.start({ hijack: true, stdin: hasInput, Tty: isTty });
    await join(cli, exec, stream, { isTty, hasInput });
    if (cli.signal.aborted) return exitCode.interrupted;
    return await exitCodeOf(exec);
  } catch (error) {
    throw dockerError(error, cli.client.socketPath);
  }
}

/** Joins the terminal, or the pipes, with the stream until the command ends. */
async function join(
  { io, signal }: Cli,
  exec: Dockerode.Exec,
  stream: Duplex,
  { isTty, hasInput }: { readonly isTty: boolean; readonly hasInput: boolean },
): Promise<void> {
  const frames = new FrameReader();
  const stop = (): void => void stream.destroy();
  const resize = (): void => {
    const { columns, rows } = process.stdout;
    // A size that arrives after the end is refused by the engine, which is of no interest.
    exec.resize({ w: columns, h: rows }).catch(() => undefined);
  };
  signal.addEventListener('abort', stop, { once: true });
  if (isTty) {
    io.stdin.setRawMode(true);
    process.stdout.on('resize', resize);
    resize();
  }
  try {
    if (hasInput) io.stdin.pipe(stream);
    for await (const chunk of stream) {
      const bytes = Buffer.from(chunk);
      if (isTty) io.stdout.write(bytes);
      else for (const part of frames.push(bytes)) io[part.stream].write(part.bytes);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
    if (hasInput) {
      io.stdin.unpipe(stream);
      io.stdin.pause();
    }
    if (isTty) {
      process.stdout.off('resize', resize);
      io.stdin.setRawMode(false);
    }
    stream.destroy();
  }
}

/** The stream may end a moment before the engine has noted the exit code. */
async function exitCodeOf(exec: Dockerode.Exec): Promise<number> {
  for (let attempt = 0; attempt < 20; attempt += 1) {
    const { Running, ExitCode } = await exec.inspect();
    if (!Running && ExitCode !== null) return ExitCode;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new TscError('E_EXEC_LOST', 'the connection ended before the command did');
}

/** `-e NAME` takes the value of this environment, as docker does; an unset one is left out. */
export function withValues(
  variables: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): string[] {
  return variables.flatMap((variable) => {
    if (variable.includes('=')) return [variable];
    const value = env[variable];
    return value === undefined ? [] : [`${variable}=${value}`];
  });
}
