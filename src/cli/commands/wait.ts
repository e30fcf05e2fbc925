/**
 * `wait`: without a service, until the project's rollout is done (ready, or failed); with services,
 * as in `docker compose`, until their containers have ended: it prints each one's exit code and
 * returns the last.
 */
import { dockerError } from '../../client/docker-error.ts';
import { TscError } from '../../lib/errors.ts';
import type { ContainerView } from '../../model/view.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { addProjectFlags, exitCode, say } from '../cli.ts';
import { followRollout } from '../follow.ts';
import { projectName } from '../load.ts';
import { containersWithin } from '../operate.ts';
import { parseCount } from '../values.ts';

interface WaitOptions {
  readonly timeout?: string;
  readonly downProject?: boolean;
}

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .argument('[service...]', 'wait until their containers have ended; default: for the rollout')
    .option('--timeout <seconds>', 'give up after this time')
    .option('--down-project', 'take the project down when the first container has ended');
  attach(command, async (cli, services) => {
    const { timeout, downProject = false } = command.opts<WaitOptions>();
    const timeoutMs =
      timeout === undefined ? undefined : parseCount('--timeout', timeout, 1) * 1000;
    const project = await projectName(cli);
    if (services.length > 0) return waitForEnd(cli, project, services, { timeoutMs, downProject });
    return waitForRollout(cli, project, timeoutMs);
  });
};

async function waitForRollout(
  cli: Cli,
  project: string,
  timeoutMs: number | undefined,
): Promise<number> {
  const before = await cli.client.snapshot(cli.signal);
  const found = before.projects.find(({ name }) => name === project);
  if (found === undefined) {
    throw new TscError('E_PROJECT_NONE', `project ${project} is not running`, {
      hint: 'see `tsc-compose ls`',
    });
  }
  const watched = { project, services: [], pointerHlc: 0, before, timeoutMs };
  return (await followRollout(cli, watched)).code;
}

async function waitForEnd(
  cli: Cli,
  project: string,
  services: readonly string[],
  options: { readonly timeoutMs: number | undefined; readonly downProject: boolean },
): Promise<number> {
  const snapshot = await cli.client.snapshot(cli.signal);
  const containers = containersWithin(snapshot, project, services);
  for (const service of services) {
    if (containers.some((container) => container.service === service)) continue;
    throw new TscError('E_SERVICE_NOT_RUNNING', `service "${service}" has no container`, {
      hint: 'see `tsc-compose ps -a`',
    });
  }
  const timeout =
    options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs);
  const stop = timeout === undefined ? cli.signal : AbortSignal.any([cli.signal, timeout]);
  let code: number = exitCode.ok;
  let down: Promise<unknown> | undefined;
  try {
    await Promise.all(
      containers.map(async (container) => {
        code = await endOf(cli, container, stop);
        say(cli.io.stdout, `container "${container.name}" exited with status code ${code}`);
        if (options.downProject) down ??= cli.client.down(project, { volumes: false }, cli.signal);
      }),
    );
    await down;
  } catch (error) {
    if (timeout?.aborted !== true) throw error;
    say(cli.io.stderr, `not ended after ${(options.timeoutMs ?? 0) / 1000} s`);
    return exitCode.failed;
  }
  return code;
}

/** Asked of its engine: an end between two snapshots is not missed. */
async function endOf(cli: Cli, { machine, id }: ContainerView, stop: AbortSignal): Promise<number> {
  try {
    const docker = await cli.client.docker(machine);
    const answer: unknown = await docker.getContainer(id).wait({ abortSignal: stop });
    const code: unknown =
      typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'StatusCode') : undefined;
    return typeof code === 'number' ? code : exitCode.failed;
  } catch (error) {
    if (stop.aborted) throw error;
    throw dockerError(error, cli.client.socketPath);
  }
}
