/** `rm`: removes the containers of services that have ended; `up` makes them anew. */
import { createInterface } from 'node:readline/promises';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ContainerView } from '../../model/view.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { exitCode, say } from '../cli.ts';
import { projectName } from '../load.ts';
import { containersWithin, operate, untilSeen } from '../operate.ts';

/** 120 s, as `down`: what is still there then is held by its engine. */
const removalMs = 120_000;

interface RmOptions {
  readonly force?: boolean;
  readonly stop?: boolean;
  readonly volumes?: boolean;
  readonly wait: boolean;
}

export const define: CommandModule['define'] = (command, attach) => {
  // -f is --force here, so that a file is named before the command.
  command
    .option('-p, --project-name <name>', 'name of the project')
    .argument('[service...]', 'services whose containers are removed; default: all')
    .option('-f, --force', 'do not ask')
    .option('-s, --stop', 'stop what runs, first')
    .option('-v, --volumes', 'with their anonymous volumes')
    .option('--no-wait', 'return when the order is stored, before it is carried out');
  attach(command, async (cli, services) => {
    const options = command.opts<RmOptions>();
    const doomed = await containersToGo(cli, services, options.stop ?? false);
    if (doomed.length === 0) {
      say(cli.io.stderr, 'No stopped containers');
      return exitCode.ok;
    }
    if (!options.force && !(await isAgreed(cli, doomed))) return exitCode.failed;
    const operated = await operate(cli, {
      act: 'remove',
      services: [...new Set(doomed.map(({ service }) => service))],
      stopsFirst: options.stop ?? false,
      withVolumes: options.volumes ?? false,
    });
    if (!options.wait) return exitCode.ok;
    const ids = new Set(doomed.map(({ id }) => id));
    const isGone = (seen: Snapshot): boolean => !seen.containers.some(({ id }) => ids.has(id));
    return untilSeen(cli, operated, isGone, removalMs);
  });
};

async function containersToGo(
  cli: Cli,
  services: readonly string[],
  withRunning: boolean,
): Promise<readonly ContainerView[]> {
  const project = await projectName(cli);
  const snapshot = await cli.client.snapshot(cli.signal);
  const all = snapshot.projects.find(({ name }) => name === project)?.services ?? [];
  const names = services.length > 0 ? services : all.map(({ name }) => name);
  return containersWithin(snapshot, project, names).filter((container) => {
    if (withRunning) return true;
    if (container.state === 'running' || container.state === 'paused') return false;
    const service = all.find(({ name }) => name === container.service);
    // A job that is done beside replicas that run would only be run again.
    const isDone = service?.mayComplete === true && container.exitCode === 0;
    return service?.isStopped === true || !isDone || !hasRunning(container.service);
  });

  function hasRunning(service: string): boolean {
    return containersWithin(snapshot, project, [service]).some(({ state }) => state === 'running');
  }
}

async function isAgreed({ io }: Cli, doomed: readonly ContainerView[]): Promise<boolean> {
  const names = doomed.map(({ name }) => name).join(', ');
  say(io.stderr, `Going to remove ${names}`);
  io.stderr.write('Are you sure? [yN] ');
  const lines = createInterface({ input: io.stdin });
  for await (const line of lines) {
    lines.close();
    if (/^y(es)?$/i.test(line.trim())) return true;
    break;
  }
  say(io.stderr, 'Nothing was removed; --force does not ask.');
  return false;
}
