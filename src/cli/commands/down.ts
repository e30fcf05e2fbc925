/**
 * `down`: takes a project down everywhere and waits until its containers (with -v its volumes) are
 * gone. Machines that are out of reach remove theirs when they are back: said, not waited for.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { dockerError } from '../../client/docker-error.ts';
import { TscError } from '../../lib/errors.ts';
import { label } from '../../model/names.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import type { ContainerView, MachineView } from '../../model/view.ts';
import type { Cli, CommandModule } from '../cli.ts';
import { addProjectFlags, count, exitCode, say } from '../cli.ts';
import { painter } from '../colour.ts';
import { projectName } from '../load.ts';
import { formatRolloutLine, rolloutLines } from '../rollout-lines.ts';
import { parseCount } from '../values.ts';

interface DownOptions {
  readonly volumes?: boolean;
  readonly wait: boolean;
  readonly waitTimeout: string;
}

/** 300 ms between two looks at volumes, which send no events to watchers. */
const volumePauseMs = 300;

/** 15 s: what is still there then is in use by somebody else, or no longer the project's. */
const volumeWaitMs = 15_000;

export const define: CommandModule['define'] = (command, attach) => {
  addProjectFlags(command)
    .option('-v, --volumes', 'also delete the volumes that the project made')
    .option('--remove-orphans', 'accepted for compatibility: down removes all services')
    .option('-t, --timeout <seconds>', 'accepted for compatibility: stop_grace_period holds')
    .option('--no-wait', 'return when the change is stored, before it is carried out')
    .option('--wait-timeout <seconds>', 'give up waiting after this time', '120');
  attach(command, (cli) => down(cli, command.opts<DownOptions>()));
};

async function down(cli: Cli, options: DownOptions): Promise<number> {
  const { stderr } = cli.io;
  const project = await projectName(cli);
  const timeoutMs = parseCount('--wait-timeout', options.waitTimeout, 1) * 1000;
  const before = await cli.client.snapshot(cli.signal);
  const answer = await cli.client.down(project, { volumes: options.volumes ?? false }, cli.signal);
  if (answer.hlc === 0 && containersOf(before, project).length === 0) {
    const paint = painter(cli, stderr);
    say(stderr, paint('yellow', `Nothing to take down: project ${project} is not running.`));
    return exitCode.ok;
  }
  if (!options.wait) return exitCode.ok;
  const stop = AbortSignal.any([cli.signal, AbortSignal.timeout(timeoutMs)]);
  const last = await untilGone(cli, project, { before, stop });
  if (options.volumes && !stop.aborted) {
    const volumeStop = AbortSignal.any([stop, AbortSignal.timeout(volumeWaitMs)]);
    await untilVolumesGone(cli, project, last, volumeStop);
  }
  return sayOutcome(cli, project, { before, last, stop });
}

async function untilGone(
  cli: Cli,
  project: string,
  { before, stop }: { readonly before: Snapshot; readonly stop: AbortSignal },
): Promise<Snapshot> {
  const done = new AbortController();
  let last = before;
  await cli.client.watch(
    (snapshot) => {
      for (const line of rolloutLines(last, snapshot, project)) {
        say(cli.io.stderr, formatRolloutLine(line));
      }
      last = snapshot;
      if (withinReach(snapshot, project).length === 0) done.abort();
    },
    AbortSignal.any([stop, done.signal]),
  );
  return last;
}

/** Asks the engines themselves: a volume that is still there is not reported as deleted. */
async function untilVolumesGone(
  cli: Cli,
  project: string,
  snapshot: Snapshot,
  stop: AbortSignal,
): Promise<void> {
  const machines = snapshot.machines.filter(({ liveness }) => liveness === 'reachable');
  for (;;) {
    const left = await Promise.all(machines.map((machine) => volumesOn(cli, project, machine)));
    if (left.flat().length === 0) return;
    if (stop.aborted) {
      const paint = painter(cli, cli.io.stderr);
      say(cli.io.stderr, paint('yellow', `kept, because still in use: ${left.flat().join(', ')}`));
      return;
    }
    await pause(volumePauseMs);
  }
}

async function volumesOn(
  cli: Cli,
  project: string,
  machine: MachineView,
): Promise<readonly string[]> {
  try {
    const docker = await cli.client.docker(machine.id);
    const { Volumes } = await docker.listVolumes({
      filters: JSON.stringify({ label: [`${label.project}=${project}`] }),
    });
    return (Volumes ?? []).map(({ Name }) => `${Name} on ${machine.name}`);
  } catch (cause) {
    const error = dockerError(cause, cli.client.socketPath);
    if (!(error instanceof TscError)) throw error;
    say(cli.io.stderr, `${machine.name}: its volumes cannot be seen: ${error.message}`);
    return [];
  }
}

function sayOutcome(
  cli: Cli,
  project: string,
  state: { readonly before: Snapshot; readonly last: Snapshot; readonly stop: AbortSignal },
): number {
  const { stderr } = cli.io;
  const { before, last, stop } = state;
  if (cli.signal.aborted) {
    say(stderr, 'The machines go on without this command; see: tsc-compose ps -a');
    return exitCode.interrupted;
  }
  const left = withinReach(last, project);
  if (stop.aborted) {
    const names = left.map(({ name }) => name).join(', ');
    say(
      stderr,
      `Not all is gone yet${names === '' ? '' : `: ${names}`}. The machines go on with it.`,
    );
    return exitCode.failed;
  }
  const away = containersOf(last, project);
  const removedCount = containersOf(before, project).length - away.length;
  say(stderr, `${project}: ${count(removedCount, 'container')} removed.`);
  if (away.length > 0) {
    say(
      stderr,
      `${count(away.length, 'container')} on machines that are out of reach are removed when these are back.`,
    );
  }
  return exitCode.ok;
}

function containersOf(snapshot: Snapshot, project: string): readonly ContainerView[] {
  return snapshot.containers.filter((container) => container.project === project);
}

/** Containers whose machine can act on the change now. */
function withinReach(snapshot: Snapshot, project: string): readonly ContainerView[] {
  return containersOf(snapshot, project).filter(({ machine }) =>
    snapshot.machines.some(({ id, liveness }) => id === machine && liveness === 'reachable'),
  );
}
